"""Values of all ten types to files and back: what a schema's columns hold is the value itself."""

from __future__ import annotations

import io
from decimal import Decimal

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from attribute_values import values
from hypothesis import example, given, settings
from test_column_agreement import FITTING, OPEN, fitting_images, held, read

from beam_dynamodb_streams.columns import Columns, Schema, avro_rows, avro_schema, from_avro_row, json_field
from beam_dynamodb_streams.records import Value, decode_image, decode_value
from beam_dynamodb_streams.records.values import same_values

few = settings(max_examples=60, deadline=None)
DIGITS = Decimal("12345678901234567890123456789012345678")
DEEP: Value = {"m": "end"}
for _ in range(31):
    DEEP = {"m": DEEP}
EDGES: list[Value] = [
    "",
    Decimal(0),
    DIGITS,
    Decimal("-123456789012345678.90123456789012345678"),
    Decimal("1E-130"),
    Decimal("-9.9999999999999999999999999999999999999E+125"),
    b"",
    False,
    None,
    {},
    [],
    {"": ""},
    DEEP,
    [[], {}, [None, [None]]],
    {""},
    {"", "\x00", "é", "z"},
    {Decimal("1E-130"), DIGITS, Decimal("-1E+125")},
    {b""},
    {b"", b"\x00", b"\xff"},
]


def through_parquet(rows: pa.RecordBatch, schema: Schema) -> list[dict[str, object]]:
    file = io.BytesIO()
    pq.write_table(pa.Table.from_batches([rows]), file)
    table = pq.read_table(file)
    assert table.schema.equals(schema.arrow)
    return table.to_pylist()


def through_avro(rows: pa.RecordBatch, schema: Schema) -> list[dict[str, object]]:
    file = io.BytesIO()
    fastavro.writer(file, avro_schema(schema), avro_rows(rows, schema))
    file.seek(0)
    return [from_avro_row(row, schema) for row in fastavro.reader(file)]  # type: ignore[arg-type]


FORMATS = pytest.mark.parametrize("through", [through_parquet, through_avro])


@FORMATS
@few
@given(values)
def test_any_value_is_whole_in_a_json_column(through, value):
    attributes = pa.schema([pa.field("id", pa.string()), json_field("any")])
    schema = Schema(attributes, keys=("id",))
    columns = Columns(schema)
    image: dict[str, Value] = {"id": "a", "any": value, "more": value}
    (row,) = through(columns.of_records(read([(image, None)])).rows, schema)
    new = row["new_image"]
    assert same_values(decode_value(new["any"].encode()), value)
    assert same_values(decode_image(new["other_attributes"].encode()), {"more": value})


for value in EDGES:
    test_any_value_is_whole_in_a_json_column = example(value)(test_any_value_is_whole_in_a_json_column)


@FORMATS
@few
@given(fitting_images)
@example({"id": "a", "text": "", "whole": Decimal(-(2**63)), "exact": DIGITS, "blob": b"", "words": {"", "é", "z"}})
@example(
    {
        "id": "a",
        "text": Decimal("1.2345678901234567890123456789012345678E-130"),
        "exact": DIGITS.copy_negate(),
        "counts": {Decimal(0)},
        "blobs": {b"", b"\x00"},
    }
)
@example({"id": "a", "words": [], "bag": {}, "point": {}, "path": [{}], "prices": {Decimal("-1.10"), Decimal("0.01")}})
def test_a_value_that_fits_its_column_is_the_same_in_a_file(through, image):
    assert FITTING.keys() >= image.keys() - {"id"}
    schema = Schema(pa.schema(OPEN), keys=("id",))
    (record,) = read([(image, None)])
    batch = Columns(schema).of_records([record])
    assert batch.misfits == []
    (row,) = through(batch.rows, schema)
    assert row["keys"] == {"id": image["id"]}
    for column in schema.attributes:
        if column.name != "any":
            assert row["new_image"][column.name] == held(column.type, record.new_image.get(column.name)), column
