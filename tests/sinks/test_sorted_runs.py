"""Rows in order, though they are more than memory holds."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_dynamodb_streams.sinks.batches import change_keys
from beam_dynamodb_streams.sinks.sorted_runs import Scratch, merge, run_in_memory, sort_batches, write_run

NUMBERS = st.tuples(st.sampled_from("ab"), st.integers(0, 30))


def batch(rows: list[tuple[str, int]], filling: str = "") -> pa.RecordBatch:
    shards, numbers = [shard for shard, _ in rows], [str(number) for _, number in rows]
    columns = [pa.array(shards, pa.string()), pa.array(numbers, pa.string()), pa.array([filling] * len(rows))]
    return pa.RecordBatch.from_arrays(columns, names=["shard_id", "sequence_number", "filling"])


def rows_of(batches: list[pa.RecordBatch]) -> list[tuple[str, int]]:
    return [
        (shard, int(number))
        for each in batches
        for shard, number in zip(*(each.column(name).to_pylist() for name in each.schema.names[:2]), strict=True)
    ]


@given(st.lists(st.lists(NUMBERS, max_size=20), max_size=8), st.booleans(), st.sampled_from([1, 2_000, 1 << 20]))
def test_a_merge_has_every_row_once_and_in_order(lists, without_repeats, at_most):
    with Scratch() as scratch:
        runs = []
        for number, rows in enumerate(lists):
            ordered = sort_batches([batch(rows, "x" * 20_000)], change_keys, without_repeats=False)
            in_memory = run_in_memory(ordered, change_keys, at_most)
            runs.append(in_memory if number % 2 else write_run([ordered], change_keys, at_most, scratch))
        found = rows_of(list(merge(runs, change_keys, at_most, scratch, without_repeats=without_repeats)))
    wanted = [row for rows in lists for row in rows]
    assert found == sorted(set(wanted) if without_repeats else wanted)


@given(st.lists(NUMBERS, max_size=60), st.booleans())
def test_sorted_rows_are_the_same_whether_they_move_alone_or_together(rows, without_repeats):
    alone = sort_batches([batch([row]) for row in rows] or [batch([])], change_keys, without_repeats=without_repeats)
    assert rows_of([alone]) == sorted(set(rows) if without_repeats else rows)
    pages = [("b", number) for number in range(500)], [("a", number) for number in range(500)]
    together = sort_batches([batch(page) for page in pages], change_keys, without_repeats=without_repeats)
    assert rows_of([together]) == [*pages[1], *pages[0]]


def test_runs_that_all_overlap_are_merged_within_the_limit(tmp_path: Path) -> None:
    """64 runs of 1 MB, each over the whole range of keys: all are open at once unless groups are merged first."""
    limit = 4 << 20
    with Scratch(str(tmp_path)) as scratch:
        runs = []
        for start in range(64):
            rows = batch([("a", number * 64 + start) for number in range(1_000)], "x" * 1_000)
            runs.append(write_run([rows], change_keys, limit, scratch))
        before = most = pa.total_allocated_bytes()
        count = 0
        for rows in merge(runs, change_keys, limit, scratch, without_repeats=True):
            most = max(most, pa.total_allocated_bytes())
            count += len(rows)
    assert count == 64_000
    assert most - before < 3 * limit
    assert list(tmp_path.iterdir()) == []


def test_a_scratch_file_has_no_name_even_while_it_is_open(tmp_path: Path) -> None:
    with Scratch(str(tmp_path / "made")) as scratch:
        place = scratch.append(batch([("a", 1)]))
        assert list((tmp_path / "made").iterdir()) == []
        assert rows_of([scratch.read_at(*place)]) == [("a", 1)]
    with Scratch() as unused, pytest.raises(ValueError, match="nothing was written"):
        unused.read_at(0, 1)
