"""Rows of a schema through Avro files: nothing changes on the way, whatever the values and the names."""

from __future__ import annotations

import io
import json
import re
from decimal import Context, Decimal

import fastavro
import pyarrow as pa
import pytest
from attribute_values import images, names
from hypothesis import given, settings
from hypothesis import strategies as st
from test_column_agreement import OPEN, any_images, fitting_images, read

from beam_dynamodb_streams.columns import (
    Columns,
    Schema,
    attribute_name,
    avro_name,
    avro_records,
    avro_rows,
    avro_schema,
    avro_schema_of,
    encode_avro,
    from_avro_row,
    json_field,
    read_schema,
)
from beam_dynamodb_streams.records import to_arrow

SCHEMA = Schema(pa.schema(OPEN), keys=("id",), on_misfit="text")
WIDE = Context(prec=76)
few = settings(max_examples=60, deadline=None)
pages = st.lists(st.tuples(st.none() | any_images | fitting_images, st.none() | any_images), max_size=4)
scalars = [pa.string(), pa.int64(), pa.float64(), pa.decimal128(38, 10), pa.bool_(), pa.binary()]
kinds = st.recursive(
    st.sampled_from(scalars),
    lambda inner: st.one_of(
        inner.map(pa.list_),
        inner.map(lambda kind: pa.map_(pa.string(), kind)),
        st.dictionaries(names, inner, min_size=1, max_size=3).map(lambda members: pa.struct(list(members.items()))),
    ),
    max_leaves=5,
)


def values_of(kind: pa.DataType) -> st.SearchStrategy[object]:
    if pa.types.is_struct(kind):
        return st.fixed_dictionaries({member.name: st.none() | values_of(member.type) for member in kind})
    if pa.types.is_list(kind):
        return st.lists(st.none() | values_of(kind.value_type), max_size=3)
    if pa.types.is_map(kind):
        return st.dictionaries(names, st.none() | values_of(kind.item_type), max_size=3).map(
            lambda held: [*held.items()]
        )
    if pa.types.is_decimal(kind):
        edges = st.sampled_from(
            [10**k * sign for k in range(38) for sign in (1, -1)] + [127, 128, -128, -129, 255, 2**63]
        )
        return (edges | st.integers(-(10**38) + 1, 10**38 - 1)).map(lambda digits: Decimal(digits).scaleb(-10, WIDE))
    return {
        pa.string(): st.text(max_size=200),
        pa.int64(): st.integers(-(2**63), 2**63 - 1),
        pa.float64(): st.floats(allow_nan=False),
        pa.bool_(): st.booleans(),
        pa.binary(): st.binary(max_size=200),
    }[kind]


def avro_value(value: object, kind: pa.DataType) -> object:
    """Return a value of Arrow's as fastavro reads it."""
    if value is None:
        return None
    if pa.types.is_struct(kind):
        return {avro_name(member.name): avro_value(value[member.name], member.type) for member in kind}
    if pa.types.is_list(kind):
        return [avro_value(each, kind.value_type) for each in value]
    if pa.types.is_map(kind):
        return {name: avro_value(each, kind.item_type) for name, each in value}
    return value


def through_avro(batch: pa.RecordBatch, schema: Schema | None) -> list[dict[str, object]]:
    file = io.BytesIO()
    fastavro.writer(file, avro_schema(schema), avro_rows(batch, schema), codec="deflate")
    file.seek(0)
    return [from_avro_row(row, schema) for row in fastavro.reader(file)]  # type: ignore[arg-type]


@few
@given(pages, st.integers(0, 2))
def test_rows_come_back_from_avro_as_they_were(page, start: int):
    batch = Columns(SCHEMA).of_records(read(page)).rows.slice(start)
    rows = through_avro(batch, SCHEMA)
    assert pa.RecordBatch.from_pylist(rows, SCHEMA.arrow).equals(batch)


def decoded(encoded: pa.BinaryArray, schema: dict[str, object]) -> list[dict[str, object]]:
    parsed = fastavro.parse_schema(schema)
    return [fastavro.schemaless_reader(io.BytesIO(row.as_py()), parsed, None) for row in encoded]  # type: ignore[misc]


