"""Rows in order, though they are more than memory holds: runs of sorted blocks on a disk, and their merge.

A *run* is a sequence of blocks in which all rows are in order. A *block* is a piece of a run, of at most a few
megabytes, with its first and its last key. The merge reads blocks in the order of their first keys. Whatever precedes
the first key of the next block is complete, so in memory are only the blocks whose keys overlap. Changes of a stream
arrive nearly in order, and then that is one block. Where the blocks of too many runs overlap, groups of runs are merged
to longer ones first.
"""

from __future__ import annotations

import heapq
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from types import TracebackType
from typing import BinaryIO, Final, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

BLOCK_BYTES: Final = 2 << 20
_LEAST_BLOCK_BYTES: Final = 64 << 10
_MOST_GROUPS: Final = 64
_CODEC: Final = "lz4" if pa.Codec.is_available("lz4") else None
_OPTIONS: Final = pa.ipc.IpcWriteOptions(compression=_CODEC)

Key: TypeAlias = tuple[str, ...]
Keys: TypeAlias = Callable[[pa.RecordBatch], list[pa.Array]]
"""Returns the columns that rows are sorted by, as text: the first, then the second where it is equal."""


class Block(NamedTuple):
    """A piece of a run: its first and last key, its rows, their bytes in memory, and where the run's source has it."""

    first: Key
    last: Key
    rows: int
    size: int
    start: int
    length: int


class Source(Protocol):
    """Where the blocks of a run are."""

    def read(self, block: Block) -> pa.RecordBatch: ...


class Run(NamedTuple):
    source: Source
    blocks: Sequence[Block]


class InMemory:
    """Sorted rows as the source of a run: `start` and `length` of a block count rows."""

    def __init__(self, rows: pa.RecordBatch) -> None:
        self._rows = rows

    def read(self, block: Block) -> pa.RecordBatch:
        return self._rows.slice(block.start, block.length)


class Scratch(AbstractContextManager["Scratch"]):
    """A file without a name, for the runs of one process: its space is free again however the process ends.

    Args:
        directory: Where its bytes are; None for the system's directory of temporary files.
    """

    def __init__(self, directory: str | None = None) -> None:
        self._directory = directory
        self._file: BinaryIO | None = None
        self._size = 0

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._file is not None:
            with suppress(OSError):  # what was not written is not needed any more
                self._file.close()

    def append(self, rows: pa.RecordBatch) -> tuple[int, int]:
        """Write rows to the end of the file, and return where they are: the first byte, and the number of bytes."""
        return self.append_bytes(encode_block(rows))

    def append_bytes(self, data: bytes | pa.Buffer) -> tuple[int, int]:
        """Write the bytes of a block, or of several, and return where they are."""
        if self._file is None:
            if self._directory is not None:
                os.makedirs(self._directory, exist_ok=True)
            self._file = tempfile.TemporaryFile(dir=self._directory, buffering=0)  # noqa: SIM115 - `__exit__` closes it
        start = self._size
        self._file.seek(start)
        view = memoryview(data)
        while len(view):
            written = self._file.write(view)
            self._size += written
            view = view[written:]
        return start, self._size - start

    def read_at(self, start: int, length: int) -> pa.RecordBatch:
        """Return the rows at that place."""
        if self._file is None:
            raise ValueError("nothing was written")
        return decode_block(read_exactly(self._file, start, length))

    def read(self, block: Block) -> pa.RecordBatch:
        return self.read_at(block.start, block.length)


def read_exactly(file: BinaryIO, start: int, length: int) -> bytes:
    """Return that many bytes of an open file. Raises EOFError if it has less."""
    file.seek(start)
    data = file.read(length)
    if len(data) < length:
        raise EOFError(f"the file ends {length - len(data)} bytes early")
    return data


