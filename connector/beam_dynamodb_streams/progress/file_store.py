"""Progress in a file: JSON text that is replaced as a whole. The form is a promise: `tests/compat` has golden files.

On a local disk each change is made under a lock of the operating system, so a run that lost its lease can move nothing.
Other filesystems have no such lock: a second run is noticed by its renewals, but a run that lost its lease may
overwrite what the new holder wrote.
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
from beam_dynamodb_streams.progress.store import (
    TAKEOVER_SECONDS,
    Application,
    LeaseRecord,
    SavedProgress,
    SavedShard,
    fenced_error,
    seconds_of,
)
from beam_dynamodb_streams.shards.position import AtTime, Position
from beam_dynamodb_streams.shards.stream_position import StreamPosition, position_of, position_text, second_of, start_of

VERSION: Final = 1


class FileStore:
    """A `progress.store.Store` in a file. Each write replaces the whole file, so it suits a few hundred shards."""

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

    def swap_lease(self, known: LeaseRecord | None, lease: LeaseRecord) -> bool:
        with self._alone():
            saved = self.read()
            if saved.lease != known:
                return False
            self._write(replace(saved, lease=lease))
            return True

    def renew(self, owner: str, moment: float) -> None:
        self._change(owner, lambda saved, lease: replace(saved, lease=replace(lease, renewed_at=moment)))

    def release(self, owner: str) -> None:
        self.renew(owner, 0.0)

    def begin(self, owner: str, position: StreamPosition, second: int) -> None:
        shards = {shard: SavedShard(where, second) for shard, where in position.shards.items()}
        stream = {position.stream_arn or "": SavedProgress(position.start, shards, position.until)}
        self._change(owner, lambda saved, _: replace(saved, streams={**saved.streams, **stream}))

    def advance(self, owner: str, stream_arn: str, shards: Mapping[str, Position], second: int) -> None:
        def moved(saved: Application, lease: LeaseRecord) -> Application:  # noqa: ARG001 - the form of a change
            before = saved.streams.get(stream_arn)
            if before is None:
                return saved
            after = before.advanced(shards, second)
            if after is before:
                return saved
            return replace(
                saved, streams={**saved.streams, stream_arn: after.without(after.expired_shards(stream_arn))}
            )

        self._change(owner, moved)

    def forget(self, owner: str, stream_arn: str, shards: list[str] | None) -> None:
        def without(saved: Application, lease: LeaseRecord) -> Application:  # noqa: ARG001
            streams = dict(saved.streams)
            stream = streams.pop(stream_arn, None)
            if stream is not None and shards is not None:
                streams[stream_arn] = stream.without(shards)
            return replace(saved, streams=streams)

        self._change(owner, without)

    def _change(self, owner: str, change: Callable[[Application, LeaseRecord], Application]) -> None:
        with self._alone():
            saved = self.read()
            if saved.lease is None or saved.lease.owner != owner:
                raise fenced_error(self.name, owner, saved.lease)
            after = change(saved, saved.lease)
            if after is not saved:
                self._write(after)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other threads, and on a local disk other processes, from changing the file."""
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

    def _write(self, saved: Application) -> None:
        text = application_text(saved)
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


def application_text(saved: Application) -> str:
    """Return an application as JSON text."""
    lease = saved.lease
    return json.dumps(
        {
            "version": VERSION,
            "lease": None if lease is None else _stored(lease),
            "streams": {
                arn: {
                    **({} if stream.until is None else {"until": position_text(AtTime(stream.until))}),
                    "start": position_text(stream.start),
                    "shards": {
                        shard: [position_text(each.position), each.moved_at] for shard, each in stream.shards.items()
                    },
                }
                for arn, stream in saved.streams.items()
            },
        },
        indent=1,
        sort_keys=True,
    )


def _stored(lease: LeaseRecord) -> dict[str, Any]:
    """Return a lease as it is stored. `takeover_after` is left out where it is the default."""
    silent = lease.takeover_after
    takeover = {} if silent == TAKEOVER_SECONDS else {"takeover_after": silent}
    return {"owner": lease.owner, "stream": lease.stream_arn, "renewed_at": lease.renewed_at, **takeover}


def _lease_of(stored: Any) -> LeaseRecord:
    silent = seconds_of(stored.get("takeover_after", TAKEOVER_SECONDS))
    return LeaseRecord(str(stored["owner"]), str(stored["stream"]), seconds_of(stored["renewed_at"]), silent)


def application_of(text: str, name: str) -> Application:
    """Return the inverse of `application_text`. Raises ConnectorError, naming the file, for any other text."""
    try:
        stored: Any = json.loads(text)
        if stored["version"] != VERSION:
            raise ConnectorError(
                f"{name} has version {stored['version']!r}, this release reads {VERSION}: "
                "use the release that wrote it, or a newer one"
            )
        lease = stored["lease"]
        return Application(
            None if lease is None else _lease_of(lease),
            {
                arn: SavedProgress(
                    start_of(stream["start"]),
                    {
                        shard: SavedShard(position_of(position), int(second))
                        for shard, (position, second) in stream["shards"].items()
                    },
                    second_of(stream.get("until")),
                )
                for arn, stream in stored["streams"].items()
            },
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        if isinstance(error, ConnectorError):
            raise
        raise _damaged(name, error) from error


def _damaged(name: str, error: Exception) -> ConnectorError:
    return ConnectorError(
        f"{name} is not progress that this package wrote, or it is damaged ({error!r:.200}): "
        "restore it from a copy, or remove it to begin without progress"
    )
