"""An overview of a stream: its shards as one listing shows them, and, with a sample, what is in them.

Everything but the sample is free of charge and takes no reader's place: it calls DescribeTable, DescribeStream,
ListStreams and GetShardIterator. One listing may leave a shard out (trap 6); a second overview shows it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta, timezone
from math import floor
from typing import Any, Final, Literal

from beam_dynamodb_streams.errors import NotFoundError, ServiceError, TrimmedDataError
from beam_dynamodb_streams.inspection.application_progress import (
    RETENTION,
    ApplicationProgress,
    StoredProgress,
    compare_application,
)
from beam_dynamodb_streams.inspection.shard_sample import PAGE, ShardSample, sample_shard
from beam_dynamodb_streams.inspection.stream_generations import StreamGeneration, stream_generations
from beam_dynamodb_streams.reader.dynamodb_streams import DynamoDBStream
from beam_dynamodb_streams.reader.schedule import Pace
from beam_dynamodb_streams.reader.stream_caller import StreamCaller
from beam_dynamodb_streams.shards.lineage import Lineage, Shard, created, parents_of
from beam_dynamodb_streams.wire import Client, ListedShard

PRICE: Final = 0.02 / 100_000
"""USD for a GetRecords call in us-east-1, after the first 2.5 million of a month. Other regions differ by a few
percent."""

_THREADS: Final = 8


@dataclass(frozen=True, slots=True)
class ShardOverview:
    """One shard of an overview.

    Attributes:
        shard_id: the shard.
        parent: the shard that it follows, if any.
        state: "trimmed" is a parent that is gone with all its records, "unlisted" one that the listing left out.
        created: when it was created, according to its id (see `shards.lineage.created`).
        starting_sequence_number: as listed.
        ending_sequence_number: as listed; None while it is open.
        partly_trimmed: whether its oldest records are gone; None if the service does not say.
        sampled: what a sample found.
    """

    shard_id: str
    parent: str | None
    state: Literal["open", "closed", "trimmed", "unlisted"]
    created: datetime | None
    starting_sequence_number: str | None = None
    ending_sequence_number: str | None = None
    partly_trimmed: bool | None = None
    sampled: ShardSample | None = None


@dataclass(frozen=True, slots=True)
class ReadCost:
    """The GetRecords calls that one reader of the whole stream makes in a day, and their price in USD.

    Attributes:
        idle_calls: the calls while no shard has anything new.
        busy_calls: the calls while every shard has changes, in pages that are not full.
    """

    idle_calls: int
    busy_calls: int

    @property
    def idle_usd(self) -> float:
        return self.idle_calls * PRICE

    @property
    def busy_usd(self) -> float:
        return self.busy_calls * PRICE


@dataclass(frozen=True, slots=True)
class StreamOverview:
    """A stream in the second `taken` of the service's clock.

    `shards` has parents before children. `generations` has all streams of the table, the oldest first.
    """

    table: str
    stream_arn: str
    status: str
    view_type: str
    region: str
    taken: datetime
    shards: tuple[ShardOverview, ...]
    cost: ReadCost
    application: ApplicationProgress | None = None
    generations: tuple[StreamGeneration, ...] = ()

    @property
    def oldest(self) -> datetime | None:
        """When the oldest sampled record was created: there a read from TRIM_HORIZON begins. None without a sample."""
        return min(
            (shard.sampled.first for shard in self.shards if shard.sampled and shard.sampled.first), default=None
        )

    @property
    def headroom(self) -> timedelta | None:
        """How long it is until the oldest record is trimmed: a read from TRIM_HORIZON must get there before."""
        return None if self.oldest is None else max(timedelta(0), RETENTION - (self.taken - self.oldest))

    @property
    def failures(self) -> dict[str, str]:
        """The error of each shard whose sample did not succeed, so that the overview is not whole."""
        sampled = {shard.shard_id: shard.sampled.failure for shard in self.shards if shard.sampled is not None}
        followed = {} if self.application is None else {s.shard_id: s.failure for s in self.application.shards}
        return {shard: failure for shard, failure in [*followed.items(), *sampled.items()] if failure is not None}

    @property
    def lineage(self) -> Lineage:
        """The listed shards, which a notebook shows as a picture."""
        return Lineage(
            Shard(
                shard.shard_id, parents_of(shard.parent), shard.starting_sequence_number, shard.ending_sequence_number
            )
            for shard in self.shards
            if shard.state in ("open", "closed")
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values: times as datetimes, durations in seconds."""
        headroom = self.headroom
        return {
            **asdict(self),
            "cost": {**asdict(self.cost), "idle_usd": self.cost.idle_usd, "busy_usd": self.cost.busy_usd},
            "oldest": self.oldest,
            "application": None if self.application is None else self.application.to_dict(),
            "headroom_seconds": None if headroom is None else headroom.total_seconds(),
        }


