"""Changes in Debezium's form: golden bytes, every operation, keys and tombstones."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pytest
from apache_beam.testing.util import assert_that, equal_to

from beam_dynamodb_streams import AsDebezium, ChangeRecord, WriteChangesToDebezium, read_schema
from beam_dynamodb_streams.columns import Columns
from beam_dynamodb_streams.columns.debezium import DebeziumSource, encode_debezium_lines
from beam_dynamodb_streams.errors import ElementTypeError, InvalidOptionError, MalformedRecordError, MisfitError
from beam_dynamodb_streams.records.text_columns import to_arrow

GOLDEN = Path(__file__).parent.parent / "compat" / "debezium_v1.jsonl"
TIME = datetime(2026, 1, 31, 12, 0, 0, 250_000, tzinfo=timezone.utc)
NEW: dict[str, Any] = {
    "id": "o-1",
    "total": Decimal("12.50"),
    "big": Decimal("12345678901234567890123456789012345678"),
    "huge": Decimal("1E+40"),
    "raw": b"\x00\xff",
    "paid": True,
    "none": None,
    "tags": {"b", "a"},
    "sizes": {Decimal(10), Decimal(9)},
    "address": {"zip-code": "89073", "lines": ["x", Decimal(2)]},
    'odd "name" ü': "ü",
}
OLD = {"id": "o-1", "total": Decimal("9.99")}
TTL = {"Type": "Service", "PrincipalId": "dynamodb.amazonaws.com"}


def change(name: str, new: dict[str, Any] | None, old: dict[str, Any] | None, **given: Any) -> ChangeRecord:
    fields: dict[str, Any] = {
        "event_id": f"e-{name}",
        "event_name": name,
        "keys": {"id": "o-1"},
        "new_image": new,
        "old_image": old,
        "sequence_number": "" if name == "READ" else "100",
        "shard_id": "shardId-1",
        "approximate_creation_time": TIME,
    }
    return ChangeRecord(**{**fields, **given})


VERSION = "0001769860800-00000000000000000000-" + 40 * "0"
CHANGES = [
    change("INSERT", NEW, None),
    change("MODIFY", NEW, OLD),
    change("REMOVE", None, OLD, user_identity=TTL),
    change("READ", NEW, None, version=VERSION),
]
SOURCE = DebeziumSource("orders-prod", "orders")


def test_the_bytes_of_each_operation_stay_the_same() -> None:
    lines = encode_debezium_lines(to_arrow(CHANGES), SOURCE, None)
    assert lines == GOLDEN.read_bytes()
    events = [json.loads(line, parse_float=Decimal) for line in lines.splitlines()]
    assert [event["op"] for event in events] == ["c", "u", "d", "r"]
    assert [event["source"]["snapshot"] for event in events] == ["false", "false", "false", "true"]
    assert [event["source"]["is_ttl_delete"] for event in events] == [False, False, True, False]
    assert events[1]["before"] == OLD
    assert events[2]["after"] is None
    image = {**NEW, "raw": "AP8=", "tags": ["a", "b"], "sizes": [9, 10]}
    assert events[0]["after"] == events[1]["after"] == events[3]["after"] == image
    assert events[0]["before"] is events[3]["before"] is events[0]["transaction"] is None
    assert events[0]["ts_ms"] == events[0]["source"]["ts_ms"] == 1769860800250
    assert json.loads(events[3]["source"]["sequence"]) == [VERSION] == [events[3]["source"]["item_version"]]
    assert events[0]["source"].items() >= {"connector": "dynamodb", "name": "orders-prod", "table": "orders"}.items()


def test_typed_images_have_the_names_and_numbers_of_the_schema() -> None:
    kinds = {"id": "string", "total": "decimal128(12, 2)", "address": {"zip-code": "string"}, "raw": "binary"}
    schema = read_schema(kinds, keys=["id"], rename="safe", other="rest")
    new = {"id": "o-1", "total": Decimal("12.5"), "address": {"zip-code": "1"}, "raw": b"\xff", "more": Decimal(1)}
    rows = Columns(schema).of_records([change("INSERT", new, None), change("REMOVE", None, OLD)]).rows
    first, second = encode_debezium_lines(rows, SOURCE, schema).splitlines()
    assert b'"total":12.50,"address":{"zip_code":"1"},"raw":"/w==","rest":{"more":{"N":"1"}}}' in first
    assert json.loads(second)["before"] == {"id": "o-1", "total": 9.99, "address": None, "raw": None, "rest": None}


def test_a_delete_may_lack_its_old_image_and_no_other_change_its_new_one() -> None:
    gone = change("REMOVE", None, None, stream_view_type="NEW_IMAGE")
    assert json.loads(encode_debezium_lines(to_arrow([gone]), SOURCE, None))["before"] == {"id": "o-1"}
    bare = change("MODIFY", None, None, stream_view_type="KEYS_ONLY")
    with pytest.raises(InvalidOptionError, match=r"change 100 of shardId-1 has no new image.*NEW_AND_OLD_IMAGES"):
        encode_debezium_lines(to_arrow([bare]), SOURCE, None)


def test_a_malformed_image_is_reported_with_its_place() -> None:
    batch = to_arrow([change("INSERT", NEW, None)])
    damaged = batch.set_column(batch.schema.get_field_index("new_image"), "new_image", pa.array(['{"a":{"N":"x"}}']))
    with pytest.raises(MalformedRecordError, match="new_image is") as caught:
        encode_debezium_lines(damaged, SOURCE, None)
    assert (caught.value.shard, caught.value.position) == ("shardId-1", "100")


def made(elements: list[Any], step: AsDebezium, check: Any) -> None:
    with beam.Pipeline("FnApiRunner") as pipeline:
        assert_that(pipeline | beam.Create(elements) | step, check)


def test_the_step_makes_texts_of_changes_and_of_batches() -> None:
    expected = GOLDEN.read_text("utf-8").splitlines()
    step = AsDebezium(table="orders", name="orders-prod")
    made(CHANGES, step, equal_to(expected))
    made([to_arrow(CHANGES)], step, equal_to(expected))


def test_a_keyed_step_makes_keys_and_a_tombstone_behind_each_delete() -> None:
    lines = GOLDEN.read_bytes().splitlines()
    key = b'{"id":"o-1"}'
    pairs: list[tuple[bytes, bytes | None]] = [(key, line) for line in lines]
    options: dict[str, Any] = {"table": "orders", "name": "orders-prod", "keyed": True}
    made(CHANGES, AsDebezium(**options, tombstones_on_delete=False), equal_to(pairs))
    made(CHANGES, AsDebezium(**options), equal_to([*pairs, (key, None)]))


def test_a_step_with_a_schema_takes_changes_and_both_kinds_of_batches() -> None:
    schema = read_schema({"id": "string"}, keys=["id"])
    rows = Columns(schema).of_records(CHANGES).rows
    expected = encode_debezium_lines(rows, SOURCE, schema).decode().splitlines()
    step = AsDebezium(schema, table="orders", name="orders-prod")
    for elements in (CHANGES, [rows], [to_arrow(CHANGES)]):
        made(elements, step, equal_to(expected))


def test_what_the_step_does_not_take_is_refused_with_the_fix() -> None:
    narrow = read_schema({"id": "string", "total": "int64"}, keys=["id"])
    for element, schema, error in (
        (pa.RecordBatch.from_pydict({"a": [1]}), None, ElementTypeError),
        (CHANGES[0], narrow, MisfitError),
    ):
        with pytest.raises(error, match=r"AsDebezium|does not fit its column"):
            made([element], AsDebezium(schema), equal_to([]))
    for options in ({"name": ""}, {"table": ""}, {"schema": {"id": "string"}}):
        with pytest.raises(InvalidOptionError):
            AsDebezium(**options)  # type: ignore[arg-type]


def test_the_sink_writes_the_lines_and_refuses_other_layouts(tmp_path: Path) -> None:
    with beam.Pipeline("FnApiRunner") as pipeline:
        sink = WriteChangesToDebezium(tmp_path, table="orders", name="orders-prod")
        _ = pipeline | beam.Create([to_arrow(CHANGES[:3])]) | sink
    (file,) = tmp_path.glob("*.jsonl")
    assert sorted(file.read_bytes().splitlines()) == sorted(GOLDEN.read_bytes().splitlines()[:3])
    assert sink.needs_new_images
    with pytest.raises(InvalidOptionError, match="use layout='change_log'"):
        WriteChangesToDebezium(tmp_path, layout="latest_image")
