"""The columns of a schema in Avro: the schema of a file, and rows of it.

======================  ===================================================
column                  Avro
======================  ===================================================
string, json            string
int64                   long
float64                 double
decimal128(p, s)        bytes, logical type decimal
bool                    boolean
binary                  bytes
list<T>                 array of T
struct<…>               record, named after its place in the image
map<string, T>          map of T
a change's time         long, logical type timestamp-micros
======================  ===================================================

What may be null is a union with null, and null is its default. Names are made legal by `columns.avro_names`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any, Final

import pyarrow as pa

from beam_dynamodb_streams.columns.avro_names import avro_name
from beam_dynamodb_streams.columns.schema import Schema
from beam_dynamodb_streams.columns.types import is_json
from beam_dynamodb_streams.records.text_columns import CHANGE_SCHEMA

NAMESPACE: Final = "dynamodb.streams"
IMAGE: Final = "Image"
_PRIMITIVES: Final = {
    pa.string(): "string",
    pa.int64(): "long",
    pa.float64(): "double",
    pa.bool_(): "boolean",
    pa.binary(): "bytes",
}


def avro_schema(schema: Schema | None) -> dict[str, object]:
    """The Avro schema, as JSON, of the rows of ``schema.arrow``; of `CHANGE_SCHEMA` if there is no schema."""
    if schema is None:
        return _record(NAMESPACE, "Change", pa.struct(list(CHANGE_SCHEMA)))
    image = f"{NAMESPACE}.{IMAGE}"
    sections = {
        "keys": _record(NAMESPACE, "Keys", schema.arrow.field("keys").type),
        "new_image": _record(NAMESPACE, IMAGE, schema.image),
        "old_image": image,  # the same record, by its name
    }
    fields = [_field(column, NAMESPACE, sections.get(column.name)) for column in schema.arrow]
    return {"type": "record", "name": "Change", "namespace": NAMESPACE, "fields": fields}


def avro_rows(batch: pa.RecordBatch, schema: Schema | None) -> Iterator[dict[str, Any]]:
    """The rows of a batch of ``schema.arrow``, or of `CHANGE_SCHEMA`, as fastavro takes them, in their order.

    Raises ValueError on a batch of other columns.
    """
    expected = CHANGE_SCHEMA if schema is None else schema.arrow
    if not batch.schema.equals(expected):
        raise ValueError(f"the batch has the columns {batch.schema.names} of another schema: {expected}")
    image = f"{NAMESPACE}.{IMAGE}"
    columns = [
        _records(column, image) if name == "keys" and schema else _values(column, image)
        for name, column in zip(batch.schema.names, batch.columns, strict=True)
    ]
    for row in zip(*columns, strict=True):
        yield dict(zip(expected.names, row, strict=True))


def from_avro_row(row: Mapping[str, Any], schema: Schema | None) -> dict[str, Any]:
    """A row as fastavro returns it with the names and values of Arrow: what ``batch.to_pylist()`` has in its place."""
    columns = CHANGE_SCHEMA if schema is None else schema.arrow
    return {column.name: _read_as(column.type)(row[column.name]) for column in columns}


def _field(column: pa.Field, place: str, kind: object = None) -> dict[str, object]:
    """``place`` is the full name of the record around it."""
    kind = kind or _type(column, place)
    field: dict[str, object] = {"name": avro_name(column.name), "type": kind}
    if column.nullable:
        field |= {"type": ["null", kind], "default": None}
    return field


def _type(column: pa.Field, place: str) -> object:
    """The type of a column; ``place`` is the full name of the record around it, which names are unique under."""
    kind = column.type
    if pa.types.is_struct(kind):
        return _record(place, avro_name(column.name), kind)
    if pa.types.is_list(kind):
        return {"type": "array", "items": ["null", _type(kind.value_field.with_name(column.name), place)]}
    if pa.types.is_map(kind):
        return {"type": "map", "values": ["null", _type(kind.item_field.with_name(column.name), place)]}
    if pa.types.is_decimal128(kind):
        return {"type": "bytes", "logicalType": "decimal", "precision": kind.precision, "scale": kind.scale}
    if pa.types.is_timestamp(kind):
        return {"type": "long", "logicalType": "timestamp-micros"}
    return {"type": "string", "dynamodb": "json"} if is_json(column) else _PRIMITIVES[kind]


def _record(namespace: str, name: str, kind: pa.DataType) -> dict[str, object]:
    fields = [_field(member, f"{namespace}.{name}") for member in kind]
    return {"type": "record", "name": name, "namespace": namespace, "fields": fields}


def _values(column: pa.Array, name: str) -> list[Any]:
    """The values of a column that may be null; ``name`` is the full name of the record that it is, or holds.

    What holds other values stands in a pair with the name of its type: fastavro then need not try which type of the
    union it fits, which is a third of what writing costs.
    """
    kind = column.type
    if pa.types.is_struct(kind):
        rows: list[Any] = [(name, record) for record in _records(column, name)]
    elif pa.types.is_list(kind):
        elements = _values(column.values, name)
        rows = [("array", elements[start:end]) for start, end in _limits(column)]
    elif pa.types.is_map(kind):
        keys, items = column.keys.to_pylist(), _values(column.items, name)
        rows = [("map", dict(zip(keys[start:end], items[start:end], strict=True))) for start, end in _limits(column)]
    else:
        return column.to_pylist()  # type: ignore[no-any-return]  # pyarrow is untyped
    if column.null_count:
        present = column.is_valid().to_pylist()
        return [row if here else None for row, here in zip(rows, present, strict=True)]
    return rows


def _records(column: pa.StructArray, name: str) -> list[dict[str, Any]]:
    names = [avro_name(member.name) for member in column.type]
    columns = [_values(member, f"{name}.{legal}") for member, legal in zip(column.flatten(), names, strict=True)]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _limits(column: pa.Array) -> Iterator[tuple[int, int]]:
    return pairwise(column.offsets.to_pylist())


def _read_as(kind: pa.DataType) -> Callable[[Any], Any]:
    if pa.types.is_struct(kind):
        members = [(member.name, avro_name(member.name), _read_as(member.type)) for member in kind]
        return lambda row: None if row is None else {name: read(row[written]) for name, written, read in members}
    if pa.types.is_list(kind):
        element = _read_as(kind.value_type)
        return lambda elements: None if elements is None else [element(each) for each in elements]
    if pa.types.is_map(kind):
        item = _read_as(kind.item_type)
        return lambda items: None if items is None else [(name, item(each)) for name, each in items.items()]
    return lambda value: value
