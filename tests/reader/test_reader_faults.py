"""What is a loss and reported, and what is a delay and counted (traps 9, 10, 11, 13, 15)."""

from __future__ import annotations

from math import floor

import pytest

from beam_dynamodb_streams import metrics
from beam_dynamodb_streams.errors import AccessDeniedError, ConnectorError
from beam_dynamodb_streams.shards.frontier import Frontier, Hint, Reading
from beam_dynamodb_streams.shards.position import SHARD_END, TRIM_HORIZON
from beam_dynamodb_streams.testing import Faults
from tests.reader.conftest import Bench, assert_each_once_and_in_order, assert_one_read_at_a_time

# Traps 9, 10, 11 and 13: what is no longer there


def test_an_expired_iterator_is_asked_for_again_from_the_position(bench: Bench) -> None:
    """Trap 9: nothing is repeated and nothing is skipped."""
    orders = bench.serve(shards=2, faults=Faults(expire=0.5))
    reading = bench.read()
    for _ in range(10):
        bench.put(10)
        reading.go(2)
    orders.disable_stream()
    reading.go()
    assert_each_once_and_in_order(bench, reading)
    assert reading.tally[metrics.ITERATOR_RENEWALS] > 2


def test_iterators_that_always_expire_are_a_delay_and_not_a_busy_loop(bench: Bench) -> None:
    """Trap 9: as on an endpoint whose clock is off."""
    bench.serve(faults=Faults(expire=1.0))
    bench.put(3)
    reading = bench.read().go(30)
    assert bench.service.counts.calls["GetRecords"] < 200
    bench.service.faults = Faults()
    assert reading.go(30).ids == bench.written


def test_an_iterator_of_another_making_is_only_a_hint(bench: Bench) -> None:
    """The service may refuse an iterator from an older checkpoint."""
    orders = bench.serve()
    bench.put(3)
    shard = orders.open_shard_ids[0]
    hint = Hint("no-iterator-of-this-service", floor(bench.clock()))
    orders.disable_stream()
    assert bench.read(Frontier(shards={shard: Reading(TRIM_HORIZON, hint=hint)})).go().ids == bench.written


def test_a_young_hint_saves_the_call_for_an_iterator(bench: Bench) -> None:
    bench.serve()
    bench.put(3)
    reading = bench.read().go(10)
    bench.service.reset_counts()
    seen = bench.put(2)
    reading.restart()
    assert reading.go(5).ids[-2:] == seen
    assert bench.service.counts.calls["GetShardIterator"] == 0


@pytest.mark.parametrize("hinted", [True, False], ids=["seen by GetRecords", "seen by GetShardIterator"])
def test_a_trimmed_prefix_is_reported_and_the_rest_of_the_shard_is_read(bench: Bench, hinted: bool) -> None:
    """Trap 10: the shard continues at the horizon, it is not dropped."""
    orders = bench.serve()
    shard = orders.open_shard_ids[0]
    seen = bench.put(3)
    reading = bench.read().go(5)
    position = reading.frontier.shards[shard].position
    bench.put(4)
    rest = bench.put(2)
    orders.trim(shard, keep=2)
    bench.clock.advance(60 if hinted else 20 * 60)
    reading.restart()
    reading.go(30)
    assert reading.ids == seen + rest
    (loss,) = reading.losses
    assert (loss.shard_id, loss.last_position, loss.next_position) == (shard, str(position), "TRIM_HORIZON")
    assert loss.certain is hinted
    assert loss.since is not None


def test_a_trimmed_prefix_is_not_a_loss_to_a_read_that_begins_at_the_horizon(bench: Bench) -> None:
    orders = bench.serve()
    bench.put(5)
    orders.trim(keep=2)
    reading = bench.read().go(10)
    assert reading.ids == bench.written[-2:]
    assert not reading.losses


