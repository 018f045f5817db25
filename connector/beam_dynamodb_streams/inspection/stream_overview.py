"""An overview of a stream: its shards as one listing shows them, and, with a sample, what is in them.

Everything but the sample is free of charge and takes no reader's place: it calls DescribeTable, DescribeStream,
ListStreams and GetShardIterator, or, of a Kinesis data stream, DescribeStreamSummary, ListShards and GetShardIterator.
One listing of a table's stream may leave a shard out (trap 6); a second overview shows it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta, timezone
from math import floor
from typing import Any, Final, Literal

from beam_dynamodb_streams.errors import NotFoundError, ServiceError, TrimmedDataError
from beam_dynamodb_streams.inspection.application_progress import (
    ApplicationProgress,
    StoredProgress,
    compare_application,
)
from beam_dynamodb_streams.inspection.read_cost import ReadCost, daily_cost
from beam_dynamodb_streams.inspection.shard_sample import PAGE, ShardSample, ShardSampler
from beam_dynamodb_streams.inspection.stream_generations import StreamGeneration, stream_generations
from beam_dynamodb_streams.reader.dynamodb_streams import DynamoDBStream
from beam_dynamodb_streams.reader.kinesis_stream import KinesisStream
from beam_dynamodb_streams.reader.schedule import Pace
from beam_dynamodb_streams.reader.stream import Stream
from beam_dynamodb_streams.shards.generations import is_data_stream
from beam_dynamodb_streams.shards.lineage import Lineage, Shard, created
from beam_dynamodb_streams.shards.loss import RETENTION_SECONDS
from beam_dynamodb_streams.shards.position import After
from beam_dynamodb_streams.wire import KinesisClient, ListedShard, StreamClient

_THREADS: Final = 8


@dataclass(frozen=True, slots=True)
class ShardOverview:
    """One shard of an overview.

    Attributes:
        shard_id: the shard.
        parents: the shards that it follows: two after a merge in a data stream, else one, or none.
        state: "trimmed" is a parent that is gone with all its records, "unlisted" one that the listing left out.
        created: when it was created, according to its id (see `shards.lineage.created`); None in a data stream.
        starting_sequence_number: as listed.
        ending_sequence_number: as listed; None while it is open.
        partly_trimmed: whether its oldest records are gone; None if the service does not say.
        sampled: what a sample found.
    """

    shard_id: str
    parents: tuple[str, ...]
    state: Literal["open", "closed", "trimmed", "unlisted"]
    created: datetime | None
    starting_sequence_number: str | None = None
    ending_sequence_number: str | None = None
    partly_trimmed: bool | None = None
    sampled: ShardSample | None = None


@dataclass(frozen=True, slots=True)
class StreamOverview:
    """A stream in the second `taken` of the service's clock.

    `shards` has parents before children. `generations` has all streams of the table, the oldest first.

    Of a Kinesis data stream, `table` is the one whose changes are read, or empty. It has no view type, no generations
    and no cost of calls.
    """

    table: str
    stream_arn: str
    status: str
    view_type: str
    region: str
    taken: datetime
    shards: tuple[ShardOverview, ...]
    cost: ReadCost | None
    application: ApplicationProgress | None = None
    generations: tuple[StreamGeneration, ...] = ()
    retention_seconds: int = RETENTION_SECONDS

    @property
    def is_data_stream(self) -> bool:
        return is_data_stream(self.stream_arn)

    @property
    def oldest(self) -> datetime | None:
        """When the oldest sampled record was created: there a read from TRIM_HORIZON begins. None without a sample."""
        return min(
            (shard.sampled.first for shard in self.shards if shard.sampled and shard.sampled.first), default=None
        )

    @property
    def headroom(self) -> timedelta | None:
        """How long it is until the oldest record is trimmed: a read from TRIM_HORIZON must get there before."""
        if self.oldest is None:
            return None
        return max(timedelta(0), timedelta(seconds=self.retention_seconds) - (self.taken - self.oldest))

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
            Shard(shard.shard_id, shard.parents, shard.starting_sequence_number, shard.ending_sequence_number)
            for shard in self.shards
            if shard.state in ("open", "closed")
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values: times as datetimes, durations in seconds."""
        headroom, cost = self.headroom, self.cost
        return {
            **asdict(self),
            "shards": [{**asdict(each), "parent": next(iter(each.parents), None)} for each in self.shards],
            "cost": cost and {**asdict(cost), "idle_usd": cost.idle_usd, "busy_usd": cost.busy_usd},
            "oldest": self.oldest,
            "application": None if self.application is None else self.application.to_dict(),
            "headroom_seconds": None if headroom is None else headroom.total_seconds(),
        }


