"""The read and its progress outside the runner: where it begins, what a step moves, and who may say that it moved."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from beam_dynamodb_streams.errors import NotFoundError
from beam_dynamodb_streams.progress.acquire import WallClock, acquire, store_of
from beam_dynamodb_streams.progress.address import Progress
from beam_dynamodb_streams.progress.kcl import position_of_leases, read_leases, with_ended_ancestors
from beam_dynamodb_streams.progress.lease import Lease
from beam_dynamodb_streams.reader.claim import Claim
from beam_dynamodb_streams.shards.lineage import Lineage, Shard
from beam_dynamodb_streams.shards.position import TRIM_HORIZON, After, AtTime, End, Position
from beam_dynamodb_streams.shards.start_stop import Leases, Place, Start
from beam_dynamodb_streams.shards.stream_position import StreamPosition
from beam_dynamodb_streams.source.options import Connection
from beam_dynamodb_streams.wire import Client

_LINGER_SECONDS: Final = 1.0
_PASSES: Final = 3  # a hole in one listing is filled by another (fact 6)


def owner_of(run: str) -> str:
    """The run without the number of its group: its groups hold the application together."""
    return run.partition("-")[0]


def is_alone(run: str) -> bool:
    """Whether the run is of one group."""
    return owner_of(run) == run


def moved(step: Claim) -> Iterator[tuple[str, Position]]:
    """Where a step's shard stands for another read, once the step is delivered. Pure.

    A shard that ended before it met a record as young as the start is not told of: its children would begin at the
    horizon, and not at the start.
    """
    if not step.shard and not step.ended:
        return
    shard = step.shard or step.ended
    reading = step.frontier.shards.get(shard)
    if reading is None:  # the stop is met: what was delivered before it counts
        if step.records:
            yield shard, After(step.records[-1].sequence_number)
    elif isinstance(reading.position, After) or reading.position == End(TRIM_HORIZON):
        yield shard, reading.position


@dataclass(slots=True)
class BundleProgress:
    """What a bundle of the read ``run`` moves, told to the run's holding once the bundle is finalized. ``commits``:
    whether that proves that it was delivered; else a step behind the read tells. ``longest``: how long, in seconds, a
    bundle, or what comes between two, may last, so that the run shows itself in time.

    Only who knows that nothing is under way any more lets go of the application: not a read that others go on beside,
    or with a sink behind it that still delivers.
    """

    lease: Lease
    run: str
    longest: float
    commits: bool
    _moved: dict[str, Position] = field(default_factory=dict)
    _last: bool = False

    def __post_init__(self) -> None:
        if self.commits:
            self.lease.bundle_started(self.run)

    def emitted(self, elements: Iterable[Any]) -> Iterator[Any]:
        """The elements, with signs of life between them: a step that is fused to the read may work on one page for
        long. To look at the clock is all that it costs an element."""
        now = self.lease.clock.now
        due = now() + self.longest
        for element in elements:
            yield element
            if now() >= due:
                self.lease.renew()
                due = now() + self.longest

    def add(self, step: Claim) -> None:
        """The step is claimed and emitted."""
        self.lease.renew()
        self._moved.update(moved(step))
        if step.frontier.closed and self.lease.confirms_late:
            self.lease.read_ended(self.run)
        self._last = step.frontier.closed and not self.lease.confirms_late

    def lingers(self) -> bool:
        """Whether the read, which is at its end, makes one more bundle all the same: where a finalization proves
        nothing, the last one brings nothing, and comes later than all that it proves. A second is spent in each, since
        Flink does not heed how long one asks to be left alone once its sources are shut down."""
        if not (self.commits and self.lease.confirms_late):
            return False
        if self.lease.awaits_confirmation(self.run):
            self.lease.clock.sleep(_LINGER_SECONDS)
            return True
        self._last = True
        return False

    def finalized(self) -> None:
        if not self.commits:
            return
        self.lease.bundle_finalized(self._moved, read=self.run, last=self._last)
        if is_alone(self.run) and self.lease.is_done(self.run):
            self.lease.release()


# Where it begins


@contextmanager
def held(progress: Progress, owner: str, stream_arn: str) -> Iterator[StreamPosition | None]:
    """Holds the application while a read begins, and gives what is kept of the stream; lets go if that fails.

    Raises :class:`NotFoundError` if another stream of the table is kept and this one is not: what is unread of the
    other one would be lost (fact 14).
    """
    store, clock = store_of(progress), WallClock()
    acquire(store, owner, stream_arn, progress.takeover_after.total_seconds(), clock)
    try:
        streams = store.read().streams
        kept = streams.get(stream_arn)
        if kept is None:
            _check_others(progress, stream_arn, list(streams))
        elif outlived := kept.expired_shards():
            store.forget(owner, stream_arn, outlived)
            kept = store.read().streams[stream_arn]
        yield None if kept is None else kept.position(stream_arn)
    except BaseException:
        store.release(owner)
        raise


def _check_others(progress: Progress, stream_arn: str, kept: list[str]) -> None:
    table = stream_arn.partition("/stream/")[0]
    for other in kept:
        if other.partition("/stream/")[0] == table:
            raise NotFoundError(
                f"{progress.address} is progress in {other}, no longer the table's stream: read that one to its end "
                f"with stream_arn=…, then forget it: dynamodb-streams progress reset {progress.address} "
                f"--stream_arn {other}",
                stream=stream_arn,
            )


def keep(progress: Progress, owner: str, first: StreamPosition) -> None:
    """From now on the application has progress in the stream."""
    store_of(progress).begin(owner, first, int(WallClock().now()))


def beating(progress: Progress | None, run: str, stream_arn: str) -> Callable[[], None]:
    """What shows, where it is time, that a run is alive while its read begins."""
    if progress is None:
        return _no_beat
    return Lease(store_of(progress), owner_of(run), stream_arn, progress, WallClock()).renew


def _no_beat() -> None:
    pass


def place_of(
    start: Start, stream_arn: str, service: Client, connection: Connection, beat: Callable[[], None] = _no_beat
) -> Place:
    """``start``, with a lease table of KCL's as the position that it says."""
    if not isinstance(start, Leases):
        return start
    leases, created = read_leases(start.table, region_name=connection.region_name, endpoint_url=connection.endpoint_url)
    # Whatever the workers' first LATEST was, their table of leases was there before it.
    position = position_of_leases(leases, stream_arn, start.table, latest=AtTime(int(created)))
    return with_ended_ancestors(position, listed(service, stream_arn, beat))


def listed(service: Client, stream_arn: str, beat: Callable[[], None] = _no_beat) -> Lineage:
    """What a few whole listings show together; 10,000 shards have 100 pages each time. Raises what
    :meth:`Client.describe_stream` does."""
    lineage = Lineage()
    for _ in range(_PASSES):
        for page in service.listing(stream_arn):
            beat()
            lineage.add(Shard(shard.shard_id, shard.parent_shard_id) for shard in page.shards)
    return lineage
