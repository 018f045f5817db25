"""The lease of an application, as its holder sees it: renewed while the run is alive, and at last released.

A run acquires the lease when it starts (`progress.acquire`). From then on each process of the run has one `Lease`, see
`shared_lease`, by which its bundles save what they delivered.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import replace
from math import inf
from typing import Final, TypeAlias

from beam_dynamodb_streams.errors import ConnectorError, DelayError, FencedError
from beam_dynamodb_streams.progress.acquire import WallClock, store_of
from beam_dynamodb_streams.progress.address import Progress
from beam_dynamodb_streams.progress.store import LeaseRecord, SavedProgress, Store, fenced_error, move_forward
from beam_dynamodb_streams.shards.generations import created_at, table_of
from beam_dynamodb_streams.shards.loss import RETENTION_SECONDS
from beam_dynamodb_streams.shards.position import Position
from beam_dynamodb_streams.shards.stream_position import StreamPosition

#: Flink also finalizes bundles that are in no completed checkpoint yet. What such a finalization reports is confirmed
#: by the first finalization that comes at least this many seconds later: a checkpoint with it has completed in between.
CHECKPOINT_MARGIN_SECONDS: Final = 10.0

_LOGGER: Final = logging.getLogger(__name__)

_DAY: Final = 24 * 3600.0
_FORGOTTEN_AT_ONCE: Final = 99  # one transaction of a table: a renewal must not take long


#: What was moved: the positions of shards, by stream. A stream without any has begun.
Moved: TypeAlias = Mapping[str, Mapping[str, Position]]


class UnconfirmedPositions:
    """Positions of finalized bundles, by the read that moved them, until a later finalization confirms them.

    A read is one group of the run, or all of it. See `CHECKPOINT_MARGIN_SECONDS`.
    """

    def __init__(self) -> None:
        self._held: list[tuple[float, str, Moved]] = []

    def finalized(self, shards: Moved, read: str, now: float, *, last: bool) -> list[Moved]:
        """Hold back what a finalized bundle moved, and return what its finalization confirms.

        `last`: the last bundle of its read is finalized too. It came the margin after every bundle of the read that
        moved something, so it confirms all of them.
        """
        confirmed, held = [], []
        for at, moved_by, moved in self._held:
            if now - at >= CHECKPOINT_MARGIN_SECONDS or (last and moved_by == read):
                confirmed.append(moved)
            else:
                held.append((at, moved_by, moved))
        if shards and last:
            confirmed.append(shards)
        elif shards:
            held.append((now, read, shards))
        self._held = held
        return confirmed


class Lease:
    """A run's lease of its application, in one process. Thread-safe: bundles and their finalizers share it.

    Args:
        confirms_late: A finalized bundle may be in no completed checkpoint yet, see `UnconfirmedPositions`.
        began: Where the run began. It is saved again if a runner restores the run after a reset of its progress.
    """

    def __init__(
        self,
        store: Store,
        owner: str,
        stream_arn: str,
        progress: Progress,
        clock: WallClock,
        *,
        confirms_late: bool = False,
        began: StreamPosition | None = None,
    ) -> None:
        self._store, self._owner, self._stream_arn, self.clock = store, owner, stream_arn, clock
        self._takeover_after = progress.takeover_seconds
        self._renew_every, self._commit_every = progress.renew_every, progress.commit_seconds
        self._began = began
        self._unconfirmed = UnconfirmedPositions() if confirms_late else None
        self._lock = threading.Lock()
        self._renewed = -inf
        self._committed = -inf
        self._tidied = clock.elapsed()
        self._expired_shards: list[str] = []
        self._pending: dict[str, dict[str, Position]] = {}  # by stream
        self._begun = {stream_arn}
        self._first = stream_arn
        self._open: Counter[str] = Counter()  # bundles that are not finalized, by read
        self._ended: set[str] = set()  # reads whose last bundle is finalized
        self._closing: dict[str, float] = {}
        self._failure: ConnectorError | None = None

    @property
    def first_stream(self) -> str:
        """The stream in which the run began."""
        return self._first

    @property
    def confirms_late(self) -> bool:
        return self._unconfirmed is not None

    def renew(self) -> None:
        """Renew the lease if that is due.

        While the store does not answer this tries again, until other runs would take this one for dead.

        Raises:
            FencedError: Another run acquired the lease.
            ConnectorError: What kept progress from being saved since the last call.
        """
        with self._lock:
            if (failure := self._failure) is not None:
                if not isinstance(failure, FencedError):
                    self._failure = None  # raised once: the next write shows whether it was mended since
                raise failure
            now, elapsed = self.clock.now(), self.clock.elapsed()
            if elapsed - self._renewed < self._renew_every:
                return
            try:
                if self._renewed == -inf:
                    self._renew_first(now)
                else:
                    self._store.renew(self._owner, now)
                self._renewed = elapsed
                self._forget_expired_shards(elapsed)
            except DelayError as error:
                if elapsed - self._renewed >= self._takeover_after:
                    raise
                _LOGGER.warning("the lease of %s could not be renewed: %s", self._store.name, error)

    def _renew_first(self, now: float) -> None:
        """Renew the lease for the first time in this process. A run that a runner restored acquires it again, unless
        another run is alive.

        A swap that fails proves nothing: another process of this run may have renewed the lease just then.
        """
        mine = LeaseRecord(self._owner, self._stream_arn, now, self._takeover_after)
        while True:
            saved = self._store.read()
            lease = saved.lease
            if lease is not None and lease.owner != self._owner and not lease.is_expired(now):
                raise fenced_error(self._store.name, self._owner, lease)
            if self._store.swap_lease(lease, mine):
                break
        if self._began is not None and not any(self._is_of_this_table(arn) for arn in saved.streams):
            self._store.begin(self._owner, self._began, int(now))

    def _forget_expired_shards(self, elapsed: float) -> None:
        """Once a day, forget shards that a run which is never restarted would gather: with 10,000 shards some 60,000
        items a day."""
        if elapsed - self._tidied >= _DAY:
            self._tidied = elapsed
            streams = self._store.read().streams
            saved = streams.get(self._stream_arn, SavedProgress())
            self._expired_shards = saved.expired_shards(self._stream_arn)
            for other, earlier in streams.items():
                gone = earlier.last_move < saved.last_move - RETENTION_SECONDS
                if gone and other != self._stream_arn and self._is_of_this_table(other):
                    self._store.forget(self._owner, other, None)
        if self._expired_shards:
            self._store.forget(self._owner, self._stream_arn, self._expired_shards[:_FORGOTTEN_AT_ONCE])
            del self._expired_shards[:_FORGOTTEN_AT_ONCE]

    def bundle_started(self, read: str) -> None:
        """Note that a bundle is under way which is to be finalized. `read`: a group of the run, or all of it."""
        with self._lock:
            self._open[read] += 1
            self._ended.discard(read)  # a runner restored the read from before its end

    def bundle_finalized(
        self,
        shards: Mapping[str, Position],
        *,
        read: str = "",
        last: bool = False,
        following: Moved | None = None,
        reads_all: bool = False,
    ) -> None:
        """Save, at once or later, what a finalized bundle of a read moved.

        `shards` are of the stream in which the run began, `following` is what was moved in streams that follow it. A
        stream that has begun is saved only after everything that its read delivered of the streams before it. If the
        read `reads_all` of them, these are then forgotten: a later run need not look at them again.

        `last`: no bundle of the read comes after it, see `awaits_confirmation`. Bundles before it may still be
        finalized later, since workers run side by side.

        This raises nothing, since nobody would see it: the next `renew` raises it.
        """
        with self._lock:
            now, elapsed = self.clock.now(), self.clock.elapsed()
            self._open[read] -= 1
            self._ended |= {read} if last else set()
            last = read in self._ended
            moved = {**({self._first: shards} if shards else {}), **(following or {})}
            confirmed: list[Moved] = [moved]
            if self._unconfirmed is not None:
                confirmed = self._unconfirmed.finalized(moved, read, elapsed, last=last)
            for each in confirmed:
                for stream_arn, shards in each.items():
                    move_forward(self._pending.setdefault(stream_arn, {}), shards)
            if self._failure is not None or not (last or elapsed - self._committed >= self._commit_every):
                return
            try:
                if self._pending:
                    self._save(int(now), reads_all=reads_all)
                    self._committed = elapsed
            except DelayError as error:
                _LOGGER.warning("progress in %s could not be saved, and is saved later: %s", self._store.name, error)
            except ConnectorError as error:
                message = "progress in %s could not be saved: %s"
                _LOGGER.error(message, self._store.name, error)  # noqa: TRY400 - the next renewal raises it
                self._failure = error

    def streams_begun(self, stream_arns: Collection[str]) -> None:
        """Save that the read has begun these streams, for a step that saves its progress. It raises nothing."""
        with self._lock:
            try:
                for stream_arn in stream_arns:
                    self._begin(stream_arn, int(self.clock.now()))
            except ConnectorError as error:
                _LOGGER.warning("progress in %s could not be saved, and is saved later: %s", self._store.name, error)

    def _save(self, second: int, *, reads_all: bool) -> None:
        for stream_arn in sorted(self._pending, key=lambda arn: created_at(arn) or 0.0):
            if self._begin(stream_arn, second) and reads_all:
                for other in self._store.read().streams:
                    if other != stream_arn and self._is_of_this_table(other):
                        self._store.forget(self._owner, other, None)
            if self._pending[stream_arn]:
                self._store.advance(self._owner, stream_arn, self._pending[stream_arn], second)
            del self._pending[stream_arn]

    def _begin(self, stream_arn: str, second: int) -> bool:
        """Save the beginning of a stream, unless it is saved. Return whether this process had not done so before."""
        if stream_arn in self._begun:
            return False
        saved = self._store.read()
        if stream_arn not in saved.streams:
            self._store.begin(self._owner, StreamPosition(stream_arn), second)
        if saved.lease is not None and saved.lease.owner == self._owner:
            self._store.swap_lease(saved.lease, replace(saved.lease, stream_arn=stream_arn))
        self._begun.add(stream_arn)
        self._stream_arn = stream_arn
        return True

    def _is_of_this_table(self, stream_arn: str) -> bool:
        return table_of(stream_arn) == table_of(self._stream_arn)

    def is_done(self, read: str) -> bool:
        """Return whether every bundle of a read is finalized. It never is if one failed: the lease then expires."""
        with self._lock:
            return read in self._ended and self._open[read] <= 0

    def read_ended(self, read: str) -> None:
        """Note that a read is at its end, with a bundle that is still to be finalized."""
        with self._lock:
            self._closing[read] = self.clock.elapsed()

    def awaits_confirmation(self, read: str) -> bool:
        """Return whether it is too early for the last bundle of a read that is at its end.

        Where finalizations confirm late, the last bundle is empty and follows the others after the margin: a
        checkpoint that finalizes it holds all before it.
        """
        with self._lock:
            return self.clock.elapsed() - self._closing.get(read, -inf) < CHECKPOINT_MARGIN_SECONDS

    def release(self) -> None:
        """Release the lease, once all of the run is read and delivered. It raises nothing, like `bundle_finalized`."""
        with self._lock:
            try:
                self._store.release(self._owner)
            except ConnectorError as error:
                _LOGGER.warning("the lease of %s could not be released: %s", self._store.name, error)


_LEASES: Final[dict[tuple[Progress, str], Lease]] = {}
_LEASES_LOCK: Final = threading.Lock()


def shared_lease(progress: Progress, owner: str, began: StreamPosition, *, confirms_late: bool) -> Lease:
    """Return the lease of a run that this process shares. `began`: where the run began, in which stream."""
    with _LEASES_LOCK:
        found = _LEASES.get((progress, owner))
        if found is None:
            store, stream_arn = store_of(progress), began.stream_arn or ""
            found = Lease(store, owner, stream_arn, progress, WallClock(), confirms_late=confirms_late, began=began)
            _LEASES[progress, owner] = found
        return found
