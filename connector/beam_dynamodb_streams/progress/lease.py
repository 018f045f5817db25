"""A run's side of its progress: it takes the application, shows that it is alive, and writes what was delivered."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from math import inf
from typing import Final

from beam_dynamodb_streams.errors import ConnectorError, DelayError, FencedError, ProgressHeldError
from beam_dynamodb_streams.progress.address import Progress, TableAddress
from beam_dynamodb_streams.progress.file_store import FileStore
from beam_dynamodb_streams.progress.store import Hold, Store, fenced, raise_to
from beam_dynamodb_streams.progress.table_store import TableStore
from beam_dynamodb_streams.progress.tables import table_client
from beam_dynamodb_streams.shards.position import Position
from beam_dynamodb_streams.shards.stream_position import StreamPosition

#: On Flink a finalization comes for bundles too that are in no checkpoint yet. What it tells is ripe so much later, and
#: once another one came: a checkpoint that holds it has completed in between.
MARGIN_SECONDS: Final = 10.0


class Trail:
    """By the read that moved it: a group's, or all of the run's."""

    def __init__(self) -> None:
        self._held: list[tuple[float, str, Mapping[str, Position]]] = []

    def finalized(
        self, shards: Mapping[str, Position], of: str, now: float, *, last: bool
    ) -> list[Mapping[str, Position]]:
        """Holds back what a bundle moved, and gives what is ripe now that another one came. ``last``: the last of its
        read is finalized too, the margin after all that moved something, so that all of the read's is ripe."""
        ripe, held = [], []
        for at, read, moved in self._held:
            if now - at >= MARGIN_SECONDS or (last and read == of):
                ripe.append(moved)
            else:
                held.append((at, read, moved))
        if shards and last:
            ripe.append(shards)
        elif shards:
            held.append((now, of, shards))
        self._held = held
        return ripe


_LOGGER: Final = logging.getLogger(__name__)

_LOOK_SECONDS: Final = 1.0
_DAY: Final = 24 * 3600.0
_FORGOTTEN_AT_ONCE: Final = 99  # one transaction of a table: a beat must not take long


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
            _LOGGER.warning(
                "waiting for run %s of %s: its last sign is %.0f s old, and after %.0f s without one it counts as dead",
                hold.owner,
                store.name,
                ago,
                hold.takeover_after,
            )
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

    ``trailing``: what was finalized is written once a checkpoint holds it, see :class:`Trail`. ``began``: where the run
    began, kept again if a runner restores the run after a reset.
    """

    def __init__(
        self,
        store: Store,
        owner: str,
        stream_arn: str,
        progress: Progress,
        clock: Time,
        *,
        trailing: bool = False,
        began: StreamPosition | None = None,
    ) -> None:
        self._store, self._owner, self._stream_arn, self.clock = store, owner, stream_arn, clock
        self._takeover_after = progress.takeover_after.total_seconds()
        self._beat_every, self._commit_every = progress.beat_seconds, progress.commit_every.total_seconds()
        self._began = began
        self._trail = Trail() if trailing else None
        self._lock = threading.Lock()
        self._beaten = -inf
        self._committed = -inf
        self._tidied = clock.now()
        self._outlived: list[str] = []
        self._pending: dict[str, Position] = {}
        self._open: Counter[str] = Counter()
        self._over: set[str] = set()
        self._closing: dict[str, float] = {}
        self._failure: ConnectorError | None = None

    @property
    def trailing(self) -> bool:
        return self._trail is not None

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
            now = self.clock.now()
            if now - self._beaten < self._beat_every:
                return
            try:
                if self._beaten == -inf:
                    self._resume(now)
                else:
                    self._store.beat(self._owner, now)
                self._beaten = now
                self._forget_outlived(now)
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
            kept = self._store.read()
            hold = kept.hold
            if hold is not None and hold.owner != self._owner and not hold.is_stale(now):
                raise fenced(self._store.name, self._owner, hold)
            if self._store.swap(hold, mine):
                break
        if self._began is not None and self._stream_arn not in kept.streams:
            self._store.begin(self._owner, self._began, int(now))

    def _forget_outlived(self, now: float) -> None:
        """Once a day, what a run that never starts anew would gather: some 60,000 items a day of 10,000 shards."""
        if now - self._tidied >= _DAY:
            self._tidied = now
            kept = self._store.read().streams.get(self._stream_arn)
            self._outlived = [] if kept is None else kept.outlived()
        if self._outlived:
            self._store.drop(self._owner, self._stream_arn, self._outlived[:_FORGOTTEN_AT_ONCE])
            del self._outlived[:_FORGOTTEN_AT_ONCE]

    def opens(self, read: str) -> None:
        """A bundle is under way that is to be finalized. ``read``: a group's, or all of the run's."""
        with self._lock:
            self._open[read] += 1
            self._over.discard(read)  # a runner restored it from before its end

    def delivered(self, shards: Mapping[str, Position], *, of: str = "", last: bool = False) -> None:
        """A bundle of a read is finalized that moved the shards so far. ``last``: none of the read comes after it; see
        :meth:`waits`. Those before it may be finalized later all the same: workers do it side by side.

        It raises nothing, since nobody would hear it: the next :meth:`beat` does.
        """
        with self._lock:
            now = self.clock.now()
            self._open[of] -= 1
            self._over |= {of} if last else set()
            last = of in self._over
            ripe = [shards] if self._trail is None else self._trail.finalized(shards, of, now, last=last)
            for moved in ripe:
                raise_to(self._pending, moved)
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

    def is_over(self, read: str) -> bool:
        """Whether all bundles of a read are finalized. Not so if one had failed: the next run then waits a while."""
        with self._lock:
            return read in self._over and self._open[read] <= 0

    def closes(self, read: str) -> None:
        """A read is at its end, by a bundle that is still to be finalized."""
        with self._lock:
            self._closing[read] = self.clock.now()

    def waits(self, read: str) -> bool:
        """Whether the last bundle of a read that is at its end is still to come. Where a finalization proves nothing,
        that one, which brings nothing, is made the margin later: a checkpoint that finalizes it holds all before it.
        """
        with self._lock:
            return self.clock.now() - self._closing.get(read, -inf) < MARGIN_SECONDS

    def ended(self) -> None:
        """All of the run is read and told: the next one need not wait. It raises nothing, like :meth:`delivered`."""
        with self._lock:
            try:
                self._store.beat(self._owner, 0.0)
            except ConnectorError as error:
                _LOGGER.warning("%s: %s", self._store.name, error)


_HOLDINGS: Final[dict[tuple[Progress, str], Holding]] = {}
_HOLDINGS_LOCK: Final = threading.Lock()


def holding(progress: Progress, owner: str, began: StreamPosition, *, trailing: bool) -> Holding:
    """The holding of a run in this process. ``began``: where the run began, in which stream."""
    with _HOLDINGS_LOCK:
        found = _HOLDINGS.get((progress, owner))
        if found is None:
            store, stream_arn = store_of(progress), began.stream_arn or ""
            found = Holding(store, owner, stream_arn, progress, Time(), trailing=trailing, began=began)
            _HOLDINGS[progress, owner] = found
        return found
