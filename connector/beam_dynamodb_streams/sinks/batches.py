"""Batches of changes: how they are sorted and split into partitions, and how they cross the shuffle. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import astuple
from datetime import datetime, timedelta, timezone
from hashlib import blake2b
from typing import Final, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from beam_dynamodb_streams.records.snapshot_end import SnapshotEnd
from beam_dynamodb_streams.sinks.coverage import UNKNOWN_STREAM, Coverage, SequenceRange, ShardKey, padded
from beam_dynamodb_streams.sinks.manifest import Span
from beam_dynamodb_streams.sinks.sorted_runs import decode_block, encode_block

Partitions: TypeAlias = Literal["date", "hour"]
PARTITIONS: Final = ("date", "hour")
_FORMATS: Final = {"date": ("D", "date=%Y-%m-%d/"), "hour": ("h", "date=%Y-%m-%d/hour=%H/")}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)
_METADATA: Final = b"coverage"
_END: Final = b"snapshot_end"


class Chunk(NamedTuple):
    """Changes of one stream and one window on their way through the shuffle, and the ranges that they cover.

    Or the rows of one snapshot, and its end, which may have no rows.
    """

    changes: pa.RecordBatch
    stream_arn: str = UNKNOWN_STREAM
    coverage: Coverage | None = None
    end: SnapshotEnd | None = None


def creation_micros(changes: pa.RecordBatch) -> npt.NDArray[np.int64]:
    """Return the creation times, in microseconds since the epoch."""
    times = changes.column("approximate_creation_time").view(pa.int64())
    return times.to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]  # pyarrow is untyped


def creation_span(changes: pa.RecordBatch) -> Span:
    """Return when the first and the last of the changes were created. There must be at least one."""
    found = creation_micros(changes)
    return Span(int(found.min()), int(found.max()))


def encode_chunk(chunk: Chunk) -> bytes:
    """Return a chunk as one element for the runner's shuffle: an Arrow stream, with its coverage as metadata."""
    changes = chunk.changes
    if chunk.coverage is not None:
        ranges = {
            shard.shard_id: [[each.after, each.first, each.last] for each in found]
            for shard, found in chunk.coverage.items()
        }
        changes = changes.replace_schema_metadata({_METADATA: json.dumps([chunk.stream_arn, ranges]).encode()})
    elif chunk.end is not None:
        changes = changes.replace_schema_metadata({_END: json.dumps(astuple(chunk.end)).encode()})
    return encode_block(changes).to_pybytes()  # type: ignore[no-any-return]  # pyarrow is untyped


def decode_chunk(data: bytes) -> Chunk:
    """Return the inverse of `encode_chunk`."""
    changes = decode_block(data)
    metadata = (changes.schema.metadata or {}).get(_METADATA)
    if end := (changes.schema.metadata or {}).get(_END):
        return Chunk(changes.replace_schema_metadata(None), end=SnapshotEnd(*json.loads(end)))
    if metadata is None:
        return Chunk(changes)
    stream_arn, ranges = json.loads(metadata)
    coverage = {
        ShardKey(stream_arn, shard): [SequenceRange(*each) for each in found] for shard, found in ranges.items()
    }
    return Chunk(changes.replace_schema_metadata(None), stream_arn, coverage)


def change_keys(changes: pa.RecordBatch) -> list[pa.Array]:
    """Return the columns by which changes of one stream are sorted: shard and sequence number."""
    return [changes.column("shard_id"), padded(changes.column("sequence_number"))]


def split_by_partition(changes: pa.RecordBatch, partitions: Partitions | None) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield the changes of each Hive partition with its path, as in `date=2026-01-31/hour=08/`, ordered by time."""
    if partitions is None:
        yield "", changes
        return
    unit, path_format = _FORMATS[partitions]
    spans = creation_micros(changes).astype("datetime64[us]").astype(f"datetime64[{unit}]")
    for span in np.unique(spans):
        here = spans == span
        rows = changes if here.all() else changes.filter(pa.array(here))
        yield span.astype("datetime64[s]").item().strftime(path_format), rows


def common_prefix(window: Span | None, partitions: Partitions | None, names: str) -> str:
    """Return what the paths of a window's files begin with, if their names begin with `names`.

    Empty if the window spans several partitions.
    """
    if partitions is None:
        return names
    if window is None:
        return ""
    path_format = _FORMATS[partitions][1]
    first, last = ((_EPOCH + timedelta(microseconds=at)).strftime(path_format) for at in (window.start, window.end - 1))
    return f"{first}{names}" if first == last else ""


class Digest:
    """A name for the contents of a file: the same for the same changes in the same order, whoever writes them."""

    def __init__(self) -> None:
        self._hash = blake2b(digest_size=8)
        self._stream_arn = ""
        self._read_until: int | None = None

    def add_rows(self, rows: pa.RecordBatch) -> None:
        """Add rows of a snapshot: an id stands for its item, and the time for when it was read."""
        self._hash.update("".join(f"{each}\n" for each in rows.column("event_id").to_pylist()).encode())
        self._read_until = max(self._read_until or 0, int(creation_micros(rows).max()) if len(rows) else 0)

    def add(self, changes: pa.RecordBatch, stream_arn: str) -> None:
        """Add changes of a stream. The name does not depend on how many are added at once."""
        if stream_arn != self._stream_arn:
            self._stream_arn = stream_arn
            self._hash.update(f"{stream_arn}\n".encode())
        lines = pc.binary_join_element_wise(
            changes.column("shard_id"), " ", changes.column("sequence_number"), "\n", ""
        )
        _, offsets, data = lines.buffers()
        if data is not None:
            ends = np.frombuffer(offsets, np.int32, len(lines) + 1, lines.offset * 4)
            self._hash.update(memoryview(data)[ends[0] : ends[-1]])

    def __str__(self) -> str:
        named = self._hash.copy()
        if self._read_until is not None:
            named.update(str(self._read_until).encode())
        return named.hexdigest()
