"""The restriction as Beam uses it: through its thread-safe tracker and the view that a DoFn is given."""

from __future__ import annotations

from dataclasses import replace

import pytest
from apache_beam.runners.sdf_utils import RestrictionTrackerView, ThreadsafeRestrictionTracker
from apache_beam.utils.timestamp import Duration
from hypothesis import given
from hypothesis import strategies as st

from beam_dynamodb_streams.shards.frontier import EARLIEST, Finished, Frontier, Reading, begin
from beam_dynamodb_streams.shards.position import TRIM_HORIZON, After, AtTime
from beam_dynamodb_streams.source.restriction import FrontierProvider, FrontierTracker
from beam_dynamodb_streams.source.stream_read import StreamRead

READ = StreamRead("run", "arn", AtTime(7), {"a": After("3")}, stop=9, records=5)
FRONTIER = Frontier(shards={"a": Reading(TRIM_HORIZON), "b": Reading(TRIM_HORIZON)})
MOVED = FRONTIER.advance("a", After("7"))


def tracked(frontier: Frontier = FRONTIER) -> tuple[ThreadsafeRestrictionTracker, RestrictionTrackerView]:
    tracker = ThreadsafeRestrictionTracker(FrontierTracker(frontier, bounded=False))
    return tracker, RestrictionTrackerView(tracker)


def test_a_claim_moves_the_restriction_to_where_the_read_is_once_it_is_delivered() -> None:
    _, view = tracked()
    assert view.try_claim(MOVED)
    assert view.current_restriction() == MOVED


def test_a_checkpoint_puts_everything_unclaimed_into_the_residual() -> None:
    """Trap 21."""
    tracker, view = tracked()
    view.try_claim(MOVED)
    primary, residual = tracker.try_split(0)
    assert primary.closed
    assert residual == MOVED
    tracker.check_done()


def test_a_claim_after_the_checkpoint_is_refused_and_moves_nothing() -> None:
    """Trap 21: the residual starts before it, so another bundle will make that step."""
    tracker, view = tracked()
    _, residual = tracker.try_split(0)
    assert not view.try_claim(MOVED)
    assert residual == FRONTIER
    tracker.check_done()


def test_there_is_one_checkpoint_for_a_bundle() -> None:
    tracker, _ = tracked()
    tracker.try_split(0)
    assert tracker.try_split(0) is None


@pytest.mark.parametrize("fraction", [0.1, 0.5, 1.0])
def test_a_runner_that_asks_for_a_share_gets_none(fraction: float) -> None:
    """Several restrictions from one element make Prism drop late data and Flink lose it after a restore."""
    tracker, view = tracked()
    assert tracker.try_split(fraction) is None
    assert view.try_claim(MOVED), "and the read continues"


def test_of_a_read_that_is_over_both_parts_are_over() -> None:
    """It may be resumed all the same: its progress is still to be written."""
    tracker, view = tracked()
    assert view.try_claim(FRONTIER.close())
    tracker.check_done()
    primary, residual = tracker.try_split(0)
    assert (primary.closed, residual.closed) == (True, True)
    assert tracker.try_split(0) is None
    tracker.check_done()


def test_deferring_hands_the_rest_back_to_the_runner() -> None:
    tracker, view = tracked()
    view.try_claim(MOVED)
    view.defer_remainder(Duration(0))
    tracker.check_done()
    residual, delay = tracker.deferred_status()
    assert residual == MOVED
    assert delay <= Duration(0), "at once"


def test_a_bundle_that_ends_with_shards_left_and_nothing_deferred_is_an_error() -> None:
    tracker, view = tracked()
    view.try_claim(MOVED)
    with pytest.raises(ValueError, match="2 shards are still being read: defer the remainder"):
        tracker.check_done()


def test_a_read_that_has_not_listed_its_stream_yet_is_not_done() -> None:
    tracker, _ = tracked(begin(TRIM_HORIZON))
    with pytest.raises(ValueError, match="defer the remainder"):
        tracker.check_done()


def test_progress_is_the_share_of_the_known_shards_and_whole_only_at_the_end() -> None:
    def fraction(frontier: Frontier) -> float:
        return FrontierTracker(frontier, bounded=True).current_progress().fraction_completed

    assert fraction(begin(TRIM_HORIZON)) == 0.0
    assert fraction(FRONTIER) == 0.0
    assert fraction(FRONTIER.finish("a", second=1)) == 0.5
    assert fraction(FRONTIER.finish("a", second=1).finish("b", second=1)) < 1.0
    assert fraction(FRONTIER.close()) == 1.0


def test_the_tracker_says_whether_the_read_has_an_end() -> None:
    assert FrontierProvider(bounded=True).create_tracker(FRONTIER).is_bounded()
    assert not FrontierProvider(bounded=False).create_tracker(FRONTIER).is_bounded()


def test_one_element_has_one_restriction_that_begins_where_the_read_does() -> None:
    provider = FrontierProvider(bounded=True)
    initial = provider.initial_restriction(READ)
    assert initial == begin(AtTime(7), stream_arn=READ.stream_arn, saved={"a": After("3")}, remaining=5)
    assert list(provider.split(READ, initial)) == [initial]


def test_the_size_is_the_lag_of_the_shards_in_seconds() -> None:
    provider = FrontierProvider(bounded=False, clock=lambda: 1000.0)
    behind = {"a": Reading(TRIM_HORIZON, 400_000_000), "b": Reading(TRIM_HORIZON, 999_000_000)}
    lagging = replace(FRONTIER, shards=behind)
    assert provider.restriction_size(READ, lagging) == 601
    assert provider.restriction_size(READ, lagging.close()) == 0


@given(
    watermarks=st.lists(st.integers(-(2**63), 2**63 - 1) | st.just(EARLIEST), max_size=5),
    now=st.floats(allow_nan=True, allow_infinity=True),
)
def test_the_size_is_a_whole_number_that_every_runner_takes(watermarks: list[int], now: float) -> None:
    provider = FrontierProvider(bounded=False, clock=lambda: now)
    frontier = replace(FRONTIER, shards={f"s{n}": Reading(TRIM_HORIZON, each) for n, each in enumerate(watermarks)})
    size = provider.restriction_size(READ, frontier)
    assert type(size) is int
    assert 0 <= size <= max(1, 86_400 * len(watermarks))


def test_the_size_is_at_least_the_number_of_shards_to_read() -> None:
    provider = FrontierProvider(bounded=False)
    assert provider.restriction_size(READ, begin(TRIM_HORIZON)) == 1
    assert provider.restriction_size(READ, FRONTIER) == 2
    assert provider.restriction_size(READ, FRONTIER.close()) == 0


def test_a_drain_lets_a_bounded_read_continue_to_its_stop_and_ends_an_unbounded_one() -> None:
    assert FrontierProvider(bounded=True).truncate(READ, MOVED) == MOVED
    assert FrontierProvider(bounded=False).truncate(READ, MOVED) is None


def test_restrictions_pass_through_their_coder_unchanged() -> None:
    coder = FrontierProvider(bounded=True).restriction_coder()
    frontier = Frontier(shards=MOVED.shards, finished={"z": Finished(5, None)}, remaining=3)
    assert coder.decode(coder.encode(frontier)) == frontier
    assert coder.is_deterministic()


def test_providers_are_equal_by_what_they_say() -> None:
    """Beam compares transforms when it translates a pipeline."""
    assert FrontierProvider(bounded=True) == FrontierProvider(bounded=True)
    assert len({FrontierProvider(bounded=True), FrontierProvider(bounded=False)}) == 2
