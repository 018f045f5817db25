"""Chunks that leave the shuffle: beyond a limit, a chunk is a temporary file, and the shuffle has a reference to it.

Some runners keep all that crosses a shuffle in memory (FnApiRunner: the whole output of a stage). So the first chunks
of a run cross the shuffle as bytes, up to `INLINE_BYTES` that are not written yet. Every other chunk is sorted and
written to `_temporary` in the output, and what crosses is its path, with the place and the keys of each block.

A chunk's file is removed once the files of its window are in place. A run that is killed leaves some in `_temporary`;
the next run of the export removes them, as it removes unfinished files. That is safe where a pipeline that failed
never resumes from its own shuffle. A runner that restores steps in another process (Flink) gets the bytes.
"""

from __future__ import annotations

import atexit
import json
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import astuple, dataclass, field
from typing import Any, Final

import pyarrow as pa

from beam_dynamodb_streams.errors import ConnectorError
from beam_dynamodb_streams.records.snapshot_end import SnapshotEnd
from beam_dynamodb_streams.sinks.batches import Chunk, change_keys, decode_chunk, encode_chunk
from beam_dynamodb_streams.sinks.coverage import Coverage, SequenceRange, ShardKey, merge_coverage
from beam_dynamodb_streams.sinks.directory import is_local
from beam_dynamodb_streams.sinks.output import Output, open_output
from beam_dynamodb_streams.sinks.sorted_runs import (
    BLOCK_BYTES,
    Block,
    Keys,
    Run,
    Scratch,
    block_of,
    decode_block,
    encode_block,
    pieces_of,
    read_exactly,
    run_in_memory,
    sort_batches,
    write_run,
)
from beam_dynamodb_streams.sinks.unfinished import write_errors

INLINE_BYTES: Final = 8 << 20
"""How many bytes of changes in memory may be on their way through the shuffle of one run in this process."""
REMOTE_LEAST_BYTES: Final = 1 << 20
"""Object stores take tens of milliseconds for a file, so smaller chunks never become files there."""
_LEAST_RUN_BYTES: Final = 4 << 20  # smaller chunks are sorted together, so that a merge has few runs
_REFERENCE: Final = b"chunk file\n"  # an Arrow stream begins with four bytes of 255


class ChunkEncoder:
    """Makes chunks elements of the shuffle. `run` names the run in this process; None: chunks are never files."""

    def __init__(self, directory: str, run: str | None) -> None:
        self._directory = directory
        self._run = run
        self._output = open_output(directory)
        self._least = 0 if is_local(directory) else REMOTE_LEAST_BYTES

    def encode(self, chunk: Chunk, keys: Keys = change_keys) -> bytes:
        """Return the element: the chunk as bytes, or a reference to a file with its rows, sorted by `keys`.

        Raises:
            ConnectorError: The file cannot be written.
        """
        size = chunk.changes.nbytes
        if self._run is None or chunk.end is not None or size < self._least or _SHUFFLED.fits(self._run, size):
            return encode_chunk(chunk)
        return self._write(chunk, keys)

    def _write(self, chunk: Chunk, keys: Keys) -> bytes:
        rows = sort_batches([chunk.changes], keys, without_repeats=False)
        blocks, start = [], 0
        with write_errors(self._directory):
            unfinished = self._output.create()
            try:
                for piece in pieces_of(rows, keys, BLOCK_BYTES):
                    data = encode_block(piece)
                    unfinished.handle.write(data)
                    blocks.append(block_of(piece, keys, start, len(data)))
                    start += len(data)
                unfinished.handle.close()
            except BaseException:
                unfinished.discard()
                raise
        _LEFT.add(self._directory, unfinished.path)
        coverage = (
            None
            if chunk.coverage is None
            else [[*shard, [astuple(each) for each in ranges]] for shard, ranges in chunk.coverage.items()]
        )
        stored = {"path": unfinished.path, "stream": chunk.stream_arn, "coverage": coverage, "blocks": blocks}
        return _REFERENCE + json.dumps(stored, separators=(",", ":")).encode()


@dataclass(slots=True)
class Gathered:
    """The chunks of one window: sorted runs by stream, what they cover, and the ends of snapshots among them."""

    runs: dict[str, list[Run]] = field(default_factory=dict)
    coverage: Coverage = field(default_factory=dict)
    ends: list[SnapshotEnd] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)


