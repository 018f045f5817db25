"""A stop among empty pages and records out of order, and shards that are finished or idle (traps 5, 12 and 19)."""

from __future__ import annotations

from math import floor

from beam_dynamodb_streams.reader.page import Rules
from beam_dynamodb_streams.reader.requests import Read
from beam_dynamodb_streams.reader.schedule import Pace
from beam_dynamodb_streams.shards.quiet import QuietRule
from beam_dynamodb_streams.testing import Clock, Faults, LocalStreams
from tests.inline import DrivenRead
from tests.reader.conftest import Bench


def test_a_stop_delivers_what_comes_out_of_order_around_it(bench: Bench) -> None:
    """Trap 19: what was created before the stop comes up to the slack after younger records."""
    orders = bench.serve(faults=Faults(disorder=4.0))
    stop = floor(bench.clock()) + 10
    reading = bench.read(stop=stop, slack=5.0)
    for _ in range(60):
        bench.put(2)
        reading.go(0.4)
    reading.go(60)
    created = {change.event_id: change.record["dynamodb"]["ApproximateCreationDateTime"] for change in orders.changes}
    assert sorted(reading.ids) == sorted(event_id for event_id, second in created.items() if second <= stop)
    assert reading.frontier.closed


def test_a_shard_finished_at_the_stop_is_not_read_again_while_it_stays_listed(bench: Bench) -> None:
    """Trap 12: nor is what descends from it."""
    orders = bench.serve(shards=2, older_than_a_day=False)
    done, other = orders.open_shard_ids
    seen = bench.put(3, done) + bench.put(3, other)
    stop = floor(bench.clock()) + 30
    reading = bench.read(stop=stop).go(10)
    bench.clock.advance(60)
    bench.put(2, done)
    while done not in reading.frontier.finished:
        reading.go(0.1, slice_seconds=0.1)
    orders.roll(done)
    asked = len(reading.requests)
    reading.go(60)
    assert done not in {request.shard for request in reading.requests[asked:] if isinstance(request, Read)}
    assert sorted(reading.ids) == sorted(seen)
    assert reading.frontier.closed


def test_empty_pages_before_the_stop_prove_nothing_about_what_comes_by_it() -> None:
    """Trap 5: a shard that was quiet for long may bring a record just then, after some empty pages."""
    clock = Clock()
    with LocalStreams(clock=clock) as service:
        orders = service.create_table("orders", keys={"id": "S"})
        stop = floor(clock()) + 30
        rules = Rules(stop=stop, slack=1.0, quiet=QuietRule(5, 2.0))
        read = DrivenRead(service, clock, orders.stream_arn, rules=rules, pace=Pace(idle=1.0))
        read.run(30)
        service.faults = Faults(empty_page=1.0)
        written = orders.put({"id": "o-1"})
        read.run(3.5)
        assert not read.frontier.closed
        service.faults = Faults()
        read.run(60)
        assert written is not None
        assert read.delivered == [(written.shard_id, written.sequence_number)]
        assert read.frontier.closed


def test_a_record_ends_a_run_of_empty_pages(bench: Bench) -> None:
    """Trap 5: what follows it is not quiet yet; `DrivenRead` checks every record against the watermark."""
    bench.serve()
    reading = bench.read(slack=1.0).go(60)
    bench.put(1)
    while not reading.ids:
        reading.go(0.1, slice_seconds=0.1)
    bench.service.faults = Faults(empty_page=1.0)
    bench.put(1)
    reading.go(1.7)
    bench.service.faults = Faults()
    reading.go(5)
    assert reading.ids == bench.written


def test_the_first_record_after_an_idle_time_is_not_late(bench: Bench) -> None:
    """Trap 19: it is created in a second that has begun already, and the watermark leaves room for it."""
    bench.serve()
    reading = bench.read(slack=1.0).go(30)
    for _ in range(10):
        bench.put(1)
        reading.go(2.2)
        before = reading.watermark
        while reading.watermark == before:
            reading.go(0.1, slice_seconds=0.1)
    reading.go(5)
    assert reading.ids == bench.written