def encode_block(rows: pa.RecordBatch) -> pa.Buffer:
    """Return rows as an Arrow stream of their own."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema, options=_OPTIONS) as stream:
        stream.write_batch(rows)
    return sink.getvalue()


def decode_block(data: bytes) -> pa.RecordBatch:
    """Return the inverse of `encode_block`."""
    with pa.ipc.open_stream(data) as stream:
        return stream.read_next_batch()


def sort_batches(batches: Sequence[pa.RecordBatch], keys: Keys, *, without_repeats: bool) -> pa.RecordBatch:
    """Return one batch of the rows, sorted. Rows of one key keep their order; `without_repeats` keeps the first."""
    rows = batches[0] if len(batches) == 1 else pa.concat_batches(batches)
    columns = keys(rows)
    names = [f"key{number}" for number in range(len(columns))]
    table = pa.table([*columns, pa.array(np.arange(len(rows)))], names=[*names, "row"])
    order = pc.sort_indices(table, sort_keys=[(name, "ascending") for name in (*names, "row")])
    if without_repeats and len(order) > 1:
        order = order.filter(_is_new([column.take(order) for column in columns]))
    return _take(rows, order.to_numpy())


def _is_new(columns: Sequence[pa.Array]) -> pa.Array:
    """Return, for each row of sorted columns, whether it differs from the row before it."""
    same = [pc.equal(column[1:], column[:-1]).to_numpy(zero_copy_only=False) for column in columns]
    new = np.ones(len(columns[0]), np.bool_)
    new[1:] = ~np.logical_and.reduce(same)
    return pa.array(new)


def _take(rows: pa.RecordBatch, order: npt.NDArray[np.uint64]) -> pa.RecordBatch:
    """Return rows in another order. Rows that stay together are copied together, since pages are in order already."""
    cuts = np.flatnonzero(np.diff(order) != 1) + 1
    if not len(cuts):
        return rows if len(order) == len(rows) else rows.slice(int(order[0]) if len(order) else 0, len(order))
    if len(cuts) * 32 > len(order):
        return rows.take(pa.array(order))
    starts, ends = [0, *cuts.tolist()], [*cuts.tolist(), len(order)]
    pieces = [rows.slice(int(order[start]), end - start) for start, end in zip(starts, ends, strict=True)]
    return pa.concat_batches(pieces)


def pieces_of(rows: pa.RecordBatch, keys: Keys, at_most: int) -> Iterator[pa.RecordBatch]:
    """Yield sorted rows in pieces of about that many bytes, in order.

    A piece ends where the first key changes too, unless that makes it small: then the pieces of two runs overlap less.
    """
    if not len(rows):
        return
    each = max(1, len(rows) * at_most // max(1, rows.nbytes))
    first = keys(rows)[0]
    changes = np.flatnonzero(pc.not_equal(first[1:], first[:-1]).to_numpy(zero_copy_only=False)) + 1
    ends = [*changes.tolist(), len(rows)] if len(changes) <= _MOST_GROUPS else [len(rows)]
    start = 0
    for end in ends:
        for at in range(start, end, each):
            yield rows.slice(at, min(each, end - at))
        start = end


def block_bytes(at_most: int) -> int:
    """Return how large blocks are where `at_most` bytes may be in memory."""
    return min(BLOCK_BYTES, max(_LEAST_BLOCK_BYTES, at_most // 32))


def block_of(rows: pa.RecordBatch, keys: Keys, start: int, length: int) -> Block:
    """Return the block of sorted rows that are at that place."""
    first, last = (tuple(column[0].as_py() for column in keys(rows.slice(at, 1))) for at in (0, len(rows) - 1))
    return Block(first, last, len(rows), rows.nbytes, start, length)


def run_in_memory(rows: pa.RecordBatch, keys: Keys, at_most: int) -> Run:
    """Return a run of sorted rows that stay in memory."""
    blocks, start = [], 0
    for piece in pieces_of(rows, keys, block_bytes(at_most)):
        blocks.append(block_of(piece, keys, start, len(piece)))
        start += len(piece)
    return Run(InMemory(rows), blocks)


def write_run(batches: Iterable[pa.RecordBatch], keys: Keys, at_most: int, scratch: Scratch) -> Run:
    """Return a run of rows that are in order, after writing them to the scratch file."""
    blocks = [
        block_of(piece, keys, *scratch.append(piece))
        for batch in batches
        for piece in pieces_of(batch, keys, block_bytes(at_most))
    ]
    return Run(scratch, blocks)


def merge(
    runs: Sequence[Run], keys: Keys, at_most: int, scratch: Scratch, *, without_repeats: bool
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of all runs in order, in batches, with about `at_most` bytes in memory.

    Of equal rows, `without_repeats` keeps one.
    """
    while len(runs) > 1 and _most_at_once(runs) > at_most:
        largest = max(block.size for run in runs for block in run.blocks)
        together = max(2, at_most // 2 // max(1, largest))
        groups = [runs[start : start + together] for start in range(0, len(runs), together)]
        runs = [
            write_run(_merge(group, keys, at_most, without_repeats=without_repeats), keys, at_most, scratch)
            for group in groups
        ]
    yield from _merge(runs, keys, at_most, without_repeats=without_repeats)


def _most_at_once(runs: Sequence[Run]) -> int:
    """Return how many bytes of blocks overlap at most."""
    most = now = 0
    ending: list[tuple[Key, int]] = []
    for block in sorted((block for run in runs for block in run.blocks), key=lambda each: each.first):
        while ending and ending[0][0] < block.first:
            now -= heapq.heappop(ending)[1]
        heapq.heappush(ending, (block.last, block.size))
        now += block.size
        most = max(most, now)
    return most


def _merge(runs: Sequence[Run], keys: Keys, at_most: int, *, without_repeats: bool) -> Iterator[pa.RecordBatch]:
    order = sorted(
        ((block, run.source) for run in runs for block in run.blocks), key=lambda each: each[0].first
    )  # stable: of equal keys, those of the first run come first
    waiting: list[pa.RecordBatch] = []
    waits_up_to: Key = ()
    size = 0
    for number, (block, source) in enumerate(order):
        following = order[number + 1][0].first if number + 1 < len(order) else None
        waiting.append(source.read(block))
        waits_up_to = max(waits_up_to, block.last)
        size += block.size
        if following is not None and waits_up_to >= following and size < at_most // 4:
            continue
        if len(waiting) > 1:
            rows = sort_batches(waiting, keys, without_repeats=without_repeats)
        else:
            rows = _without_repeats(waiting[0], keys) if without_repeats else waiting[0]
        whole = len(rows) if following is None else _rows_before(rows, keys, following)
        if whole:
            yield rows.slice(0, whole)
        waiting, size = ([rows.slice(whole)], 0) if whole < len(rows) else ([], 0)


def _without_repeats(rows: pa.RecordBatch, keys: Keys) -> pa.RecordBatch:
    new = _is_new(keys(rows))
    return rows if pc.all(new).as_py() else rows.filter(new)


def _rows_before(rows: pa.RecordBatch, keys: Keys, key: Key) -> int:
    """Return how many of the sorted rows come before a key."""
    before = np.zeros(len(rows), np.bool_)
    equal = np.ones(len(rows), np.bool_)
    for column, part in zip(keys(rows), key, strict=True):
        before |= equal & pc.less(column, part).to_numpy(zero_copy_only=False)
        equal &= pc.equal(column, part).to_numpy(zero_copy_only=False)
    return int(before.sum())
