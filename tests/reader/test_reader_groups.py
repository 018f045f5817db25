"""Several frontiers of one stream: whatever the listings show, each shard is read by exactly one of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from beam_dynamodb_streams.reader.schedule import Pace
from beam_dynamodb_streams.shards.encoding import encode_frontier
from beam_dynamodb_streams.shards.position import TRIM_HORIZON, StartPosition
from beam_dynamodb_streams.testing import Clock, LocalStreams, Table
from tests.inline import DrivenRead

PACE = Pace(page=50, idle=600.0)  # days pass in these tests


@contextmanager
def orders_of(shards: int) -> Iterator[tuple[LocalStreams, Clock, Table]]:
    clock = Clock()
    with LocalStreams(clock=clock) as service:
        yield service, clock, service.create_table("orders", keys={"id": "S"}, shards=shards)


def reading(service: LocalStreams, clock: Clock, table: Table, *, start: StartPosition = TRIM_HORIZON) -> DrivenRead:
    return DrivenRead(service, clock, table.stream_arn, start=start, pace=PACE)


def split(service: LocalStreams, clock: Clock, table: Table, read: DrivenRead, mine: list[str]) -> DrivenRead:
    """Give all shards except `mine` to a second read."""
    kept, given = read.frontier.split(mine, second=int(clock()))
    read.restore(encode_frontier(kept))
    other = reading(service, clock, table)
    other.restore(encode_frontier(given))
    return other


def test_a_listing_that_leaves_out_another_groups_shard_does_not_make_it_ours() -> None:
    """Trap 6, a day after the split: the shard is still open and read elsewhere, so it must not be forgotten."""
    with orders_of(2) as (service, clock, orders):
        read = reading(service, clock, orders)
        read.run(20)
        mine, theirs = orders.open_shard_ids
        other = split(service, clock, orders, read, [mine])
        clock.advance(26 * 3600)
        orders.hide(theirs)
        orders.roll(mine)  # something new is listed: what is old may be forgotten now
        read.run(200)
        orders.reveal(theirs)
        read.run(200)
        other.run(20)
        assert theirs not in read.frontier.shards
        assert list(other.frontier.shards) == [theirs]


def test_a_shard_of_another_group_is_forgotten_once_the_service_denies_it() -> None:
    with orders_of(2) as (service, clock, orders):
        read = reading(service, clock, orders)
        read.run(20)
        mine, theirs = orders.open_shard_ids
        split(service, clock, orders, read, [mine])
        orders.roll(theirs)
        for _ in range(4):
            clock.advance(26 * 3600)
            orders.roll_all()
            read.run(100)
        assert theirs not in read.frontier.finished
        assert len(read.frontier.finished) < 7


def test_an_unlisted_parent_that_another_group_may_read_is_waited_for() -> None:
    """Alone, a read takes it as a root after an hour of its not being listed; shared, it might be read twice."""
    with orders_of(2) as (service, clock, orders):
        read = reading(service, clock, orders)
        read.run(20)
        mine, theirs = orders.open_shard_ids
        other = split(service, clock, orders, read, [mine])
        child = orders.roll(theirs)
        orders.hide(child)
        grandchild = orders.roll(child)
        read.run(3 * 3600)
        assert not {child, grandchild} & read.frontier.shards.keys()
        orders.reveal(child)
        read.run(200)
        other.run(200)
        assert not {child, grandchild} & read.frontier.shards.keys()
        assert list(other.frontier.shards) == [grandchild]


def test_a_reader_finds_shards_again_for_a_frontier_from_before_they_were_found() -> None:
    """What the listings have shown is new to an older frontier, though the reader has seen it before (trap 21)."""
    with orders_of(2) as (service, clock, orders):
        orders.put_many({"id": f"o-{n}"} for n in range(10))
        read = reading(service, clock, orders)
        first = read.stored()
        read.run(20)
        assert len(read.delivered) == 10
        read.go_back(first)
        orders.disable_stream()
        read.run(200)
        assert read.frontier.closed
        assert sorted(read.delivered[10:]) == sorted(read.delivered[:10])
