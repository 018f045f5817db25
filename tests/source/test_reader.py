"""The reader against the service's traps, each named by its fact: what is delivered, in which order, and what is told.

Every read here also holds that no record comes later than the watermark allowed (see ``StreamReading``).
"""

from __future__ import annotations

from collections import defaultdict
from math import floor

import pytest

from connector import metrics
from connector.errors import AccessDeniedError, ConnectorError
from connector.shards.frontier import Frontier, Hint, Reading, begin
from connector.shards.position import SHARD_END, TRIM_HORIZON, AtTime
from connector.shards.quiet import QuietRule
from connector.source.requests import List, Read
from connector.testing import Faults
from tests.source.conftest import Bench, StreamReading


def assert_each_once_and_in_order(bench: Bench, reading: StreamReading) -> None:
    """Every change exactly once, and those of one key in the order in which they were written (fact 8)."""
    assert sorted(reading.ids) == sorted(bench.written)
    place = {event_id: index for index, event_id in enumerate(reading.ids)}
    by_key: dict[str, list[int]] = defaultdict(list)
    for change in bench.orders.changes:
        by_key[str(change.keys)].append(place[change.event_id])
    for places in by_key.values():
        assert places == sorted(places)


def assert_one_read_at_a_time(reading: StreamReading) -> None:
    assert {fetcher.most for fetcher in reading.fetchers} <= {0, 1}


def latest(bench: Bench) -> Frontier:
    return begin(AtTime(floor(bench.clock())))


# Fact 1: the last page


@pytest.mark.parametrize("late_end", [0.0, 1.0])
def test_records_of_a_shards_last_page_are_delivered(bench: Bench, late_end: float) -> None:
    """Fact 1: the page may bring records and no next iterator, or end with an empty page after them."""
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
    assert [len(step.records) for step in reading.steps if step.records] == [1000, 1000, 500]


# Facts 2 and 3: where shards begin


def test_children_of_a_shard_read_from_latest_are_read_from_their_beginning(bench: Bench) -> None:
    """Fact 2: LATEST is only for shards that exist when the read starts."""
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


def test_children_of_a_shard_without_a_record_as_young_as_the_start_begin_at_the_start(bench: Bench) -> None:
    """Nor do they bring what is older than the start."""
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
    """Fact 3: what was written before the iterator could be renewed is not lost."""
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
    """Fact 3: there is no sequence number yet, but there is a moment."""
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
    """Fact 3: an older endpoint is read from the horizon, and older records are passed over."""
    orders = bench.serve(at_timestamp=False)
    bench.put(2_500)
    bench.clock.advance(60)
    frontier = latest(bench)
    seen = bench.put(3)
    orders.disable_stream()
    assert bench.read(frontier).go().ids == seen


def test_pages_older_than_the_start_do_not_make_a_shard_quiet(bench: Bench) -> None:
    """Fact 5: they are not empty, and they are no reason to wait either."""
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


# Fact 5: empty pages


def test_a_run_of_twenty_empty_pages_before_data_does_not_end_a_read_that_stops_now(bench: Bench) -> None:
    """Fact 5."""
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


def test_a_stop_after_so_many_changes_delivers_just_as_many(bench: Bench) -> None:
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


# Facts 6, 7 and 8: which shards there are


def test_shards_that_split_and_roll_are_found_while_running(bench: Bench) -> None:
    """Fact 7: without a restart, in whatever generation."""
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
    """Fact 8: parents before children, whatever the answers' order."""
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
    """Fact 6."""
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


def test_a_listing_that_repeats_its_cursor_still_shows_its_first_pages(bench: Bench) -> None:
    """Fact 6: partial progress counts, and once the listing is sound the rest is found."""
    orders = bench.serve(shards=120, faults=Faults(repeat_listing=1.0))
    bench.put(300)
    reading = bench.read().go(30)
    assert reading.ids
    bench.service.faults = Faults()
    reading.go(90)
    orders.disable_stream()
    reading.go()
    assert_each_once_and_in_order(bench, reading)


def test_a_shard_that_no_listing_shows_is_found_through_its_child(bench: Bench) -> None:
    """Facts 6 and 8: the child waits while its parent exists unlisted, and then reads it."""
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


def test_an_ended_parent_is_not_waited_for_once_its_hidden_child_was_found_another_way(bench: Bench) -> None:
    """Fact 6: the middle generation is not listed for minutes; it is read, and the end is reached."""
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
    """Fact 8."""
    orders = bench.serve()
    parent = orders.open_shard_ids[0]
    child = orders.roll(parent)
    seen = bench.put(3, child)
    orders.drop(parent)
    assert bench.read().go(10).ids == seen


