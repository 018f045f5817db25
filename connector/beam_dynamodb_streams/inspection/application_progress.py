"""How far an application is in a stream: its stored progress, compared with what the service still has.

The stored progress is only read, and so are the leases of a Kinesis Client Library (KCL) application.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta, timezone
from typing import Any, Final, Literal

from beam_dynamodb_streams.errors import DelayError, InvalidOptionError, NotFoundError, TrimmedDataError
from beam_dynamodb_streams.inspection.shard_sample import ShardSampler, creation_time
from beam_dynamodb_streams.progress.acquire import store_of
from beam_dynamodb_streams.progress.address import Progress
from beam_dynamodb_streams.progress.kcl import position_of_leases, read_leases, with_ended_ancestors
from beam_dynamodb_streams.progress.store import SavedProgress
from beam_dynamodb_streams.reader.stream import Stream
from beam_dynamodb_streams.shards.encoding import saved_scan
from beam_dynamodb_streams.shards.generations import created_at, table_of
from beam_dynamodb_streams.shards.lineage import Lineage
from beam_dynamodb_streams.shards.loss import RETENTION_SECONDS
from beam_dynamodb_streams.shards.position import TRIM_HORIZON, After, AtTime, End, Position
from beam_dynamodb_streams.shards.segments import is_snapshot_mark
from beam_dynamodb_streams.shards.stream_position import StreamPosition, position_text

KCL: Final = "kcl://"

State = Literal["ended", "reading", "waiting", "trimmed"]


@dataclass(frozen=True, slots=True)
class StoredProgress:
    """The stored progress of an application in one stream.

    Attributes:
        address: where it is stored.
        position: where each shard stands.
        owner: the run, or the workers, that holds the application; None if nobody does.
        alive: when the owner last renewed its lease; None if that is not stored.
        moved: when each shard's position was last written.
        stands_in: the earlier stream of the table in which the application stands; None if it is in this one.
        snapshot: how far its snapshot of the table is, in words; None without one.
    """

    address: str
    position: StreamPosition
    owner: str | None = None
    alive: datetime | None = None
    moved: Mapping[str, datetime] = field(default_factory=dict)
    stands_in: str | None = None
    snapshot: str | None = None


@dataclass(frozen=True, slots=True)
class ShardProgress:
    """How far an application is in one shard.

    Attributes:
        shard_id: the shard.
        state: "ended" is read to its end; "waiting" has a parent that is not; "trimmed" has lost, or may have lost,
            what follows its position; any other is "reading".
        position: the position, as text.
        moved: when the position was last written; None if that is not stored.
        unread: the creation time of the first change that is not delivered; None if no sample found one.
        caught_up: whether a sample looked for such a change and found none.
        failure: the error of a call of the sample that did not succeed; None without one.
        behind_seconds: how far the position is behind the shard's newest record, as a data stream says it of a sample;
            None for a table's stream, which does not say it.
    """

    shard_id: str
    state: State
    position: str
    moved: datetime | None = None
    unread: datetime | None = None
    caught_up: bool = False
    failure: str | None = None
    behind_seconds: float | None = None

    def lag(self, taken: datetime) -> timedelta | None:
        """Return how long the shard's oldest change that is not delivered has waited; None without a sample."""
        if self.unread is not None:
            return taken - self.unread
        if self.caught_up:
            return timedelta(0)
        return None if self.behind_seconds is None else timedelta(seconds=self.behind_seconds)


