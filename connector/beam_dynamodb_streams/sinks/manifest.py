"""Manifests: which files a window has and what they cover, written once the files are in place.

The path is `_manifests/<date>/<window>-<digest>.json`, one for each time that a window's changes were written: once
when the window is complete, and again for changes that arrived late. Without windows it is
`_manifests/all/<times>-<digest>.json`, by the creation times of the first and the last change. The form is a promise.
Coverage is by stream and shard, see `sinks.coverage`: one output may hold changes of several streams.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, Final

from beam_dynamodb_streams.errors import ConnectorError
from beam_dynamodb_streams.sinks.coverage import DIGITS, NOTHING_BEFORE, Coverage, SequenceRange, ShardKey

VERSION: Final = 1
FOLDER: Final = "_manifests"
WITHOUT_WINDOW: Final = "all"
WRITING: Final = "_writing"
"""The folder of marks: `_writing/<path>` exists from before a file is put in its place until a manifest names it."""
FOLDERS: Final = (f"{FOLDER}/", f"{WRITING}/", "date=", "snapshot=", "_snapshots/")
"""The beginnings of the paths of all folders in which an output has manifests or files."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)
_INSTANT: Final = r"(\d{8}T\d{6}(?:\.\d{6})?Z)"
_SPAN: Final = re.compile(f"{_INSTANT}-{_INSTANT}-")
_FILE: Final = re.compile(
    rf"(date=[\d-]+/(hour=\d+/)?)?changes-({WITHOUT_WINDOW}-)?({_INSTANT}-{_INSTANT}-)?[\da-f]{{16}}(\.[a-z]+)+"
)


@dataclass(frozen=True, slots=True)
class Span:
    """A window by its start and end, or the times of the first and the last change. In microseconds since the epoch."""

    start: int
    end: int

    @property
    def label(self) -> str:
        """The span as it is in names. Names sort by window, and object stores and Windows accept every character."""
        return f"{_instant(self.start)}-{_instant(self.end)}"

    @classmethod
    def of_all(cls, spans: Sequence[Span]) -> Span:
        """Return the span from the first start to the last end."""
        return cls(min(span.start for span in spans), max(span.end for span in spans))

    def overlaps(self, other: Span) -> bool:
        return self.start <= other.end and other.start <= self.end


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """A file in its place. `path` is relative to the output, `size` is in bytes."""

    path: str
    rows: int
    size: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """The files of one write of a window, and the changes that they cover. `window` is None for all of time."""

    window: Span | None
    files: Sequence[WrittenFile]
    coverage: Coverage

    def to_json(self) -> bytes:
        return json.dumps(
            {
                "version": VERSION,
                "window": None if self.window is None else [_iso(self.window.start), _iso(self.window.end)],
                "rows": sum(file.rows for file in self.files),
                "files": [{"path": file.path, "rows": file.rows, "bytes": file.size} for file in self.files],
                "streams": _stored(self.coverage),
            },
            separators=(",", ":"),
        ).encode()

    @classmethod
    def from_json(cls, data: bytes, path: str) -> Manifest:
        """Return the inverse of `to_json`. Raises ConnectorError, naming `path`, for anything else."""
        try:
            stored: Any = json.loads(data)
            if stored["version"] != VERSION:
                raise ConnectorError(
                    f"{path} has version {stored['version']!r}, this release reads {VERSION}: use the release that"
                    " wrote it, or a newer one"
                )
            window = stored["window"]
            return cls(
                None if window is None else Span(_micros(window[0]), _micros(window[1])),
                [WrittenFile(str(file["path"]), int(file["rows"]), int(file["bytes"])) for file in stored["files"]],
                {
                    ShardKey(str(stream), str(shard)): [
                        SequenceRange(_before(after), _number(first), _number(last)) for after, first, last in ranges
                    ]
                    for stream, shards in stored["streams"].items()
                    for shard, ranges in shards.items()
                },
            )
        except (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError, RecursionError) as error:
            raise ConnectorError(
                f"{path} is not a manifest of an export, or it is damaged ({error!r:.200}): restore it from a copy, or"
                " export to a new directory"
            ) from error


def _number(text: object) -> str:
    if not isinstance(text, str) or not (text.isascii() and text.isdecimal() and len(text) <= DIGITS):
        raise ValueError(f"{text!r:.60} is not a sequence number")
    return text


def _before(text: object) -> str | None:
    return text if text is None or text == NOTHING_BEFORE else _number(text)


def _stored(coverage: Coverage) -> dict[str, dict[str, list[list[str | None]]]]:
    streams: dict[str, dict[str, list[list[str | None]]]] = {}
    for (stream_arn, shard_id), ranges in coverage.items():
        streams.setdefault(stream_arn, {})[shard_id] = [[each.after, each.first, each.last] for each in ranges]
    return streams


def manifest_prefix(window: Span | None) -> str:
    """Return the beginning of the paths of a window's manifests. None: of the manifests of runs without windows."""
    if window is None:
        return f"{FOLDER}/{WITHOUT_WINDOW}/"
    return f"{FOLDER}/{_EPOCH + timedelta(microseconds=window.start):%Y-%m-%d}/{window.label}-"


def manifest_path(window: Span | None, times: Span, digest: str) -> str:
    """Return the path of a manifest. `times`: when the first and the last of its changes were created."""
    return f"{manifest_prefix(window)}{f'{times.label}-' if window is None else ''}{digest}.json"


def file_prefix(window: Span | None) -> str:
    """Return the beginning of the names of a window's files."""
    return f"changes-{WITHOUT_WINDOW if window is None else window.label}-"


def file_name(window: Span | None, times: Span, digest: str) -> str:
    """Return the name of a file, without its suffix."""
    return f"{file_prefix(window)}{f'{times.label}-' if window is None else ''}{digest}"


def is_change_file(path: str) -> bool:
    """Return whether a sink wrote a file, by its path. Files that others put into the output are never touched."""
    return _FILE.fullmatch(path) is not None


def mark_path(path: str) -> str:
    """Return the path of a file's mark."""
    return f"{WRITING}/{path}"


def span_of(path: str) -> Span | None:
    """Return when the changes of a manifest or of a file were created, by its path. None if the path does not say."""
    found = _SPAN.search(path.rpartition("/")[2])
    return None if found is None else Span(_parsed(found[1]), _parsed(found[2]))


def _parsed(instant: str) -> int:
    form = "%Y%m%dT%H%M%S.%fZ" if "." in instant else "%Y%m%dT%H%M%SZ"
    return (datetime.strptime(instant, form).replace(tzinfo=timezone.utc) - _EPOCH) // timedelta(microseconds=1)


def _instant(micros: int) -> str:
    instant = _EPOCH + timedelta(microseconds=micros)
    fraction = f".{instant.microsecond:06d}" if instant.microsecond else ""
    return f"{instant:%Y%m%dT%H%M%S}{fraction}Z"


def _iso(micros: int) -> str:
    return (_EPOCH + timedelta(microseconds=micros)).isoformat().replace("+00:00", "Z")


def _micros(text: str) -> int:
    return (datetime.fromisoformat(text.replace("Z", "+00:00")) - _EPOCH) // timedelta(microseconds=1)