@few
@given(pages, st.integers(0, 2), st.booleans())
def test_columns_are_encoded_as_fastavro_encodes_their_rows(page, start: int, logical_types: bool):
    rows = Columns(SCHEMA).of_records(read(page)).rows.slice(start)
    schema = avro_schema_of(rows.schema, "Change", logical_types=logical_types)
    expected = io.BytesIO()
    fastavro.writer(expected, schema, avro_records(rows, logical_types=logical_types))
    expected.seek(0)
    assert decoded(encode_avro(rows, logical_types=logical_types), schema) == list(fastavro.reader(expected))


@few
@given(kinds, st.data(), st.booleans(), st.integers(0, 2))
def test_columns_of_any_type_are_encoded_with_their_nulls(kind: pa.DataType, data, nullable: bool, start: int):
    held = st.none() | values_of(kind) if nullable else values_of(kind)
    array = pa.array(data.draw(st.lists(held, max_size=5)), kind).slice(start)
    rows = pa.RecordBatch.from_arrays([array], schema=pa.schema([pa.field("column", kind, nullable)]))
    schema = avro_schema_of(rows.schema, "Row")
    expected = [{"column": avro_value(value, kind)} for value in array.to_pylist()]
    assert decoded(encode_avro(rows), schema) == expected


def test_elements_below_a_null_are_not_encoded():
    """Arrow allows a null list, or map, whose offsets span elements."""
    offsets, names, numbers = pa.array([0, 2, 3], pa.int32()), pa.array(["a", "b", "c"]), pa.array([1, 2, 3])
    lists = pa.ListArray.from_arrays(offsets, numbers)
    maps = pa.MapArray.from_arrays(offsets, names, numbers)
    first_is_null = pa.py_buffer(b"\x02")
    for whole, expected in ((lists, [3]), (maps, {"c": 3})):
        buffers = [first_is_null, whole.buffers()[1]]
        array = pa.Array.from_buffers(whole.type, 2, buffers, children=[whole.values])
        rows = pa.RecordBatch.from_arrays([array], names=["column"])
        found = decoded(encode_avro(rows), avro_schema_of(rows.schema, "Row"))
        assert found == [{"column": None}, {"column": expected}]


@few
@given(pages)
def test_rows_without_a_schema_come_back_too(page):
    batch = to_arrow(read(page))
    assert through_avro(batch, None) == batch.to_pylist()


@few
@given(st.dictionaries(names, kinds, max_size=4), st.lists(images, max_size=2))
def test_any_schema_whatever_its_names_has_an_avro_schema_of_its_own(columns, page):
    attributes = pa.schema([*(columns | {"id": pa.string()}).items()])
    schema = Schema(attributes, keys=("id",), other="the others", on_misfit="text")
    batch = Columns(schema).of_records(read([({"id": "a"} | image, None) for image in page])).rows
    rows = through_avro(batch, schema)
    assert pa.RecordBatch.from_pylist(rows, schema.arrow).equals(batch)


@few
@given(st.dictionaries(names, kinds, max_size=4))
def test_the_avro_schema_of_an_image_declares_the_same_columns(columns):
    attributes = pa.schema([*(columns | {"id": pa.string()}).items(), json_field("the document")])
    schema = Schema(attributes, keys=("id",), other="the others")
    written = json.loads(json.dumps(avro_schema(schema)))
    (image,) = (field["type"][1] for field in written["fields"] if field["name"] == "new_image")
    everything = attributes.append(pa.field("the others", pa.string()))
    assert read_schema(image, keys=["id"], other=None) == Schema(everything, ("id",), other=None)


@given(st.text() | st.text("_x0aF-é", max_size=16))
def test_a_name_is_legal_in_avro_and_can_be_read_back(name: str):
    legal = avro_name(name)
    assert re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", legal) or not name
    assert attribute_name(legal) == name
    assert legal == name or not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name) or re.search("_x[0-9A-F]{4}", name)


@given(st.sets(st.text("_x0aF-é", min_size=1, max_size=9), max_size=30))
def test_no_two_names_become_one(several: set[str]):
    assert len({avro_name(name) for name in several}) == len(several)


def test_rows_of_another_schema_are_refused():
    with pytest.raises(ValueError, match="of another schema"):
        list(avro_rows(to_arrow([]), SCHEMA))
