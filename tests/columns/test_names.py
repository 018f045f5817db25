"""Names that readers refuse: who refuses them, the safe rule, and renaming at every depth, there and back."""

from __future__ import annotations

import io
import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_dynamodb_streams import ChangeRecord, Schema, read_schema
from beam_dynamodb_streams.columns import Columns, from_avro_row, infer, safe_name
from beam_dynamodb_streams.errors import InvalidOptionError
from beam_dynamodb_streams.records.values import encode_image
from beam_dynamodb_streams.rows import RowMaker, row_class
from beam_dynamodb_streams.sinks.formats import AvroFormat, Format, JsonLinesFormat, ParquetFormat
from beam_dynamodb_streams.sinks.layouts import RowLayout

BITING = {
    "order-id": "string",
    "a.b": "string",
    "aws:rep:updatetime": "string",
    "1st": "string",
    "_PARTITIONTIME": "string",
    "größe": "string",
    "class": "string",
    "userId": "string",
    "userid": "string",
    "address": {"zip-code": "string", "City": "string", "city": "string"},
    "lines": [{"line-no": "int64", "tags": {"*": {"x-y": "string"}}}],
    "prices": {"*": {"per unit": "float64"}},
    "total": "decimal128(12, 2)",
}
ITEM: dict[str, Any] = {
    "order-id": "o-1",
    "a.b": "dot",
    "aws:rep:updatetime": "7",
    "1st": "one",
    "_PARTITIONTIME": "never",
    "größe": "L",
    "class": "A",
    "userId": "right",
    "userid": "typo",
    "address": {"zip-code": "89073", "City": "Ulm", "city": "ulm"},
    "lines": [{"line-no": 1, "tags": {"k": {"x-y": "z"}}}, {"line-no": 2, "tags": {}}],
    "prices": {"A-1": {"per unit": 2}},
    "total": 12,
}
SAFE = {
    "order-id": "order_id",
    "a.b": "a_b",
    "aws:rep:updatetime": "aws_rep_updatetime",
    "1st": "col_1st",
    "_PARTITIONTIME": "col_PARTITIONTIME",
    "größe": "grosse",
    "class": "col_class",
    "userid": "userid_2",
    "address.zip-code": "zip_code",
    "address.city": "city_2",
    "lines[].line-no": "line_no",
    "lines[].tags.*.x-y": "x_y",
    "prices.*.per unit": "per_unit",
}
SCHEMA = read_schema(BITING, keys=["order-id"], rename="safe")
FORMATS = [ParquetFormat("zstd"), AvroFormat("deflate"), JsonLinesFormat("none")]


def of(item: dict[str, Any], key: str = "order-id") -> ChangeRecord:
    return ChangeRecord(
        event_id="1",
        event_name="MODIFY",
        keys={key: item[key]},
        new_image=item,
        old_image={key: item[key]},
        sequence_number="1",
        shard_id="shardId-1",
        approximate_creation_time=datetime(2026, 1, 31, tzinfo=timezone.utc),
    )


def written(form: Format, schema: Schema, *changes: ChangeRecord, layout: Any = "change_log") -> io.BytesIO:
    rows, file = RowLayout(layout, schema), io.BytesIO()
    form.check(rows)
    writer = form.writer(file, rows)
    writer.write(Columns(schema).of_records(changes).rows)
    writer.close()
    file.seek(0)
    return file


def test_the_safe_rule_renames_what_a_reader_refuses_at_every_depth_and_nothing_else() -> None:
    assert SCHEMA.rename == SAFE
    assert SCHEMA.arrow.equals(read_schema(BITING, keys=["order-id"]).arrow)


def test_every_problem_names_its_path_its_readers_and_its_safe_name() -> None:
    found = {each.path: each for each in SCHEMA.name_problems()}
    assert found.keys() == SAFE.keys() | {"userId", "address.City"}
    assert {path: each.in_files for path, each in found.items() if path in SAFE} == SAFE
    assert {path: each.safe for path, each in found.items() if path in SAFE} == SAFE
    assert set(found["order-id"].refused_by) == {"Athena", "Beam rows", "BigQuery", "Glue", "Hive"}
    assert "Iceberg" in found["a.b"].refused_by
    assert found["_PARTITIONTIME"].refused_by == ("Beam rows", "BigQuery")
    assert "DuckDB" in found["userid"].refused_by
    assert found["userid"].reason == "differs only in case from 'userId'"
    assert {each.in_files for each in read_schema(SCHEMA, rename={}).name_problems()} >= {"order-id", "zip-code"}


