"""The last change of each key of a window, however many keys it has.

Changes are collected up to a limit, and only the last of each key stays. If these still are too many, they are written
to parts on a disk by a hash of their key. Each part then has all changes of its keys, and goes the same way alone, with
another hash if it is too large itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from zlib import crc32

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from beam_dynamodb_streams.sinks.batches import change_keys
from beam_dynamodb_streams.sinks.layouts import RowLayout, key_columns
from beam_dynamodb_streams.sinks.sorted_runs import Run, Scratch, merge, run_in_memory, sort_batches, write_run

_STREAM: Final = "_stream_number"
_BITS: Final = 6
_PARTS: Final = 1 << _BITS
_MOST_DEPTH: Final = 32 // _BITS


class LatestChanges:
    """The changes of `latest_image` of one window.

    Args:
        layout: Says which changes have a row.
        at_most: About how many bytes of changes are in memory.
        scratch: Where the rest is.
        depth: How often the changes were divided into parts before.
    """

    def __init__(self, layout: RowLayout, at_most: int, scratch: Scratch, depth: int = 0) -> None:
        self._layout = layout
        self._at_most = at_most
        self._scratch = scratch
        self._depth = depth
        self._batches: list[pa.RecordBatch] = []
        self._size = 0
        self._parts: list[list[tuple[int, int]]] = []

    def add(self, changes: pa.RecordBatch, stream_number: int) -> None:
        """Add changes of a stream. Streams are numbered in the order in which the rows of each are written."""
        number = pa.repeat(f"{stream_number:08d}", len(changes))
        self._add(changes.append_column(_STREAM, number))

    def rows(self) -> Iterator[pa.RecordBatch]:
        """Yield the last changes of all keys, by stream, shard and sequence number."""
        for rows in merge(list(self._runs()), _keys, self._at_most, self._scratch, without_repeats=False):
            yield rows.select(rows.schema.names[:-1])

    def _add(self, changes: pa.RecordBatch) -> None:
        if not len(changes):
            return
        self._batches.append(changes)
        self._size += changes.nbytes
        if self._size >= self._at_most:
            self._keep_the_latest()
            if self._size >= self._at_most // 2 and self._depth < _MOST_DEPTH:
                self._divide()

    def _runs(self) -> Iterator[Run]:
        if not self._parts:
            if self._batches:
                self._keep_the_latest()
                rows = sort_batches(self._batches, _keys, without_repeats=False)
                if self._depth:
                    yield write_run([rows], _keys, self._at_most, self._scratch)
                else:
                    yield run_in_memory(rows, _keys, self._at_most)
            return
        self._divide()
        for places in self._parts:
            part = LatestChanges(self._layout, self._at_most, self._scratch, self._depth + 1)
            for place in places:
                part._add(self._scratch.read_at(*place))
            yield from part._runs()

    def _keep_the_latest(self) -> None:
        changes = self._batches[0] if len(self._batches) == 1 else pa.concat_batches(self._batches)
        self._batches = [self._layout.changes_with_a_row(changes)]
        self._size = self._batches[0].nbytes

    def _divide(self) -> None:
        if not self._parts:
            self._parts = [[] for _ in range(_PARTS)]
        for changes in self._batches:
            numbers = _part_numbers(changes, self._layout, self._depth)
            order = np.argsort(numbers, kind="stable")
            ends = np.searchsorted(numbers[order], np.arange(_PARTS), "right")
            start = 0
            for number, end in enumerate(ends.tolist()):
                if end > start:
                    rows = changes.take(pa.array(np.sort(order[start:end])))
                    self._parts[number].append(self._scratch.append(rows))
                start = end
        self._batches, self._size = [], 0


def _keys(changes: pa.RecordBatch) -> list[pa.Array]:
    return [changes.column(_STREAM), *change_keys(changes)]


def _part_numbers(changes: pa.RecordBatch, layout: RowLayout, depth: int) -> npt.NDArray[np.int64]:
    """Return the part of each change: the same for all changes of a key, and another division for each depth."""
    texts = [_as_binary(column) for column in key_columns(changes, layout.schema)]
    keys = pc.binary_join_element_wise(*texts, b"\0")
    # A change whose key is unknown in part has a row of its own, so it may be in any part.
    keys = pc.coalesce(keys, changes.column("version").cast(pa.binary()))
    hashes = np.fromiter(map(crc32, keys.to_pylist()), np.int64, len(changes))
    return (hashes >> (_BITS * depth)) & (_PARTS - 1)  # with another seed, crc32 would keep equal keys of a part equal


def _as_binary(column: pa.Array) -> pa.Array:
    if pa.types.is_binary(column.type):
        return column
    return (column if pa.types.is_string(column.type) else column.cast(pa.string())).cast(pa.binary())
