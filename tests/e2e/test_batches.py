"""The read as Arrow record batches, and the selection of changes: both against the read of plain records."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import apache_beam as beam
import pyarrow as pa
import pytest

from beam_dynamodb_streams import ChangeRecord, DeliveredPosition, ReadFromDynamoDBStreams, Schema
from beam_dynamodb_streams.columns import Columns
from beam_dynamodb_streams.errors import InvalidOptionError
from beam_dynamodb_streams.records import CHANGE_SCHEMA, RecordBatchCoder, to_arrow
from beam_dynamodb_streams.testing import Clock, LocalStreams
from tests.e2e.collected import outputs_of, read_orders
from tests.e2e.test_dead_letters import entry

SCHEMA = Schema(pa.schema([("id", pa.string()), ("n", pa.int64())]), keys=("id",))


def written(service: LocalStreams, *, shards: int = 2) -> None:
    orders = service.create_table("orders", keys={"id": "S"}, shards=shards)
    orders.put_many({"id": f"o-{n % 40}", "n": n} for n in range(300))
    orders.roll_all()
    orders.put_many({"id": f"o-{n % 40}", "n": n} for n in range(300, 400))
    for n in range(5):
        orders.delete({"id": f"o-{n}"})


def by_shard(records: list[ChangeRecord]) -> list[ChangeRecord]:
    return sorted(records, key=lambda record: (record.shard_id, int(record.sequence_number)))


@pytest.mark.parametrize("schema", [None, SCHEMA], ids=["text", "typed"])
def test_batches_hold_what_the_records_hold(service: LocalStreams, tmp_path: Path, schema: Schema | None) -> None:
    written(service)
    (changes,) = outputs_of(tmp_path, read_orders(service, stop=405))
    records = by_shard([change for change, _ in changes])
    (batches,) = outputs_of(tmp_path, read_orders(service, stop=405).as_batches(schema))
    expected = to_arrow(records) if schema is None else Columns(schema).of_records(records).rows
    rows = sorted(
        (row for batch, _ in batches for row in batch.to_pylist()),
        key=lambda row: (row["shard_id"], int(row["sequence_number"])),
    )
    assert rows == expected.to_pylist()
    assert {batch.schema for batch, _ in batches} == {CHANGE_SCHEMA if schema is None else schema.arrow}
    assert len(rows) == 405


def test_a_batch_is_of_one_span_and_at_its_earliest_change(tmp_path: Path) -> None:
    clock = Clock()
    with LocalStreams(clock=clock) as service:
        orders = service.create_table("orders", keys={"id": "S"})
        for n in range(50):
            orders.put_many([{"id": f"o-{n}"}])
            clock.advance(7)
        clock.advance(3600)
        read = read_orders(service, stop=50).as_batches(span=timedelta(minutes=1))
        (batches,) = outputs_of(tmp_path, read)
    assert sum(batch.num_rows for batch, _ in batches) == 50
    for batch, timestamp in batches:
        micros = batch["approximate_creation_time"].cast(pa.int64()).to_pylist()
        assert timestamp.micros == min(micros)
        assert len({moment // 60_000_000 for moment in micros}) == 1
    assert len(batches) == pytest.approx(50 * 7 / 60, abs=1.5)


@pytest.fixture
def two_spans() -> Iterator[LocalStreams]:
    """A page of many changes, and of one that is younger by more than a span."""
    clock = Clock()
    with LocalStreams(clock=clock) as service:
        orders = service.create_table("orders", keys={"id": "S"})
        orders.put_many({"id": f"o-{n}", "text": "x" * 1000} for n in range(200))
        clock.advance(60)
        orders.put_many([{"id": "alone"}])
        clock.advance(3600)
        yield service


def test_a_batch_of_part_of_a_page_keeps_the_page_neither_in_memory_nor_in_bytes(
    two_spans: LocalStreams, tmp_path: Path
) -> None:
    (batches,) = outputs_of(tmp_path, read_orders(two_spans, stop=201).as_batches())
    large, small = sorted((batch for batch, _ in batches), key=lambda batch: -batch.num_rows)
    assert (large.num_rows, small.num_rows) == (200, 1)
    for size in (small.get_total_buffer_size(), len(pickle.dumps(small)), len(RecordBatchCoder().encode(small))):
        assert size < 10_000
    assert large.nbytes > 200_000


def test_batches_cross_a_shuffle_as_they_are(two_spans: LocalStreams, tmp_path: Path) -> None:
    (before,) = outputs_of(tmp_path, read_orders(two_spans, stop=201).as_batches())
    (after,) = outputs_of(
        tmp_path, read_orders(two_spans, stop=201).as_batches(), then=lambda batches: batches | beam.Reshuffle()
    )
    assert sorted((batch for batch, _ in after), key=len) == sorted((batch for batch, _ in before), key=len)


def test_only_the_named_kinds_of_change_are_delivered(service: LocalStreams, tmp_path: Path) -> None:
    written(service)
    (changes,) = outputs_of(tmp_path, read_orders(service, event_names={"REMOVE"}, stop=5))
    assert [(change.event_name, change.keys["id"]) for change, _ in changes] == [
        ("REMOVE", change.keys["id"]) for change, _ in changes
    ]
    assert sorted(str(change.keys["id"]) for change, _ in changes) == [f"o-{n}" for n in range(5)]


@pytest.mark.parametrize("batches", [False, True])
def test_where_selects_changes_and_a_stop_counts_those_that_pass(
    service: LocalStreams, tmp_path: Path, *, batches: bool
) -> None:
    written(service, shards=1)
    read = read_orders(service, where=lambda change: change.keys["id"] == "o-7", stop=6)
    (changes,) = outputs_of(tmp_path, read.as_batches() if batches else read)
    if batches:
        keys = [json.loads(text) for batch, _ in changes for text in batch["keys"].to_pylist()]
    else:
        keys = [json.loads(change.keys_json) for change, _ in changes]
    assert keys == [{"id": {"S": "o-7"}}] * 6


def test_where_is_asked_before_an_image_is_decoded(service: LocalStreams, tmp_path: Path) -> None:
    """An image that nobody looks at may be anything; keys that are looked at and malformed are a dead letter."""
    orders = service.create_table("orders", keys={"id": "S"})
    orders.put_many([{"id": "good", "n": 1}])
    orders.append(orders.open_shard_ids[0], json.dumps(entry({"n": {"X": "1"}})).encode())
    orders.put_many([{"id": "good", "n": 2}])
    (changes,) = outputs_of(tmp_path, read_orders(service, where=lambda change: change.keys["id"] == "good", stop=2))
    assert [change.keys["id"] for change, _ in changes] == ["good", "good"]
    changes, dead, _ = outputs_of(tmp_path, read_orders(service, where=_looks_inside, stop=2).with_outputs())
    assert [change.keys["id"] for change, _ in changes] == ["good", "good"]
    assert len(dead) == 1


def _looks_inside(change: ChangeRecord) -> bool:
    return change.new_image is not None


def test_an_error_in_where_fails_the_pipeline(service: LocalStreams, tmp_path: Path) -> None:
    written(service)
    with pytest.raises(KeyError, match="nothing"):
        outputs_of(tmp_path, read_orders(service, where=lambda change: bool(change.keys["nothing"])))


@pytest.mark.parametrize(
    ("options", "quoted"),
    [
        ({"event_names": "INSERT"}, "'INSERT'"),
        ({"event_names": ["insert"]}, "insert"),
        ({"event_names": []}, "[]"),
        ({"where": "id = 1"}, "id = 1"),
    ],
)
def test_a_selection_that_selects_nothing_is_refused(options: dict[str, object], quoted: str) -> None:
    with pytest.raises(InvalidOptionError) as refusal:
        ReadFromDynamoDBStreams(table="orders", **options)  # type: ignore[arg-type]  # what is refused
    assert quoted in str(refusal.value)


@pytest.mark.parametrize("span", [timedelta(0), timedelta(milliseconds=500), timedelta(seconds=1.5), 0.5])
def test_a_span_of_no_whole_seconds_is_refused(span: timedelta | float) -> None:
    with pytest.raises(InvalidOptionError, match="span"):
        ReadFromDynamoDBStreams(table="orders").as_batches(span=span)


def test_a_schema_of_arrows_own_is_refused_with_what_to_do() -> None:
    with pytest.raises(InvalidOptionError, match=r"beam_dynamodb_streams\.Schema"):
        ReadFromDynamoDBStreams(table="orders").as_batches(pa.schema([("id", pa.string())]))  # type: ignore[arg-type]


def test_the_position_that_batches_cover_is_that_of_their_changes(service: LocalStreams, tmp_path: Path) -> None:
    written(service)

    def position(changes: beam.PCollection) -> beam.PCollection:
        return changes | DeliveredPosition()

    (of_changes,) = outputs_of(tmp_path, read_orders(service, stop=405), then=position)
    (of_batches,) = outputs_of(tmp_path, read_orders(service, stop=405).as_batches(), then=position)
    assert [found for found, _ in of_batches] == [found for found, _ in of_changes]
    assert len(of_batches) == 1
