"""What manifests cover, and how far they settle a stream: pure, by hand and by laws."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from change_source import change
from hypothesis import given
from hypothesis import strategies as st

from beam_dynamodb_streams.records import CHANGE_SCHEMA, to_arrow
from beam_dynamodb_streams.sinks.coverage import (
    NOTHING_BEFORE as FIRST,
)
from beam_dynamodb_streams.sinks.coverage import (
    Arrivals,
    Coverage,
    ShardKey,
    find_ranges,
    join_ranges,
    merge_coverage,
    not_covered,
    settled_up_to,
)
from beam_dynamodb_streams.sinks.coverage import (
    SequenceRange as Range,
)

ARN = "arn:aws:dynamodb:us-east-1:000000000000:table/orders/stream/2026-11-24T08:00:00.000"
A, B = ShardKey(ARN, "shardId-a"), ShardKey(ARN, "shardId-b")


def ranges(arrivals: Arrivals, *rows: tuple[ShardKey, int, int]) -> dict[int, Coverage]:
    """Return the coverage of rows `(shard, number, window)` in the order of their arrival."""
    shards, numbers, windows = zip(*rows, strict=True)
    ids = pa.array([shard.shard_id for shard in shards])
    return find_ranges(ARN, ids, pa.array(map(str, numbers), pa.string()), np.array(windows), arrivals)


def whole() -> Arrivals:
    return Arrivals(from_the_start=True)


def test_changes_that_arrive_one_after_another_in_one_window_are_one_run():
    assert ranges(whole(), (A, 1, 0), (B, 7, 0), (A, 2, 0)) == {
        0: {A: [Range(FIRST, "1", "2")], B: [Range(FIRST, "7", "7")]}
    }


def test_a_change_of_another_window_between_them_parts_a_run():
    found = ranges(whole(), (A, 1, 0), (A, 2, 1), (A, 3, 0))
    assert found == {
        0: {A: [Range(FIRST, "1", "1"), Range("2", "3", "3")]},
        1: {A: [Range("1", "2", "2")]},
    }


def test_a_run_resumes_in_the_next_bundle():
    arrivals = whole()
    first, second = ranges(arrivals, (A, 1, 0), (A, 2, 0)), ranges(arrivals, (A, 3, 0))
    assert merge_coverage([second[0], first[0]]) == {A: [Range(FIRST, "1", "3")]}


def test_numbers_compare_as_integers_not_as_text():
    """Trap 4."""
    assert ranges(whole(), (A, 9, 0), (A, 10, 0)) == {0: {A: [Range(FIRST, "9", "10")]}}
    assert settled_up_to([Range("9", "10", "10"), Range(FIRST, "9", "9")]) == "10"


def test_what_came_before_is_unknown_where_another_process_may_have_seen_it():
    assert ranges(Arrivals(from_the_start=False), (A, 4, 0)) == {0: {A: [Range(None, "4", "4")]}}
    assert settled_up_to([Range(None, "4", "4")]) is None


def test_a_repeat_or_a_change_out_of_order_is_not_taken_as_the_next():
    arrivals = whole()
    assert ranges(arrivals, (A, 5, 0), (A, 3, 0)) == {0: {A: [Range(FIRST, "5", "5"), Range(None, "3", "3")]}}
    assert ranges(arrivals, (A, 5, 0)) == {0: {A: [Range(None, "5", "5")]}}


def test_shards_that_were_forgotten_are_not_taken_as_new():
    arrivals = Arrivals(from_the_start=True, at_most=1)
    ranges(arrivals, (A, 1, 0))
    ranges(arrivals, (B, 1, 0))
    assert ranges(arrivals, (A, 2, 0)) == {0: {A: [Range(None, "2", "2")]}}


def test_a_stream_is_settled_up_to_the_first_hole():
    known = [Range(FIRST, "1", "2"), Range("2", "3", "3"), Range("4", "5", "9")]
    assert settled_up_to(known) == "3"
    assert settled_up_to([*known, Range("3", "4", "4")]) == "9"
    assert settled_up_to(known[1:]) is None
    assert settled_up_to([]) is None


def test_runs_that_follow_each_other_are_kept_as_one():
    assert join_ranges([Range("2", "3", "4"), Range(FIRST, "1", "2"), Range(FIRST, "1", "2")]) == [
        Range(FIRST, "1", "4")
    ]
    assert join_ranges([Range("8", "9", "9"), Range("2", "3", "3")]) == [
        Range("2", "3", "3"),
        Range("8", "9", "9"),
    ]


def test_rows_that_a_run_holds_are_left_out_and_the_rest_keep_their_order():
    rows = to_arrow([change(number) for number in (4, 1, 3, 2)])
    shard, base = ShardKey(ARN, "shardId-00000001"), 10**21
    assert not_covered(rows, ARN, {}) is rows
    assert not_covered(rows, ARN, {ShardKey(ARN, "another"): [Range(FIRST, "0", str(base * 9))]}) is rows
    left = not_covered(rows, ARN, {shard: [Range(FIRST, str(base + 2), str(base + 3))]})
    assert left["event_id"].to_pylist() == ["event-4", "event-1"]
    assert left.schema == CHANGE_SCHEMA


def test_what_one_stream_covers_says_nothing_of_a_shard_of_the_same_id_in_another():
    rows = to_arrow([change(number) for number in (1, 2)])
    covered = [Range(FIRST, "0", str(10**30))]
    assert not_covered(rows, "new", {ShardKey("old", "shardId-00000001"): covered}) is rows
    assert not_covered(rows, "old", {ShardKey("old", "shardId-00000001"): covered}).num_rows == 0
    old, new = {ShardKey("old", "a"): [Range(FIRST, "1", "2")]}, {ShardKey("new", "a"): [Range("2", "3", "4")]}
    assert merge_coverage([old, new]) == {**new, **old}


def test_a_shard_of_another_stream_is_not_taken_for_one_that_was_seen_before():
    arrivals = whole()
    ranges(arrivals, (A, 9, 0))
    found = find_ranges("new", pa.array([A.shard_id]), pa.array(["4"]), np.array([0]), arrivals)
    assert found == {0: {ShardKey("new", A.shard_id): [Range(FIRST, "4", "4")]}}


@given(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 20))), st.lists(st.integers(0, 120), max_size=20))
def test_exactly_what_lies_in_a_run_is_left_out(spans, numbers):
    shard, base = ShardKey(ARN, "shardId-00000001"), 10**21
    coverage = {shard: [Range(None, str(base + first), str(base + first + more)) for first, more in spans]}
    left = not_covered(to_arrow([change(number) for number in numbers]), ARN, coverage)["event_id"].to_pylist()
    outside = [n for n in numbers if not any(first <= n <= first + more for first, more in spans)]
    assert left == [f"event-{number}" for number in outside]


@st.composite
def streams(draw: st.DrawFn) -> list[tuple[ShardKey, int, int]]:
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
    written: list[tuple[ShardKey, int]] = []
    for kill in range(data.draw(st.integers(0, 4)), -1, -1):
        reached = {
            shard: settled_up_to(run for _, found in manifests for run in found.get(shard, [])) for shard in (A, B)
        }
        read = [row for row in rows if row[1] > int(reached[row[0]] or 0)]
        assert {row[:2] for row in rows} - {row[:2] for row in read} <= set(written)
        arrivals = whole()
        panes: dict[tuple[int, int], tuple[list[Coverage], list[tuple[ShardKey, int]]]] = {}
        while read:
            size = data.draw(st.integers(1, len(read)))
            bundle, read = read[:size], read[size:]
            for window, coverage in ranges(arrivals, *bundle).items():
                pane = panes.setdefault((window, data.draw(st.integers(0, 1))), ([], []))
                pane[0].append(coverage)
                pane[1].extend((shard, number) for shard, number, at in bundle if at == window)
        for (window, _), (coverages, places) in panes.items():
            if kill and data.draw(st.booleans()):
                continue  # killed before this one's manifest
            known = merge_coverage(found for at, found in manifests if at == window)
            fresh = [place for place in places if not _covers(known, *place)]
            if fresh:
                written += fresh
                manifests.append((window, merge_coverage(coverages)))
    assert sorted(written) == sorted((shard, number) for shard, number, _ in rows)


def _covers(coverage: Coverage, shard: ShardKey, number: int) -> bool:
    return any(int(each.first) <= number <= int(each.last) for each in coverage.get(shard, []))
