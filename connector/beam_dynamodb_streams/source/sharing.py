"""How many elements a read becomes, and the listing that distributes the shards over them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from math import inf

from apache_beam import Pipeline

from beam_dynamodb_streams.beam.runners import slots_of, traits_of
from beam_dynamodb_streams.errors import RunnerError
from beam_dynamodb_streams.reader.call_budget import CallBudget
from beam_dynamodb_streams.reader.fetcher import Fetcher, ThreadedFetcher
from beam_dynamodb_streams.reader.lasting_faults import LastingFaults
from beam_dynamodb_streams.reader.listings import Listings
from beam_dynamodb_streams.reader.requests import Delayed, Failed, Found, Gone, List, NoShardFilter, PageListed, Probe
from beam_dynamodb_streams.reader.stream_caller import StreamCaller
from beam_dynamodb_streams.shards.discovery import Discovery, discover
from beam_dynamodb_streams.shards.frontier import Frontier
from beam_dynamodb_streams.shards.groups import deal
from beam_dynamodb_streams.shards.lineage import Lineage
from beam_dynamodb_streams.shards.start_stop import RecordCount
from beam_dynamodb_streams.source.options import ReadOptions
from beam_dynamodb_streams.source.stream_read import StreamRead
from beam_dynamodb_streams.source.streams import stream_of
from beam_dynamodb_streams.wire import StreamClient

#: Flink places elements on its slots by hash. With one element for each slot, one of two slots would often stay idle.
GROUPS_PER_SLOT = 2


def groups_on(pipeline: Pipeline, options: ReadOptions) -> int:
    """Return the number of groups: the option `shard_groups`, or what suits the runner.

    Raises:
      RunnerError: for several groups on a runner that loses the records of a group that lags.
    """
    asked = options.shard_groups
    if options.snapshot is not None:
        return 1
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
    read: StreamRead, service: StreamClient, options: ReadOptions, groups: int, renew: Callable[[], None]
) -> Iterator[StreamRead]:
    """Yield the read as at most `groups` reads. Each shard of the stream belongs to exactly one of them.

    `renew` is called at each request, because there may be thousands of requests.
    """
    if groups == 1:
        yield read
        return
    caller = StreamCaller(stream_of(service, read.stream_arn, limit=options.pace.page))
    threads = ThreadedFetcher(caller.perform, threads=options.pace.requests)
    fetcher = LastingFaults(threads, time.monotonic, give_up_after=options.give_up_after)
    fetcher.stream_arn = read.stream_arn
    try:
        frontier, lineage = first_frontier(
            read.begin(), fetcher, service.service_time, time.monotonic, requests=options.pace.requests, renew=renew
        )
    finally:
        fetcher.close()
    for number, part in enumerate(deal(frontier, lineage, groups, second=int(service.service_time()))):
        yield replace(read, run=f"{read.run}-{number}", frontier=part)


def first_frontier(
    frontier: Frontier,
    fetcher: Fetcher,
    service_time: Callable[[], float],
    now: Callable[[], float],
    *,
    requests: int = 16,
    renew: Callable[[], None] = lambda: None,
) -> tuple[Frontier, Lineage]:
    """Return the frontier once the listings have settled, and the lineage that they showed.

    This takes at least five seconds. It is done once, before the elements exist, because two listings need not agree on
    which shards have no parent. It lists as fast as the service allows, since no other part of the read lists the
    stream yet: 10,000 shards take about five minutes.

    Args:
        frontier: Where the read begins.
        fetcher: Performs the requests.
        service_time: The service's clock, in epoch seconds.
        now: The clock of all deadlines and pauses, in seconds.
        requests: How many requests may be in flight at once.
        renew: Called at each page of a listing, and at each call that fails.
    """
    listings = Listings(budget=CallBudget(burst=inf))
    listings.settle(now())
    found = Discovery(frontier)
    unanswered = 0
    while True:
        moment = now()
        if listings.changed(moment):
            found = discover(frontier, listings.look(moment, service_time()))
            listings.unlisted.doubt(set(found.doubtful.values()), moment, patient=False)
        if listings.settled(moment):
            return found.frontier, listings.lineage
        if listings.due(moment) <= moment:
            renew()
            fetcher.submit(listings.request(moment))
            unanswered += 1
        while unanswered < requests and (shard := listings.probes.take(moment)) is not None:
            fetcher.submit(Probe(shard))
            unanswered += 1
        upcoming = min(listings.due(moment), listings.probes.due(), listings.answers_due)
        answer = fetcher.take(min(1.0, max(0.0, upcoming - moment)))
        unanswered -= answer is not None
        match answer:
            case Failed(_, error):
                raise error
            case Delayed(List() | Probe() as request):
                renew()
                listings.delayed(request, now(), lambda failures: min(5.0, 0.5 * 2.0 ** min(failures, 10)))
            case PageListed() | Found() | Gone() | NoShardFilter():
                listings.take(answer, now())
            case _:
                pass  # no answer yet
