"""Record batches to rows, by column: Arrow makes the Python values, and one pass makes the named tuples."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.transforms.window import TimestampedValue
from apache_beam.utils.timestamp import Timestamp

from beam_dynamodb_streams.columns import Schema
from beam_dynamodb_streams.records import CHANGE_SCHEMA
from beam_dynamodb_streams.rows.row_type import file_struct, row_class, struct_class

_TIME = "approximate_creation_time"


class RowMaker:
    """Makes the rows of batches with the columns of a schema, or with those of `CHANGE_SCHEMA` without one."""

    def __init__(self, schema: Schema | None) -> None:
        self.arrow: pa.Schema = CHANGE_SCHEMA if schema is None else schema.arrow
        self._make = row_class(schema)._make
        columns = CHANGE_SCHEMA if schema is None else file_struct(schema)
        self._kinds = [column.type for column in columns]
        self._time = self.arrow.get_field_index(_TIME)

    def rows(self, batch: pa.RecordBatch) -> list[Any]:
        """Return one row for each change, in their order."""
        columns = [_values(column, kind) for column, kind in zip(batch.columns, self._kinds, strict=True)]
        return list(map(self._make, zip(*columns, strict=True)))

    def stamped(self, batch: pa.RecordBatch) -> Iterator[TimestampedValue]:
        """Return the rows, each with its creation time as its event time."""
        rows, index = self.rows(batch), self._time
        return (TimestampedValue(row, row[index]) for row in rows)


def _values(column: pa.Array, kind: pa.DataType) -> list[Any]:
    """Return the values of a column. `kind` is its type, with the names of the fields in rows."""
    if pa.types.is_struct(kind):
        return _structs(column, kind)
    if pa.types.is_list(kind):
        items = iter(_values(column.flatten(), kind.value_type))
        lengths = pc.list_value_length(column).to_pylist()
        return [None if length is None else list(islice(items, length)) for length in lengths]
    if pa.types.is_map(kind):
        maps = column.to_pylist()
        return [
            None if pairs is None else {name: _one(value, kind.item_type) for name, value in pairs} for pairs in maps
        ]
    if pa.types.is_timestamp(kind):
        micros = column.view(pa.int64()).to_pylist()
        stamps = {each: None if each is None else Timestamp(micros=each) for each in set(micros)}
        return [stamps[each] for each in micros]
    values: list[Any] = column.to_pylist()
    return values


def _structs(column: pa.StructArray, kind: pa.StructType) -> list[Any]:
    make = struct_class(kind)._make
    members = [_values(part, member.type) for part, member in zip(column.flatten(), kind, strict=True)]
    made = map(make, zip(*members, strict=True))
    if not column.null_count:
        return list(made)
    return [row if valid else None for row, valid in zip(made, column.is_valid().to_pylist(), strict=True)]


def _one(value: Any, kind: pa.DataType) -> Any:
    """Return a value inside a map, for which there is no column."""
    if value is None or not pa.types.is_nested(kind):
        return value
    if pa.types.is_map(kind):
        return {name: _one(each, kind.item_type) for name, each in value}
    if pa.types.is_list(kind):
        return [_one(each, kind.value_type) for each in value]
    # By place: in rows a member may have another name than in the table.
    return struct_class(kind)._make(_one(each, member.type) for each, member in zip(value.values(), kind, strict=True))
