"""Manifests: what a window's files are and cover, written after the files are in place. Their form is a promise.

``_manifests/<date>/<window>-<digest>.json``, one for each time that a window's changes were written: once when it is
complete, and once more for changes that came late. ``_manifests/all/<digest>.json`` where there are no windows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from connector.errors import ConnectorError
from connector.sinks.coverage import Coverage, Run

VERSION: Final = 1
FOLDER: Final = "_manifests"
WITHOUT_WINDOW: Final = "all"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_WINDOW: Final = re.compile(r"\d{8}T\d{6}(?:\.\d{6})?Z-(\d{8}T\d{6}(?:\.\d{6})?Z)-")


@dataclass(frozen=True, slots=True)
class Span:
    """A window by its start and end, in microseconds since the epoch."""

    start: int
    end: int

    @property
    def label(self) -> str:
        """As it stands in names: they sort by window, and hold no character that an object store or Windows refuses."""
        return f"{_instant(self.start)}-{_instant(self.end)}"


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


def manifest_folder(window: Span | None) -> str:
    if window is None:
        return f"{FOLDER}/{WITHOUT_WINDOW}"
    return f"{FOLDER}/{_EPOCH + timedelta(microseconds=window.start):%Y-%m-%d}"


def manifest_prefix(window: Span | None) -> str:
    """What the paths of all manifests of a window begin with."""
    return f"{manifest_folder(window)}/{'' if window is None else f'{window.label}-'}"


def manifest_path(window: Span | None, digest: str) -> str:
    return f"{manifest_prefix(window)}{digest}.json"


def window_end(path: str) -> datetime | None:
    """The end of the window in the path of a manifest or of a file; None where there is none in it."""
    found = _WINDOW.search(path.rpartition("/")[2])
    if found is None:
        return None
    form = "%Y%m%dT%H%M%S.%fZ" if "." in found[1] else "%Y%m%dT%H%M%SZ"
    return datetime.strptime(found[1], form).replace(tzinfo=UTC)


def _instant(micros: int) -> str:
    instant = _EPOCH + timedelta(microseconds=micros)
    fraction = f".{instant.microsecond:06d}" if instant.microsecond else ""
    return f"{instant:%Y%m%dT%H%M%S}{fraction}Z"


def _iso(micros: int) -> str:
    return (_EPOCH + timedelta(microseconds=micros)).isoformat().replace("+00:00", "Z")


def _micros(text: str) -> int:
    return (datetime.fromisoformat(text) - _EPOCH) // timedelta(microseconds=1)
