"""The side of a step behind the read: it writes what it delivered, in the name of the run that has the application."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from math import inf
from typing import Final

from beam_dynamodb_streams.errors import DelayError
from beam_dynamodb_streams.progress.address import Progress
from beam_dynamodb_streams.progress.lease import Time
from beam_dynamodb_streams.progress.store import Store, fenced, raise_to
from beam_dynamodb_streams.shards.position import Position

_LOGGER: Final = logging.getLogger(__name__)


class Adopted:
    """The application of the run ``owner``, in any process. Touches nothing before the first commit. Thread-safe."""

    def __init__(self, store: Store, owner: str, progress: Progress, clock: Time) -> None:
        self._store, self._owner, self._clock = store, owner, clock
        self._takeover_after, self._beat_every = progress.takeover_after.total_seconds(), progress.beat_seconds
        self._lock = threading.Lock()
        self._stream_arn: str | None = None
        self._beaten = -inf
        self._silent_since: float | None = None
        self._pending: dict[str, Position] = {}

    def commit(self, shards: Mapping[str, Position]) -> None:
        """Writes at once what is delivered for certain, and shows that the run is alive: the read may have ended long
        before. While the store does not answer it waits for the next commit.

        Raises :class:`FencedError` if another run has the application, and :class:`DelayError` once the store has not
        answered for so long that the run counts as dead.
        """
        with self._lock:
            now = self._clock.now()
            raise_to(self._pending, shards)
            try:
                self._write(now)
                self._silent_since = None
            except DelayError as error:
                if self._silent_since is None:
                    self._silent_since = now
                if now - self._silent_since >= self._takeover_after:
                    raise
                _LOGGER.warning("progress in %s waits: %s", self._store.name, error)

    def _write(self, now: float) -> None:
        if self._stream_arn is None:
            hold = self._store.read().hold
            if hold is None or hold.owner != self._owner:
                raise fenced(self._store.name, self._owner, hold)
            self._stream_arn = hold.stream_arn
        self._store.advance(self._owner, self._stream_arn, self._pending, int(now))
        self._pending = {}
        if now - self._beaten >= self._beat_every:
            self._store.beat(self._owner, now)
            self._beaten = now
