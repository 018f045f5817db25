"""A stop among records that come out of order, and a shard that is finished beside others (facts 12 and 19)."""

from __future__ import annotations

from math import floor

from connector.source.requests import Read
from connector.testing import Faults
from tests.source.conftest import Bench


def test_a_stop_delivers_what_comes_out_of_order_around_it(bench: Bench) -> None:
    """Fact 19: what was created before the stop comes up to the slack after younger records."""
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


def test_a_shard_that_is_finished_at_the_stop_is_not_read_again_though_it_stays_listed(bench: Bench) -> None:
    """Fact 12: nor is what descends from it."""
    orders = bench.serve(shards=2)
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
