"""How many elements a read becomes, and the listing by which the shards are distributed over them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from math import inf

from apache_beam import Pipeline

from beam_dynamodb_streams.beam.runners import slots_of, traits_of
from beam_dynamodb_streams.errors import RunnerError
from beam_dynamodb_streams.reader.call_budget import CallBudget
from beam_dynamodb_streams.reader.dynamodb_streams import DynamoDBStream
from beam_dynamodb_streams.reader.listings import Listings
from beam_dynamodb_streams.reader.requests import (
    Answer,
    Delayed,
    Failed,
    Found,
    Gone,
    NoShardFilter,
    PageListed,
    Request,
)
from beam_dynamodb_streams.reader.stream_caller import StreamCaller
from beam_dynamodb_streams.shards.discovery import Discovery, discover
from beam_dynamodb_streams.shards.frontier import Frontier, begin
from beam_dynamodb_streams.shards.groups import deal
from beam_dynamodb_streams.shards.lineage import Lineage
from beam_dynamodb_streams.shards.start_stop import RecordCount
from beam_dynamodb_streams.source.options import ReadOptions
from beam_dynamodb_streams.source.stream_read import StreamRead
from beam_dynamodb_streams.wire import Client

#: Flink spreads elements over its slots by hash: with one for each slot, every other slot of two would stay idle.
GROUPS_PER_SLOT = 2


def groups_on(pipeline: Pipeline, options: ReadOptions) -> int:
    """Return the option `shard_groups`, or what suits the runner.

    Raises:
      RunnerError: for several groups where the runner loses the records of those that lag.
    """
    asked = options.shard_groups
    if asked is None:
        slots = slots_of(pipeline)
        return slots * GROUPS_PER_SLOT if slots > 1 and not isinstance(options.stop, RecordCount) else 1
    if asked > 1 and not traits_of(pipeline).reads_several_elements:
        raise RunnerError(
            f"shard_groups={asked} on {type(pipeline.runner).__name__}: where one transform reads several "
            "restrictions, Prism drops the records of those that lag as late. Leave shard_groups out (one group reads "
            "all shards at once), or use --runner=FlinkRunner"
        )
    return asked


def share(
    read: StreamRead, service: Client, options: ReadOptions, groups: int, renew: Callable[[], None]
) -> Iterator[StreamRead]:
    """Yield the read as at most `groups` reads; each shard of the stream belongs to exactly one of them.

    `renew` is called at each request, of which there may be thousands.
    """
    if groups == 1:
        yield read
        return
    caller = StreamCaller(DynamoDBStream(service, read.stream_arn, limit=options.pace.page))
    whole = begin(read.start, stream_arn=read.stream_arn, saved=read.saved, remaining=read.records)

    def perform(request: Request) -> Answer:
        renew()
        return caller.perform(request)

    frontier, lineage = first_frontier(whole, perform, service.service_time, time.monotonic, time.sleep)
    for number, part in enumerate(deal(frontier, lineage, groups, second=int(service.service_time()))):
        yield replace(read, run=f"{read.run}-{number}", frontier=part)


def first_frontier(
    frontier: Frontier,
    perform: Callable[[Request], Answer],
    service_time: Callable[[], float],
    now: Callable[[], float],
    sleep: Callable[[float], object],
) -> tuple[Frontier, Lineage]:
    """Return what `frontier` holds once the listings have settled, and what they showed.

    This takes at least five seconds. It is done once, before the elements exist, because two listings need not agree on
    which shards have no parent. It lists as fast as the service allows, since no other part of the read lists the
    stream yet: 10,000 shards take about five minutes.
    """
    listings = Listings(budget=CallBudget(burst=inf))
    listings.settle(now())
    found = Discovery(frontier)
    while True:
        if listings.changed:
            found = discover(frontier, listings.look(now(), service_time()))
            listings.doubt(set(found.doubtful.values()), now(), patient=False)
        if listings.settled(now()):
            return found.frontier, listings.lineage
        sleep(max(0.0, listings.due(now()) - now()))
        match perform(listings.request(now())):
            case Failed(_, error):
                raise error
            case Delayed():
                listings.delayed(now(), 1.0)
            case PageListed() | Found() | Gone() | NoShardFilter() as answer:
                listings.take(answer, now())
