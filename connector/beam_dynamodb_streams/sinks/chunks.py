"""The step before the shuffle: it turns a bundle's changes into one Arrow chunk for each window."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.pvalue import TaggedOutput
from apache_beam.transforms.window import BoundedWindow, GlobalWindow, WindowFn
from apache_beam.utils.timestamp import MIN_TIMESTAMP, Timestamp
from apache_beam.utils.windowed_value import WindowedValue

from beam_dynamodb_streams.beam.typed import OwnDoFn
from beam_dynamodb_streams.columns import Columns, Misfit
from beam_dynamodb_streams.errors import ElementTypeError, InvalidOptionError, MisfitError
from beam_dynamodb_streams.records import ChangeRecord, to_arrow
from beam_dynamodb_streams.records.snapshot_end import SnapshotEnd, snapshot_end
from beam_dynamodb_streams.records.text_columns import stream_column
from beam_dynamodb_streams.records.versions import stream_named
from beam_dynamodb_streams.shards.loss import MICROS
from beam_dynamodb_streams.shards.start_stop import AHEAD_SECONDS
from beam_dynamodb_streams.sinks.batches import Chunk, creation_micros
from beam_dynamodb_streams.sinks.chunk_files import ChunkEncoder
from beam_dynamodb_streams.sinks.coverage import UNKNOWN_STREAM, Arrivals, Coverage, find_ranges
from beam_dynamodb_streams.sinks.directory import check_writable
from beam_dynamodb_streams.sinks.layouts import RowLayout
from beam_dynamodb_streams.sinks.snapshots import row_keys, split_rows

MISFITS: Final = "misfits"
FULL_ROWS: Final = 10_000
FULL_BYTES: Final = 32 << 20
"""A bundle emits its changes at this many rows or bytes, which bounds its memory. The size of a change is what the
service reports, where it does."""
AHEAD_MICROS: Final = AHEAD_SECONDS * MICROS


@dataclass(frozen=True, slots=True)
class ChunkOptions:
    """What a sink accepts, and how.

    `sink` is its name in errors; `tagged`: misfits have an output of their own. `run`: see `chunk_files.ChunkEncoder`.
    """

    sink: str
    layout: RowLayout
    tagged: bool
    run: str | None = None


@dataclass(frozen=True, slots=True)
class Tracking:
    """A run whose coverage is kept.

    `run` is its name in this process, `stream_arn` the stream in which it begins, and `sees_all` says whether one
    process sees all of it. The version of a change says whether it is of another stream of the table.
    """

    run: str
    stream_arn: str
    sees_all: bool


class _ChunkChanges(OwnDoFn):
    """What both kinds of chunks share: the checks, the conversion to columns, and when chunks are emitted."""

    def __init__(self, options: ChunkOptions, directory: str) -> None:
        self._options = options
        self._directory = directory

    def setup(self) -> None:
        check_writable(self._directory)
        schema = self._options.layout.schema
        self._columns = None if schema is None else Columns(schema)
        self._encoder = ChunkEncoder(self._directory, self._options.run)

    def _clear(self) -> None:
        self._batches: list[pa.RecordBatch] = []
        self._rows = 0
        self._bytes = 0

    def _are_enough(self, rows: int, size: int) -> bool:
        """Count more rows and bytes, and return whether it is time to emit them."""
        self._rows += rows
        self._bytes += size
        return self._rows >= FULL_ROWS or self._bytes >= FULL_BYTES

    def _batch(self, records: list[ChangeRecord]) -> tuple[pa.RecordBatch, list[Misfit]]:
        if self._columns is None:
            return to_arrow(records), []
        made = self._columns.of_records(records)
        if made.misfits and not self._options.tagged:
            misfit = made.misfits[0]
            raise MisfitError(
                f"{misfit.place} does not fit its column: {misfit.reason}. Take the misfits as an output,"
                f" files, misfits = changes | {self._options.sink}(…).with_outputs(), or choose on_misfit='text'",
                shard=misfit.shard_id,
                position=misfit.sequence_number,
            )
        return made.rows, made.misfits

    def _checked(self, batch: object) -> pa.RecordBatch:
        if not isinstance(batch, pa.RecordBatch):
            text = repr(batch)
            raise ElementTypeError(
                f"{self._options.sink} accepts ChangeRecords and record batches, not {type(batch).__name__}"
                f" ({text if len(text) <= 80 else f'{text[:79]}…'}): make the step before it return what it received,"
                " or write other rows with another sink"
            )
        if batch.schema != self._options.layout.change_columns:
            raise ElementTypeError(
                f"{self._options.sink} received a batch of the columns {', '.join(batch.schema.names)}, which are not"
                f" those of {'CHANGE_SCHEMA' if self._columns is None else 'its schema'}: pass the sink the"
                " schema= that the batches were made with"
            )
        return batch


def _wall_clock() -> float:
    """Return the wall clock, as a function that travels to workers by its name."""
    return time.time()


class ChunkBySinkWindows(_ChunkChanges):
    """Chunks by creation time, whatever the event time of the elements.

    A chunk has the key 0, and the runner puts it into its window by its timestamp. A change that is dated far ahead of
    the clock would wait there until its date. So the chunk of such a window has the start of that window as its key,
    and the present as its timestamp: it is written now, to a file of its own window.

    `window_micros` is the length of the windows; None puts all changes into one. `tracking` says whose coverage is
    kept, if any. `now` is the wall clock.
    """

    def __init__(
        self,
        options: ChunkOptions,
        directory: str,
        window_micros: int | None,
        tracking: Tracking | None,
        now: Callable[[], float] | None = None,
    ) -> None:
        super().__init__(options, directory)
        self._window_micros = window_micros
        self._tracking = tracking
        self._now = now or _wall_clock

    def start_bundle(self) -> None:
        self._records: list[ChangeRecord] = []
        self._misfits: list[Misfit] = []
        self._ends: list[tuple[SnapshotEnd, pa.RecordBatch]] = []
        self._clear()

    def process(self, element: Any) -> Iterator[Any] | None:
        if type(element) is ChangeRecord:
            self._records.append(element)
            return self._drain() if self._are_enough(1, _size(element)) else None
        batch = self._checked(element)
        if (end := snapshot_end(batch)) is not None:
            self._ends.append((end, batch))
            return iter(())
        self._take_records()
        self._batches.append(batch)
        return self._drain() if self._are_enough(len(batch), batch.nbytes) else None

    def finish_bundle(self) -> Iterator[Any]:
        return self._drain()

    def _take_records(self) -> None:
        if self._records:
            batch, misfits = self._batch(self._records)
            self._records = []
            self._batches.append(batch)
            self._misfits += misfits

    def _drain(self) -> Iterator[Any]:
        self._take_records()
        batches = [batch for batch in self._batches if len(batch)]
        misfits, ends = self._misfits, self._ends
        self.start_bundle()
        if batches:
            changes = pa.concat_batches([batch.replace_schema_metadata(None) for batch in batches])
            del batches
            earliest = Timestamp(micros=int(creation_micros(changes).min()))
            yield from self._chunks_of(changes)
            del changes
            pa.default_memory_pool().release_unused()
            for misfit in misfits:
                yield TaggedOutput(MISFITS, _globally(misfit, earliest))
        for end, batch in ends:
            chunk = Chunk(batch.replace_schema_metadata(None), end=end)
            yield _globally((-end.epoch, self._encoder.encode(chunk)), Timestamp(end.consistent_second))

    def _chunks_of(self, changes: pa.RecordBatch) -> Iterator[WindowedValue]:
        changes, snapshots = split_rows(changes)
        for epoch, rows in snapshots:  # a key below 0 is the epoch of a snapshot, whose rows have files of their own
            yield _globally(
                (-epoch, self._encoder.encode(Chunk(rows), row_keys)),
                Timestamp(micros=int(creation_micros(rows).max())),
            )
        if not len(changes):
            return
        tracking = self._tracking
        if tracking is None or not tracking.stream_arn:
            yield from self._chunks_of_stream(changes, UNKNOWN_STREAM)
            return
        streams = stream_column(changes.column("version"))
        for part in sorted(pc.unique(streams).to_pylist()):
            of_stream = changes.filter(pc.equal(streams, part))
            yield from self._chunks_of_stream(of_stream, stream_named(part, tracking.stream_arn))

    def _chunks_of_stream(self, changes: pa.RecordBatch, stream_arn: str) -> Iterator[WindowedValue]:
        times = creation_micros(changes)
        length = self._window_micros
        windows = np.zeros(len(times), np.int64) if length is None else times // length
        coverage: dict[int, Coverage] = {}
        if self._tracking is not None:
            arrivals = _arrivals(self._tracking)
            shards, numbers = changes.column("shard_id"), changes.column("sequence_number")
            coverage = find_ranges(stream_arn, shards, numbers, windows, arrivals)
        present = int(self._now() * MICROS)
        for window in np.unique(windows).tolist():
            here = windows == window
            rows = changes if here.all() else changes.filter(pa.array(here))
            key, micros = 0, int(times[here].min())
            if length is not None and window * length > present + AHEAD_MICROS:
                key, micros = window * length, present
            chunk = self._encoder.encode(Chunk(rows, stream_arn, coverage.get(window)))
            yield _globally((key, chunk), Timestamp(micros=micros))


class ChunkByInputWindows(_ChunkChanges):
    """Chunks by the windows of the input.

    A change is in the windows of its element. A row of a batch is in the windows of its creation time, by the same
    window function.
    """

    def __init__(self, options: ChunkOptions, directory: str, window_fn: WindowFn) -> None:
        super().__init__(options, directory)
        self._window_fn = window_fn

    def start_bundle(self) -> None:
        self._element: object = None
        self._seen: set[BoundedWindow] = set()
        self._records: dict[BoundedWindow, list[ChangeRecord]] = {}
        self._clear()

    def process(
        self,
        element: Any,
        timestamp: Timestamp = beam.DoFn.TimestampParam,
        window: BoundedWindow = beam.DoFn.WindowParam,
    ) -> Iterator[Any] | None:
        if timestamp == MIN_TIMESTAMP and not isinstance(window, GlobalWindow):
            raise InvalidOptionError(
                f"{self._options.sink}: a change in a window has no event time (a plain Create sets none), and"
                " Beam writes no file for a window before its own first instant: remove the WindowInto and"
                " pass window=, or emit TimestampedValue(change, Timestamp(micros=change.creation_micros))"
                " before it"
            )
        if type(element) is ChangeRecord:
            self._records.setdefault(window, []).append(element)
            return self._drain() if self._are_enough(1, _size(element)) else None
        if self._is_again(element, window):
            return iter(())  # Beam warns of a process() with the line "return None"
        batch = self._checked(element)
        self._batches.append(batch)
        return self._drain() if self._are_enough(len(batch), batch.nbytes) else None

    def finish_bundle(self) -> Iterator[Any]:
        return self._drain()

    def _is_again(self, element: object, window: BoundedWindow) -> bool:
        """Return whether Beam repeats the last element for another of its windows: a batch becomes chunks once."""
        if element is self._element and window not in self._seen:
            self._seen.add(window)
            return True
        self._element, self._seen = element, {window}
        return False

    def _windows_of(self, timestamp: Timestamp) -> list[BoundedWindow]:
        return list(self._window_fn.assign(WindowFn.AssignContext(timestamp)))

    def _drain(self) -> Iterator[Any]:
        records, batches = self._records, self._batches
        self._records = {}
        self._clear()
        for window, changes in records.items():
            rows, misfits = self._batch(changes)
            yield from self._chunks(rows, window)
            for misfit in misfits:
                yield TaggedOutput(MISFITS, WindowedValue(misfit, window.max_timestamp(), (window,)))
        for batch in batches:
            times = creation_micros(batch)
            by_window: dict[BoundedWindow, np.ndarray[Any, np.dtype[np.bool_]]] = {}
            for micros in np.unique(times).tolist():
                for window in self._windows_of(Timestamp(micros=micros)):
                    by_window[window] = by_window.get(window, np.False_) | (times == micros)
            for window, here in by_window.items():
                yield from self._chunks(batch.filter(pa.array(here)), window)

    def _chunks(self, rows: pa.RecordBatch, window: BoundedWindow) -> Iterator[WindowedValue]:
        changes, snapshots = split_rows(rows)
        for epoch, read in snapshots:
            yield WindowedValue(
                (-epoch, self._encoder.encode(Chunk(read), row_keys)), window.max_timestamp(), (window,)
            )
        if len(changes):
            yield WindowedValue((0, self._encoder.encode(Chunk(changes))), window.max_timestamp(), (window,))


def _size(record: ChangeRecord) -> int:
    if record.size_bytes is not None:
        return record.size_bytes
    return sum(len(raw) for raw in (record.keys_json, record.new_image_json, record.old_image_json) if raw)


def _globally(element: Any, timestamp: Timestamp) -> WindowedValue:
    return WindowedValue(element, timestamp, (GlobalWindow(),))


_ARRIVALS: Final[dict[str, Arrivals]] = {}
_LOCK: Final = threading.Lock()


def _arrivals(tracking: Tracking) -> Arrivals:
    """Return what all bundles of a run in this process share: a bundle resumes where the one before it ended."""
    with _LOCK:
        return _ARRIVALS.setdefault(tracking.run, Arrivals(from_the_start=tracking.sees_all))
