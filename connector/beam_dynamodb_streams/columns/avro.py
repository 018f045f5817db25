"""Arrow columns in Avro: the schema of a file, records for it, and names that Avro takes.

| column | Avro |
|---|---|
| string, json | string |
| int64 | long |
| float64 | double |
| decimal128(p, s) | bytes, logical type decimal |
| bool | boolean |
| binary | bytes |
| `list<T>` | array of T |
| `struct<…>` | record |
| `map<string, T>` | map of T |
| a change's time | long, logical type timestamp-micros |

A nullable column is a union with null, and null is its default.

Readers differ in how much of Avro they know (polars and Beam resolve no reference to a named type, others ignore
namespaces). So every record is defined where it stands and has a name that no other record has, in one namespace:
`Keys`, `NewImage`, `OldImage`, and `NewImage_address` for the column `address` of a new image.

`logical_types=False` leaves the logical types out, for readers that ignore them, as Beam's `ReadFromAvro(as_rows=True)`
does (2.77): a time is then a long of microseconds since 1970, and a decimal its text.

DynamoDB takes any text as the name of an attribute, Avro only `[A-Za-z_][A-Za-z0-9_]*`. A character that is not legal
where it stands becomes `_xHHHH_`, its code point in four to six upper-case hexadecimal digits: `order-id` becomes
`order_x002D_id`, and `1st` becomes `_x0031_st`. An underscore before `x` and four such digits would read as an escape,
so it is escaped itself. Thus different names stay different, each can be read back, and a legal name stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import pyarrow as pa

from beam_dynamodb_streams.columns.names import Path
from beam_dynamodb_streams.columns.schema import Schema
from beam_dynamodb_streams.columns.types import is_json
from beam_dynamodb_streams.records.text_columns import CHANGE_SCHEMA

NAMESPACE: Final = "dynamodb.streams"
_PRIMITIVES: Final = {
    pa.string(): "string",
    pa.int64(): "long",
    pa.float64(): "double",
    pa.bool_(): "boolean",
    pa.binary(): "bytes",
}


_ILLEGAL: Final = re.compile(r"^[0-9]|[^A-Za-z0-9_]|_(?=x[0-9A-F]{4})")
_ESCAPE: Final = re.compile(r"_x([0-9A-F]{4,6})_")


def avro_name(name: str) -> str:
    """Return the name of an attribute as an Avro name."""
    return _ILLEGAL.sub(lambda found: f"_x{ord(found[0]):04X}_", name)


def attribute_name(name: str) -> str:
    """Return the name of the attribute that has this Avro name: the inverse of `avro_name`."""
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)), name)


def avro_schema(schema: Schema | None) -> dict[str, Any]:
    """Return the Avro schema of the rows of `schema.arrow`, or of `CHANGE_SCHEMA` without a schema, as JSON."""
    return avro_schema_of(_columns(schema), "Change")


def avro_schema_of(columns: pa.Schema, name: str, *, logical_types: bool = True) -> dict[str, Any]:
    """Return the Avro schema of rows with these columns, as JSON.

    Args:
        columns: The columns of a change and of a file's layout.
        name: The name of the record.
        logical_types: Whether times and decimals have logical types.
    """
    types = _Types(record_names(columns, name), logical_types)
    fields = [types.field(column, ()) for column in columns]
    return {"type": "record", "name": name, "namespace": NAMESPACE, "fields": fields}


def record_names(columns: pa.Schema, name: str) -> dict[Path, str]:
    """Return the name of the record of each struct in the columns, by its path. No two are the same, nor `name`."""
    named: dict[Path, str] = {}
    used = {name.lower()}

    def add(kind: pa.DataType, path: Path, wanted: str) -> None:
        while not pa.types.is_struct(kind):
            if pa.types.is_list(kind):
                kind = kind.value_type
            elif pa.types.is_map(kind):
                kind = kind.item_type
            else:
                return
        named[path], number = wanted, 1
        while named[path].lower() in used:
            number += 1
            named[path] = f"{wanted}_{number}"
        used.add(named[path].lower())
        for member in kind:
            add(member.type, (*path, member.name), f"{named[path]}_{avro_name(member.name)}")

    for column in columns:
        add(
            column.type,
            (column.name,),
            "".join(part[:1].upper() + part[1:] for part in avro_name(column.name).split("_")),
        )
    return named


def avro_rows(batch: pa.RecordBatch, schema: Schema | None) -> Iterator[dict[str, Any]]:
    """Yield the rows of a batch of `schema.arrow`, or of `CHANGE_SCHEMA`, as fastavro takes them, in their order.

    Raises:
        ValueError: The batch has other columns.
    """
    expected = _columns(schema)
    if not batch.schema.equals(expected):
        raise ValueError(f"the batch has the columns {batch.schema.names} of another schema: {expected}")
    return avro_records(batch)


def avro_records(rows: pa.RecordBatch, *, name: str = "Change", logical_types: bool = True) -> Iterator[dict[str, Any]]:
    """Yield the rows as fastavro takes them for the schema `avro_schema_of` of the same arguments, in their order."""
    values = _Values(record_names(rows.schema, name), logical_types)
    names = rows.schema.names
    columns = [
        values.records(array, (column.name,))
        if pa.types.is_struct(column.type) and not column.nullable
        else values.of(array, (column.name,))
        for column, array in zip(rows.schema, rows.columns, strict=True)
    ]
    for row in zip(*columns, strict=True):
        yield dict(zip(names, row, strict=True))


def from_avro_row(row: Mapping[str, Any], schema: Schema | None) -> dict[str, Any]:
    """Return a row of fastavro's with the names and values of Arrow, as `batch.to_pylist()` has it.

    A row of a file whose schema renames attributes has the names of the table again.
    """
    renamed = {} if schema is None else schema.renamed
    return {column.name: _reader_of(column.type, renamed)(row[column.name]) for column in _columns(schema)}


def _columns(schema: Schema | None) -> pa.Schema:
    return CHANGE_SCHEMA if schema is None else schema.arrow


@dataclass(frozen=True, slots=True)
class _Types:
    """The Avro types of columns. `names` has the name of each record by its path."""

    names: Mapping[Path, str]
    logical_types: bool

    def field(self, column: pa.Field, place: Path) -> dict[str, object]:
        """Return the field of a column. `place` is the path of the record that it is in."""
        kind = self._type(column, (*place, column.name))
        field: dict[str, object] = {"name": avro_name(column.name), "type": kind}
        if column.nullable:
            field |= {"type": ["null", kind], "default": None}
        return field

    def _type(self, column: pa.Field, path: Path) -> object:
        kind = column.type
        if pa.types.is_struct(kind):
            fields = [self.field(member, path) for member in kind]
            return {"type": "record", "name": self.names[path], "namespace": NAMESPACE, "fields": fields}
        if pa.types.is_list(kind):
            return {"type": "array", "items": self._inner_type(kind.value_field, path)}
        if pa.types.is_map(kind):
            return {"type": "map", "values": self._inner_type(kind.item_field, path)}
        if pa.types.is_decimal128(kind):
            decimal = {"type": "bytes", "logicalType": "decimal", "precision": kind.precision, "scale": kind.scale}
            return decimal if self.logical_types else "string"
        if pa.types.is_timestamp(kind):
            return {"type": "long", "logicalType": "timestamp-micros"} if self.logical_types else "long"
        return {"type": "string", "dynamodb": "json"} if is_json(column) else _PRIMITIVES[kind]

    def _inner_type(self, column: pa.Field, path: Path) -> object:
        kind = self._type(column, path)
        return ["null", kind] if column.nullable else kind


@dataclass(frozen=True, slots=True)
class _Values:
    """The values of columns as fastavro takes them.

    A value that holds others is a pair of the name of its type and itself. fastavro then does not try which type of
    the union it fits, which takes a third of the time to write.
    """

    names: Mapping[Path, str]
    logical_types: bool

    def of(self, column: pa.Array, path: Path) -> list[Any]:
        """Return the values of a nullable column."""
        kind = column.type
        if pa.types.is_struct(kind):
            name = f"{NAMESPACE}.{self.names[path]}"
            rows: list[Any] = [(name, record) for record in self.records(column, path)]
        elif pa.types.is_list(kind):
            elements = self.of(column.values, path)
            rows = [("array", elements[start:end]) for start, end in _limits(column)]
        elif pa.types.is_map(kind):
            keys, items = column.keys.to_pylist(), self.of(column.items, path)
            limits = _limits(column)
            rows = [("map", dict(zip(keys[start:end], items[start:end], strict=True))) for start, end in limits]
        elif self.logical_types:
            return column.to_pylist()  # type: ignore[no-any-return]  # pyarrow is untyped
        else:
            return _plain(column)
        if column.null_count:
            present = column.is_valid().to_pylist()
            return [row if here else None for row, here in zip(rows, present, strict=True)]
        return rows

    def records(self, column: pa.StructArray, path: Path) -> list[dict[str, Any]]:
        names = [avro_name(member.name) for member in column.type]
        columns = [
            self.of(array, (*path, member.name)) for array, member in zip(column.flatten(), column.type, strict=True)
        ]
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _plain(column: pa.Array) -> list[Any]:
    """Return the values without a logical type."""
    if pa.types.is_timestamp(column.type):
        column = column.view(pa.int64())
    elif pa.types.is_decimal(column.type):
        return [None if each is None else f"{each:f}" for each in column.to_pylist()]
    return column.to_pylist()  # type: ignore[no-any-return]  # pyarrow is untyped


def _limits(column: pa.Array) -> Iterator[tuple[int, int]]:
    return pairwise(column.offsets.to_pylist())


def _reader_of(kind: pa.DataType, renamed: Mapping[Path, str], path: Path = ()) -> Callable[[Any], Any]:
    if pa.types.is_struct(kind):
        members = []
        for member in kind:
            inner = (*path, member.name)
            written = avro_name(renamed.get(inner, member.name))
            members.append((member.name, written, _reader_of(member.type, renamed, inner)))
        return lambda row: None if row is None else {name: read(row[written]) for name, written, read in members}
    if pa.types.is_list(kind):
        element = _reader_of(kind.value_type, renamed, path)
        return lambda elements: None if elements is None else [element(each) for each in elements]
    if pa.types.is_map(kind):
        item = _reader_of(kind.item_type, renamed, path)
        return lambda items: None if items is None else [(name, item(each)) for name, each in items.items()]
    return lambda value: value
