"""The reader against the local service, without threads, Beam or waiting."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from itertools import count
from math import floor
from random import Random
from typing import Any

import pytest

from beam_dynamodb_streams.reader.end_of_stream import OnNewStream
from beam_dynamodb_streams.reader.page import Rules
from beam_dynamodb_streams.reader.schedule import Pace
from beam_dynamodb_streams.shards.frontier import Frontier, begin
from beam_dynamodb_streams.shards.position import AtTime
from beam_dynamodb_streams.shards.quiet import QuietRule
from beam_dynamodb_streams.testing import Clock, LocalStreams, Table
from beam_dynamodb_streams.wire import Client
from tests.inline import DrivenRead


class Bench:
    """A service on a clock that only tests move, with a table whose shards are read."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._numbers = count()
        self.clock = Clock()
        self.service: LocalStreams
        self.orders: Table

    def serve(self, *, shards: int = 1, older_than_a_day: bool = True, **options: Any) -> Table:
        self.service = self._stack.enter_context(LocalStreams(clock=self.clock, seed=3, **options))
        self.orders = self.service.create_table(
            "orders", keys={"id": "S"}, shards=shards, older_than_a_day=older_than_a_day
        )
        return self.orders

    def put(self, changes: int, shard: str | None = None) -> list[str]:
        """Write that many changes, in one shard or in all, and return their event ids."""
        keys = self.orders.keys_in(shard, changes) if shard else [{"id": f"o-{n % 7}"} for n in range(changes)]
        return [change.event_id for change in self.orders.put_many({**key, "n": next(self._numbers)} for key in keys)]

    def read(
        self,
        frontier: Frontier | None = None,
        *,
        restarts: bool = False,
        late: bool = False,
        on_new_stream: OnNewStream = "finish",
        **rules: Any,
    ) -> DrivenRead:
        """Start a read under short quiet rules. It sees a fault at once, since its client does not retry.

        Args:
            frontier: Where it begins; None for the oldest records.
            restarts: Whether every claim is followed by a restart.
            late: Whether records may be behind the watermark.
            on_new_stream: What happens at the end of the stream.
            rules: The rules that are not as usual.
        """
        client = Client(
            endpoint_url=self.service.endpoint_url, max_attempts=1, clock=self.clock, sleep=self.clock.advance
        )
        self._stack.callback(client.close)
        return DrivenRead(
            self.service,
            self.clock,
            self.orders.stream_arn,
            rules=replace(Rules(slack=1.0, quiet=QuietRule(5, 2.0)), **rules),
            pace=Pace(),
            frontier=frontier,
            client=client,
            random=Random(7).random,
            restarts=restarts,
            refuses_late_records=not late,
            on_new_stream=on_new_stream,
            table_id=self.orders.table_id,
        )

    @property
    def written(self) -> list[str]:
        return [change.event_id for change in self.orders.changes]


def assert_each_once_and_in_order(bench: Bench, reading: DrivenRead) -> None:
    """Every change exactly once, and those of one key in the order in which they were written (trap 8)."""
    assert sorted(reading.ids) == sorted(bench.written)
    place = {event_id: index for index, event_id in enumerate(reading.ids)}
    by_key: dict[str, list[int]] = defaultdict(list)
    for change in bench.orders.changes:
        by_key[str(change.keys)].append(place[change.event_id])
    for places in by_key.values():
        assert places == sorted(places)


def assert_one_read_at_a_time(reading: DrivenRead) -> None:
    assert {fetcher.most for fetcher in reading.fetchers} <= {0, 1}


def latest(bench: Bench) -> Frontier:
    return begin(AtTime(floor(bench.clock())))


@pytest.fixture
def bench() -> Iterator[Bench]:
    with ExitStack() as stack:
        yield Bench(stack)
