"""A stream of 1,000 open shards, on a clock that only tests move: what listing them costs, and who waits for whom."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest

from beam_dynamodb_streams.reader.page import Rules
from beam_dynamodb_streams.reader.schedule import Pace
from beam_dynamodb_streams.shards.quiet import QuietRule
from beam_dynamodb_streams.testing import Clock, LocalStreams, Table
from tests.inline import DrivenRead, Network

RULES = Rules(slack=1.0, quiet=QuietRule(2, 0.1))


class Thousand:
    """1,000 shards that are all being read, and the moments at which shards were read to their end and begun."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.service = LocalStreams(clock=self.clock, seed=5)
        self.orders: Table = self.service.create_table("orders", keys={"id": "S"}, shards=1000)
        self.network = Network(listings=0.05)
        pace = Pace(idle=20.0, page=50)
        self.read = DrivenRead(
            self.service,
            self.clock,
            self.orders.stream_arn,
            rules=RULES,
            pace=pace,
            network=self.network,
            sockets=False,
        )
        self.read.reader.random = self.read.reader._schedule.random = Random(2).random
        self.ended: dict[str, float] = {}
        self.opened: dict[str, float] = {}
        self.go(60)
        assert len(self.read.frontier.open_shards) == 1000
        self.service.reset_counts()
        self.began = self.clock()

    def go(self, seconds: float) -> None:
        end = self.clock() + seconds
        for claim in self.read.each_claim(seconds):
            self.opened.update(dict.fromkeys(claim.opened, self.clock()))
            if claim.ended:
                self.ended[claim.ended] = self.clock()
        assert self.clock() >= end

    @property
    def listings_a_second(self) -> float:
        return self.service.counts.calls["DescribeStream"] / (self.clock() - self.began)

    def waits(self) -> dict[str, float]:
        """Seconds from a parent's end to the begin of each child."""
        parents = self.orders.lineage
        return {
            shard: opened - self.ended[str(parents[shard])]
            for shard, opened in self.opened.items()
            if parents[shard] in parents
        }


@pytest.fixture
def thousand() -> Iterator[Thousand]:
    made = Thousand()
    yield made
    made.read.close()


def test_while_shards_roll_and_split_listings_stay_few_and_children_begin_soon(thousand: Thousand) -> None:
    """Traps 6 and 7. One every two seconds is seven times what 1,000 shards do that live four hours."""
    random = Random(1)
    for number in range(90):
        shard = random.choice(thousand.orders.open_shard_ids)
        if number % 3:
            thousand.orders.roll(shard)
        else:
            thousand.orders.split(shard)
        thousand.go(2)
    thousand.go(60)
    waits = thousand.waits()
    assert len(waits) == 120, "every child of 60 rolls and 30 splits"
    assert max(waits.values()) < 5.0
    assert thousand.listings_a_second < 2.0


def test_when_hundreds_of_shards_roll_listings_stay_few_and_children_begin_soon(thousand: Thousand) -> None:
    """As when a table's shards are all of one age."""
    for shard in thousand.orders.open_shard_ids[:300]:
        thousand.orders.roll(shard)
    thousand.go(180)
    waits = thousand.waits()
    assert len(waits) == 300
    assert max(waits.values()) < 10.0
    assert thousand.listings_a_second < 2.0


def test_a_shard_that_is_always_full_does_not_starve_the_others_nor_they_it(thousand: Thousand) -> None:
    """All wait for the same 16 places: each is asked in its turn."""
    orders = thousand.orders
    busy, *others = orders.open_shard_ids
    (key,) = orders.keys_in(busy)
    orders.put_many({**key, "n": number} for number in range(30_000))
    thousand.network.reads = 0.05
    while not thousand.read.delivered:
        thousand.go(1)
    began = thousand.clock()
    wanted = {change.sequence_number for shard in others[:100] for change in orders.put_many(orders.keys_in(shard))}
    while wanted and thousand.clock() < began + 60:
        thousand.go(1)
        wanted -= {number for _, number in thousand.read.delivered}
    assert thousand.clock() - began <= 25, "the idle interval, and a little"
    pages = sum(shard == busy for shard, _ in thousand.read.delivered) // 50
    assert pages < 600, "it was busy all the while"
    assert pages > 100, "nor was it starved"