@pytest.mark.parametrize("form", FORMATS[:2], ids=lambda form: form.name)
def test_a_file_has_the_safe_names_and_gives_those_of_the_table_back(form: Format, tmp_path: Path) -> None:
    file = written(form, SCHEMA, of(ITEM))
    path = tmp_path / f"changes{form.suffix}"
    path.write_bytes(file.getvalue())
    schema = read_schema(path)
    assert schema == SCHEMA
    expected = Columns(SCHEMA).of_records([of(ITEM)]).rows.to_pylist()
    if isinstance(form, ParquetFormat):
        table = pq.read_table(file)
        image = table.schema.field("new_image").type
        assert [member.name for member in image] == [SAFE.get(name, name) for name in BITING] + ["other_attributes"]
        back = schema.with_original_names(table)
        assert back.select(SCHEMA.arrow.names).to_pylist() == expected
        assert "changed_attributes" in back.column_names
    else:
        (row,) = fastavro.reader(file)
        assert row["new_image"]["address"] == {"zip_code": "89073", "City": "Ulm", "city_2": "ulm"}
        assert from_avro_row(row, schema) == expected[0]


def test_json_lines_with_a_schema_are_plain_json_under_the_safe_names() -> None:
    item = {**ITEM, "more": {"x": [1]}}
    (line,) = written(JsonLinesFormat("none"), SCHEMA, of(item)).read().splitlines()
    row = json.loads(line)
    assert row["keys"] == {"order_id": "o-1"}
    assert row["approximate_creation_time"] == "2026-01-31T00:00:00Z"
    assert row["old_image"] == {**dict.fromkeys(row["new_image"]), "order_id": "o-1"}
    image = {SAFE.get(name, name): value for name, value in ITEM.items()}
    nested = {
        "address": {"zip_code": "89073", "City": "Ulm", "city_2": "ulm"},
        "lines": [{"line_no": 1, "tags": {"k": {"x_y": "z"}}}, {"line_no": 2, "tags": {}}],
        "prices": {"A-1": {"per_unit": 2.0}},
        "total": "12.00",
        "other_attributes": {"more": {"M": {"x": {"L": [{"N": "1"}]}}}},
    }
    assert row["new_image"] == {**image, **nested}


@pytest.mark.parametrize("layout", ["change_log", "latest_image"])
def test_typed_json_lines_hold_bytes_json_columns_and_deletes(layout: Any) -> None:
    schema = read_schema({"id": "string", "raw": "binary", "doc": "json", "on": "bool"}, keys=["id"])
    gone = ChangeRecord(**{**of({"id": "a"}, "id").to_dict(), "event_name": "REMOVE", "new_image": None})
    kept = of({"id": "b", "raw": b"\x00\xff", "doc": {"n": 1}, "on": False}, "id")
    lines = [json.loads(line) for line in written(JsonLinesFormat("none"), schema, gone, kept, layout=layout)]
    image = "new_image" if layout == "change_log" else "image"
    assert [row["keys"] for row in lines] == [{"id": "a"}, {"id": "b"}]
    assert lines[0][image] is None
    expected = {"id": "b", "raw": "AP8=", "doc": {"M": {"n": {"N": "1"}}}, "on": False, "other_attributes": None}
    assert lines[1][image] == expected
    assert list(lines[1]) == RowLayout(layout, schema).columns.names


def test_a_part_of_a_file_gets_its_names_back_too() -> None:
    file = pq.ParquetFile(written(ParquetFormat("zstd"), SCHEMA, of(ITEM)))
    table = file.read(columns=["new_image.address.zip_code"])
    assert SCHEMA.with_original_names(table).to_pylist() == [{"new_image": {"address": {"zip-code": "89073"}}}]


def test_rows_have_the_safe_names_at_every_depth() -> None:
    (row,) = RowMaker(SCHEMA).rows(Columns(SCHEMA).of_records([of(ITEM)]).rows)
    assert row.keys.order_id == "o-1"
    assert row.new_image.address.zip_code == "89073"
    assert row.new_image.lines[0].tags["k"].x_y == "z"
    assert row.new_image.prices["A-1"].per_unit == 2.0
    assert row.new_image.col_1st == "one"


def test_a_schema_names_single_members_and_saves_them() -> None:
    kinds = {"id": "string", "address": {"zip-code": "string"}, "tags": [{"k": "string"}], "address.zip-code": "string"}
    renames = {"address.zip-code": "flat", "address.zip-code.": "zip", "tags[].k": "key"}
    schema = read_schema(kinds, keys=["id"], rename=renames)
    assert schema.renamed == {("address.zip-code",): "flat", ("address", "zip-code"): "zip", ("tags", "k"): "key"}
    assert Schema.from_json(schema.to_json()) == schema
    assert read_schema(json.loads(schema.to_json())).rename == renames


