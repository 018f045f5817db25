"""The fixed columns, in Arrow and in Avro."""

from __future__ import annotations

import io
from datetime import datetime, timezone

import fastavro
import pyarrow as pa

from beam_dynamodb_streams.columns import avro_rows, avro_schema
from beam_dynamodb_streams.records import CHANGE_SCHEMA, ChangeRecord, to_arrow

RECORDS = [
    ChangeRecord(
        event_id="e1",
        event_name="INSERT",
        keys={"order_id": "é"},
        new_image={"order_id": "é", "total": 5},
        sequence_number="100",
        shard_id="shardId-1",
        approximate_creation_time=datetime(2026, 1, 31, 12, 0, 0, 250_000, tzinfo=timezone.utc),
        size_bytes=2**40,
    ),
    ChangeRecord(
        event_id="e2",
        event_name="REMOVE",
        keys={"order_id": "é"},
        old_image={"order_id": "é", "total": 5},
        sequence_number="101",
        shard_id="shardId-1",
        approximate_creation_time=datetime(1969, 12, 31, tzinfo=timezone.utc),
        user_identity={"Type": "Service"},
    ),
]
ROWS = [
    {
        "event_id": record.event_id,
        "event_name": record.event_name,
        "sequence_number": record.sequence_number,
        "version": record.version,
        "shard_id": "shardId-1",
        "approximate_creation_time": record.approximate_creation_time,
        "size_bytes": record.size_bytes,
        "stream_view_type": "NEW_AND_OLD_IMAGES",
        "user_identity": identity,
        "keys": '{"order_id":{"S":"é"}}',
        "new_image": new,
        "old_image": old,
    }
    for record, identity, new, old in zip(
        RECORDS,
        [None, '{"Type":"Service"}'],
        ['{"order_id":{"S":"é"},"total":{"N":"5"}}', None],
        [None, '{"order_id":{"S":"é"},"total":{"N":"5"}}'],
        strict=True,
    )
]


def test_arrow_rows_hold_everything_in_order():
    batch = to_arrow(RECORDS)
    assert batch.schema.equals(CHANGE_SCHEMA)
    assert batch.to_pylist() == ROWS
    batch.validate(full=True)


def test_no_records_are_a_batch_without_rows():
    batch = to_arrow([])
    assert batch.num_rows == 0
    assert batch.schema.equals(CHANGE_SCHEMA)


def test_avro_rows_hold_the_same():
    file = io.BytesIO()
    fastavro.writer(file, avro_schema(None), avro_rows(to_arrow(RECORDS), None), validator=True)
    file.seek(0)
    assert list(fastavro.reader(file)) == ROWS


def test_the_avro_schema_has_the_columns_of_the_arrow_schema_with_the_same_nulls():
    fields = avro_schema(None)["fields"]
    assert isinstance(fields, list)
    assert [field["name"] for field in fields] == CHANGE_SCHEMA.names
    assert ["null" in field["type"] for field in fields] == [field.nullable for field in CHANGE_SCHEMA]
    assert CHANGE_SCHEMA.field("approximate_creation_time").type == pa.timestamp("us", tz="UTC")
