"""Between rounds of idle shards there is nothing to do: the reader says so, and until when."""

from __future__ import annotations

from beam_dynamodb_streams.reader.reader import Reader
from beam_dynamodb_streams.reader.requests import Read
from beam_dynamodb_streams.shards.position import TRIM_HORIZON
from beam_dynamodb_streams.source.options import Connection, ReadOptions
from tests.inline import DrivenRead
from tests.reader.conftest import Bench


def slices(
    bench: Bench, reading: DrivenRead, seconds: float, *, obeyed: bool, slice_time: float = 1.0
) -> tuple[int, float]:
    """Slices as a runner makes them, that keeps the delay asked for or resumes at once (FnApiRunner).

    How many there were, and how long they lasted together.
    """
    reader: Reader = reading.reader
    rests = ReadOptions(None, None, TRIM_HORIZON, None, Connection(), "fail", "fail", slice_time).rest_seconds
    end, count, busy = bench.clock() + seconds, 0, 0.0
    while bench.clock() < end:
        began = bench.clock()
        while (claim := reader.next(reading.frontier, began + slice_time, rests=rests)) is not None:
            reading._claim(claim)
        count, busy = count + 1, busy + bench.clock() - began
        if obeyed:
            bench.clock.advance(max(0.0, reader.resumes - bench.clock()))
    return count, busy


def test_a_hundred_idle_shards_are_asked_in_rounds_and_the_bundle_rests_between_them(bench: Bench) -> None:
    bench.serve(shards=100)
    reading = bench.read().go(60)
    asked = len(reading.requests)
    count, busy = slices(bench, reading, 100, obeyed=True)
    calls = [request.shard for request in reading.requests[asked:] if isinstance(request, Read)]
    assert 45 <= count <= 60, "a round every 2 seconds"
    assert busy < 1.0, "no clock moves while answers come at once"
    assert 0.9 * 100 * 50 <= len(calls) <= 1.1 * 100 * 50, "every 2 seconds"
    assert {calls.count(shard) for shard in set(calls)} <= set(range(40, 61))


def test_the_length_of_a_slice_says_how_often_the_bundle_rests_too(bench: Bench) -> None:
    """Flink before Beam 2.76 keeps 18 KB of each (beam#27648)."""
    bench.serve(shards=20)
    reading = bench.read().go(60)
    often, _ = slices(bench, reading, 100, obeyed=True)
    seldom, _ = slices(bench, reading, 100, obeyed=True, slice_time=5.0)
    assert often >= 45
    assert seldom <= 25


def test_a_runner_that_resumes_at_once_does_not_spin(bench: Bench) -> None:
    bench.serve(shards=3)
    reading = bench.read().go(60)
    count, busy = slices(bench, reading, 100, obeyed=False)
    assert count <= 210
    assert busy >= 99.0


def test_there_is_no_rest_while_a_shard_may_have_more(bench: Bench) -> None:
    orders = bench.serve(shards=2)
    reading = bench.read().go(60)
    reader = reading.reader
    for _ in range(20):
        bench.put(1, orders.open_shard_ids[0])
        slices(bench, reading, 0.9, obeyed=True)
        assert reader.resumes - bench.clock() < 0.5
    assert reading.ids == bench.written