def test_a_saved_schema_that_was_edited_may_ask_for_the_safe_rule() -> None:
    saved = json.loads(read_schema(SCHEMA, rename={}).to_json())
    assert read_schema({**saved, "rename": "safe"}) == SCHEMA


@pytest.mark.parametrize(
    ("rename", "reason"),
    [
        ({"address.street": "s"}, "'address.street' is none"),
        ({"address.zip-code": "City"}, "'City' is then the name of two columns"),
        ("Safe", "or give 'safe'"),
    ],
)
def test_a_nested_renaming_that_makes_no_sense_is_refused(rename: Any, reason: str) -> None:
    with pytest.raises(InvalidOptionError, match=reason):
        read_schema(BITING, keys=["order-id"], rename=rename)


def test_a_file_without_a_schema_is_refused_with_the_reason(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    with pytest.raises(InvalidOptionError, match=r"other\.parquet' holds no schema of this connector"):
        read_schema(tmp_path / "other.parquet")
    (tmp_path / "damaged.avro").write_bytes(b"Obj\x01\x03")
    with pytest.raises(InvalidOptionError, match="is a damaged file"):
        read_schema(tmp_path / "damaged.avro")


def test_inference_reports_what_is_refused_and_gives_all_of_it_a_column_on_request() -> None:
    sample = [encode_image(ITEM)] * 3
    reported = infer(sample, {"order-id": "S"})
    assert {"order-id", "a.b", "address.zip-code", "lines[].line-no"} - {e.path for e in reported.name_problems} == {
        "address.zip-code"  # a map with members that differ only in case is a map of any names
    }
    assert not reported.schema.rename
    renamed = infer(sample, {"order-id": "S"}, rename="safe")
    assert renamed.schema.rename.items() >= {
        ("address.city", "city_2"),
        ("address.zip-code", "zip_code"),
        ("userid", "userid_2"),
    }
    assert renamed.fitting == 3
    assert {conflict.handling for conflict in renamed.case_conflicts} == {
        "none without a column; userid renamed in files",
        "city renamed in files, unless address is json",
    }
    with pytest.raises(InvalidOptionError, match="use 'safe' or None"):
        infer(sample, {"order-id": "S"}, rename="upper")  # type: ignore[arg-type]


NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12) | st.sampled_from(
    [
        "a.b",
        "a",
        "A",
        "a_b",
        "a-b",
        "_a",
        "1",
        "col_1",
        "a_2",
        "b",
        "b.",
        "b..",
        "tags[]",
        "m.*",
        "class",
        "u9867_",
        "顧",
    ]
)


@given(st.dictionaries(NAMES, st.none() | st.lists(NAMES, min_size=1, max_size=4, unique=True), min_size=1, max_size=6))
def test_no_two_names_become_one_and_all_are_taken_by_every_reader(shape: dict[str, list[str] | None]) -> None:
    columns = {name: "string" if inner is None else dict.fromkeys(inner, "string") for name, inner in shape.items()}
    columns.pop("id", None)
    fields = [pa.field("id", pa.string())]
    for name, inner in columns.items():
        fields.append(
            pa.field(name, pa.struct([(each, pa.string()) for each in inner]) if inner != "string" else pa.string())
        )
    schema = Schema(pa.schema(fields), ("id",), other="rest", rename="safe")
    files = schema.in_files(schema.image)
    for place in [files, *(member.type for member in files if pa.types.is_struct(member.type))]:
        names = [member.name.lower() for member in place]
        assert len(set(names)) == len(names)
        assert all(safe_name(member.name) == member.name for member in place)
    assert Schema.from_json(schema.to_json()) == schema
    assert Schema.from_json(schema.to_json()).renamed == schema.renamed
    for form in FORMATS:
        form.check(RowLayout("change_log", schema))
    row_class(schema)
    empty = pa.RecordBatch.from_arrays([pa.nulls(0, files)], names=["image"])
    assert schema.with_original_names(empty).schema.field("image").type.equals(schema.image)


def test_a_long_name_is_cut_and_stays_different() -> None:
    first, second = (safe_name("x" * 300 + end) for end in "ab")
    assert first != second
    assert len(first) <= 128


@pytest.mark.parametrize(
    ("name", "safe"),
    [("naïve", "naive"), ("顧客id", "u9867_u5ba2_id"), ("-", "col_unnamed"), ("_", "col_unnamed"), ("Ærø", "AEro")],
)
def test_a_safe_name_is_as_like_the_name_as_ascii_allows(name: str, safe: str) -> None:
    assert safe_name(name) == safe
