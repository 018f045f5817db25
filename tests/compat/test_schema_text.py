"""A saved schema is a promise: the text of every released version is read, the newest is written.

So is its Avro schema: files of one table, written by several releases, are read together.
"""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa

from beam_dynamodb_streams.columns import Schema, avro_schema, json_field

GOLDEN = Path(__file__).parent / "schema_v1.json"
GOLDEN_AVRO = Path(__file__).parent / "schema_v1.avsc"
SCHEMA = Schema(
    pa.schema(
        [
            ("order_id", pa.string()),
            ("line", pa.int64()),
            ("total", pa.decimal128(12, 2)),
            ("weight", pa.float64()),
            ("paid", pa.bool_()),
            ("signature", pa.binary()),
            ('größe "XL"', pa.list_(pa.string())),
            ("address", pa.struct([("city", pa.string()), ("geo", pa.list_(pa.float64())), ("**", pa.int64())])),
            ("lines", pa.list_(pa.struct([("*", pa.int64())]))),
            ("counts", pa.map_(pa.string(), pa.struct([("n", pa.int64())]))),
            json_field("document"),
        ]
    ),
    keys=("order_id", "line"),
    other="more",
    on_misfit="text",
    on_misfit_in={"total": "raise", "line": "dead_letter"},
)


def test_the_text_of_version_1_is_read_and_written():
    golden = GOLDEN.read_text("utf-8")
    assert Schema.from_json(golden) == SCHEMA
    assert SCHEMA.to_json() + "\n" == golden


def test_the_avro_schema_of_a_schema_stays_the_same():
    assert avro_schema(SCHEMA) == json.loads(GOLDEN_AVRO.read_text("utf-8"))
