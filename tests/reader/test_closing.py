"""How soon a read to a stop ends, on a clock that only the test moves: what proves nothing costs no time."""

from __future__ import annotations

from math import floor

import pytest

from beam_dynamodb_streams import metrics
from beam_dynamodb_streams.reader.end_of_stream import OnNewStream
from beam_dynamodb_streams.reader.page import Rules
from beam_dynamodb_streams.shards.quiet import NOT_QUIET, QuietRule
from beam_dynamodb_streams.testing import Faults
from tests.reader.conftest import Bench

USUAL = {"slack": Rules().slack, "quiet": QuietRule()}


def seconds_to_the_end(bench: Bench, on_new_stream: OnNewStream = "follow", **rules: object) -> float:
    began = bench.clock()
    reading = bench.read(stop=floor(began), on_new_stream=on_new_stream, **{**USUAL, **rules})
    reading.go(120)
    assert reading.frontier.closed
    assert sorted(reading.ids) == sorted(bench.written)
    return bench.clock() - began


@pytest.mark.parametrize("on_new_stream", ["follow", "finish"])
@pytest.mark.parametrize("shards", [1, 6])
def test_where_every_shard_is_closed_a_read_ends_within_six_seconds(bench, shards, on_new_stream) -> None:
    """All listings count since the stream was seen disabled, not only those after the last page."""
    bench.serve(shards=shards)
    bench.put(50)
    bench.orders.disable_stream()
    assert 5.0 <= seconds_to_the_end(bench, on_new_stream) < 6.0


def test_where_closed_shards_have_children_a_read_ends_within_six_seconds(bench) -> None:
    bench.serve(shards=2)
    bench.put(20)
    bench.orders.split(bench.orders.open_shard_ids[0])
    bench.put(20)
    bench.orders.roll(bench.orders.open_shard_ids[0])
    bench.put(20)
    bench.orders.disable_stream()
    assert seconds_to_the_end(bench) < 6.5


def test_a_closed_shard_that_listings_leave_out_at_first_is_read(bench) -> None:
    """Trap 6: the listings count since the stream was seen disabled, and a shard found late begins them again."""
    bench.serve(shards=2)
    bench.put(20)
    bench.orders.split(bench.orders.open_shard_ids[0])
    bench.put(20)
    bench.orders.disable_stream()
    bench.service.faults = Faults(list_holes=0.6)
    assert seconds_to_the_end(bench) < 60


def test_where_shards_are_open_a_read_ends_once_its_stop_is_some_ten_seconds_old(bench) -> None:
    """Six seconds until all of the stop's second is visible, then 30 empty pages at five a second."""
    bench.serve(shards=3)
    bench.put(50)
    assert 11.0 < seconds_to_the_end(bench) < 14.0


def test_where_the_stop_is_long_past_only_the_empty_pages_take_time(bench) -> None:
    bench.serve(shards=3)
    bench.put(50)
    stop = floor(bench.clock())
    bench.clock.advance(600)
    began = bench.clock()
    reading = bench.read(stop=stop, **USUAL).go(60)
    assert reading.frontier.closed
    assert sorted(reading.ids) == sorted(bench.written)
    assert reading.tally[metrics.EMPTY_PAGES] >= 3 * 30
    assert bench.clock() - began < 8


def test_the_time_of_a_run_of_empty_pages_begins_at_the_stop() -> None:
    rule, run = QuietRule(3, 10.0), NOT_QUIET
    for asked in (100.0, 100.2, 100.4):
        assert not run.proves(rule, written=40.0)
        run = run.empty_page(asked)
    assert run.proves(rule, written=90.4)
    assert not run.proves(rule, written=90.5)
    assert not run.proves(rule)
