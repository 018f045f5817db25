"""Rows with a Beam schema back to record batches, for sinks that take rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import apache_beam as beam
import pyarrow as pa
from apache_beam.utils.windowed_value import WindowedValue

from beam_dynamodb_streams.beam.typed import OwnDoFn
from beam_dynamodb_streams.columns import Schema
from beam_dynamodb_streams.records import CHANGE_SCHEMA
from beam_dynamodb_streams.rows.row_type import file_struct

_BUFFERED: Final = 1000
"""Rows of a bundle and a window that are converted at once."""


class BatchMaker:
    """Makes batches of rows as `AsRows(schema)` makes them. It is the inverse of `RowMaker`."""

    def __init__(self, schema: Schema | None) -> None:
        self.arrow: pa.Schema = CHANGE_SCHEMA if schema is None else schema.arrow
        columns = CHANGE_SCHEMA if schema is None else file_struct(schema)
        self._columns = [(column.name, column.type) for column in columns]

    def batch(self, rows: Sequence[Any]) -> pa.RecordBatch:
        """Return one batch of the rows, in their order."""
        arrays = [
            pa.array([_value(getattr(row, name), kind, column.type) for row in rows], column.type)
            for (name, kind), column in zip(self._columns, self.arrow, strict=True)
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=self.arrow)


def _value(value: Any, kind: pa.DataType, target: pa.DataType) -> Any:
    """Return a value as Arrow takes it. `kind` has the names of the fields in rows, and `target` those of the table."""
    if value is None:
        return None
    if pa.types.is_struct(kind):
        pairs = zip(kind, target, strict=True)
        return {into.name: _value(getattr(value, member.name), member.type, into.type) for member, into in pairs}
    if pa.types.is_list(kind):
        return [_value(each, kind.value_type, target.value_type) for each in value]
    if pa.types.is_map(kind):
        return [(name, _value(each, kind.item_type, target.item_type)) for name, each in value.items()]
    if pa.types.is_timestamp(kind):
        return value.micros
    return value


class MakeBatches(OwnDoFn):
    """Collects the rows of a bundle to batches, each of one window, at the earliest event time of its rows."""

    def __init__(self, schema: Schema | None) -> None:
        self._schema = schema

    def setup(self) -> None:
        self._maker = BatchMaker(self._schema)

    def start_bundle(self) -> None:
        self._waiting: dict[Any, list[tuple[Any, Any]]] = {}

    def process(
        self, row: Any, stamp: Any = beam.DoFn.TimestampParam, window: Any = beam.DoFn.WindowParam
    ) -> Iterable[WindowedValue]:
        waiting = self._waiting.setdefault(window, [])
        waiting.append((stamp, row))
        return [self._batch(window)] if len(waiting) >= _BUFFERED else ()

    def finish_bundle(self) -> Iterator[WindowedValue]:
        for window in list(self._waiting):
            yield self._batch(window)

    def _batch(self, window: Any) -> WindowedValue:
        waiting = self._waiting.pop(window)
        batch = self._maker.batch([row for _, row in waiting])
        return WindowedValue(batch, min(stamp for stamp, _ in waiting), (window,))
