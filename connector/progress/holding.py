"""A run's side of its progress: it takes the application, shows that it is alive, and writes what was delivered."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from math import inf
from typing import Final

from connector.errors import ConnectorError, DelayError, FencedError, ProgressHeldError
from connector.progress.address import Progress, TableAddress
from connector.progress.dynamodb import TableStore
from connector.progress.files import FileStore
from connector.progress.store import Hold, Store, fenced, is_further
from connector.progress.tables import table_client
from connector.shards.position import Position

_LOGGER: Final = logging.getLogger(__name__)

#: Where a bundle's finalization proves no delivery (Flink), what it tells is written this much later, and once another
#: one came: a checkpoint that holds it has completed in between.
MARGIN_SECONDS: Final = 10.0
_LOOK_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Time:
    """The clock, in seconds since the epoch, and what waits."""

    now: Callable[[], float] = time.time
    sleep: Callable[[float], object] = time.sleep


@cache
def store_of(progress: Progress) -> Store:
    """The store of this process for an address. Touches nothing."""
    match progress.place:
        case TableAddress() as address:
            return TableStore(table_client(progress.region_name, progress.endpoint_url), address, time.sleep)
        case file:
            return FileStore(file.path)


def take(store: Store, owner: str, stream_arn: str, takeover_after: float, clock: Time) -> None:
    """Makes ``owner`` the one that holds the application.

    A hold whose run was killed is waited out: at most that run's own ``takeover_after`` after its last sign of life, or
    after that was first seen, if its machine's clock was ahead. Raises :class:`ProgressHeldError` once the run that
    holds it has shown twice that it is alive: a single sign may be the last one of a run that is just being stopped.
    """
    seen: dict[Hold, float] = {}
    while True:
        hold, now = store.read().hold, clock.now()
        if hold is None or hold.owner == owner or hold.is_stale(now) or _is_silent(hold, seen.get(hold, now), now):
            if store.swap(hold, Hold(owner, stream_arn, now, takeover_after)):
                return
            continue  # another run was faster, and is alive
        if not seen:
            ago = max(0.0, now - hold.beat)
            _LOGGER.info("%s was held %.0f s ago by run %s: waiting", store.name, ago, hold.owner)
        seen.setdefault(hold, now)
        if len(seen) > 2:
            raise ProgressHeldError(
                f"{store.name} is held by run {hold.owner}, which is alive: stop it, or give this run an application "
                "of its own"
            )
        clock.sleep(min(_LOOK_SECONDS, max(0.01, hold.beat + hold.takeover_after - now)))


def _is_silent(hold: Hold, since: float, now: float) -> bool:
    """Whether a hold was seen unchanged for so long that its run is dead, whatever its own clock said."""
    return now - since >= hold.takeover_after


class Holding:
    """One run's hold of its application, in one process. Thread-safe: bundles and their finalizers share it.

    ``trailing``: what was finalized is written :data:`MARGIN_SECONDS` later.
    """

    def __init__(
        self, store: Store, owner: str, stream_arn: str, progress: Progress, clock: Time, *, trailing: bool = False
    ) -> None:
        self._store, self._owner, self._stream_arn, self._clock = store, owner, stream_arn, clock
        self._takeover_after = progress.takeover_after.total_seconds()
        self._beat_every, self._commit_every = progress.beat_seconds, progress.commit_every.total_seconds()
        self._trailing = trailing
        self._lock = threading.Lock()
        self._beaten = -inf
        self._committed = -inf
        self._held_back: list[tuple[float, Mapping[str, Position]]] = []
        self._pending: dict[str, Position] = {}
        self._failure: ConnectorError | None = None

    def beat(self) -> None:
        """Shows that the run is alive, where it is time. Raises :class:`FencedError` once another run took over, and
        whatever kept progress from being written.

        A store that does not answer is tried again, until nobody would take this run for alive any more.
        """
        with self._lock:
            if (failure := self._failure) is not None:
                if not isinstance(failure, FencedError):
                    self._failure = None  # told once: what was mended since is found out by the next write
                raise failure
            now = self._clock.now()
            if now - self._beaten < self._beat_every:
                return
            try:
                if self._beaten == -inf:
                    self._resume(now)
                else:
                    self._store.beat(self._owner, now)
                self._beaten = now
            except DelayError as error:
                if now - self._beaten >= self._takeover_after:
                    raise
                _LOGGER.warning("no sign of life in %s: %s", self._store.name, error)

    def _resume(self, now: float) -> None:
        """The first beat of this process. What a runner restored goes on, unless another run is alive.

        A swap that fails proves nothing: another process of this run may have shown itself just then.
        """
        mine = Hold(self._owner, self._stream_arn, now, self._takeover_after)
        while True:
            hold = self._store.read().hold
            if hold is not None and hold.owner != self._owner and not hold.is_stale(now):
                raise fenced(self._store.name, self._owner, hold)
            if self._store.swap(hold, mine):
                return

    def delivered(self, shards: Mapping[str, Position], *, last: bool = False) -> None:
        """A bundle is finalized that moved the shards so far. ``last``: it read to the end of its group.

        It raises nothing, since nobody would hear it: the next :meth:`beat` does.
        """
        with self._lock:
            now = self._clock.now()
            self._gather(shards, now, last=last)
            if self._failure is not None or not (last or now - self._committed >= self._commit_every):
                return
            try:
                if self._pending:
                    self._store.advance(self._owner, self._stream_arn, self._pending, int(now))
                    self._pending, self._committed = {}, now
            except DelayError as error:
                _LOGGER.warning("progress in %s waits: %s", self._store.name, error)
            except ConnectorError as error:
                _LOGGER.error("progress in %s: %s", self._store.name, error)  # noqa: TRY400 - the next beat raises it
                self._failure = error

    def _gather(self, shards: Mapping[str, Position], now: float, *, last: bool) -> None:
        if self._trailing and not last:
            ripe = [held for at, held in self._held_back if now - at >= MARGIN_SECONDS]
            self._held_back = [(at, held) for at, held in self._held_back if now - at < MARGIN_SECONDS]
            if shards:
                self._held_back.append((now, shards))
        else:
            ripe = [*(held for _, held in self._held_back), shards] if not self._trailing else []
        for held in ripe:
            for shard, position in held.items():
                known = self._pending.get(shard)
                if known is None or is_further(position, known):
                    self._pending[shard] = position

    def commit(self, shards: Mapping[str, Position]) -> None:
        """Writes at once what is delivered for certain, and shows that the run is alive: the read may have ended long
        before. Raises :class:`FencedError` and :class:`DelayError`."""
        with self._lock:
            now = self._clock.now()
            self._store.advance(self._owner, self._stream_arn, shards, int(now))
            if now - self._beaten >= self._beat_every:
                self._store.beat(self._owner, now)
                self._beaten = now

    def ended(self) -> None:
        """All of the run is read and told: the next one need not wait. It raises nothing, like :meth:`delivered`."""
        with self._lock:
            try:
                self._store.beat(self._owner, 0.0)
            except ConnectorError as error:
                _LOGGER.warning("%s: %s", self._store.name, error)


_HOLDINGS: Final[dict[tuple[Progress, str], Holding]] = {}
_HOLDINGS_LOCK: Final = threading.Lock()


def holding(progress: Progress, owner: str, stream_arn: str, *, trailing: bool) -> Holding:
    """The holding of a run in this process."""
    with _HOLDINGS_LOCK:
        found = _HOLDINGS.get((progress, owner))
        if found is None:
            made = Holding(store_of(progress), owner, stream_arn, progress, Time(), trailing=trailing)
            found = _HOLDINGS[progress, owner] = made
        return found


def adopt(progress: Progress, owner: str, clock: Time) -> Holding:
    """The holding of a step behind the read of the run ``owner``, in any process.

    Raises :class:`FencedError` if another run has the application.
    """
    store = store_of(progress)
    hold = store.read().hold
    if hold is None or hold.owner != owner:
        raise fenced(store.name, owner, hold)
    return Holding(store, owner, hold.stream_arn, progress, clock)
