"""How a step behind the read saves progress: for the run that holds the lease, in whichever process the step runs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from math import inf
from typing import Final

from beam_dynamodb_streams.errors import DelayError
from beam_dynamodb_streams.progress.acquire import WallClock
from beam_dynamodb_streams.progress.address import Progress
from beam_dynamodb_streams.progress.store import Store, fenced_error, move_forward
from beam_dynamodb_streams.records.versions import UNKNOWN_STREAM, stream_named
from beam_dynamodb_streams.shards.generations import created_at, table_of
from beam_dynamodb_streams.shards.position import Position
from beam_dynamodb_streams.shards.stream_position import StreamPosition

_LOGGER: Final = logging.getLogger(__name__)


class StepCommitter:
    """Saves progress for the run `owner`. Makes no request before the first commit. Thread-safe."""

    def __init__(self, store: Store, owner: str, progress: Progress, clock: WallClock) -> None:
        self._store, self._owner, self._clock = store, owner, clock
        self._takeover_after, self._renew_every = progress.takeover_seconds, progress.renew_every
        self._lock = threading.Lock()
        self._stream_arn: str | None = None
        self._renewed = -inf
        self._silent_since: float | None = None
        self._pending: dict[str, dict[str, Position]] = {}  # by the part of versions that stands for the stream
        self._begun: set[str] = set()

    def commit(self, shards: Mapping[str, Position], *, stream: str = UNKNOWN_STREAM) -> None:
        """Save what is certainly delivered, and renew the lease: the read may have ended long before.

        `stream` is the part of a change's version that stands for its stream (`records.versions`). Once a change of a
        stream is certainly delivered, everything of the streams before it is, so these are forgotten.

        While the store does not answer, the positions are kept for the next commit.

        Raises:
            FencedError: Another run holds the lease.
            DelayError: The store has not answered for as long as it takes other runs to take this one for dead.
        """
        with self._lock:
            now, elapsed = self._clock.now(), self._clock.elapsed()
            move_forward(self._pending.setdefault(stream, {}), shards)
            try:
                self._write(now, elapsed)
                self._silent_since = None
            except DelayError as error:
                if self._silent_since is None:
                    self._silent_since = elapsed
                if elapsed - self._silent_since >= self._takeover_after:
                    raise
                _LOGGER.warning("progress in %s could not be saved, and is saved later: %s", self._store.name, error)

    def _write(self, now: float, elapsed: float) -> None:
        if self._stream_arn is None:
            lease = self._store.read().lease
            if lease is None or lease.owner != self._owner:
                raise fenced_error(self._store.name, self._owner, lease)
            self._stream_arn = lease.stream_arn
        for part in sorted(self._pending):
            stream_arn = stream_named(part, self._stream_arn)
            self._begin(stream_arn, int(now))
            self._store.advance(self._owner, stream_arn, self._pending[part], int(now))
            del self._pending[part]
        if elapsed - self._renewed >= self._renew_every:
            self._store.renew(self._owner, now)
            self._renewed = elapsed

    def _begin(self, stream_arn: str, second: int) -> None:
        """Begin a stream that follows another one, and forget those before it."""
        if stream_arn == self._stream_arn or stream_arn in self._begun:
            return
        streams = self._store.read().streams
        if stream_arn not in streams:
            self._store.begin(self._owner, StreamPosition(stream_arn), second)
        for other in streams:
            if table_of(other) == table_of(stream_arn) and (created_at(other) or 0.0) < (created_at(stream_arn) or 0.0):
                self._store.forget(self._owner, other, None)
        self._begun.add(stream_arn)
