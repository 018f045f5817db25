"""Manifests: what a window's files are and cover, written after the files are in place. Their form is a promise.

``_manifests/<date>/<window>-<digest>.json``, one for each time that a window's changes were written: once when it is
complete, and once more for changes that came late. Where there are no windows,
``_manifests/all/<times>-<digest>.json``, by the creation times of the first and the last change.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from beam_dynamodb_streams.errors import ConnectorError
from beam_dynamodb_streams.sinks.coverage import Coverage, Run

VERSION: Final = 1
FOLDER: Final = "_manifests"
WITHOUT_WINDOW: Final = "all"
FOLDERS: Final = (f"{FOLDER}/", "date=")
"""What the paths begin with of all folders of an output that say what is in it, or hold its files."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_INSTANT: Final = r"(\d{8}T\d{6}(?:\.\d{6})?Z)"
_SPAN: Final = re.compile(f"{_INSTANT}-{_INSTANT}-")
_FILE: Final = re.compile(
    rf"(date=[\d-]+/(hour=\d+/)?)?changes-({WITHOUT_WINDOW}-)?({_INSTANT}-{_INSTANT}-)?[\da-f]{{16}}(\.[a-z]+)+"
)


@dataclass(frozen=True, slots=True)
class Span:
    """A window by its start and end, or the times of the first and the last change, in microseconds since the epoch."""

    start: int
    end: int

    @property
    def label(self) -> str:
        """As it stands in names: they sort by window, and hold no character that an object store or Windows refuses."""
        return f"{_instant(self.start)}-{_instant(self.end)}"

    @classmethod
    def of_all(cls, spans: Sequence[Span]) -> Span:
        """The span from the first start to the last end."""
        return cls(min(span.start for span in spans), max(span.end for span in spans))

    def overlaps(self, other: Span) -> bool:
        return self.start <= other.end and other.start <= self.end


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """``path`` is relative to the output."""

    path: str
    rows: int
    size: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """``window`` is None for changes without windows. ``coverage``: the changes that the files hold, by shard."""

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
                "shards": {
                    shard: [[run.after, run.first, run.last] for run in runs] for shard, runs in self.coverage.items()
                },
            },
            separators=(",", ":"),
        ).encode()

    @classmethod
    def from_json(cls, data: bytes, path: str) -> Manifest:
        """The inverse of `to_json`. Raises ConnectorError, naming ``path``, for anything else."""
        try:
            stored: Any = json.loads(data)
            if stored["version"] != VERSION:
                raise ConnectorError(
                    f"{path} has version {stored['version']!r}, this release reads {VERSION}: go on with the release"
                    " that wrote it, or newer"
                )
            window = stored["window"]
            return cls(
                None if window is None else Span(_micros(window[0]), _micros(window[1])),
                [WrittenFile(str(file["path"]), int(file["rows"]), int(file["bytes"])) for file in stored["files"]],
                {
                    str(shard): [Run(after, str(first), str(last)) for after, first, last in runs]
                    for shard, runs in stored["shards"].items()
                },
            )
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise ConnectorError(f"{path} is no manifest of an export ({error}): restore it from a copy") from error


def manifest_prefix(window: Span | None) -> str:
    """What the paths of all manifests of a window begin with; None: of all changes that are in no window."""
    if window is None:
        return f"{FOLDER}/{WITHOUT_WINDOW}/"
    return f"{FOLDER}/{_EPOCH + timedelta(microseconds=window.start):%Y-%m-%d}/{window.label}-"


def manifest_path(window: Span | None, times: Span, digest: str) -> str:
    """``times``: when the first and the last of the changes were created."""
    return f"{manifest_prefix(window)}{f'{times.label}-' if window is None else ''}{digest}.json"


def file_prefix(window: Span | None) -> str:
    """What the names of all files of a window begin with."""
    return f"changes-{WITHOUT_WINDOW if window is None else window.label}-"


def file_name(window: Span | None, times: Span, digest: str) -> str:
    return f"{file_prefix(window)}{f'{times.label}-' if window is None else ''}{digest}"


def is_of_changes(path: str) -> bool:
    """Whether a file is one of ours, by its path; others that somebody put into the output are not to be touched."""
    return _FILE.fullmatch(path) is not None


def span_of(path: str) -> Span | None:
    """When the changes of a manifest or of a file were created, by its path; None where that does not say."""
    found = _SPAN.search(path.rpartition("/")[2])
    return None if found is None else Span(_parsed(found[1]), _parsed(found[2]))


def _parsed(instant: str) -> int:
    form = "%Y%m%dT%H%M%S.%fZ" if "." in instant else "%Y%m%dT%H%M%SZ"
    return (datetime.strptime(instant, form).replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)


def _instant(micros: int) -> str:
    instant = _EPOCH + timedelta(microseconds=micros)
    fraction = f".{instant.microsecond:06d}" if instant.microsecond else ""
    return f"{instant:%Y%m%dT%H%M%S}{fraction}Z"


def _iso(micros: int) -> str:
    return (_EPOCH + timedelta(microseconds=micros)).isoformat().replace("+00:00", "Z")


def _micros(text: str) -> int:
    return (datetime.fromisoformat(text) - _EPOCH) // timedelta(microseconds=1)
