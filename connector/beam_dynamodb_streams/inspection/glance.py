"""A stream at a glance: its shards as one listing shows them, and with a sample what is in them.

Everything but the sample is free of charge, and takes no reader's place: DescribeTable, DescribeStream and
GetShardIterator. One listing may leave a shard out (fact 6); a second look shows it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from math import floor
from typing import Any, Final, Literal

from beam_dynamodb_streams.errors import NotFoundError, ServiceError, TrimmedDataError
from beam_dynamodb_streams.inspection.applications import RETENTION, ApplicationGlance, Kept, application_glance
from beam_dynamodb_streams.inspection.sampled import PAGE, Sampled, sampled
from beam_dynamodb_streams.reader.requests import StreamCaller
from beam_dynamodb_streams.reader.schedule import Pace
from beam_dynamodb_streams.shards.lineage import Lineage, Shard, created
from beam_dynamodb_streams.wire import Client, ListedShard

#: USD for a call in us-east-1, after the first 2.5 million of a month; other regions differ by some percent.
PRICE: Final = 0.02 / 100_000

_THREADS: Final = 8


@dataclass(frozen=True, slots=True)
class ShardGlance:
    """``state``: "trimmed" is a parent that is gone with all its records, "unlisted" one that the listing left out.

    ``created`` is what the id says, see :func:`shards.lineage.created`. ``partly_trimmed``: whether its
    oldest records are gone; None if the service does not tell.
    """

    shard_id: str
    parent: str | None
    state: Literal["open", "closed", "trimmed", "unlisted"]
    created: datetime | None
    starting_sequence_number: str | None = None
    ending_sequence_number: str | None = None
    partly_trimmed: bool | None = None
    sampled: Sampled | None = None


@dataclass(frozen=True, slots=True)
class Cost:
    """GetRecords calls that one reader of the whole stream makes in a day, and their price in USD: while no shard
    brings anything, and while each brings pages that are not full."""

    idle_calls: int
    busy_calls: int

    @property
    def idle_usd(self) -> float:
        return self.idle_calls * PRICE

    @property
    def busy_usd(self) -> float:
        return self.busy_calls * PRICE


@dataclass(frozen=True, slots=True)
class Glance:
    """What was seen in the second ``taken`` of the service's clock. ``shards``: parents before children."""

    table: str
    stream_arn: str
    status: str
    view_type: str
    region: str
    taken: datetime
    shards: tuple[ShardGlance, ...]
    cost: Cost
    application: ApplicationGlance | None = None

    @property
    def oldest(self) -> datetime | None:
        """The oldest record of the sample, None without: a read from TRIM_HORIZON begins so far behind."""
        return min(
            (shard.sampled.first for shard in self.shards if shard.sampled and shard.sampled.first), default=None
        )

    @property
    def headroom(self) -> timedelta | None:
        """Until the oldest record is trimmed: the time that a read from TRIM_HORIZON has to get there."""
        return None if self.oldest is None else max(timedelta(0), RETENTION - (self.taken - self.oldest))

    @property
    def lineage(self) -> Lineage:
        """The listed shards, which a notebook shows as a picture."""
        return Lineage(
            Shard(shard.shard_id, shard.parent, shard.starting_sequence_number, shard.ending_sequence_number)
            for shard in self.shards
            if shard.state in ("open", "closed")
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, times as datetimes, durations in seconds."""
        headroom = self.headroom
        return {
            **asdict(self),
            "cost": {**asdict(self.cost), "idle_usd": self.cost.idle_usd, "busy_usd": self.cost.busy_usd},
            "oldest": self.oldest,
            "application": None if self.application is None else self.application.to_dict(),
            "headroom_seconds": None if headroom is None else headroom.total_seconds(),
        }


def glance(
    client: Client,
    stream_arn: str,
    *,
    sample: bool = False,
    pace: Pace = Pace(),
    application: Callable[[Lineage], Kept] | None = None,
) -> Glance:
    """Looks once. ``sample`` reads some pages of every shard, which are billed and take one of its two readers.
    ``application`` gives what is kept of one, for the shards that are listed.

    Raises what the service answers: :class:`errors.NotFoundError` for a stream that is not there.
    """
    pages = list(client.listing(stream_arn))
    listed = {shard.shard_id: shard for page in pages for shard in page.shards}
    missing = {s.parent_shard_id for s in listed.values() if s.parent_shard_id is not None} - listed.keys()
    now = floor(client.service_time())
    caller = StreamCaller(client, stream_arn, limit=PAGE) if sample else None
    lineage = Lineage(Shard(shard.shard_id, shard.parent_shard_id) for shard in listed.values())
    what = application(lineage) if application is not None else None
    with ThreadPoolExecutor(_THREADS) as pool:
        shards = _shards(client, stream_arn, listed, missing, now, pool, caller)
        followed = (
            None if what is None else application_glance(client, stream_arn, lineage, what, _time(now), pool, caller)
        )
    tree = Lineage(Shard(shard.shard_id, shard.parent) for shard in shards)
    shards.sort(key=lambda shard: (sum(1 for _ in tree.ancestors(shard.shard_id)), shard.shard_id))
    return Glance(
        pages[-1].table_name,
        stream_arn,
        pages[-1].status,
        pages[-1].view_type,
        client.region_name,
        _time(now),
        tuple(shards),
        cost_a_day(sum(shard.state == "open" for shard in shards), pace),
        followed,
    )


def _shards(
    client: Client,
    stream_arn: str,
    listed: Mapping[str, ListedShard],
    missing: Collection[str],
    now: int,
    pool: Executor,
    caller: StreamCaller | None,
) -> list[ShardGlance]:
    ends = {shard.parent_shard_id: created(shard.shard_id) for shard in listed.values()}

    def look(shard: ListedShard) -> ShardGlance:
        return ShardGlance(
            shard.shard_id,
            shard.parent_shard_id,
            "open" if shard.ending_sequence_number is None else "closed",
            _created(shard.shard_id),
            shard.starting_sequence_number,
            shard.ending_sequence_number,
            _partly_trimmed(client, stream_arn, shard),
            None if caller is None else sampled(caller, shard.shard_id, ends.get(shard.shard_id) or now),
        )

    def probe(shard: str) -> ShardGlance:
        return ShardGlance(shard, None, _probed(client, stream_arn, shard), _created(shard))

    return [*pool.map(probe, missing), *pool.map(look, listed.values())]


def cost_a_day(open_shards: int, pace: Pace) -> Cost:
    """Each call is billed, empty or not; the others are free."""
    day = 24 * 3600
    return Cost(round(open_shards * day / pace.idle), round(open_shards * day / pace.poll))


def _probed(client: Client, stream_arn: str, shard: str) -> Literal["trimmed", "unlisted"]:
    try:
        client.get_shard_iterator(stream_arn, shard, "TRIM_HORIZON")
    except (NotFoundError, TrimmedDataError):
        return "trimmed"
    return "unlisted"


def _partly_trimmed(client: Client, stream_arn: str, shard: ListedShard) -> bool | None:
    if shard.starting_sequence_number is None:
        return None
    try:
        client.get_shard_iterator(
            stream_arn, shard.shard_id, "AFTER_SEQUENCE_NUMBER", sequence_number=shard.starting_sequence_number
        )
    except TrimmedDataError:
        return True
    except ServiceError:
        return None  # gone since it was listed, or an endpoint that takes the numbers of records only
    return False


def _created(shard: str) -> datetime | None:
    seconds = created(shard)
    return None if seconds is None else _time(seconds)


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