@dataclass(frozen=True, slots=True)
class ApplicationProgress:
    """How far an application is in each shard, in the order of the stream's shards, in the second `taken`.

    `stands_in` is the earlier stream of the table that it reads to its end first. `snapshot` is how far its snapshot of
    the table is, in words.
    """

    address: str
    owner: str | None
    alive: datetime | None
    taken: datetime
    shards: tuple[ShardProgress, ...]
    retention_seconds: int = RETENTION_SECONDS
    stands_in: str | None = None
    snapshot: str | None = None

    @property
    def lag(self) -> timedelta | None:
        """How long the oldest change that is not delivered has waited; None without a sample, or in another stream."""
        if self.stands_in is not None:
            return None
        waits = [shard.lag(self.taken) for shard in self.shards if shard.state in ("reading", "trimmed")]
        known = [wait for wait in waits if wait is not None]
        return max(known, default=timedelta(0)) if len(known) == len(waits) else None

    @property
    def headroom(self) -> timedelta | None:
        """How long it is until that change is trimmed; None without a sample."""
        return None if self.lag is None else max(timedelta(0), timedelta(seconds=self.retention_seconds) - self.lag)

    @property
    def alive_age(self) -> timedelta | None:
        """How long ago a run last renewed its lease, which it does as long as it reads; None if no run holds one."""
        return None if self.alive is None else max(timedelta(0), self.taken - self.alive)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values: times as datetimes, durations in seconds."""
        lag, headroom, alive_age = self.lag, self.headroom, self.alive_age
        return {
            **asdict(self),
            "alive_age_seconds": None if alive_age is None else alive_age.total_seconds(),
            "lag_seconds": None if lag is None else lag.total_seconds(),
            "headroom_seconds": None if headroom is None else headroom.total_seconds(),
        }


def read_stored_progress(
    address: str, stream_arn: str, lineage: Lineage, *, region_name: str | None, endpoint_url: str | None
) -> StoredProgress:
    """Return the progress stored at `address`: `dynamodb://TABLE/APPLICATION`, `file:PATH` or `kcl://LEASE_TABLE`.

    Raises:
        InvalidOptionError: the address has another form, or has no progress in this stream.
    """
    if address.startswith(KCL):
        table = address.removeprefix(KCL)
        leases, created = read_leases(table, region_name=region_name, endpoint_url=endpoint_url)
        position = position_of_leases(leases, stream_arn, table, latest=AtTime(int(created)))
        workers = sorted({lease.owner for lease in leases if lease.owner})
        return StoredProgress(address, with_ended_ancestors(position, lineage), ", ".join(workers) or None)
    application = store_of(Progress(address, region_name=region_name, endpoint_url=endpoint_url)).read()
    ours = sorted(
        (arn for arn in application.streams if table_of(arn) == table_of(stream_arn)),
        key=lambda arn: created_at(arn) or 0.0,
    )
    earlier = [arn for arn in ours if (created_at(arn) or 0.0) < (created_at(stream_arn) or 0.0)]
    if stream_arn not in application.streams and not earlier:
        others = ", ".join(application.streams) or "none"
        raise InvalidOptionError(f"{address} has no progress in {stream_arn}: the streams that it has are {others}")
    stream = application.streams.get(stream_arn, SavedProgress())
    position = with_ended_ancestors(stream.position(stream_arn), lineage)
    moved = {shard: _time(mark.moved_at) for shard, mark in stream.shards.items()}
    saved = {name: each.position for arn in ours for name, each in application.streams[arn].shards.items()}
    stored = StoredProgress(
        address, position, moved=moved, stands_in=next(iter(earlier), None), snapshot=snapshot_text(saved)
    )
    lease = application.lease
    if lease is None or not lease.renewed_at:  # 0 once the run has ended
        return stored
    return replace(stored, owner=lease.owner, alive=_time(lease.renewed_at))


def snapshot_text(saved: Mapping[str, Position]) -> str | None:
    """Return how far the latest snapshot among saved positions is, in words; None if there is none. Pure."""
    if (scan := saved_scan(saved)) is not None:
        open_segments = scan.total - scan.begun + len(scan.places)
        return (
            f"{scan.rows + scan.replaced:,} items were read, and {open_segments:,} of {scan.total:,} segments are left"
        )
    marks = {name: position for name, position in saved.items() if is_snapshot_mark(name)}
    if not marks:
        return None
    return f"complete, and consistent since {position_text(marks[max(marks)])}"


def shard_states(position: StreamPosition, lineage: Lineage) -> dict[str, tuple[State, Position]]:
    """Return the state and the position of each listed shard. Pure.

    A shard without a position begins at its oldest record if it has a parent, and at the application's start if not.
    """
    found: dict[str, tuple[State, Position]] = {}
    for shard in lineage:
        known = position.shards.get(shard)
        parents = [
            position.shards.get(ancestor)
            for ancestor in lineage.ancestors(shard)
            if ancestor in lineage or ancestor in position.shards
        ]
        begins = TRIM_HORIZON if parents else position.start
        if isinstance(known, End):
            found[shard] = "ended", known
        elif known is not None:
            found[shard] = "reading", known
        elif all(isinstance(parent, End) for parent in parents):
            found[shard] = "reading", begins
        else:
            found[shard] = "waiting", begins
    return found


def compare_application(
    stream: Stream,
    lineage: Lineage,
    stored: StoredProgress,
    taken: datetime,
    pool: Executor,
    sampler: ShardSampler | None,
) -> ApplicationProgress:
    """Return how far the application is in each shard.

    With a `sampler`, it reads the first page of each shard from the stored position on, which finds the lag.
    """

    def look(shard: str) -> ShardProgress:
        state, position = states[shard]
        found = ShardProgress(shard, state, position_text(position), stored.moved.get(shard))
        if state != "reading":
            return found
        if isinstance(position, After) and _is_trimmed(stream, shard, position):
            found = replace(found, state="trimmed")
        try:
            read = None if sampler is None else sampler.first_records(shard, position)
        except DelayError as error:
            return replace(found, failure=str(error))
        if read is None:
            return found
        unread = creation_time(read.records[0]) if read.records else None
        # Only a page of a data stream shows that its position was trimmed. An idle shard has lost nothing by that.
        state = "trimmed" if read.trimmed and not read.caught_up else found.state
        return replace(found, state=state, unread=unread, caught_up=read.caught_up, behind_seconds=read.behind)

    states = shard_states(stored.position, lineage)
    if stored.stands_in is not None:  # its shards come first
        states = {shard: ("waiting", position) for shard, (_, position) in states.items()}
    shards, retention = tuple(pool.map(look, states)), stream.traits.retention_seconds
    return ApplicationProgress(
        stored.address,
        stored.owner,
        stored.alive,
        taken,
        shards,
        retention,
        stored.stands_in,
        stored.snapshot,
    )


def _is_trimmed(stream: Stream, shard: str, position: After) -> bool:
    try:
        stream.iterator(shard, position)
    except (TrimmedDataError, NotFoundError):
        return True
    return False


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)