def inspect_stream(
    client: StreamClient,
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
        sample: whether to read some pages of every shard. Of a table's stream that is billed, and takes one of its two
            readers.
        pace: the intervals of the reader whose cost is estimated.
        application: returns the stored progress of an application for the listed shards, to compare it with them.

    Raises:
        NotFoundError: the stream does not exist.
        ConnectorError: any other answer of the service that is an error.
    """
    # Also for the retention, which may have changed since the last look.
    status = client.describe_data_stream(stream_arn).status if isinstance(client, KinesisClient) else ""
    pages = list(client.listing(stream_arn))
    listed = {shard.shard_id: shard for page in pages for shard in page.shards}
    missing = {parent for shard in listed.values() for parent in shard.parents} - listed.keys()
    now = floor(client.service_time())
    stream = _stream_of(client, stream_arn, PAGE)
    lineage = Lineage(Shard(shard.shard_id, shard.parents) for shard in listed.values())
    stored = application(lineage) if application is not None else None
    with ThreadPoolExecutor(_THREADS) as pool:
        shards = _shards(stream, listed, missing, now, pool, ShardSampler(stream) if sample else None)
        progress = None
        if stored is not None:
            # Of a page of one record a data stream says how far the position itself is behind.
            one = _stream_of(client, stream_arn, 1) if isinstance(client, KinesisClient) else stream
            sampler = ShardSampler(one) if sample else None
            progress = compare_application(one, lineage, stored, _time(now), pool, sampler)
    tree = Lineage(Shard(shard.shard_id, shard.parents) for shard in shards)
    shards.sort(key=lambda shard: (sum(1 for _ in tree.ancestors(shard.shard_id)), shard.shard_id))
    seen = StreamOverview(
        pages[-1].table_name,
        stream_arn,
        pages[-1].status,
        pages[-1].view_type,
        client.region_name,
        _time(now),
        tuple(shards),
        None,
        progress,
        retention_seconds=stream.traits.retention_seconds,
    )
    if isinstance(client, KinesisClient):
        return replace(seen, status=status)
    cost = daily_cost(sum(shard.state == "open" for shard in shards), pace)
    return replace(seen, cost=cost, generations=stream_generations(client, stream_arn))


def _stream_of(client: StreamClient, stream_arn: str, limit: int) -> Stream:
    if isinstance(client, KinesisClient):
        return KinesisStream(client, stream_arn, limit=limit)
    return DynamoDBStream(client, stream_arn, limit=limit)


def _shards(
    stream: Stream,
    listed: Mapping[str, ListedShard],
    missing: Collection[str],
    now: int,
    pool: Executor,
    sampler: ShardSampler | None,
) -> list[ShardOverview]:
    ends = {parent: created(shard.shard_id) for shard in listed.values() for parent in shard.parents}

    def look(shard: ListedShard) -> ShardOverview:
        return ShardOverview(
            shard.shard_id,
            shard.parents,
            "open" if shard.ending_sequence_number is None else "closed",
            _created(shard.shard_id),
            shard.starting_sequence_number,
            shard.ending_sequence_number,
            _partly_trimmed(stream, shard),
            None if sampler is None else sampler.sample(shard.shard_id, ends.get(shard.shard_id) or now),
        )

    def look_at_unlisted(shard: str) -> ShardOverview:
        return ShardOverview(shard, (), _state_of_unlisted(stream, shard), _created(shard))

    return [*pool.map(look_at_unlisted, missing), *pool.map(look, listed.values())]


def _state_of_unlisted(stream: Stream, shard: str) -> Literal["trimmed", "unlisted"]:
    try:
        stream.find_shard(shard)
    except (NotFoundError, TrimmedDataError):
        return "trimmed"
    return "unlisted"


def _partly_trimmed(stream: Stream, shard: ListedShard) -> bool | None:
    if shard.starting_sequence_number is None or isinstance(stream, KinesisStream):
        return None  # a data stream returns its oldest record instead (trap 34)
    try:
        stream.iterator(shard.shard_id, After(shard.starting_sequence_number))
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
