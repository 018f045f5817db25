"""The columns of a change when no schema is declared: fixed for every table, and nothing is lost.

Keys and images are DynamoDB JSON in text, as received; so is the user identity. The Avro schema is the twin
of the Arrow schema.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, TypedDict

import pyarrow as pa

from connector.records.record import ChangeRecord

CHANGE_SCHEMA: Final = pa.schema(
    [
        pa.field("event_id", pa.string(), nullable=False),
        pa.field("event_name", pa.string(), nullable=False),
        pa.field("sequence_number", pa.string(), nullable=False),
        pa.field("shard_id", pa.string(), nullable=False),
        pa.field("approximate_creation_time", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("size_bytes", pa.int64()),
        pa.field("stream_view_type", pa.string(), nullable=False),
        pa.field("user_identity", pa.string()),
        pa.field("keys", pa.string(), nullable=False),
        pa.field("new_image", pa.string()),
        pa.field("old_image", pa.string()),
    ]
)

AVRO_SCHEMA: Final[dict[str, object]] = {
    "type": "record",
    "name": "Change",
    "namespace": "dynamodb.streams",
    "fields": [
        {"name": "event_id", "type": "string"},
        {"name": "event_name", "type": "string"},
        {"name": "sequence_number", "type": "string"},
        {"name": "shard_id", "type": "string"},
        {"name": "approximate_creation_time", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "size_bytes", "type": ["null", "long"], "default": None},
        {"name": "stream_view_type", "type": "string"},
        {"name": "user_identity", "type": ["null", "string"], "default": None},
        {"name": "keys", "type": "string"},
        {"name": "new_image", "type": ["null", "string"], "default": None},
        {"name": "old_image", "type": ["null", "string"], "default": None},
    ],
}


class AvroRow(TypedDict):
    """One record of `AVRO_SCHEMA`, as fastavro takes and returns it."""

    event_id: str
    event_name: str
    sequence_number: str
    shard_id: str
    approximate_creation_time: datetime
    size_bytes: int | None
    stream_view_type: str
    user_identity: str | None
    keys: str
    new_image: str | None
    old_image: str | None


def to_arrow(records: Sequence[ChangeRecord]) -> pa.RecordBatch:
    """The records as rows of `CHANGE_SCHEMA`, in their order. No image is decoded."""
    times = pa.array([record.creation_micros for record in records], pa.int64())
    columns = [
        pa.array([record.event_id for record in records], pa.string()),
        pa.array([record.event_name for record in records], pa.string()),
        pa.array([record.sequence_number for record in records], pa.string()),
        pa.array([record.shard_id for record in records], pa.string()),
        times.cast(CHANGE_SCHEMA.field("approximate_creation_time").type),
        pa.array([record.size_bytes for record in records], pa.int64()),
        pa.array([record.stream_view_type for record in records], pa.string()),
        # Arrow takes the UTF-8 bytes of a text as well as a str, and checks them.
        pa.array([record.user_identity_json for record in records], pa.string()),
        pa.array([record.keys_json for record in records], pa.string()),
        pa.array([record.new_image_json for record in records], pa.string()),
        pa.array([record.old_image_json for record in records], pa.string()),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=CHANGE_SCHEMA)


def to_avro_row(record: ChangeRecord) -> AvroRow:
    """The record as a row of `AVRO_SCHEMA`."""
    return {
        "event_id": record.event_id,
        "event_name": record.event_name,
        "sequence_number": record.sequence_number,
        "shard_id": record.shard_id,
        "approximate_creation_time": record.approximate_creation_time,
        "size_bytes": record.size_bytes,
        "stream_view_type": record.stream_view_type,
        "user_identity": text_of(record.user_identity_json),
        "keys": record.keys_json.decode(),
        "new_image": text_of(record.new_image_json),
        "old_image": text_of(record.old_image_json),
    }


def text_of(json: bytes | None) -> str | None:
    return None if json is None else json.decode()
