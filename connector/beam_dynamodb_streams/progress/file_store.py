"""Progress in a file: JSON text, replaced as a whole. The form is a promise: golden text is in ``tests/compat``.

On a local disk each change is made under a lock of the system's, so that a fenced run can move nothing. Other
filesystems have no such lock: there a second run is noticed by its beats, but one that was fenced off may overwrite.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

from apache_beam.io.filesystem import BeamIOError, CompressionTypes
from apache_beam.io.filesystems import FileSystems

from beam_dynamodb_streams.errors import ConnectorError, InvalidOptionError
from beam_dynamodb_streams.progress.store import TAKEOVER_SECONDS, Application, Hold, Kept, Mark, fenced
from beam_dynamodb_streams.shards.position import AtTime, Position
from beam_dynamodb_streams.shards.stream_position import StreamPosition, position_of, position_text, second_of, start_of

VERSION: Final = 1


class FileStore:
    """See :class:`progress.store.Store`. Each write is of the whole file, so it suits some hundred shards."""

    def __init__(self, path: str) -> None:
        try:
            FileSystems.get_filesystem(path)
        except ValueError as error:
            raise InvalidOptionError(f"progress='file:{path}': no filesystem for it is installed: {error}") from error
        self._path = path
        self._local = FileSystems.get_scheme(path) is None
        self._lock = threading.Lock()
        self.name = f"file:{path}"

    def read(self) -> Application:
        try:
            text = self._text()
        except (OSError, BeamIOError) as error:
            raise ConnectorError(f"{self.name} cannot be read: {error}") from error
        except UnicodeDecodeError as error:
            raise _damaged(self.name, error) from error
        return Application() if text is None else application_of(text, self.name)

    def swap(self, known: Hold | None, hold: Hold) -> bool:
        with self._alone():
            kept = self.read()
            if kept.hold != known:
                return False
            self._write(replace(kept, hold=hold))
            return True

    def beat(self, owner: str, moment: float) -> None:
        self._change(owner, lambda kept, hold: replace(kept, hold=replace(hold, beat=moment)))

    def begin(self, owner: str, position: StreamPosition, second: int) -> None:
        marks = {shard: Mark(place, second) for shard, place in position.shards.items()}
        stream = {position.stream_arn or "": Kept(position.start, marks, position.until)}
        self._change(owner, lambda kept, _: replace(kept, streams={**kept.streams, **stream}))

    def advance(self, owner: str, stream_arn: str, shards: Mapping[str, Position], second: int) -> None:
        def moved(kept: Application, hold: Hold) -> Application:  # noqa: ARG001 - the form of a change
            before = kept.streams.get(stream_arn)
            if before is None:
                return kept
            after = before.advanced(shards, second)
            if after is before:
                return kept
            return replace(kept, streams={**kept.streams, stream_arn: after.without(after.outlived())})

        self._change(owner, moved)

    def drop(self, owner: str, stream_arn: str, shards: list[str] | None) -> None:
        def without(kept: Application, hold: Hold) -> Application:  # noqa: ARG001
            streams = dict(kept.streams)
            stream = streams.pop(stream_arn, None)
            if stream is not None and shards is not None:
                streams[stream_arn] = stream.without(shards)
            return replace(kept, streams=streams)

        self._change(owner, without)

    def _change(self, owner: str, change: Callable[[Application, Hold], Application]) -> None:
        with self._alone():
            kept = self.read()
            if kept.hold is None or kept.hold.owner != owner:
                raise fenced(self.name, owner, kept.hold)
            after = change(kept, kept.hold)
            if after is not kept:
                self._write(after)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """While no other thread, and on a local disk no other process, changes the file."""
        with self._lock:
            if not self._local:
                yield
                return
            try:
                os.makedirs(os.path.dirname(os.path.abspath(self._path)), exist_ok=True)
                lock = open(f"{self._path}.lock", "a", encoding="utf-8")  # noqa: SIM115 - closed below
            except OSError as error:
                raise ConnectorError(f"{self.name} cannot be written: {error}") from error
            with lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield

    def _text(self) -> str | None:
        if self._local:
            try:
                with open(self._path, encoding="utf-8") as file:
                    return file.read()
            except FileNotFoundError:
                return None
        if not FileSystems.exists(self._path):
            return None
        with FileSystems.open(self._path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
            return bytes(file.read()).decode()

    def _write(self, kept: Application) -> None:
        text = application_text(kept)
        try:
            if not self._local:  # an object store shows an object only once it is whole
                with FileSystems.create(self._path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
                    file.write(text.encode())
                return
            fresh = f"{self._path}.new"
            with open(fresh, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(fresh, self._path)
        except (OSError, BeamIOError) as error:
            raise ConnectorError(f"{self.name} cannot be written: {error}") from error


def application_text(kept: Application) -> str:
    hold = kept.hold
    return json.dumps(
        {
            "version": VERSION,
            "hold": None if hold is None else _stored(hold),
            "streams": {
                arn: {
                    **({} if stream.until is None else {"until": position_text(AtTime(stream.until))}),
                    "start": position_text(stream.start),
                    "shards": {
                        shard: [position_text(mark.position), mark.second] for shard, mark in stream.marks.items()
                    },
                }
                for arn, stream in kept.streams.items()
            },
        },
        indent=1,
        sort_keys=True,
    )


def _stored(hold: Hold) -> dict[str, Any]:
    """``takeover_after`` is there where it is not the default, which a text without it has."""
    silent = hold.takeover_after
    takeover = {} if silent == TAKEOVER_SECONDS else {"takeover_after": silent}
    return {"owner": hold.owner, "stream": hold.stream_arn, "beat": hold.beat, **takeover}


def _hold_of(stored: Any) -> Hold:
    silent = float(stored.get("takeover_after", TAKEOVER_SECONDS))
    return Hold(str(stored["owner"]), str(stored["stream"]), float(stored["beat"]), silent)


def application_of(text: str, name: str) -> Application:
    """The inverse of :func:`application_text`. Raises :class:`ConnectorError`, naming the file, for anything else."""
    try:
        stored: Any = json.loads(text)
        if stored["version"] != VERSION:
            raise ConnectorError(
                f"{name} has version {stored['version']!r}, this release reads {VERSION}: "
                "use the release that wrote it, or newer"
            )
        hold = stored["hold"]
        return Application(
            None if hold is None else _hold_of(hold),
            {
                arn: Kept(
                    start_of(stream["start"]),
                    {
                        shard: Mark(position_of(position), int(second))
                        for shard, (position, second) in stream["shards"].items()
                    },
                    second_of(stream.get("until")),
                )
                for arn, stream in stored["streams"].items()
            },
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _damaged(name, error) from error


def _damaged(name: str, error: Exception) -> ConnectorError:
    return ConnectorError(f"{name} is not progress that this package wrote, or it is damaged: {error}")
