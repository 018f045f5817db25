"""The end of a snapshot: what was delivered, and what it removes.

Among record batches it is a batch without rows, whose schema's metadata says the same.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Final

import pyarrow as pa

from beam_dynamodb_streams.records.versions import EPOCH_DIGITS

_METADATA: Final = b"snapshot_complete"


@dataclass(frozen=True, slots=True)
class SnapshotEnd:
    """The end of a snapshot: all of its rows are delivered.

    Attributes:
        epoch: When the snapshot began, in milliseconds since 1970. The `version` of its rows, and of the changes that
            follow it, begins with it.
        rows: How many rows were delivered.
        consistent_second: The second since which rows and changes together are the whole table.
        whole_table: Whether the snapshot has the whole table. A repair has only what was written around a loss.
    """

    epoch: int
    rows: int
    consistent_second: int
    whole_table: bool = True

    @property
    def consistent_since(self) -> datetime:
        """The moment since which rows and changes together are the whole table, in UTC."""
        return datetime.fromtimestamp(self.consistent_second, timezone.utc)

    @property
    def removes_before(self) -> str | None:
        """The text that the `version` of each item of the table is at or past; None if the snapshot is not the whole.

        An item with an older version is gone: `DELETE FROM orders WHERE version < :removes_before`.
        """
        return first_version(self.epoch) if self.whole_table else None


def first_version(epoch: int) -> str:
    """Return a text that sorts before the versions of this epoch, and behind those of all earlier ones."""
    return f"{epoch:0{EPOCH_DIGITS}}"


def end_batch(schema: pa.Schema, end: SnapshotEnd) -> pa.RecordBatch:
    """Return the batch that ends a snapshot. It has no rows, so a step that looks at rows alone may ignore it."""
    empty = pa.RecordBatch.from_pylist([], schema=schema)
    return empty.replace_schema_metadata({_METADATA: json.dumps(asdict(end)).encode()})


def snapshot_end(batch: pa.RecordBatch) -> SnapshotEnd | None:
    """Return the end of a snapshot that a batch of a read stands for; None for any other batch.

    Such a batch has no rows. It follows the last row of the snapshot, and changes come before it and after it.
    """
    metadata = batch.schema.metadata
    if len(batch) or not metadata or _METADATA not in metadata:
        return None
    return SnapshotEnd(**json.loads(metadata[_METADATA]))
