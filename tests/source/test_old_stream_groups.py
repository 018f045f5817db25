"""The start of several groups on a stream older than a day (traps 8, 23 and 24)."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from random import Random

import pytest

from beam_dynamodb_streams.errors import ThrottledError
from beam_dynamodb_streams.reader.dynamodb_streams import DynamoDBStream
from beam_dynamodb_streams.reader.lasting_faults import LastingFaults
from beam_dynamodb_streams.reader.requests import Answer, Delayed, Probe, Request
from beam_dynamodb_streams.reader.stream_caller import StreamCaller
from beam_dynamodb_streams.shards.encoding import decode_frontier, encode_frontier
from beam_dynamodb_streams.shards.frontier import Frontier, begin
from beam_dynamodb_streams.shards.groups import deal
from beam_dynamodb_streams.shards.lineage import Lineage
from beam_dynamodb_streams.shards.position import TRIM_HORIZON
from beam_dynamodb_streams.source.sharing import first_frontier, share
from beam_dynamodb_streams.source.stream_read import StreamRead
from beam_dynamodb_streams.source.worker_cache import client as worker_client
from beam_dynamodb_streams.testing import Clock, Faults, LocalStreams, Table
from tests.e2e.workload import read_orders
from tests.inline import DrivenRead, InlineFetcher, Network, _client


@dataclass
class ProbesFail(Network):
    """A network on which the service is never reached for the iterator of one shard."""

    shard: str = ""

    def perform(self, caller: StreamCaller, request: Request) -> Answer:
        if isinstance(request, Probe) and request.shard == self.shard:
            return Delayed(request, ThrottledError("slow down"))
        return super().perform(caller, request)


class OldTable:
    """A table on a clock of its own, called in this thread."""

    def __init__(self, roots: int) -> None:
        self.clock = Clock()
        self.service = LocalStreams(clock=self.clock, seed=3)
        self.orders: Table = self.service.create_table("orders", keys={"id": "S"}, shards=roots)
        self.client = _client(self.service, self.clock, sockets=False)

    def first(self, network: Network, give_up_after: float | None = None) -> tuple[Frontier, Lineage]:
        caller = StreamCaller(DynamoDBStream(self.client, self.orders.stream_arn, limit=10))
        inline = InlineFetcher(lambda r: network.perform(caller, r), self.clock, Random(1), network.seconds)
        fetcher = LastingFaults(inline, self.clock, give_up_after=give_up_after)
        return first_frontier(
            begin(TRIM_HORIZON, stream_arn=self.orders.stream_arn), fetcher, self.client.service_time, self.clock
        )

    def read(self, frontier: Frontier) -> DrivenRead:
        return DrivenRead(self.service, self.clock, self.orders.stream_arn, frontier=frontier, sockets=False)


def test_groups_of_thousands_of_roots_share_them_and_each_is_read_once() -> None:
    """Trap 23: the parents are asked after at once, and no group asks after them again."""
    table = OldTable(1000)
    written = [table.orders.put({"id": f"o-{number}"}) for number in range(500)]
    frontier, lineage = table.first(Network(listings=0.05))
    assert table.clock() - Clock()() < 10, "50 probes a second would take 20 s"
    parts = deal(frontier, lineage, 7, second=int(table.clock()))
    assert {len(part.shards) for part in parts} == {142, 143}
    delivered: list[str] = []
    for part in parts:
        read = table.read(decode_frontier(encode_frontier(part)))
        read.run(3)
        read.restart()  # a restore in the middle finds the same shards and no others
        read.run(3)
        assert set(read.frontier.open_shards) == part.shards.keys()
        delivered += [number for _, number in read.delivered]
        read.close()
    assert sorted(delivered) == sorted(change.sequence_number for change in written if change)


def test_two_roots_of_one_trimmed_parent_may_be_in_two_groups() -> None:
    """Traps 8 and 23."""
    table = OldTable(2)
    first, second = table.orders.open_shard_ids
    children = [*table.orders.split(first), *table.orders.split(second)]
    table.orders.drop(first)
    table.orders.drop(second)
    written = [table.orders.put({"id": f"o-{number}"}) for number in range(100)]
    frontier, lineage = table.first(Network())
    parts = deal(frontier, lineage, 4, second=int(table.clock()))
    delivered: list[str] = []
    for part in parts:
        read = table.read(part)
        read.run(30)
        delivered += [number for _, number in read.delivered]
        read.close()
    assert {shard for part in parts for shard in part.shards} == set(children)
    assert sorted(delivered) == sorted(change.sequence_number for change in written if change)


def test_a_start_that_waits_for_one_parent_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    """Trap 24: it was a start without an end and without a word."""
    table = OldTable(20)
    parent = sorted(map(str, table.orders.lineage.values()))[7]
    with pytest.raises(ThrottledError, match="longer than give_up_after=90 s"):
        table.first(ProbesFail(shard=parent), give_up_after=90.0)
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert f"GetShardIterator of shard {parent} has failed for 2" in warnings[0]
    assert len(warnings) == 2


def test_a_start_in_groups_gives_up_when_it_is_asked_to(service: LocalStreams) -> None:
    """Trap 24: before there are groups, too."""
    orders = service.create_table("orders", keys={"id": "S"}, shards=3)
    service.faults = Faults(throttle={"GetShardIterator": 1.0})
    options = read_orders(service, shard_groups=2, give_up_after=2.0)._options
    calls = worker_client(options.connection)
    with pytest.raises(ThrottledError, match="longer than give_up_after=2 s"):
        list(share(StreamRead("run", orders.stream_arn), calls, options, 2, lambda: None))
