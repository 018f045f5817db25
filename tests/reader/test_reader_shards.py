"""Which shards are read, when, and how often (traps 6, 7, 8, 12, 14)."""

from __future__ import annotations

from typing import Any

import pytest

from beam_dynamodb_streams.reader.requests import Read
from beam_dynamodb_streams.testing import Faults
from tests.reader.conftest import Bench, assert_each_once_and_in_order, assert_one_read_at_a_time

# Traps 6, 7 and 8: which shards there are


def test_shards_that_split_and_roll_are_found_while_running(bench: Bench) -> None:
    """Trap 7: without a restart, in whatever generation."""
    orders = bench.serve(shards=2)
    reading = bench.read()
    for _ in range(3):
        bench.put(20)
        reading.go(7)
        orders.split(orders.open_shard_ids[0])
        orders.roll(orders.open_shard_ids[-1])
        bench.put(20)
        reading.go(7)
    orders.disable_stream()
    reading.go()
    assert_each_once_and_in_order(bench, reading)
    assert_one_read_at_a_time(reading)
    assert len(reading.fetchers) == 1


def test_a_stream_of_several_generations_is_read_from_its_roots(bench: Bench) -> None:
    """Trap 8: parents before children, whatever the answers' order."""
    orders = bench.serve(shards=2)
    for _ in range(4):
        bench.put(15)
        orders.roll_all()
        orders.split(orders.open_shard_ids[0])
        bench.clock.advance(5)
    orders.disable_stream()
    reading = bench.read().go()
    assert_each_once_and_in_order(bench, reading)


@pytest.mark.parametrize(
    "faults",
    [Faults(list_delay=20.0), Faults(list_stale=20.0), Faults(list_holes=0.4)],
    ids=["children listed late", "closed shards listed as open", "holes"],
)
def test_listings_that_lie_neither_lose_a_shard_nor_its_order(bench: Bench, faults: Faults) -> None:
    """Trap 6."""
    orders = bench.serve(shards=3, faults=faults)
    reading = bench.read()
    for _ in range(3):
        bench.put(20)
        reading.go(3)
        orders.split(orders.open_shard_ids[1])
        bench.put(20)
    reading.go(30)
    orders.disable_stream()
    reading.go()
    assert reading.frontier.closed
    assert_each_once_and_in_order(bench, reading)


@pytest.mark.parametrize(
    "endpoint",
    [{"shard_filter": "ignored"}, {"shard_filter": "rejected"}, {"ends_listed_for_open": True}],
    ids=["ShardFilter ignored", "ShardFilter rejected", "open shards listed with an end"],
)
def test_endpoints_that_know_less_are_read_all_the_same(bench: Bench, endpoint: dict[str, Any]) -> None:
    """Older endpoints and emulators, whose first shards have no parents."""
    orders = bench.serve(shards=2, older_than_a_day=False, **endpoint)
    reading = bench.read()
    for _ in range(3):
        bench.put(20)
        reading.go(7)
        orders.split(orders.open_shard_ids[0])
    bench.put(20)
    orders.disable_stream()
    reading.go()
    assert reading.frontier.closed
    assert_each_once_and_in_order(bench, reading)


def test_a_listing_that_repeats_its_cursor_still_shows_its_first_pages(bench: Bench) -> None:
    """Trap 6: partial progress counts, and once the listing is sound the rest is found."""
    orders = bench.serve(shards=104, faults=Faults(repeat_listing=1.0))
    bench.put(300)
    reading = bench.read().go(30)
    assert reading.ids
    bench.service.faults = Faults()
    reading.go(90)
    orders.disable_stream()
    reading.go()
    assert_each_once_and_in_order(bench, reading)


def test_a_shard_that_no_listing_shows_is_found_through_its_child(bench: Bench) -> None:
    """Traps 6 and 8: the child waits while its parent exists unlisted, and then reads it."""
    orders = bench.serve()
    bench.put(3)
    parent = orders.open_shard_ids[0]
    orders.hide(parent)
    orders.roll(parent)
    bench.put(3)
    orders.disable_stream()
    reading = bench.read().go()
    assert_each_once_and_in_order(bench, reading)
    assert not reading.losses


