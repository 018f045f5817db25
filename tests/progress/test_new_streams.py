"""Progress outside the runner, over streams of a table that was enabled again (trap 14)."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pytest

from beam_dynamodb_streams import Progress, Schema, WriteChangesToParquet
from beam_dynamodb_streams.errors import DataLossError, NewStreamError
from beam_dynamodb_streams.progress.acquire import store_of
from beam_dynamodb_streams.progress.store import LeaseRecord
from beam_dynamodb_streams.shards.position import SHARD_END, TRIM_HORIZON, After
from beam_dynamodb_streams.shards.stream_position import StreamPosition
from beam_dynamodb_streams.testing import LocalStreams, Table
from tests.e2e.collected import outputs_of, read_orders


@pytest.fixture
def progress(tmp_path: Path) -> str:
    return f"file:{tmp_path / 'progress.json'}"


@pytest.fixture
def orders(service: LocalStreams) -> Table:
    table = service.create_table("orders", keys={"id": "S"}, shards=2)
    write(table, 0)
    return table


def write(table: Table, generation: int, count: int = 30) -> set[str]:
    return {change.event_id for change in table.put_many({"id": f"o-{n}", "n": generation} for n in range(count))}


def read(service: LocalStreams, directory: Path, progress: str | None, **options: Any) -> list[str]:
    options = {"on_data_loss": "continue", "stop": "NOW", "on_new_stream": None, **options}
    (out,) = outputs_of(directory, read_orders(service, progress=progress, **options))
    return [record.event_id for record, _ in out]


def enable_again(orders: Table) -> tuple[str, str]:
    old = orders.stream_arn
    orders.disable_stream()
    return old, orders.enable_stream(shards=2)


def test_progress_in_the_old_stream_is_followed_to_the_next_one(
    service: LocalStreams, orders: Table, tmp_path: Path, progress: str
) -> None:
    first = read(service, tmp_path, progress, stop=10)
    old, new = enable_again(orders)
    write(orders, 1)
    second = read(service, tmp_path, progress)
    assert sorted(first + second) == sorted(change.event_id for change in orders.changes)
    saved = store_of(Progress(progress)).read()
    assert list(saved.streams) == [new], f"{old} was read to its end by one read"
    assert saved.lease is not None
    assert saved.lease.stream_arn == new
    later = write(orders, 2)
    assert set(read(service, tmp_path, progress)) == later


def test_the_loss_between_two_streams_ends_a_run_and_nothing_of_the_next_one_is_delivered(
    service: LocalStreams, orders: Table, tmp_path: Path, progress: str
) -> None:
    read(service, tmp_path, progress)
    old, new = enable_again(orders)
    write(orders, 1)
    with pytest.raises(DataLossError, match=r"changes may have been lost between arn.*and arn"):
        read(service, tmp_path, progress, on_data_loss="fail")
    assert list(store_of(Progress(progress)).read().streams) == [old] != [new]


def test_progress_of_several_groups_resumes_in_the_oldest_stream_and_repeats_nothing(
    service: LocalStreams, orders: Table, tmp_path: Path, progress: str
) -> None:
    """One group may have begun the next stream while another was still reading the old one."""
    old_changes = {change.shard_id: change.sequence_number for change in orders.changes}
    left_shard, right_shard = sorted(old_changes)
    right = [change.event_id for change in orders.changes if change.shard_id == right_shard]
    old, new = enable_again(orders)
    write(orders, 1)
    new_changes = {c.shard_id: c.sequence_number for c in orders.changes if c.stream_arn == new}
    first, second = sorted(new_changes)
    unread = [c.event_id for c in orders.changes if c.shard_id == second]
    store = store_of(Progress(progress))
    store.swap_lease(None, lease_of(old))
    store.begin("before", StreamPosition(old, shards={left_shard: SHARD_END}), 10)
    store.begin("before", StreamPosition(new, shards={first: After(new_changes[first])}), 20)
    assert sorted(read(service, tmp_path, progress)) == sorted(right + unread)


def lease_of(stream_arn: str) -> LeaseRecord:
    return LeaseRecord("before", stream_arn, 0.0)


def test_progress_in_a_table_that_was_created_again_is_refused(
    service: LocalStreams, orders: Table, tmp_path: Path, progress: str
) -> None:
    read(service, tmp_path, progress)
    orders.delete_table()
    write(service.create_table("orders", keys={"id": "S"}), 1)
    with pytest.raises(NewStreamError, match="the table was deleted and created again since"):
        read(service, tmp_path, progress)


def test_a_saved_position_in_the_old_stream_is_followed(service: LocalStreams, orders: Table, tmp_path: Path) -> None:
    half = orders.changes[: len(orders.changes) // 2]
    position = StreamPosition(orders.stream_arn)
    for change in half:
        position = position.after(change)
    enable_again(orders)
    write(orders, 1)
    found = read(service, tmp_path, None, start=position.to_json())
    assert set(found) == {c.event_id for c in orders.changes} - {c.event_id for c in half}


def test_a_position_with_one_that_follows_reads_both_streams_on_from_it(
    service: LocalStreams, orders: Table, tmp_path: Path
) -> None:
    last = {change.shard_id: change.sequence_number for change in orders.changes}
    old, new = enable_again(orders)
    write(orders, 1)
    read_of_new = [change for change in orders.changes if change.stream_arn == new][:10]
    after_new = StreamPosition(new)
    for change in read_of_new:
        after_new = after_new.after(change)
    position = StreamPosition(old, TRIM_HORIZON, StreamPosition.delivered(last).shards, following=(after_new,))
    assert StreamPosition.from_json(position.to_json()) == position
    found = read(service, tmp_path, None, start=position)
    new_ids = {change.event_id for change in orders.changes if change.stream_arn == new}
    assert set(found) == new_ids - {change.event_id for change in read_of_new}


def test_a_start_at_a_moment_of_the_old_stream_reads_from_there(
    service: LocalStreams, orders: Table, tmp_path: Path
) -> None:
    moment = datetime.fromtimestamp(time.time(), timezone.utc)
    time.sleep(1.2)
    enable_again(orders)
    write(orders, 1)
    found = read(service, tmp_path, None, start=moment)
    assert {change.event_id for change in orders.changes[-30:]} <= set(found)
    latest_only = read(service, tmp_path, None, start=moment, on_new_stream="finish")
    assert len(latest_only) == 30


@pytest.mark.parametrize("form", ["batches", "sink"])
def test_a_stream_without_new_images_is_refused_where_columns_are_typed(
    service: LocalStreams, orders: Table, tmp_path: Path, form: str
) -> None:
    position = StreamPosition(orders.stream_arn)
    orders.disable_stream()
    orders.enable_stream("KEYS_ONLY")
    schema = Schema(pa.schema([("id", pa.string()), ("n", pa.int64())]), keys=["id"])
    pipeline = beam.Pipeline("FnApiRunner")
    read = read_orders(service, start=position, on_data_loss="continue", on_new_stream="follow")
    changes = pipeline | (read.as_batches(schema) if form == "batches" else read)
    if form == "sink":
        _ = changes | WriteChangesToParquet(tmp_path / "out", schema=schema)
    with pytest.raises(NewStreamError, match="has the view type KEYS_ONLY: it has no new images"):
        pipeline.run()
