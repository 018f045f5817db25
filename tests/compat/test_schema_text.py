"""A saved schema is a promise: the text of every released version is read, the newest is written."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from connector.records import Schema, json_field

GOLDEN = Path(__file__).parent / "schema_v1.json"
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
