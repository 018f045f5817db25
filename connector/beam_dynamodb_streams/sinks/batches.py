"""Changes as rows: in which window and in which order they are, and how they travel. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from beam_dynamodb_streams.sinks.coverage import Coverage, Run, padded
from beam_dynamodb_streams.sinks.manifest import Span

Partitions: TypeAlias = Literal["date", "hour"]
PARTITIONS: Final = ("date", "hour")
_FORMS: Final = {"date": ("D", "date=%Y-%m-%d/"), "hour": ("h", "date=%Y-%m-%d/hour=%H/")}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_RUNS: Final = b"runs"
_CODEC: Final = "lz4" if pa.Codec.is_available("lz4") else None


def micros(changes: pa.RecordBatch) -> npt.NDArray[np.int64]:
    """The creation times."""
    times = changes.column("approximate_creation_time").view(pa.int64())
    return times.to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]  # pyarrow is untyped


def times(changes: pa.RecordBatch) -> Span:
    """When the first and the last of the changes, one or more, were created."""
    found = micros(changes)
    return Span(int(found.min()), int(found.max()))


def encoded(changes: pa.RecordBatch, coverage: Coverage | None) -> bytes:
    """One element for the runner's shuffle: an Arrow stream, with the runs that it covers."""
    if coverage is not None:
        runs = {shard: [[run.after, run.first, run.last] for run in found] for shard, found in coverage.items()}
        changes = changes.replace_schema_metadata({_RUNS: json.dumps(runs).encode()})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, changes.schema, options=pa.ipc.IpcWriteOptions(compression=_CODEC)) as stream:
        stream.write_batch(changes)
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]  # pyarrow is untyped


def decoded(chunk: bytes) -> tuple[pa.RecordBatch, Coverage]:
    with pa.ipc.open_stream(chunk) as stream:
        changes = stream.read_next_batch()
    runs = json.loads((changes.schema.metadata or {}).get(_RUNS, b"{}"))
    coverage = {shard: [Run(*run) for run in found] for shard, found in runs.items()}
    return changes.replace_schema_metadata(None), coverage


def in_order(batches: Sequence[pa.RecordBatch], *, without_repeats: bool) -> pa.RecordBatch:
    """One batch by shard and sequence number; equal ones keep their order, or are left out but for the first."""
    changes = batches[0] if len(batches) == 1 else pa.concat_batches(batches)
    shards, numbers = changes.column("shard_id"), padded(changes.column("sequence_number"))
    order = pc.sort_indices(
        pa.table([shards, numbers, pa.array(np.arange(len(changes)))], names=["shard", "number", "place"]),
        sort_keys=[("shard", "ascending"), ("number", "ascending"), ("place", "ascending")],
    )
    if without_repeats and len(order) > 1:
        shard, number = shards.take(order), numbers.take(order)
        repeated = pc.and_(pc.equal(shard[1:], shard[:-1]), pc.equal(number[1:], number[:-1]))
        order = order.filter(pa.concat_arrays([pa.array([True]), pc.invert(repeated)]))
    return changes.take(order)


def by_partition(changes: pa.RecordBatch, partitions: Partitions | None) -> Iterator[tuple[str, pa.RecordBatch]]:
    """The changes of each Hive partition with its path, ``date=2026-01-31/hour=08/``, in the order of time."""
    if partitions is None:
        yield "", changes
        return
    unit, form = _FORMS[partitions]
    spans = micros(changes).astype("datetime64[us]").astype(f"datetime64[{unit}]")
    for span in np.unique(spans):
        here = spans == span
        rows = changes if here.all() else changes.filter(pa.array(here))
        yield span.astype("datetime64[s]").item().strftime(form), rows


def common_partition(window: Span | None, partitions: Partitions | None, names: str) -> str:
    """What the paths of a window's files begin with, if their names begin with ``names``; empty for many partitions."""
    if partitions is None:
        return names
    if window is None:
        return ""
    form = _FORMS[partitions][1]
    first, last = ((_EPOCH + timedelta(microseconds=at)).strftime(form) for at in (window.start, window.end - 1))
    return f"{first}{names}" if first == last else ""


class Digest:
    """A name for what a file holds: the same for the same changes in the same order, whoever writes them."""

    def __init__(self) -> None:
        self._hash = blake2b(digest_size=8)

    def add(self, changes: pa.RecordBatch) -> None:
        places = pc.binary_join_element_wise(changes.column("shard_id"), changes.column("sequence_number"), " ")
        self._hash.update("".join(f"{place}\n" for place in places.to_pylist()).encode())

    def __str__(self) -> str:
        return self._hash.hexdigest()