def test_a_shard_listed_after_its_child_began_as_a_root_is_read(bench: Bench) -> None:
    """Traps 6 and 8: two generations are not listed for minutes; late beats never."""
    orders = bench.serve()
    oldest = orders.open_shard_ids[0]
    bench.put(3)
    middle = orders.roll(oldest)
    bench.put(3)
    orders.roll(middle)
    bench.put(3)
    orders.hide(oldest)
    orders.hide(middle)
    reading = bench.read(late=True).go(200)
    assert middle in {shard for shard, _ in reading.delivered}
    assert oldest not in {shard for shard, _ in reading.delivered}
    reading.restart()
    orders.reveal(oldest)
    orders.reveal(middle)
    reading.go(200)
    orders.disable_stream()
    reading.go()
    assert sorted(reading.ids) == sorted(change.event_id for change in orders.changes)
    assert not reading.losses


def test_an_ended_parent_does_not_wait_for_a_hidden_child_found_another_way(bench: Bench) -> None:
    """Trap 6: the middle generation is not listed for minutes; it is read, and the end is reached."""
    orders = bench.serve()
    bench.put(3)
    reading = bench.read().go(10)
    middle = orders.roll(orders.open_shard_ids[0])
    orders.hide(middle)
    bench.put(3)
    orders.roll(middle)
    bench.put(3)
    reading.go(200)
    orders.reveal(middle)
    reading.go(200)
    assert not reading.frontier.ended_shards
    orders.disable_stream()
    reading.go()
    assert_each_once_and_in_order(bench, reading)


def test_a_child_whose_parent_is_gone_does_not_wait_for_ever(bench: Bench) -> None:
    """Trap 8."""
    orders = bench.serve()
    parent = orders.open_shard_ids[0]
    child = orders.roll(parent)
    seen = bench.put(3, child)
    orders.drop(parent)
    assert bench.read().go(10).ids == seen


# Traps 12 and 14: what is over


def test_a_shard_read_to_its_end_is_not_read_again_though_it_stays_listed(bench: Bench) -> None:
    """Trap 12: nor after a restart."""
    orders = bench.serve()
    bench.put(3)
    parent = orders.open_shard_ids[0]
    child = orders.roll(parent)
    bench.put(3)
    reading = bench.read().go(20)
    asked = len(reading.requests)
    reading.restart()
    reading.go(300)
    assert parent in [shard["ShardId"] for shard in orders.listing()]
    assert {request.shard for request in reading.requests[asked:] if isinstance(request, Read)} == {child}
    assert reading.ids == bench.written


def test_a_disabled_stream_is_read_and_ends_the_read(bench: Bench) -> None:
    """Trap 14."""
    orders = bench.serve(shards=3)
    bench.put(20)
    reading = bench.read().go(10)
    bench.put(20)
    orders.disable_stream(settling=30.0)
    reading.go(120)
    assert reading.frontier.closed
    assert_each_once_and_in_order(bench, reading)
    assert not reading.losses


def test_a_stream_that_is_enabled_is_never_over_however_quiet(bench: Bench) -> None:
    bench.serve()
    assert not bench.read().go(3600, slice_seconds=60).frontier.closed


def test_a_stream_enabled_again_is_another_stream(bench: Bench) -> None:
    """Trap 14: the read of the old one ends with it."""
    orders = bench.serve()
    seen = bench.put(3)
    reading = bench.read()
    orders.disable_stream()
    orders.enable_stream()
    bench.put(3)
    assert reading.go().ids == seen
    assert reading.frontier.closed


def test_a_stream_that_is_gone_ends_the_read_with_a_possible_loss(bench: Bench) -> None:
    """Trap 14: a disabled stream is kept for 24 hours."""
    orders = bench.serve()
    bench.put(3)
    reading = bench.read().go(10)
    bench.put(3)
    orders.disable_stream()
    bench.clock.advance(25 * 3600)
    reading.restart()
    reading.go()
    assert reading.frontier.closed
    assert [loss.certain for loss in reading.losses] == [False]
