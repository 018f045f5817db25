"""The watermark, and what a worker that dies leaves behind (traps 19, 20, 21)."""

from __future__ import annotations

import pytest

from beam_dynamodb_streams.reader.requests import List, Read
from beam_dynamodb_streams.testing import Faults
from tests.reader.conftest import Bench, assert_each_once_and_in_order, assert_one_read_at_a_time

# Trap 19: the watermark


def test_disorder_within_the_slack_makes_no_record_late(bench: Bench) -> None:
    """Trap 19: `DrivenRead` checks every record against the watermark before it."""
    orders = bench.serve(shards=3, faults=Faults(disorder=4.0))
    reading = bench.read(slack=5.0)
    for _ in range(30):
        bench.put(10)
        reading.go(1.3)
    watermark = reading.watermark / 1_000_000
    assert 0 < bench.clock() - watermark < 20
    orders.disable_stream()
    reading.go()
    assert_each_once_and_in_order(bench, reading)


def test_the_watermark_waits_until_the_listings_are_believed(bench: Bench) -> None:
    """Trap 6: a shard that no listing has shown yet may hold older records."""
    bench.serve(shards=2, faults=Faults(list_holes=0.5))
    bench.clock.advance(3600)
    bench.put(10)
    reading = bench.read()
    while len(reading.ids) < 10:
        reading.go(1)
    assert all(claim.watermark == min(s.watermark for s in reading.claims) for claim in reading.claims[:2])


# Trap 20 and the two steps


def test_children_are_stored_in_the_same_step_in_which_their_parent_leaves(bench: Bench) -> None:
    """Trap 20: in every frontier ever claimed, each branch that is not read yet has somebody to read it."""
    orders = bench.serve()
    bench.put(5)
    parent = orders.open_shard_ids[0]
    children = orders.split(parent)
    bench.put(5)
    reading = bench.read().go(20)
    for claim in reading.claims:
        shards = claim.frontier.shards
        assert not shards or parent in shards or set(children) <= set(shards)
        assert not (parent in shards and set(children) & set(shards))


@pytest.mark.parametrize(
    "faults",
    [
        Faults(),
        Faults(throttle=0.05, drop=0.02, empty_page=0.3, list_holes=0.1, list_delay=3.0, expire=0.1, late_end=0.5),
    ],
    ids=["sound", "all faults"],
)
def test_a_read_that_restarts_at_every_claim_delivers_what_one_that_never_stops_does(
    bench: Bench, faults: Faults
) -> None:
    """Traps 8, 9, 12, 20 and 21: every frontier ever claimed is a point from which all the rest is read, once."""
    orders = bench.serve(shards=2, faults=faults)
    for _ in range(4):
        bench.put(30)
        orders.split(orders.open_shard_ids[0])
        orders.roll(orders.open_shard_ids[-1])
        bench.clock.advance(10)
    bench.put(30)
    orders.disable_stream()
    whole = bench.read().go()
    pieces = bench.read(restarts=True).go(24 * 3600)
    assert len(pieces.fetchers) > 10
    assert whole.frontier.closed
    assert pieces.frontier.closed
    assert_each_once_and_in_order(bench, whole)
    assert_each_once_and_in_order(bench, pieces)
    assert not whole.losses + pieces.losses


def test_a_reader_given_an_older_frontier_takes_it_as_the_truth(bench: Bench) -> None:
    """What was claimed but never became durable is read again; nothing is skipped."""
    bench.serve()
    bench.put(3)
    reading = bench.read().go(5)
    old, watermark = reading.frontier, reading.watermark
    seen = bench.put(3)
    reading.go(5)
    reading.frontier, reading.watermark = old, watermark
    reading.go(5)
    assert reading.ids[-6:] == seen + seen


def test_a_shard_is_asked_for_one_page_at_a_time(bench: Bench) -> None:
    """The service allows two readers of a shard, and order needs one."""
    bench.serve(shards=5)
    reading = bench.read()
    for _ in range(20):
        bench.put(50)
        reading.go(1)
    assert_one_read_at_a_time(reading)
    assert_each_once_and_in_order(bench, reading)


def test_more_shards_than_requests_at_once_all_have_their_turn(bench: Bench) -> None:
    bench.serve(shards=60)
    bench.put(600)
    bench.clock.advance(1)
    reading = bench.read().go(30)
    assert len({request.shard for request in reading.requests if isinstance(request, Read)}) == 60
    bench.orders.put({"id": "o-1", "n": -1})
    reading.go(10)
    assert len([r for r in reading.requests if isinstance(r, List)]) > 0
    assert set(reading.ids) >= set(bench.written[-1:])