def inspect_stream(
    client: Client,
    stream_arn: str,
    *,
    sample: bool = False,
    pace: Pace = Pace(),
    application: Callable[[Lineage], StoredProgress] | None = None,
) -> StreamOverview:
    """Return an overview of the stream.

    Args:
        client: the client that makes the calls.
        stream_arn: the stream.
        sample: whether to read some pages of every shard, which is billed and takes one of its two readers.
        pace: the intervals of the reader whose cost is estimated.
        application: returns the stored progress of an application for the listed shards, to compare it with them.

    Raises:
        NotFoundError: the stream does not exist.
        ConnectorError: any other answer of the service that is an error.
    """
    pages = list(client.listing(stream_arn))
    listed = {shard.shard_id: shard for page in pages for shard in page.shards}
    missing = {parent for shard in listed.values() for parent in shard.parents} - listed.keys()
    now = floor(client.service_time())
    caller = StreamCaller(DynamoDBStream(client, stream_arn, limit=PAGE)) if sample else None
    lineage = Lineage(Shard(shard.shard_id, shard.parents) for shard in listed.values())
    stored = application(lineage) if application is not None else None
    with ThreadPoolExecutor(_THREADS) as pool:
        shards = _shards(client, stream_arn, listed, missing, now, pool, caller)
        progress = (
            None
            if stored is None
            else compare_application(client, stream_arn, lineage, stored, _time(now), pool, caller)
        )
    tree = Lineage(Shard(shard.shard_id, parents_of(shard.parent)) for shard in shards)
    shards.sort(key=lambda shard: (sum(1 for _ in tree.ancestors(shard.shard_id)), shard.shard_id))
    return StreamOverview(
        pages[-1].table_name,
        stream_arn,
        pages[-1].status,
        pages[-1].view_type,
        client.region_name,
        _time(now),
        tuple(shards),
        daily_cost(sum(shard.state == "open" for shard in shards), pace),
        progress,
        stream_generations(client, stream_arn),
    )


def _shards(
    client: Client,
    stream_arn: str,
    listed: Mapping[str, ListedShard],
    missing: Collection[str],
    now: int,
    pool: Executor,
    caller: StreamCaller | None,
) -> list[ShardOverview]:
    ends = {parent: created(shard.shard_id) for shard in listed.values() for parent in shard.parents}

    def look(shard: ListedShard) -> ShardOverview:
        return ShardOverview(
            shard.shard_id,
            next(iter(shard.parents), None),
            "open" if shard.ending_sequence_number is None else "closed",
            _created(shard.shard_id),
            shard.starting_sequence_number,
            shard.ending_sequence_number,
            _partly_trimmed(client, stream_arn, shard),
            None if caller is None else sample_shard(caller, shard.shard_id, ends.get(shard.shard_id) or now),
        )

    def look_at_unlisted(shard: str) -> ShardOverview:
        return ShardOverview(shard, None, _state_of_unlisted(client, stream_arn, shard), _created(shard))

    return [*pool.map(look_at_unlisted, missing), *pool.map(look, listed.values())]


def daily_cost(open_shards: int, pace: Pace) -> ReadCost:
    """Return the cost of a reader for a day. Every GetRecords call is billed, empty or not; other calls are free."""
    day = 24 * 3600
    return ReadCost(round(open_shards * day / pace.idle), round(open_shards * day / pace.poll))


def _state_of_unlisted(client: Client, stream_arn: str, shard: str) -> Literal["trimmed", "unlisted"]:
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
    return datetime.fromtimestamp(seconds, timezone.utc)
