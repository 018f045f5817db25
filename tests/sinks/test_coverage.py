"""What manifests cover, and how far they settle a stream: pure, by hand and by laws."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from change_source import change
from hypothesis import given
from hypothesis import strategies as st

from beam_dynamodb_streams.records import CHANGE_SCHEMA, to_arrow
from beam_dynamodb_streams.sinks.coverage import (
    FIRST,
    Arrivals,
    Coverage,
    Run,
    joined,
    merged,
    not_covered,
    runs_of,
    settled,
)

A, B = "shardId-a", "shardId-b"


def runs(arrivals: Arrivals, *rows: tuple[str, int, int]) -> dict[int, Coverage]:
    """Of rows of ``(shard, number, window)`` in the order of their arrival."""
    shards, numbers, windows = zip(*rows, strict=True)
    return runs_of(pa.array(shards), pa.array(map(str, numbers), pa.string()), np.array(windows), arrivals)


def whole() -> Arrivals:
    return Arrivals(from_the_start=True)


def test_changes_that_arrive_one_after_another_in_one_window_are_one_run():
    assert runs(whole(), (A, 1, 0), (B, 7, 0), (A, 2, 0)) == {0: {A: [Run(FIRST, "1", "2")], B: [Run(FIRST, "7", "7")]}}


def test_a_change_of_another_window_between_them_parts_a_run():
    found = runs(whole(), (A, 1, 0), (A, 2, 1), (A, 3, 0))
    assert found == {0: {A: [Run(FIRST, "1", "1"), Run("2", "3", "3")]}, 1: {A: [Run("1", "2", "2")]}}


def test_a_run_goes_on_in_the_next_bundle():
    arrivals = whole()
    first, second = runs(arrivals, (A, 1, 0), (A, 2, 0)), runs(arrivals, (A, 3, 0))
    assert merged([second[0], first[0]]) == {A: [Run(FIRST, "1", "3")]}


def test_numbers_compare_as_integers_not_as_text():
    """Fact 4."""
    assert runs(whole(), (A, 9, 0), (A, 10, 0)) == {0: {A: [Run(FIRST, "9", "10")]}}
    assert settled([Run("9", "10", "10"), Run(FIRST, "9", "9")]) == "10"


def test_what_came_before_is_unknown_where_another_process_may_have_seen_it():
    assert runs(Arrivals(from_the_start=False), (A, 4, 0)) == {0: {A: [Run(None, "4", "4")]}}
    assert settled([Run(None, "4", "4")]) is None


def test_what_comes_again_or_out_of_order_is_not_taken_as_the_next():
    arrivals = whole()
    assert runs(arrivals, (A, 5, 0), (A, 3, 0)) == {0: {A: [Run(FIRST, "5", "5"), Run(None, "3", "3")]}}
    assert runs(arrivals, (A, 5, 0)) == {0: {A: [Run(None, "5", "5")]}}


def test_shards_that_were_forgotten_are_not_taken_as_new():
    arrivals = Arrivals(from_the_start=True, at_most=1)
    runs(arrivals, (A, 1, 0))
    runs(arrivals, (B, 1, 0))
    assert runs(arrivals, (A, 2, 0)) == {0: {A: [Run(None, "2", "2")]}}


def test_a_stream_is_settled_up_to_the_first_hole():
    known = [Run(FIRST, "1", "2"), Run("2", "3", "3"), Run("4", "5", "9")]
    assert settled(known) == "3"
    assert settled([*known, Run("3", "4", "4")]) == "9"
    assert settled(known[1:]) is None
    assert settled([]) is None


def test_runs_that_follow_each_other_are_kept_as_one():
    assert joined([Run("2", "3", "4"), Run(FIRST, "1", "2"), Run(FIRST, "1", "2")]) == [Run(FIRST, "1", "4")]
    assert joined([Run("8", "9", "9"), Run("2", "3", "3")]) == [Run("2", "3", "3"), Run("8", "9", "9")]


def test_rows_that_a_run_holds_are_left_out_and_the_rest_keep_their_order():
    rows = to_arrow([change(number) for number in (4, 1, 3, 2)])
    shard, base = "shardId-00000001", 10**21
    assert not_covered(rows, {}) is rows
    assert not_covered(rows, {"another": [Run(FIRST, "0", str(base * 9))]}) is rows
    left = not_covered(rows, {shard: [Run(FIRST, str(base + 2), str(base + 3))]})
    assert left["event_id"].to_pylist() == ["event-4", "event-1"]
    assert left.schema == CHANGE_SCHEMA


@given(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 20))), st.lists(st.integers(0, 120), max_size=20))
def test_exactly_what_lies_in_a_run_is_left_out(spans, numbers):
    shard, base = "shardId-00000001", 10**21
    coverage = {shard: [Run(None, str(base + first), str(base + first + more)) for first, more in spans]}
    left = not_covered(to_arrow([change(number) for number in numbers]), coverage)["event_id"].to_pylist()
    outside = [n for n in numbers if not any(first <= n <= first + more for first, more in spans)]
    assert left == [f"event-{number}" for number in outside]


@st.composite
def streams(draw: st.DrawFn) -> list[tuple[str, int, int]]:
    """Two shards' changes in the order of their arrival, in windows that are out of order."""
    rows = []
    numbers = {A: 0, B: 0}
    for _ in range(draw(st.integers(1, 40))):
        shard = draw(st.sampled_from([A, B]))
        numbers[shard] += draw(st.integers(1, 3))
        rows.append((shard, numbers[shard], draw(st.integers(0, 3)) + numbers[shard] // 8))
    return rows


@given(streams(), st.data())
def test_however_often_an_export_is_killed_each_change_is_written_exactly_once(rows, data):
    """Any part of what a run would write may be complete when it is killed; the next reads from what is settled."""
    manifests: list[tuple[int, Coverage]] = []
    written: list[tuple[str, int]] = []
    for kill in range(data.draw(st.integers(0, 4)), -1, -1):
        reached = {shard: settled(run for _, found in manifests for run in found.get(shard, [])) for shard in (A, B)}
        read = [row for row in rows if row[1] > int(reached[row[0]] or 0)]
        assert {row[:2] for row in rows} - {row[:2] for row in read} <= set(written)
        arrivals = whole()
        panes: dict[tuple[int, int], tuple[list[Coverage], list[tuple[str, int]]]] = {}
        while read:
            size = data.draw(st.integers(1, len(read)))
            bundle, read = read[:size], read[size:]
            for window, coverage in runs(arrivals, *bundle).items():
                pane = panes.setdefault((window, data.draw(st.integers(0, 1))), ([], []))
                pane[0].append(coverage)
                pane[1].extend((shard, number) for shard, number, at in bundle if at == window)
        for (window, _), (coverages, places) in panes.items():
            if kill and data.draw(st.booleans()):
                continue  # killed before this one's manifest
            known = merged(found for at, found in manifests if at == window)
            fresh = [place for place in places if not _covers(known, *place)]
            if fresh:
                written += fresh
                manifests.append((window, merged(coverages)))
    assert sorted(written) == sorted((shard, number) for shard, number, _ in rows)


def _covers(coverage: Coverage, shard: str, number: int) -> bool:
    return any(int(run.first) <= number <= int(run.last) for run in coverage.get(shard, []))
