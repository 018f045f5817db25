"""The columns of a change without a declared schema: the same for every table, and nothing is lost.

Keys and images are DynamoDB JSON as text, as received. So is the user identity.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from beam_dynamodb_streams.records.envelope import EntryFields, entry_fields
from beam_dynamodb_streams.records.fields import Json
from beam_dynamodb_streams.records.record import ChangeRecord, make_record
from beam_dynamodb_streams.records.versions import (
    BY_TIME,
    EPOCH_DIGITS,
    NUMBER_DIGITS,
    STREAM_DIGITS,
    UNKNOWN_BASE,
    UNKNOWN_STREAM,
    base_at,
)

if TYPE_CHECKING:
    from beam_dynamodb_streams.wire import RawRecord

CHANGE_SCHEMA: Final = pa.schema(
    [
        pa.field("event_id", pa.string(), nullable=False),
        pa.field("event_name", pa.string(), nullable=False),
        pa.field("sequence_number", pa.string(), nullable=False),
        pa.field("version", pa.string(), nullable=False),
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

METADATA_COLUMNS: Final = tuple(name for name in CHANGE_SCHEMA.names if name not in ("keys", "new_image", "old_image"))
_TIME: Final = CHANGE_SCHEMA.field("approximate_creation_time").type


def to_arrow(records: Sequence[ChangeRecord]) -> pa.RecordBatch:
    """Return the records as rows of `CHANGE_SCHEMA`, in their order. No image is decoded."""
    return _rows(
        metadata_of_records(records),
        [record._keys_raw for record in records],
        [record._new_image_raw for record in records],
        [record._old_image_raw for record in records],
    )


def change_batch(records: Sequence[RawRecord], shard_id: str, version_base: str = UNKNOWN_BASE) -> pa.RecordBatch:
    """Return the entries of a page of this shard as rows of `CHANGE_SCHEMA`, in their order, as `to_arrow` does.

    No object is made for a change, and the rows hold their own bytes.

    Raises:
        pyarrow.ArrowInvalid: Bytes are not UTF-8.
    """
    return batch_of_fields(entry_fields(records), shard_id, version_base)


def batch_of_fields(fields: EntryFields, shard_id: str, version_base: str | pa.Array) -> pa.RecordBatch:
    """Return the fields of entries as rows of `CHANGE_SCHEMA`. `version_base` is that of all entries, or of each."""
    return _rows(metadata_of_page(fields, shard_id, version_base), fields.keys, fields.new_images, fields.old_images)


def _rows(metadata: list[pa.Array], *images: Sequence[Json | None]) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([*metadata, *map(_texts, images)], schema=CHANGE_SCHEMA)


def records_from_batch(batch: pa.RecordBatch) -> list[ChangeRecord]:
    """Return the change records of rows of `CHANGE_SCHEMA`, in their order: the inverse of `to_arrow`.

    Nothing is decoded or checked again.

    Raises:
        ValueError: The batch has other columns.
    """
    if not batch.schema.equals(CHANGE_SCHEMA):
        raise ValueError(f"a batch of CHANGE_SCHEMA has the columns {CHANGE_SCHEMA.names}, not {batch.schema.names}")
    columns = dict(zip(batch.schema.names, batch.columns, strict=True))
    columns["approximate_creation_time"] = columns["approximate_creation_time"].view(pa.int64())
    columns["version"] = base_column(columns["version"], columns["sequence_number"])
    for name in (
        "keys",
        "new_image",
        "old_image",
        "user_identity",
    ):  # the last parameters of `make_record`, in its order
        columns[name] = columns.pop(name).view(pa.binary())
    return list(map(make_record, *(column.to_pylist() for column in columns.values())))


def metadata_of_records(records: Sequence[ChangeRecord]) -> list[pa.Array]:
    """Return the columns of `METADATA_COLUMNS`."""
    numbers = pa.array([record.sequence_number for record in records], pa.string())
    bases = pa.array([record._version_base for record in records], pa.string())
    return [
        pa.array([record.event_id for record in records], pa.string()),
        pa.array([record.event_name for record in records], pa.string()),
        numbers,
        version_column(bases, numbers),
        pa.array([record.shard_id for record in records], pa.string()),
        pa.array([record.creation_micros for record in records], pa.int64()).cast(_TIME),
        pa.array([record.size_bytes for record in records], pa.int64()),
        pa.array([record.stream_view_type for record in records], pa.string()),
        _texts([record._user_identity_raw for record in records]),
    ]


def metadata_of_page(fields: EntryFields, shard_id: str, version_base: str | pa.Array = UNKNOWN_BASE) -> list[pa.Array]:
    """Return the columns of `METADATA_COLUMNS` of the entries of a page."""
    seconds = np.array(fields.creation_times, np.float64)
    numbers = pa.array(fields.sequence_numbers, pa.string())
    base: str | pa.Array = version_base
    if version_base == BY_TIME:
        base = pa.array([base_at(round(created * 1_000_000)) for created in fields.creation_times], pa.string())
    return [
        pa.array(fields.event_ids, pa.string()),
        pa.array(fields.event_names, pa.string()),
        numbers,
        version_column(base, numbers),
        pa.repeat(pa.scalar(shard_id, pa.string()), len(seconds)),
        pa.array(np.rint(seconds * 1e6)).cast(pa.int64()).view(_TIME),  # raises for a value that is not a time
        pa.array(fields.size_bytes, pa.int64()),
        pa.array(fields.stream_view_types, pa.string()),
        _texts(fields.user_identities),
    ]


def _texts(raws: Sequence[Json | None]) -> pa.Array:
    """Return undecoded JSON as text, null for None. It is copied once; the cast checks for UTF-8 and at most 2 GB."""
    missing = [raw is None for raw in raws]
    if all(missing):
        return pa.nulls(len(raws), pa.string())
    present = [b"" if raw is None else raw for raw in raws]
    limits = np.zeros(len(raws) + 1, np.int64)
    np.cumsum([len(raw) for raw in present], out=limits[1:])
    validity = pa.py_buffer(np.packbits(np.logical_not(missing), bitorder="little")) if any(missing) else None
    buffers = [validity, pa.py_buffer(limits), pa.py_buffer(b"".join(present))]
    return pa.Array.from_buffers(pa.large_binary(), len(raws), buffers).cast(pa.string())


def version_column(base: str | pa.Array, sequence_numbers: pa.Array) -> pa.Array:
    """Return the versions of changes, given one base for all of them or a base for each."""
    bases = pa.scalar(base, pa.string()) if isinstance(base, str) else base
    numbers = pc.utf8_lpad(sequence_numbers, NUMBER_DIGITS, "0")
    if not isinstance(base, str):
        numbers = pc.if_else(pc.equal(sequence_numbers, ""), "", numbers)
    return pc.binary_join_element_wise(bases, numbers, "")


def base_column(versions: pa.Array, sequence_numbers: pa.Array) -> pa.Array:
    """Return the base of each change: the inverse of `version_column`."""
    bases = pc.utf8_slice_codeunits(versions, 0, len(UNKNOWN_BASE))
    return pc.if_else(pc.equal(sequence_numbers, ""), versions, bases)


def stream_column(versions: pa.Array) -> pa.Array:
    """Return the part of each version that stands for the stream, as `versions.stream_part` does."""
    parts = pc.utf8_slice_codeunits(versions, EPOCH_DIGITS + 1, EPOCH_DIGITS + 1 + STREAM_DIGITS)
    return pc.if_else(pc.starts_with(parts, "0"), UNKNOWN_STREAM, parts)