@pytest.mark.parametrize("listed", [False, True])
def test_a_shard_that_vanished_ends_with_a_possible_loss_and_its_child_is_read(bench: Bench, listed: bool) -> None:
    """Trap 11: it neither kills the read nor is asked for again for ever."""
    orders = bench.serve(shards=2)
    lost, other = orders.open_shard_ids
    seen = bench.put(3, lost)
    reading = bench.read().go(10)
    bench.put(2, lost)
    child = orders.roll(lost)
    orders.drop(lost, listed=listed)
    seen += bench.put(2, child) + bench.put(2, other)
    reading.restart()
    reading.go(30)
    orders.disable_stream()
    reading.go()
    assert sorted(reading.ids) == sorted(seen)
    (loss,) = reading.losses
    assert (loss.shard_id, loss.certain) == (lost, False)
    assert reading.tally[metrics.SHARDS_LOST] == 1
    assert reading.frontier.closed


def test_after_days_away_the_oldest_descendants_are_read_and_the_gap_is_reported(bench: Bench) -> None:
    """Trap 13: position, child and grandchild are gone."""
    orders = bench.serve()
    first = orders.open_shard_ids[0]
    seen = bench.put(3)
    reading = bench.read().go(10)
    for _ in range(3):
        newest = orders.roll(orders.open_shard_ids[0])
        bench.put(2)
        bench.clock.advance(25 * 3600)
    seen += bench.put(3, newest)
    reading.restart()
    reading.go(300)
    orders.disable_stream()
    reading.go()
    assert reading.ids == seen
    assert [loss.shard_id for loss in reading.losses] == [first]
    assert reading.frontier.closed


def test_children_that_came_and_went_unseen_are_a_gap_too(bench: Bench) -> None:
    """Trap 13: the parent was read to its end before the worker went away."""
    orders = bench.serve()
    first = orders.open_shard_ids[0]
    seen = bench.put(3)
    orders.roll(first)
    bench.put(2)
    bench.clock.advance(25 * 3600)
    newest = orders.roll(orders.open_shard_ids[0])
    bench.clock.advance(25 * 3600)
    seen += bench.put(3, newest)
    del seen[:3]
    reading = bench.read(Frontier(shards={first: Reading(SHARD_END, 1_767_225_600_000_000)})).go(300)
    assert reading.ids == seen
    assert first not in reading.frontier.shards, "it no longer waits, although the stream continues"
    orders.disable_stream()
    reading.go()
    assert reading.ids == seen
    (loss,) = reading.losses
    assert (loss.shard_id, loss.certain) == (first, False)


# Trap 15: delays


@pytest.mark.parametrize("fault", ["throttle", "error", "drop", "cut_body", "bad_crc"])
def test_faults_that_pass_are_delays_and_never_losses(bench: Bench, fault: str) -> None:
    """Trap 15."""
    orders = bench.serve(shards=2, faults=Faults(**{fault: 0.3}))
    reading = bench.read()
    for _ in range(5):
        bench.put(10)
        orders.split(orders.open_shard_ids[0])
        reading.go(5)
    orders.disable_stream()
    reading.go()
    assert_each_once_and_in_order(bench, reading)
    assert not reading.losses
    assert reading.tally[metrics.DELAYS] > 0
    assert_one_read_at_a_time(reading)


def test_a_service_that_only_throttles_is_asked_less_and_less_often(bench: Bench) -> None:
    """Trap 15."""
    bench.serve(faults=Faults(throttle={"GetRecords": 1.0}))
    bench.put(3)
    reading = bench.read().go(300)
    assert bench.service.counts.calls["GetRecords"] < 150
    bench.service.faults = Faults()
    assert reading.go(10).ids == bench.written


def test_what_no_waiting_mends_is_raised(bench: Bench) -> None:
    bench.serve(faults=Faults(access_denied={"GetRecords": 1.0}))
    with pytest.raises(AccessDeniedError, match="GetRecords") as raised:
        bench.read().go(10)
    assert isinstance(raised.value, ConnectorError)
