"""What a row of a file is, without a runner: the change log's own columns, and the latest image of an item."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

import fastavro
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_dynamodb_streams.columns import Columns, Schema, avro_records, avro_schema_of, json_field
from beam_dynamodb_streams.errors import InvalidOptionError
from beam_dynamodb_streams.records import ChangeRecord, to_arrow
from beam_dynamodb_streams.records.json_columns import encode_lines
from beam_dynamodb_streams.sinks.changed_attributes import changed_attributes
from beam_dynamodb_streams.sinks.formats import AvroFormat, JsonLinesFormat, ParquetFormat
from beam_dynamodb_streams.sinks.layouts import RowLayout, check_layout, latest_changes

TTL = {"type": "Service", "principalId": "dynamodb.amazonaws.com"}


def record(number: int, old: dict[str, Any] | None, new: dict[str, Any] | None, **given: Any) -> ChangeRecord:
    kind = "INSERT" if old is None else "REMOVE" if new is None else "MODIFY"
    return ChangeRecord(
        **{
            "event_id": f"event-{number}",
            "event_name": kind,
            "keys": {"id": (new or old or {}).get("id", "k")},
            "new_image": new,
            "old_image": old,
            "sequence_number": str(number),
            "shard_id": "shardId-a",
            "approximate_creation_time": datetime(2026, 11, 24, 8, tzinfo=timezone.utc),
            **given,
        }
    )


SCHEMA = Schema(
    pa.schema(
        [
            ("id", pa.string()),
            ("n", pa.decimal128(38, 4)),
            ("raw", pa.binary()),
            ("tags", pa.list_(pa.string())),
            ("lines", pa.list_(pa.struct([("article", pa.string()), ("pieces", pa.int64())]))),
            ("address", pa.struct([("city", pa.string()), ("zip", pa.string())])),
            ("counts", pa.map_(pa.string(), pa.int64())),
            json_field("any"),
        ]
    ),
    ("id",),
)

BASE: dict[str, Any] = {
    "id": "a",
    "n": Decimal(1),
    "raw": b"\x00",
    "tags": {"x", "y"},
    "lines": [{"article": "p", "pieces": Decimal(1)}, {"article": "q", "pieces": Decimal(2)}],
    "address": {"city": "Ulm", "zip": None},
    "counts": {"a": Decimal(1), "b": Decimal(2)},
    "any": {"deep": [Decimal(1), {"s"}]},
    "unknown": "u",
    "more": [Decimal(3)],
}
CASES: list[tuple[dict[str, Any], list[str]]] = [
    ({}, []),
    ({"n": Decimal("1.5")}, ["n"]),
    ({"n": None, "raw": b"\x01"}, ["n", "raw"]),
    ({"tags": {"y", "x"}}, []),
    ({"tags": {"x", "z"}}, ["tags"]),
    ({"tags": {"x"}}, ["tags"]),
    ({"lines": BASE["lines"][:1]}, ["lines"]),
    ({"lines": [BASE["lines"][0], {"article": "q", "pieces": Decimal(3)}]}, ["lines"]),
    ({"address": {"city": "Bonn", "zip": None}}, ["address"]),
    ({"counts": {"b": Decimal(2), "a": Decimal(1)}}, []),
    ({"counts": {"b": Decimal(3), "a": Decimal(1)}}, ["counts"]),
    ({"any": {"deep": [Decimal(1), {"t"}]}}, ["any"]),
    ({"unknown": "v", "more": [Decimal(3)]}, ["unknown"]),
    ({"new one": True}, ["new one"]),
]


@pytest.mark.parametrize("schema", [None, SCHEMA], ids=["text", "typed"])
def test_the_changed_attributes_are_those_whose_values_differ(schema):
    records = [record(number, BASE, {**BASE, **changes}) for number, (changes, _) in enumerate(CASES)]
    rows = to_arrow(records) if schema is None else Columns(schema).of_records(records).rows
    assert changed_attributes(rows, schema).to_pylist() == [sorted(names) for _, names in CASES]


@pytest.mark.parametrize("schema", [None, SCHEMA], ids=["text", "typed"])
def test_all_attributes_of_an_inserted_or_deleted_item_are_changed(schema):
    item = {"id": "a", "n": Decimal(1), "other": "x"}
    records = [record(1, None, item), record(2, item, None)]
    rows = to_arrow(records) if schema is None else Columns(schema).of_records(records).rows
    assert changed_attributes(rows, schema).to_pylist() == [["id", "n", "other"]] * 2


def test_an_attribute_that_is_in_its_column_and_in_the_column_other_is_listed_once():
    schema = replace(SCHEMA, on_misfit="text")
    old = {**BASE, "address": {"city": "Ulm", "floor": Decimal(1)}}
    new = [{"city": "Bonn", "floor": Decimal(2)}, {"city": "Ulm", "floor": Decimal(2)}, {"city": "Ulm"}, "Ulm"]
    records = [record(number, old, {**old, "address": address}) for number, address in enumerate(new)]
    rows = Columns(schema).of_records([*records, record(9, None, old)]).rows
    *changed, inserted = changed_attributes(rows, schema).to_pylist()
    assert changed == [["address"]] * len(new)
    assert inserted == sorted(old)


@pytest.mark.parametrize("schema", [None, SCHEMA], ids=["text", "typed"])
def test_what_changed_is_null_where_the_view_type_leaves_the_images_out(schema):
    """Trap 17."""
    given = {"event_name": "MODIFY", "stream_view_type": "NEW_IMAGE"}
    records = [record(1, None, {"id": "a"}, **given), record(2, None, None, event_name="INSERT"), record(3, BASE, BASE)]
    rows = to_arrow(records) if schema is None else Columns(schema).of_records(records).rows
    assert changed_attributes(rows, schema).to_pylist() == [None, None, []]
    assert RowLayout("change_log", schema).rows(rows)["is_replication"].to_pylist() == [None, None, False]


def test_an_image_that_is_not_an_object_is_written_as_received_with_null_changes():
    rows = to_arrow([record(1, BASE, BASE)])
    rows = rows.set_column(rows.schema.get_field_index("new_image"), "new_image", pa.array(["[]"]))
    assert changed_attributes(rows, None).to_pylist() == [None]


def test_deletes_by_time_to_live_are_marked_however_the_identity_is_spelt():
    lower = record(1, BASE, None, user_identity=TTL)
    upper = record(2, BASE, None, user_identity={"Type": "Service", "PrincipalId": "dynamodb.amazonaws.com"})
    others = [record(3, BASE, None), record(4, BASE, BASE, user_identity=TTL), record(5, BASE, None, user_identity={})]
    records = [lower, upper, *others]
    found = RowLayout("change_log", None).rows(to_arrow(records))["is_ttl_delete"].to_pylist()
    assert found == [each.is_ttl_delete for each in records] == [True, True, False, False, False]


def test_a_change_by_the_replication_of_an_old_global_table_is_marked():
    stamped = {**BASE, "aws:rep:updatetime": Decimal(1), "aws:rep:updateregion": "eu-west-1"}
    records = [
        record(1, BASE, stamped),
        record(2, stamped, {**stamped, "aws:rep:updatetime": Decimal(2)}),
        record(3, stamped, {**stamped, "n": Decimal(7)}),
        record(4, stamped, None),
        record(5, None, stamped),
    ]
    found = RowLayout("change_log", None).rows(to_arrow(records))["is_replication"].to_pylist()
    assert found == [True, True, False, False, True]


STAMP = "aws:rep:updatetime"
REPLICATION_SCHEMAS = {
    "text": None,
    "other": Schema(pa.schema({"id": pa.string()}), ("id",)),
    "column": Schema(pa.schema({"id": pa.string(), STAMP: pa.string()}), ("id",)),
    "int column": Schema(pa.schema({"id": pa.string(), STAMP: pa.int64()}), ("id",), on_misfit="text"),
}


@pytest.mark.parametrize("count", [1, 300], ids=["scalar", "vectorized"])
@pytest.mark.parametrize("schema", REPLICATION_SCHEMAS.values(), ids=REPLICATION_SCHEMAS)
def test_a_write_that_removes_the_stamps_of_an_old_global_table_is_not_replication(schema, count):
    plain = {"id": "a"}
    stamped = {**plain, STAMP: Decimal("1678818915.260001"), "aws:rep:deleting": False}
    records = [
        record(1, stamped, {**plain, "v": Decimal(2)}),
        record(2, stamped, {**plain, "v": {STAMP: Decimal(1)}}),
        record(3, stamped, {**stamped, STAMP: Decimal("1678818916.5")}),
        record(4, plain, stamped),
        record(5, stamped, {**stamped, "v": Decimal(3)}),
    ]
    records *= count
    rows = to_arrow(records) if schema is None else Columns(schema).of_records(records).rows
    found = RowLayout("change_log", schema).rows(rows)["is_replication"].to_pylist()
    assert found == [False, False, True, True, False] * count


def test_the_latest_image_is_the_last_change_of_each_key_or_a_tombstone():
    one, two = {"id": "a", "v": Decimal(1)}, {"id": "b", "v": Decimal(2)}
    records = [
        record(9, None, one),
        record(10, one, {**one, "v": Decimal(5)}),
        record(11, None, two),
        record(12, two, None),
    ]
    layout = RowLayout("latest_image", None)
    rows = layout.rows(layout.changes_with_a_row(to_arrow(records)))
    assert rows["sequence_number"].to_pylist() == ["10", "12"], "numbers compare as integers"
    assert rows["is_deleted"].to_pylist() == [False, True]
    assert [None if image is None else json.loads(image) for image in rows["image"].to_pylist()] == [
        {"id": {"S": "a"}, "v": {"N": "5"}},
        None,
    ]
    assert "old_image" not in rows.schema.names


def test_keys_of_two_attributes_are_the_same_in_either_order_of_their_members():
    rows = to_arrow([record(number, None, BASE) for number in (1, 2, 3)])
    keys = ['{"a":{"S":"},"},"b":{"N":"1"}}', '{"b": {"N":"1"}, "a": {"S":"},"}}', '{"a":{"S":"}"},"b":{"N":"1"}}']
    rows = rows.set_column(rows.schema.get_field_index("keys"), rows.schema.field("keys"), pa.array(keys))
    assert latest_changes(rows, None)["sequence_number"].to_pylist() == ["2", "3"]


@pytest.mark.parametrize("keys", ["5", "null", '{"id":{"BOOL":true}}', '{"id":{"S":"a","x":1}}'])
def test_changes_of_keys_that_are_malformed_each_have_a_row(keys):
    rows = to_arrow([record(number, None, BASE) for number in (1, 2, 3, 4)])
    good = '{"id":{"S":"a"}}'
    column = pa.array([good, keys, keys, good])
    rows = rows.set_column(rows.schema.get_field_index("keys"), rows.schema.field("keys"), column)
    assert latest_changes(rows, None)["sequence_number"].to_pylist() == ["2", "3", "4"]


def test_typed_keys_are_compared_by_value():
    schema = Schema(
        pa.schema([("id", pa.string()), ("at", pa.decimal128(20, 2)), ("b", pa.binary())]), ("id", "at", "b")
    )
    items = [
        {"id": "a", "at": Decimal(at), "b": b} for at, b in (("1.5", b"x"), ("1.50", b"x"), ("2", b"x"), ("2", b"y"))
    ]
    rows = Columns(schema).of_records([record(n, None, item, keys=item) for n, item in enumerate(items)]).rows
    assert latest_changes(rows, schema)["sequence_number"].to_pylist() == ["1", "2", "3"]
    assert len(latest_changes(rows.slice(0, 0), schema)) == 0


@pytest.mark.parametrize("on_misfit", ["text", "dead_letter"])
def test_changes_of_keys_that_their_column_does_not_hold_each_have_a_row(on_misfit):
    schema = Schema(pa.schema([("id", pa.int64()), ("v", pa.string())]), ("id",), on_misfit=on_misfit)
    items = [{"id": Decimal(key), "v": key} for key in ("1", "1.5", "2.5", "1")]
    rows = Columns(schema).of_records([record(n, None, item, keys={"id": item["id"]}) for n, item in enumerate(items)])
    layout = RowLayout("latest_image", schema)
    images = layout.rows(layout.changes_with_a_row(rows.rows))["image"].to_pylist()
    assert [image["v"] for image in images] == ["1.5", "2.5", "1"]
    assert [image["id"] for image in images] == [None, None, 1]
    assert len(rows.misfits) == (2 if on_misfit == "dead_letter" else 0)


def test_a_key_column_that_rounds_is_refused_for_the_latest_image():
    schema = Schema(pa.schema([("id", pa.float64())]), ("id",))
    assert RowLayout("change_log", schema)
    with pytest.raises(InvalidOptionError, match=r"key attribute 'id' as float64, which rounds.*declare decimal128"):
        RowLayout("latest_image", schema)


@pytest.mark.parametrize("layout", ["change_log", "latest_image"])
@pytest.mark.parametrize("schema", [None, SCHEMA], ids=["text", "typed"])
def test_avro_rows_have_the_names_of_the_arrow_columns(layout, schema):
    rows = RowLayout(layout, schema)
    fields = fastavro.parse_schema(avro_schema_of(rows.columns, "Row"))["fields"]
    assert [field["name"] for field in fields] == rows.columns.names
    changes = [record(1, None, BASE), record(2, BASE, None, user_identity=TTL)]
    batch = to_arrow(changes) if schema is None else Columns(schema).of_records(changes).rows
    assert all(list(row.keys() ^ rows.columns.names) == [] for row in avro_records(rows.rows(batch)))


@pytest.mark.parametrize("layout", ["change_log", "latest_image"])
def test_all_formats_write_the_same_columns_with_the_same_values(layout):
    rows = RowLayout(layout, None)
    changes = [
        record(1, None, BASE),
        record(2, BASE, {**BASE, "n": Decimal(2)}),
        record(3, BASE, None, user_identity=TTL),
        record(4, None, BASE, event_name="MODIFY", stream_view_type="NEW_IMAGE"),
    ]
    batch = rows.rows(to_arrow(changes))
    written = {form.name: io.BytesIO() for form in (ParquetFormat("zstd"), AvroFormat("null"), JsonLinesFormat("none"))}
    for form in (ParquetFormat("zstd"), AvroFormat("null"), JsonLinesFormat("none")):
        writer = form.writer(written[form.name], rows)
        writer.write(to_arrow(changes))
        writer.close()
    assert pq.read_table(written["parquet"]).to_pylist() == batch.to_pylist()
    written["avro"].seek(0)
    assert list(fastavro.reader(written["avro"])) == batch.to_pylist()
    for line, expected in zip(written["jsonl"].getvalue().splitlines(), batch.to_pylist(), strict=True):
        members = json.loads(line)
        assert list(members) == rows.columns.names
        for name, value in expected.items():
            if name in ("user_identity", "keys", "new_image", "old_image", "image"):
                assert members[name] == (None if value is None else json.loads(value))
            elif isinstance(value, datetime):
                assert datetime.fromisoformat(members[name]) == value
            else:
                assert members[name] == value


def test_a_line_of_a_change_log_is_that_of_its_record_with_the_columns_of_the_layout():
    changes = [record(1, None, BASE), record(2, BASE, {**BASE, "n": Decimal(2)})]
    lines = encode_lines(RowLayout("change_log", None).rows(to_arrow(changes))).decode().splitlines()
    for change, line in zip(changes, lines, strict=True):
        assert line.startswith(change.to_json()[:-1] + ',"changed_attributes":')
        assert ChangeRecord.from_json(line) == ChangeRecord.from_json(change.to_json()) == change
    assert encode_lines(to_arrow(changes)).decode().splitlines() == [change.to_json() for change in changes]


def test_an_unknown_layout_is_refused_with_those_there_are():
    with pytest.raises(InvalidOptionError, match="layout='wide' is unknown: use one of 'change_log', 'latest_image'"):
        check_layout("wide")


texts = st.text(max_size=6) | st.sampled_from(['"', "\\", "\n", "\x00", "\x7f", "é\u2028"])
json_texts = st.sampled_from(['{"id":{"S":"a"}}', '{ "id":\n\r {"S": "\\n"} }', '{"é":{"N":"1"}}'])
rows_of_a_file = st.lists(
    st.fixed_dictionaries(
        {
            "event_id": texts,
            "version": texts,
            "approximate_creation_time": st.integers(0, 253_370_764_799_999_999) | st.sampled_from([0, 1_000_000]),
            "size_bytes": st.none() | st.integers(-(2**63), 2**63 - 1),
            "user_identity": st.none() | json_texts,
            "keys": json_texts,
            "new_image": st.none() | json_texts,
            "changed_attributes": st.none() | st.lists(texts, max_size=3),
            "is_ttl_delete": st.booleans(),
            "is_replication": st.none() | st.booleans(),
        }
    ),
    max_size=4,
)


@given(rows_of_a_file, st.integers(0, 2))
def test_lines_are_those_of_the_rows_one_by_one(rows, start: int):
    columns = RowLayout("change_log", None).columns
    schema = pa.schema([columns.field(name) for name in (rows[0] if rows else {"keys": ""})])
    batch = pa.RecordBatch.from_pylist(rows, schema).slice(start)
    expected = [
        {
            name: msgspec.Raw(b"null" if value is None else value.encode().replace(b"\n", b"").replace(b"\r", b""))
            if name in ("user_identity", "keys", "new_image")
            else value
            for name, value in row.items()
        }
        for row in batch.to_pylist()
    ]
    assert encode_lines(batch) == msgspec.json.Encoder().encode_lines(expected)
