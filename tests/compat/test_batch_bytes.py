"""Stored batches are a promise: bytes of every released version are read. A golden file is never changed.

What Arrow writes for one and the same batch may change from release to release of Arrow; what it wrote, it reads.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest

from beam_dynamodb_streams import Schema
from beam_dynamodb_streams.columns import Columns
from beam_dynamodb_streams.records import RecordBatchCoder, to_arrow
from tests.compat.test_record_bytes import RECORDS

HERE = Path(__file__).parent
SCHEMA = Schema(
    pa.schema(
        [
            ("order_id", pa.string()),
            ("line", pa.int64()),
            ("total", pa.decimal128(12, 2)),
            ("blob", pa.binary()),
            ("tags", pa.list_(pa.string())),
            ("sizes", pa.list_(pa.decimal128(5, 1))),
        ]
    ),
    keys=("order_id",),
)
BATCHES = {
    "text": to_arrow(list(RECORDS.values())),
    "typed": Columns(SCHEMA).of_records(list(RECORDS.values())).rows,
}


@pytest.mark.parametrize("name", BATCHES)
def test_batches_of_version_1_are_read(name: str):
    golden = (HERE / f"batch_v1_{name}.bin").read_bytes()
    batch = RecordBatchCoder().decode(golden)
    assert batch.equals(BATCHES[name], check_metadata=True)
    assert (batch["event_name"].to_pylist(), batch.num_rows) == (["MODIFY", "REMOVE", "READ"], 3)


def test_the_values_of_a_typed_batch_are_those_that_were_written():
    row = RecordBatchCoder().decode((HERE / "batch_v1_typed.bin").read_bytes()).to_pylist()[0]
    image = row["new_image"]
    assert (image["total"], image["blob"], sorted(image["tags"])) == (Decimal("-12.50"), b"\x00\xff", ["a", "b"])


@pytest.mark.parametrize("name", BATCHES)
def test_batches_are_written_as_version_1(name: str):
    assert RecordBatchCoder().encode(BATCHES[name])[:1] == b"\x01"