# Facts 9, 10, 11 and 13: what is no longer there


def test_an_expired_iterator_is_asked_for_again_from_the_position(bench: Bench) -> None:
    """Fact 9: nothing is repeated and nothing is skipped."""
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
    """Fact 9: as on an endpoint whose clock is off."""
    bench.serve(faults=Faults(expire=1.0))
    bench.put(3)
    reading = bench.read().go(30)
    assert bench.service.counts.calls["GetRecords"] < 200
    bench.service.faults = Faults()
    assert reading.go(30).ids == bench.written


def test_an_iterator_of_another_making_is_only_a_hint(bench: Bench) -> None:
    """What an older checkpoint holds may mean nothing to the service."""
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
def test_a_trimmed_prefix_is_told_of_and_the_rest_of_the_shard_is_read(bench: Bench, hinted: bool) -> None:
    """Fact 10: the shard goes on at the horizon, it is not dropped."""
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


def test_a_trimmed_prefix_is_no_loss_to_a_read_that_begins_at_the_horizon(bench: Bench) -> None:
    orders = bench.serve()
    bench.put(5)
    orders.trim(keep=2)
    reading = bench.read().go(10)
    assert reading.ids == bench.written[-2:]
    assert not reading.losses


@pytest.mark.parametrize("listed", [False, True])
def test_a_shard_that_vanished_ends_with_a_possible_loss_and_its_child_is_read(bench: Bench, listed: bool) -> None:
    """Fact 11: it neither kills the read nor is asked for again for ever."""
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


def test_after_days_away_the_oldest_descendants_that_are_left_are_read_and_the_gap_is_told(bench: Bench) -> None:
    """Fact 13: position, child and grandchild are gone."""
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
    """Fact 13: the parent was read to its end before the worker went away."""
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
    orders.disable_stream()
    reading.go()
    assert reading.ids == seen
    (loss,) = reading.losses
    assert (loss.shard_id, loss.certain) == (first, False)


# Facts 12 and 14: what is over


def test_a_shard_read_to_its_end_is_not_read_again_though_it_stays_listed(bench: Bench) -> None:
    """Fact 12: nor after a restart."""
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
    """Fact 14."""
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


def test_a_stream_enabled_anew_is_another_stream(bench: Bench) -> None:
    """Fact 14: the read of the old one ends with it."""
    orders = bench.serve()
    seen = bench.put(3)
    reading = bench.read()
    orders.disable_stream()
    orders.enable_stream()
    bench.put(3)
    assert reading.go().ids == seen
    assert reading.frontier.closed


def test_a_stream_that_is_gone_ends_the_read_with_a_possible_loss(bench: Bench) -> None:
    """Fact 14: a disabled stream is kept for 24 hours."""
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


# Fact 15: delays


@pytest.mark.parametrize("fault", ["throttle", "error", "drop", "cut_body", "bad_crc"])
def test_faults_that_pass_are_delays_and_never_losses(bench: Bench, fault: str) -> None:
    """Fact 15."""
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
    assert reading.tally[metrics.THROTTLES if fault == "throttle" else metrics.FAULTS] > 0
    assert_one_read_at_a_time(reading)


def test_a_service_that_only_throttles_is_asked_less_and_less_often(bench: Bench) -> None:
    """Fact 15."""
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


# Fact 19: the watermark


def test_disorder_within_the_slack_makes_no_record_late(bench: Bench) -> None:
    """Fact 19: ``StreamReading`` holds every record against the watermark before it."""
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
    """Fact 6: a shard that no listing has shown yet may hold older records."""
    bench.serve(shards=2, faults=Faults(list_holes=0.5))
    bench.clock.advance(3600)
    bench.put(10)
    reading = bench.read()
    while len(reading.ids) < 10:
        reading.go(1)
    assert all(step.watermark == min(s.watermark for s in reading.steps) for step in reading.steps[:2])


# Fact 20 and the two steps


def test_children_are_stored_in_the_same_step_in_which_their_parent_leaves(bench: Bench) -> None:
    """Fact 20: in every frontier ever claimed, each branch that is not read yet has somebody to read it."""
    orders = bench.serve()
    bench.put(5)
    parent = orders.open_shard_ids[0]
    children = orders.split(parent)
    bench.put(5)
    reading = bench.read().go(20)
    for step in reading.steps:
        shards = step.frontier.shards
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
    """Facts 8, 12, 20 and 21: every frontier ever claimed is a point from which all the rest is read, once."""
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


def test_a_reader_that_meets_an_older_frontier_takes_it_as_the_truth(bench: Bench) -> None:
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
