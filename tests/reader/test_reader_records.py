"""Which records of a shard are delivered: its last page, its start, its empty pages, its stop (traps 1, 2, 3, 5)."""

from __future__ import annotations

from math import floor

import pytest

from beam_dynamodb_streams import metrics
from beam_dynamodb_streams.shards.frontier import begin
from beam_dynamodb_streams.shards.position import TRIM_HORIZON
from beam_dynamodb_streams.shards.quiet import QuietRule
from beam_dynamodb_streams.testing import Faults
from tests.reader.conftest import Bench, latest

# Trap 1: the last page


@pytest.mark.parametrize("late_end", [0.0, 1.0])
def test_records_of_a_shards_last_page_are_delivered(bench: Bench, late_end: float) -> None:
    """Trap 1: the page may bring records and no next iterator, or end with an empty page after them."""
    orders = bench.serve(faults=Faults(late_end=late_end))
    bench.put(3)
    orders.disable_stream()
    assert bench.read().go().ids == bench.written


def test_a_shard_of_more_than_a_page_is_read_without_pauses(bench: Bench) -> None:
    orders = bench.serve()
    bench.put(2_500)
    orders.disable_stream()
    reading = bench.read()
    began = bench.clock()
    reading.go(4.0)
    assert reading.ids == bench.written
    assert bench.clock() - began <= 4.0
    assert [len(claim.records) for claim in reading.claims if claim.records] == [1000, 1000, 500]


# Traps 2 and 3: where shards begin


def test_children_of_a_shard_read_from_latest_are_read_from_their_beginning(bench: Bench) -> None:
    """Trap 2: LATEST is only for shards that exist when the read starts."""
    orders = bench.serve()
    bench.put(5)
    bench.clock.advance(60)
    reading = bench.read(latest(bench)).go(10)
    seen = bench.put(2)
    orders.split(orders.open_shard_ids[0])
    seen += bench.put(4)
    orders.disable_stream()
    reading.go()
    assert sorted(reading.ids) == sorted(seen)


def test_children_of_a_shard_without_a_record_after_the_start_begin_at_the_start(bench: Bench) -> None:
    """They do not deliver changes that are older than the start either."""
    orders = bench.serve()
    bench.put(3)
    child = orders.roll(orders.open_shard_ids[0])
    bench.put(3)
    bench.clock.advance(60)
    frontier = latest(bench)
    seen = bench.put(2, child)
    orders.disable_stream()
    assert bench.read(frontier).go().ids == seen


def test_a_start_at_latest_survives_an_expired_iterator(bench: Bench) -> None:
    """Trap 3: what was written before the iterator could be renewed is not lost."""
    orders = bench.serve()
    bench.put(5)
    bench.clock.advance(60)
    reading = bench.read(latest(bench)).go(10)
    seen = bench.put(3)
    bench.clock.advance(20 * 60)
    seen += bench.put(3)
    orders.disable_stream()
    assert reading.go().ids == seen


def test_a_start_at_latest_survives_a_restart_before_the_first_record(bench: Bench) -> None:
    """Trap 3: there is no sequence number yet, but there is a moment."""
    orders = bench.serve()
    bench.put(5)
    bench.clock.advance(60)
    reading = bench.read(latest(bench)).go(10)
    seen = bench.put(3)
    bench.clock.advance(3600)
    reading.restart()
    seen += bench.put(2)
    orders.disable_stream()
    assert reading.go().ids == seen


def test_a_start_at_a_moment_needs_no_at_timestamp(bench: Bench) -> None:
    """Trap 3: an older endpoint is read from the horizon, and older records are passed over."""
    orders = bench.serve(at_timestamp=False)
    bench.put(2_500)
    bench.clock.advance(60)
    frontier = latest(bench)
    seen = bench.put(3)
    orders.disable_stream()
    assert bench.read(frontier).go().ids == seen


def test_pages_older_than_the_start_do_not_make_a_shard_quiet(bench: Bench) -> None:
    """Trap 5: they are not empty, and the reader does not wait after them."""
    bench.serve(at_timestamp=False)
    bench.put(6_000)
    bench.clock.advance(60)
    frontier = latest(bench)
    seen = bench.put(3)
    stop = floor(bench.clock())
    bench.clock.advance(60)
    reading = bench.read(frontier, stop=stop, quiet=QuietRule(3, 0.1)).go()
    assert reading.ids == seen
    assert reading.frontier.closed


# Trap 5: empty pages


def test_a_run_of_twenty_empty_pages_before_data_does_not_end_a_read_that_stops_now(bench: Bench) -> None:
    """Trap 5."""
    bench.serve()
    bench.put(3)
    stop = floor(bench.clock())
    bench.clock.advance(60)
    bench.service.faults = Faults(empty_page=1.0)
    reading = bench.read(stop=stop, quiet=QuietRule())
    reading.go(4.5)
    assert reading.tally[metrics.EMPTY_PAGES] >= 20
    assert not reading.ids
    bench.service.faults = Faults()
    reading.go()
    assert reading.ids == bench.written
    assert reading.frontier.closed


def test_a_quiet_shard_ends_a_read_that_stops_now(bench: Bench) -> None:
    bench.serve(shards=3)
    bench.put(10)
    reading = bench.read(stop=floor(bench.clock())).go(60)
    assert sorted(reading.ids) == sorted(bench.written)
    assert reading.frontier.closed


def test_a_stop_leaves_out_what_is_younger(bench: Bench) -> None:
    """Inclusive: the stop's own second is delivered whole."""
    bench.serve(shards=2)
    seen = bench.put(6)
    stop = floor(bench.clock())
    bench.clock.advance(30)
    bench.put(6)
    reading = bench.read(stop=stop).go(60)
    assert sorted(reading.ids) == sorted(seen)
    assert reading.frontier.closed


def test_a_stop_after_a_number_of_changes_delivers_exactly_that_many(bench: Bench) -> None:
    bench.serve(shards=3)
    bench.put(100)
    reading = bench.read(begin(TRIM_HORIZON, remaining=42)).go(60)
    assert len(set(reading.ids)) == len(reading.ids) == 42
    assert reading.frontier.closed


def test_an_idle_shard_holds_the_watermark_no_longer_than_its_quiet_proof(bench: Bench) -> None:
    bench.serve(shards=2)
    bench.put(3, bench.orders.open_shard_ids[0])
    reading = bench.read().go(60)
    assert bench.clock() - reading.watermark / 1_000_000 < 6


def test_an_idle_shard_is_asked_less_and_less_often(bench: Bench) -> None:
    """Each GetRecords call is billed, empty or not."""
    bench.serve()
    reading = bench.read().go(60)
    before = bench.service.counts.calls["GetRecords"]
    reading.go(60)
    assert 25 <= bench.service.counts.calls["GetRecords"] - before <= 40