class ChunkReader:
    """Reads the elements of one window from the shuffle."""

    def __init__(self, output: Output, run: str | None, at_most: int, scratch: Scratch, keys: Keys) -> None:
        self._output = output
        self._run = run
        self._at_most = at_most
        self._scratch = scratch
        self._keys = keys
        self._waiting: dict[str, list[pa.RecordBatch]] = {}
        self._size = 0

    def gather(self, elements: Iterable[bytes]) -> Gathered:
        """Return all that the elements hold, with about `at_most` bytes of it in memory.

        Raises:
            ConnectorError: A file of a chunk is not there.
        """
        found = Gathered()
        coverages: list[Coverage] = []
        for element in elements:
            if element.startswith(_REFERENCE):
                coverages.append(self._refer(json.loads(element[len(_REFERENCE) :]), found))
            else:
                chunk = decode_chunk(element)
                coverages.append(chunk.coverage or {})
                found.ends += [] if chunk.end is None else [chunk.end]
                if self._run is not None:
                    _SHUFFLED.passed(self._run, chunk.changes.nbytes)
                self._wait(chunk.stream_arn, chunk.changes, found)
            if len(coverages) >= 64:
                coverages = [merge_coverage(coverages)]
        found.coverage = merge_coverage(coverages)
        for stream_arn, rows in self._sorted():
            found.runs.setdefault(stream_arn, []).append(run_in_memory(rows, self._keys, self._at_most))
        return found

    def _refer(self, stored: Any, found: Gathered) -> Coverage:
        path, stream_arn = stored["path"], stored["stream"]
        blocks = [Block(tuple(first), tuple(last), *sizes) for first, last, *sizes in stored["blocks"]]
        found.paths.append(path)
        local = self._output.local(path)
        if local is None:  # what is far away is copied once, and not asked for block by block
            start, _ = self._scratch.append_bytes(self._output.read(path))
            run = Run(self._scratch, [block._replace(start=start + block.start) for block in blocks])
        else:
            run = Run(_LocalFile(local), blocks)
        if sum(block.size for block in blocks) < _LEAST_RUN_BYTES:
            for block in blocks:
                self._wait(stream_arn, run.source.read(block), found)
        else:
            found.runs.setdefault(stream_arn, []).append(run)
        return {
            ShardKey(arn, shard): [SequenceRange(*each) for each in ranges]
            for arn, shard, ranges in stored["coverage"] or []
        }

    def _wait(self, stream_arn: str, rows: pa.RecordBatch, found: Gathered) -> None:
        self._waiting.setdefault(stream_arn, []).append(rows)
        self._size += rows.nbytes
        if self._size >= self._at_most:
            for arn, ordered in self._sorted():
                found.runs.setdefault(arn, []).append(write_run([ordered], self._keys, self._at_most, self._scratch))

    def _sorted(self) -> Iterator[tuple[str, pa.RecordBatch]]:
        """Yield the rows that wait, sorted, and forget them."""
        waiting, self._waiting, self._size = self._waiting, {}, 0
        while waiting:
            stream_arn, batches = waiting.popitem()
            yield stream_arn, sort_batches(batches, self._keys, without_repeats=False)


def release(output: Output, paths: list[str]) -> None:
    """Remove the files of chunks whose changes are in files now."""
    with suppress(ConnectorError):  # the next run removes what is left
        output.delete(paths)
    for path in paths:
        _LEFT.discard(output.directory, path)


class _LocalFile:
    """A file of a chunk on a local disk as the source of a run."""

    def __init__(self, path: str) -> None:
        self._path = path

    def read(self, block: Block) -> pa.RecordBatch:
        try:
            with open(self._path, "rb", buffering=0) as file:
                return decode_block(read_exactly(file, block.start, block.length))
        except (OSError, EOFError) as error:
            raise ConnectorError(
                f"{self._path} cannot be read ({error}), and it has changes that are on their way to a file: let all"
                " workers see the output at one path, remove nothing from it while a pipeline writes, and run it again"
            ) from error


class _Shuffled:
    """How many bytes of each run are in the shuffle, as far as this process knows. Thread-safe."""

    def __init__(self) -> None:
        self._bytes: OrderedDict[str, int] = OrderedDict()
        self._lock = threading.Lock()

    def fits(self, run: str, size: int) -> bool:
        """Count bytes on their way and return True, or return False if there is no room for them."""
        with self._lock:
            now = self._bytes.get(run, 0)
            if now + size > INLINE_BYTES:
                return False
            self._bytes[run] = now + size
            self._bytes.move_to_end(run)
            while len(self._bytes) > 1_000:
                self._bytes.popitem(last=False)
            return True

    def passed(self, run: str, size: int) -> None:
        with self._lock:
            if run in self._bytes:
                self._bytes[run] = max(0, self._bytes[run] - size)


class _Left:
    """The files of chunks that this process has written and not removed: they go when it ends, unless it is killed."""

    def __init__(self) -> None:
        self._paths: dict[str, set[str]] = {}
        self._lock = threading.Lock()
        atexit.register(self._remove)

    def add(self, directory: str, path: str) -> None:
        with self._lock:
            self._paths.setdefault(directory, set()).add(path)

    def discard(self, directory: str, path: str) -> None:
        with self._lock:
            self._paths.get(directory, set()).discard(path)

    def _remove(self) -> None:
        for directory, paths in self._paths.items():
            with suppress(Exception):  # the process ends, and the next run removes what is left
                open_output(directory).delete(sorted(paths))


_SHUFFLED: Final = _Shuffled()
_LEFT: Final = _Left()
