"""The end of a snapshot among record batches: a batch without rows, whose schema's metadata says what was delivered."""

from __future__ import annotations

import json
from typing import Final

import pyarrow as pa

_METADATA: Final = b"snapshot_complete"


def end_batch(schema: pa.Schema, *, epoch: int, rows: int, consistent_since: int, micros: int) -> pa.RecordBatch:
    """Return the batch that ends a snapshot. It has no rows, so a step that looks at rows alone may ignore it.

    Args:
        schema: The columns of the batches.
        epoch: The epoch of the snapshot, in milliseconds.
        rows: How many rows were delivered.
        consistent_since: The second since which rows and changes together are the whole table.
        micros: The event time of the batch.
    """
    members = {"epoch": epoch, "rows": rows, "consistent_since": consistent_since, "micros": micros}
    empty = pa.RecordBatch.from_pylist([], schema=schema)
    return empty.replace_schema_metadata({_METADATA: json.dumps(members).encode()})


def snapshot_end(batch: pa.RecordBatch) -> dict[str, int] | None:
    """Return what a batch says that ends a snapshot, by the names of `end_batch`; None for any other batch."""
    metadata = batch.schema.metadata
    if len(batch) or not metadata or _METADATA not in metadata:
        return None
    return {name: int(value) for name, value in json.loads(metadata[_METADATA]).items()}
