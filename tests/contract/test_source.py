"""The source's contract, on every endpoint that speaks the API: what it gives is what the endpoint's own GetRecords
gives. Endpoints differ in what a write emits; they may not differ in how it is read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from beam_dynamodb_streams import ChangeRecord, ReadFromDynamoDBStreams, StreamPosition
from beam_dynamodb_streams.errors import NotFoundError, StreamNotEnabledError
from tests.contract.conftest import Orders
from tests.contract.endpoints import Endpoint, new_name
from tests.contract.lacks import DISABLED_STREAMS, KNOWN
from tests.contract.raw import Seen, by_key, by_shard, from_second, latest_stream, raw_changes, seen


class NoteLine(beam.DoFn):
    """Appends each record as a line of JSON to a file, in the order in which they come."""

    def __init__(self, path: str) -> None:
        self._path = path

    def process(self, record: ChangeRecord) -> Iterator[None]:
        with Path(self._path).open("a") as lines:
            lines.write(record.to_json() + "\n")
        yield from ()


def reading(url: str, **options: Any) -> ReadFromDynamoDBStreams:
    return ReadFromDynamoDBStreams(
        endpoint_url=url,
        watermark_slack=timedelta(seconds=1),
        quiet_pages=3,
        quiet_time=timedelta(milliseconds=300),
        **options,
    )


def new_pipeline() -> beam.Pipeline:
    return beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"]))


def noted(path: Path) -> list[ChangeRecord]:
    return [ChangeRecord.from_json(line) for line in path.read_text().splitlines()] if path.exists() else []


def records_of(url: str, notes: Path, **options: Any) -> list[ChangeRecord]:
    """Return what one bounded read delivers, in order."""
    with new_pipeline() as pipeline:
        _ = pipeline | reading(url, **options) | beam.ParDo(NoteLine(str(notes)))
    return noted(notes)


def assert_same(records: list[ChangeRecord], expected: list[Seen]) -> None:
    """The same changes, each once, those of each shard and so of each key in the same order."""
    given = [seen(record) for record in records]
    assert by_shard(given) == by_shard(expected)
    assert by_key(given) == by_key(expected)


def test_every_change_from_the_trim_horizon_is_as_the_endpoint_itself_gives_it(orders: Orders, tmp_path: Path) -> None:
    assert_same(records_of(orders.url, tmp_path / "notes", table=orders.table.name, stop="NOW"), orders.changes)


def test_a_start_in_time_gives_the_changes_created_from_that_second_on(orders: Orders, tmp_path: Path) -> None:
    latest_first, second_part = orders.first_part[-1].created, orders.changes[-1].created.replace(microsecond=0)
    if second_part <= latest_first:
        pytest.skip("NOT RUN: the endpoint's creation times are coarser than a second")
    records = records_of(orders.url, tmp_path / "notes", table=orders.table.name, start=second_part, stop="NOW")
    expected = from_second(orders.changes, second_part)
    assert 0 < len(expected) < len(orders.changes)
    assert_same(records, expected)


def test_a_read_stopped_by_a_count_saves_a_position_that_gives_the_other_changes(
    orders: Orders, tmp_path: Path
) -> None:
    first = records_of(orders.url, tmp_path / "first", table=orders.table.name, stop=25)
    assert len(first) == 25
    for shard, changes in by_shard(seen(record) for record in first).items():
        assert changes == by_shard(orders.changes)[shard][: len(changes)]
    position = StreamPosition()
    for record in first:
        position = position.after(record)
    saved = position.to_json()
    second = records_of(orders.url, tmp_path / "second", table=orders.table.name, start=saved, stop="NOW")
    assert_same([*first, *second], orders.changes)


def test_a_table_and_the_arn_of_its_stream_are_read_alike(orders: Orders, tmp_path: Path) -> None:
    stream = latest_stream(orders.url, orders.table.name)
    every = len(orders.changes)
    assert_same(records_of(orders.url, tmp_path / "by_arn", stream_arn=stream, stop=every), orders.changes)
    assert_same(records_of(orders.url, tmp_path / "by_name", table=orders.table.name, stop=every), orders.changes)


def test_two_reads_of_one_pipeline_are_flattened(orders: Orders, tmp_path: Path) -> None:
    every = len(orders.changes)
    with new_pipeline() as pipeline:
        reads = [
            pipeline | name >> reading(orders.url, table=orders.table.name, stop=every) for name in ("One", "Other")
        ]
        _ = reads | beam.Flatten() | beam.ParDo(NoteLine(str(tmp_path / "notes")))
    given = Counter(record.event_id for record in noted(tmp_path / "notes"))
    assert given == Counter(change.event_id for change in orders.changes * 2)


def test_a_read_with_outputs_has_three(orders: Orders, tmp_path: Path) -> None:
    read = reading(orders.url, table=orders.table.name, stop=len(orders.changes), on_data_loss="continue")
    with new_pipeline() as pipeline:
        changes, dead_letters, losses = pipeline | read.with_outputs()
        _ = changes | beam.ParDo(NoteLine(str(tmp_path / "changes")))
        for name, output in (("dead letters", dead_letters), ("losses", losses)):
            _ = output | name >> beam.Map(lambda odd, path: Path(path).write_text(repr(odd)), str(tmp_path / name))
    assert_same(noted(tmp_path / "changes"), orders.changes)
    assert {path.name for path in tmp_path.iterdir()} == {"changes"}


def test_an_unknown_table_is_named(endpoint: Endpoint, tmp_path: Path) -> None:
    unknown = new_name()
    with pytest.raises(NotFoundError, match=f"table '{unknown}' does not exist"):
        records_of(endpoint.url, tmp_path / "notes", table=unknown, stop="NOW")


def test_a_table_without_a_stream_is_named_with_the_way_to_enable_one(endpoint: Endpoint, tmp_path: Path) -> None:
    streamless = endpoint.create_table(stream=False).name
    with pytest.raises(StreamNotEnabledError, match=f"table '{streamless}' has no stream: enable one"):
        records_of(endpoint.url, tmp_path / "notes", table=streamless, stop="NOW")


def test_a_disabled_stream_is_read_and_ends_the_read(endpoint: Endpoint, tmp_path: Path) -> None:
    """Trap 14."""
    if DISABLED_STREAMS in KNOWN.get(endpoint.name, set()):
        pytest.skip(f"NOT RUN on {endpoint.name}: it lacks {DISABLED_STREAMS}")
    table = endpoint.create_table()
    table.batch(({"id": f"o-{n}", "n": n} for n in range(5)), [])
    stream, changes = latest_stream(endpoint.url, table.name), raw_changes(endpoint.url, table.name)
    table.disable_stream()
    every_and_more = len(changes) + 1
    assert_same(records_of(endpoint.url, tmp_path / "notes", stream_arn=stream, stop=every_and_more), changes)
