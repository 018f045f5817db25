"""The law of CommitProgress: whatever order a sink delivers in, what it commits of a shard was delivered."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from math import ceil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from apache_beam.utils.timestamp import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from beam_dynamodb_streams.errors import FencedError
from beam_dynamodb_streams.progress.acquire import WallClock, acquire, store_of
from beam_dynamodb_streams.progress.address import Progress
from beam_dynamodb_streams.progress.commit import _SECONDS, _Commit, _NameRun, _Reach
from beam_dynamodb_streams.progress.store import LeaseRecord
from beam_dynamodb_streams.records import ChangeRecord, to_arrow
from beam_dynamodb_streams.records.versions import version_base, version_of
from beam_dynamodb_streams.shards.position import After
from beam_dynamodb_streams.shards.stream_position import StreamPosition

START = datetime(2026, 1, 31, 12, tzinfo=timezone.utc)


def record(number: int, second: int, version: str | None = None) -> ChangeRecord:
    return ChangeRecord(
        event_id=str(number),
        event_name="INSERT",
        keys={"id": "o-1"},
        sequence_number=str(number),
        version=version,
        shard_id="a",
        approximate_creation_time=START + timedelta(seconds=second),
    )


def moments(bundle: list[tuple[int, int, float]], seconds: int) -> list[tuple[float, int]]:
    """(end of the window in which it is committed, sequence number) of what a bundle of (number, creation, timestamp)
    reached."""
    reach = _Reach(seconds)
    reach.start_bundle()
    for number, created, timestamp in bundle:
        assert list(reach.process(record(number, created), Timestamp(START.timestamp() + timestamp))) == []
    reached = []
    for found in reach.finish_bundle():
        moment = float(found.timestamp) - START.timestamp()
        reached.append((moment - moment % _SECONDS + _SECONDS, int(found.value[1][1])))
    return reached


@st.composite
def shards(draw: st.DrawFn) -> tuple[int, int, list[int]]:
    """(slack, length of the windows or 0, creation seconds in the order of the shard): no record precedes another one
    that was created more than the slack before it."""
    slack, length = draw(st.integers(0, 7)), draw(st.sampled_from([0, 3, 10, 60]))
    newest, created = 0, []
    for _ in range(draw(st.integers(1, 30))):
        newest += draw(st.sampled_from([0, 0, 1, 2, 9]))
        created.append(max(0, newest - draw(st.integers(0, slack))))
    return slack, length, created


@given(shards(), st.randoms())
def test_what_precedes_a_committed_change_was_delivered_before_the_watermark_moved(
    shard: tuple[int, int, list[int]], random: object
) -> None:
    """A change is under way while the watermark has not passed its timestamp: its creation, or its window's end."""
    slack, length, created = shard
    stamps = [second if not length else (second // length + 1) * length - 0.001 for second in created]
    reached = [
        entry
        for number, (second, stamp) in enumerate(zip(created, stamps, strict=True))
        for entry in moments([(number, second, stamp)], slack + ceil(length))
    ]
    for end, number in reached:
        assert all(stamp < end for stamp in stamps[: number + 1])


def test_a_bundle_reports_only_the_last_of_each_moment() -> None:
    bundle = [(n, n // 10, float(n // 10)) for n in range(100)]
    assert sorted(moments(bundle, 0)) == [(5.0, 49), (10.0, 99)]


def test_a_change_dated_far_ahead_keeps_no_progress_from_being_saved() -> None:
    """Alone, in a bundle with others, and in a batch: what is saved waits for no moment beyond the present."""
    now = START.timestamp() + 100
    ahead = 50 * 365 * 86400

    def saved(*elements: ChangeRecord | pa.RecordBatch) -> list[tuple[float, int]]:
        reach = _Reach(0, WallClock(lambda: now))
        reach.start_bundle()
        for element in elements:
            list(reach.process(element, Timestamp(START.timestamp() + (ahead if element is future else 0))))
        return sorted((float(found.timestamp) - now, int(found.value[1][1])) for found in reach.finish_bundle())

    future = record(2, ahead)
    assert saved(future) == [(60, 2)]
    assert saved(record(1, 90), future) == [(-100, 1), (60, 2)]
    assert saved(to_arrow([record(1, 90), future, record(3, 80)])) == [(-10, 3)]
    assert saved(to_arrow([future])) == [(60, 2)]


class State:
    """A runner's, of one key."""

    def __init__(self) -> None:
        self.held: list[Any] = []

    def read(self) -> Any:
        return list(self.held)

    def add(self, value: Any) -> None:
        self.held.append(value)

    def clear(self) -> None:
        self.held = []


class Value(State):
    def read(self) -> Any:
        return self.held[0] if self.held else None

    def write(self, value: Any) -> None:
        self.held = [value]


def test_a_step_writes_only_in_the_name_of_its_own_run_in_any_order_and_process(
    tmp_path: Path,
) -> None:
    progress = Progress(f"file:{tmp_path / 'progress.json'}")
    store, run, waiting = store_of(progress), Value(), State()

    def bundle(numbers: list[tuple[str, str]], name: str | None = None) -> None:
        """In a process of its own, with the state of the runner's."""
        commit = _Commit(progress)
        commit.setup()
        commit.start_bundle()
        named = [] if name is None else list(_NameRun(str).process(name))
        for element in [("progress", numbers), *named]:
            assert list(commit.process(element, run, waiting)) == []
        commit.finish_bundle()

    acquire(store, "one", "arn", 30.0, WallClock())
    store.begin("one", StreamPosition("arn"), 0)
    bundle([("a", "9"), ("b", "1")])
    bundle([("a", "10")])
    assert store.read().streams["arn"].shards == {}
    bundle([], "one")
    bundle([("b", "2"), ("b", "1")])
    before = store.read()
    assert before.streams["arn"].position("arn").shards == {"a": After("10"), "b": After("2")}
    assert store.swap_lease(before.lease, LeaseRecord("two", "arn", WallClock().now()))
    with pytest.raises(FencedError, match=r"no longer held by this run \(one\) but by run two"):
        bundle([("b", "3")])
    assert store.read().streams == before.streams


def test_what_is_delivered_of_the_next_stream_is_saved_there_and_the_old_one_forgotten(tmp_path: Path) -> None:
    """Trap 14: the version of a change says of which stream it is."""
    old = "arn:aws:dynamodb:us-east-1:000000000000:table/orders/stream/2026-01-31T12:00:00.000"
    new = old.replace("T12", "T13")
    progress = Progress(f"file:{tmp_path / 'progress.json'}")
    store = store_of(progress)
    acquire(store, "one", old, 30.0, WallClock())
    store.begin("one", StreamPosition(old), 0)

    def commit(stream_arn: str, number: str, run: Value) -> None:
        reach, step = _Reach(5), _Commit(progress)
        change = record(int(number), 0, version_of(version_base(stream_arn), number))
        reach.start_bundle()
        for element in (change, to_arrow([change])):
            assert list(reach.process(element, Timestamp(0))) == []
        step.setup()
        step.start_bundle()
        for found in reach.finish_bundle():
            assert list(step.process(("progress", [found.value[1]]), run, State())) == []
        step.finish_bundle()

    run = Value()
    run.write("one")
    commit(old, "5", run)
    assert {arn: each.position(arn).shards for arn, each in store.read().streams.items()} == {old: {"a": After("5")}}
    commit(new, "3", run)
    assert {arn: each.position(arn).shards for arn, each in store.read().streams.items()} == {new: {"a": After("3")}}
