"""The step before the shuffle: a bundle's changes become one chunk for each window, in Arrow."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.pvalue import TaggedOutput
from apache_beam.transforms.window import BoundedWindow, GlobalWindow, WindowFn
from apache_beam.utils.timestamp import MIN_TIMESTAMP, Timestamp
from apache_beam.utils.windowed_value import WindowedValue

from beam_dynamodb_streams.columns import Columns, Misfit
from beam_dynamodb_streams.errors import ElementTypeError, InvalidOptionError, MisfitError
from beam_dynamodb_streams.records import ChangeRecord, to_arrow
from beam_dynamodb_streams.sinks.batches import encoded, micros
from beam_dynamodb_streams.sinks.coverage import Arrivals, Coverage, runs_of
from beam_dynamodb_streams.sinks.layouts import RowLayout
from beam_dynamodb_streams.sinks.output import check_writable

MISFITS: Final = "misfits"
FULL_ROWS: Final = 20_000
FULL_BYTES: Final = 32 << 20
"""A bundle's changes go on once they are so many, by the service's own count of bytes where there is one: that bounds
the memory."""


@dataclass(frozen=True, slots=True)
class Cut:
    """What a sink takes. ``sink`` is its name in errors; ``tagged``: misfits have an output of their own."""

    sink: str
    layout: RowLayout
    tagged: bool


class _Chunks(beam.DoFn):
    """What both cuts share: the checks, the way of changes to columns, and when they go on."""

    def __init__(self, cut: Cut, directory: str) -> None:
        self._cut = cut
        self._directory = directory

    def setup(self) -> None:
        check_writable(self._directory)
        schema = self._cut.layout.schema
        self._columns = None if schema is None else Columns(schema)

    def _clear(self) -> None:
        self._batches: list[pa.RecordBatch] = []
        self._rows = 0
        self._bytes = 0

    def _are_enough(self, rows: int, size: int) -> bool:
        """With so many more."""
        self._rows += rows
        self._bytes += size
        return self._rows >= FULL_ROWS or self._bytes >= FULL_BYTES

    def _batch(self, records: list[ChangeRecord]) -> tuple[pa.RecordBatch, list[Misfit]]:
        if self._columns is None:
            return to_arrow(records), []
        made = self._columns.of_records(records)
        if made.misfits and not self._cut.tagged:
            misfit = made.misfits[0]
            raise MisfitError(
                f"{misfit.place} does not fit its column: {misfit.reason}. Take the misfits as an"
                f" output, files, misfits = changes | {self._cut.sink}(…).with_outputs(), or choose on_misfit='text'",
                shard=misfit.shard_id,
                position=misfit.sequence_number,
            )
        return made.rows, made.misfits

    def _checked(self, batch: object) -> pa.RecordBatch:
        if not isinstance(batch, pa.RecordBatch):
            text = repr(batch)
            raise ElementTypeError(
                f"{self._cut.sink} takes ChangeRecords and record batches, not {type(batch).__name__}"
                f" ({text if len(text) <= 80 else f'{text[:79]}…'}): let the step before it return what it was given,"
                " or write other rows with a sink for them"
            )
        if batch.schema != self._cut.layout.change_columns:
            raise ElementTypeError(
                f"{self._cut.sink} was given a batch of the columns {', '.join(batch.schema.names)}, which are not"
                f" those of {'CHANGE_SCHEMA' if self._columns is None else 'its schema'}: give the sink the schema="
                " that the batches were made with"
            )
        return batch


class ChunksOfTheSinksWindows(_Chunks):
    """Cuts changes by their creation time, whatever the event time of the element that brings them.

    ``window_micros``: the length of the windows; None: all are in one. ``tracked``: the name of a run whose coverage is
    kept, and whether one process sees all of it.
    """

    def __init__(self, cut: Cut, directory: str, window_micros: int | None, tracked: tuple[str, bool] | None) -> None:
        super().__init__(cut, directory)
        self._window_micros = window_micros
        self._tracked = tracked

    def start_bundle(self) -> None:
        self._records: list[ChangeRecord] = []
        self._misfits: list[Misfit] = []
        self._clear()

    def process(self, element: Any) -> Iterator[Any] | None:
        if type(element) is ChangeRecord:
            self._records.append(element)
            return self._drain() if self._are_enough(1, _size(element)) else None
        batch = self._checked(element)
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
        misfits = self._misfits
        self.start_bundle()
        if batches:
            changes = pa.concat_batches([batch.replace_schema_metadata(None) for batch in batches])
            yield from self._cut_up(changes)
            earliest = Timestamp(micros=int(micros(changes).min()))
            for misfit in misfits:
                yield TaggedOutput(MISFITS, _globally(misfit, earliest))

    def _cut_up(self, changes: pa.RecordBatch) -> Iterator[WindowedValue]:
        times = micros(changes)
        length = self._window_micros
        windows = np.zeros(len(times), np.int64) if length is None else times // length
        coverage: dict[int, Coverage] = {}
        if self._tracked is not None:
            arrivals = _arrivals(*self._tracked)
            coverage = runs_of(changes.column("shard_id"), changes.column("sequence_number"), windows, arrivals)
        for window in np.unique(windows).tolist():
            here = windows == window
            rows = changes if here.all() else changes.filter(pa.array(here))
            earliest = Timestamp(micros=int(times[here].min()))
            yield _globally((0, encoded(rows, coverage.get(window))), earliest)


class ChunksOfTheInputsWindows(_Chunks):
    """Keeps the windows that the input has: of a change those of its element, of a batch's row those of its creation
    time, by the same window function."""

    def __init__(self, cut: Cut, directory: str, window_fn: WindowFn) -> None:
        super().__init__(cut, directory)
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
                f"{self._cut.sink}: a change in a window has no event time (a plain Create gives none), and"
                " Beam writes no file for a window before its own first instant: leave out the WindowInto and"
                " give window=, or emit TimestampedValue(change, Timestamp(micros=change.creation_micros))"
                " before it"
            )
        if type(element) is ChangeRecord:
            self._records.setdefault(window, []).append(element)
            return self._drain() if self._are_enough(1, _size(element)) else None
        if self._is_again(element, window):
            return None
        batch = self._checked(element)
        self._batches.append(batch)
        return self._drain() if self._are_enough(len(batch), batch.nbytes) else None

    def finish_bundle(self) -> Iterator[Any]:
        return self._drain()

    def _is_again(self, element: object, window: BoundedWindow) -> bool:
        """Beam brings an element once for each of its windows; a batch is to be cut once."""
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
            yield self._chunk(rows, window)
            for misfit in misfits:
                yield TaggedOutput(MISFITS, WindowedValue(misfit, window.max_timestamp(), (window,)))
        for batch in batches:
            times = micros(batch)
            by_window: dict[BoundedWindow, np.ndarray[Any, np.dtype[np.bool_]]] = {}
            for time in np.unique(times).tolist():
                for window in self._windows_of(Timestamp(micros=time)):
                    by_window[window] = by_window.get(window, np.False_) | (times == time)
            for window, here in by_window.items():
                yield self._chunk(batch.filter(pa.array(here)), window)

    def _chunk(self, rows: pa.RecordBatch, window: BoundedWindow) -> WindowedValue:
        return WindowedValue((0, encoded(rows, None)), window.max_timestamp(), (window,))


def _size(record: ChangeRecord) -> int:
    if record.size_bytes is not None:
        return record.size_bytes
    return sum(len(raw) for raw in (record.keys_json, record.new_image_json, record.old_image_json) if raw)


def _globally(element: Any, timestamp: Timestamp) -> WindowedValue:
    return WindowedValue(element, timestamp, (GlobalWindow(),))


_ARRIVALS: Final[dict[str, Arrivals]] = {}
_LOCK: Final = threading.Lock()


def _arrivals(run: str, from_the_start: bool) -> Arrivals:
    """Of this process, for all bundles of a run: a bundle goes on where the one before it ended."""
    with _LOCK:
        return _ARRIVALS.setdefault(run, Arrivals(from_the_start=from_the_start))
