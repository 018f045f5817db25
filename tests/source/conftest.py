"""The reader against the local service, without threads, Beam or waiting: time moves when nothing else is to do."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import count
from math import floor
from random import Random
from typing import Any

import pytest

from beam_dynamodb_streams.reader.claim import Claim
from beam_dynamodb_streams.reader.page import Rules
from beam_dynamodb_streams.reader.reader import Reader
from beam_dynamodb_streams.reader.requests import Request, StreamCaller
from beam_dynamodb_streams.reader.schedule import Pace
from beam_dynamodb_streams.shards.encoding import decode_frontier, encode_frontier
from beam_dynamodb_streams.shards.frontier import EARLIEST, Frontier, begin
from beam_dynamodb_streams.shards.loss import Loss
from beam_dynamodb_streams.shards.position import TRIM_HORIZON, AtTime
from beam_dynamodb_streams.shards.quiet import QuietRule
from beam_dynamodb_streams.testing import Clock, LocalStreams, Table
from beam_dynamodb_streams.wire import Client
from tests.inline import InlineFetcher


@dataclass
class StreamReading:
    """One read, driven as the DoFn drives it. ``restarts``: after every claim the frontier goes through its stored
    bytes to a new reader, as if the worker had died."""

    service: LocalStreams
    clock: Clock
    client: Client
    table: Table
    frontier: Frontier
    rules: Rules
    restarts: bool = False
    delivered: list[tuple[str, str]] = field(default_factory=list)  # (shard, event id)
    losses: list[Loss] = field(default_factory=list)
    steps: list[Claim] = field(default_factory=list)
    tally: Counter[str] = field(default_factory=Counter)
    watermark: int = EARLIEST
    fetchers: list[InlineFetcher] = field(default_factory=list)
    stream_arn: str = ""
    _reader: Reader | None = None

    def __post_init__(self) -> None:
        self.stream_arn = self.stream_arn or self.table.stream_arn
        self.frontier = replace(self.frontier, stream_arn=self.stream_arn)

    @property
    def ids(self) -> list[str]:
        return [event_id for _, event_id in self.delivered]

    @property
    def requests(self) -> list[Request]:
        return [request for fetcher in self.fetchers for request in fetcher.requests]

    def restart(self) -> None:
        """The worker dies: all that is left is the stored frontier."""
        self.frontier = decode_frontier(encode_frontier(self.frontier))
        self._reader = None

    def go(self, seconds: float = 3600.0, *, slice_seconds: float = 1.0) -> StreamReading:
        """Reads for so long, or until all is read."""
        end = self.clock() + seconds
        for _ in range(100_000):
            if self.frontier.closed or self.clock() >= end:
                return self
            deadline = end if self.restarts else min(end, self.clock() + slice_seconds)
            step = self._reader_now().next(self.frontier, deadline)
            if step is not None:
                self._claim(step)
        raise AssertionError(f"busy without an end: {self.frontier}")

    def _claim(self, step: Claim) -> None:
        for record in step.records:
            created = int(record.creation_time * 1_000_000)
            assert created >= self.watermark, f"{record.event_id} is late by {(self.watermark - created) / 1e6} s"
            self.delivered.append((step.shard, record.event_id))
        self.losses += step.losses
        self.steps.append(step)
        self.watermark = max(self.watermark, step.watermark)
        self.frontier = step.frontier
        if self.restarts:
            self.restart()

    def _reader_now(self) -> Reader:
        if self._reader is None:
            caller = StreamCaller(self.client, self.stream_arn)
            fetcher = InlineFetcher(caller.perform, self.clock, Random(len(self.fetchers)))
            self.fetchers.append(fetcher)
            self._reader = Reader(
                fetcher,
                self.clock,
                self.client.service_time,
                Random(7).random,
                self.rules,
                Pace(),
                tally=self.tally,
            )
        return self._reader


class Bench:
    """A service on a clock that only tests move, with a table whose shards are read."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._numbers = count()
        self.clock = Clock()
        self.service: LocalStreams
        self.orders: Table

    def serve(self, *, shards: int = 1, **options: Any) -> Table:
        self.service = self._stack.enter_context(LocalStreams(clock=self.clock, seed=3, **options))
        self.orders = self.service.create_table("orders", keys={"id": "S"}, shards=shards)
        return self.orders

    def put(self, changes: int, shard: str | None = None) -> list[str]:
        """So many changes, in one shard or in all; gives their event ids."""
        keys = self.orders.keys_in(shard, changes) if shard else [{"id": f"o-{n % 7}"} for n in range(changes)]
        return [change.event_id for change in self.orders.put_many({**key, "n": next(self._numbers)} for key in keys)]

    def read(self, frontier: Frontier | None = None, *, restarts: bool = False, **rules: Any) -> StreamReading:
        """A read under short quiet rules; a fault is seen at once, since the client asks only once."""
        client = Client(
            endpoint_url=self.service.endpoint_url, max_attempts=1, clock=self.clock, sleep=self.clock.advance
        )
        self._stack.callback(client.close)
        given = replace(Rules(slack=1.0, quiet=QuietRule(5, 2.0)), **rules)
        return StreamReading(
            self.service, self.clock, client, self.orders, frontier or begin(TRIM_HORIZON), given, restarts=restarts
        )

    @property
    def written(self) -> list[str]:
        return [change.event_id for change in self.orders.changes]


def assert_each_once_and_in_order(bench: Bench, reading: StreamReading) -> None:
    """Every change exactly once, and those of one key in the order in which they were written (fact 8)."""
    assert sorted(reading.ids) == sorted(bench.written)
    place = {event_id: index for index, event_id in enumerate(reading.ids)}
    by_key: dict[str, list[int]] = defaultdict(list)
    for change in bench.orders.changes:
        by_key[str(change.keys)].append(place[change.event_id])
    for places in by_key.values():
        assert places == sorted(places)


def assert_one_read_at_a_time(reading: StreamReading) -> None:
    assert {fetcher.most for fetcher in reading.fetchers} <= {0, 1}


def latest(bench: Bench) -> Frontier:
    return begin(AtTime(floor(bench.clock())))


@pytest.fixture
def bench() -> Iterator[Bench]:
    with ExitStack() as stack:
        yield Bench(stack)
