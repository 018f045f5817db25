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
from beam_dynamodb_streams.inspection.shard_sample import creation_time, first_records
from beam_dynamodb_streams.progress.acquire import store_of
from beam_dynamodb_streams.progress.address import Progress
from beam_dynamodb_streams.progress.kcl import position_of_leases, read_leases, with_ended_ancestors
from beam_dynamodb_streams.reader.stream_caller import StreamCaller
from beam_dynamodb_streams.shards.lineage import Lineage
from beam_dynamodb_streams.shards.position import TRIM_HORIZON, After, AtTime, End, Position
from beam_dynamodb_streams.shards.stream_position import StreamPosition, position_text
from beam_dynamodb_streams.wire import Client

KCL: Final = "kcl://"
RETENTION: Final = timedelta(hours=24)

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
    """

    address: str
    position: StreamPosition
    owner: str | None = None
    alive: datetime | None = None
    moved: Mapping[str, datetime] = field(default_factory=dict)


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
    """

    shard_id: str
    state: State
    position: str
    moved: datetime | None = None
    unread: datetime | None = None
    caught_up: bool = False
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class ApplicationProgress:
    """How far an application is in each shard, in the order of the stream's shards, in the second `taken`."""

    address: str
    owner: str | None
    alive: datetime | None
    taken: datetime
    shards: tuple[ShardProgress, ...]

    @property
    def lag(self) -> timedelta | None:
        """How long the oldest change that is not delivered has waited; None without a sample."""
        reading = [shard for shard in self.shards if shard.state in ("reading", "trimmed")]
        if not all(shard.unread or shard.caught_up for shard in reading):
            return None
        waits = (self.taken - shard.unread for shard in reading if shard.unread is not None)
        return max(waits, default=timedelta(0))

    @property
    def headroom(self) -> timedelta | None:
        """How long it is until that change is trimmed; None without a sample."""
        return None if self.lag is None else max(timedelta(0), RETENTION - self.lag)

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
    stream = application.streams.get(stream_arn)
    if stream is None:
        others = ", ".join(application.streams) or "none"
        raise InvalidOptionError(f"{address} has no progress in {stream_arn}: the streams that it has are {others}")
    position = with_ended_ancestors(stream.position(stream_arn), lineage)
    moved = {shard: _time(mark.moved_at) for shard, mark in stream.shards.items()}
    lease = application.lease
    if lease is None or not lease.renewed_at:  # 0 once the run has ended
        return StoredProgress(address, position, moved=moved)
    return StoredProgress(address, position, lease.owner, _time(lease.renewed_at), moved)


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
    client: Client,
    stream_arn: str,
    lineage: Lineage,
    stored: StoredProgress,
    taken: datetime,
    pool: Executor,
    caller: StreamCaller | None,
) -> ApplicationProgress:
    """Return how far the application is in each shard.

    With a `caller`, it reads the first page of each shard from the stored position on, which finds the lag.
    """

    def look(shard: str) -> ShardProgress:
        state, position = states[shard]
        found = ShardProgress(shard, state, position_text(position), stored.moved.get(shard))
        if state != "reading":
            return found
        if isinstance(position, After) and _is_trimmed(client, stream_arn, shard, position):
            found = replace(found, state="trimmed")
        try:
            records = None if caller is None else first_records(caller, shard, position)
        except DelayError as error:
            return replace(found, failure=str(error))
        if records is None:
            return found
        return replace(found, unread=creation_time(records[0])) if records else replace(found, caught_up=True)

    states = shard_states(stored.position, lineage)
    return ApplicationProgress(stored.address, stored.owner, stored.alive, taken, tuple(pool.map(look, states)))


def _is_trimmed(client: Client, stream_arn: str, shard: str, position: After) -> bool:
    try:
        client.get_shard_iterator(stream_arn, shard, "AFTER_SEQUENCE_NUMBER", sequence_number=position.sequence_number)
    except (TrimmedDataError, NotFoundError):
        return True
    return False


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)
