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
| `struct<…>` | record, named after its place in the image |
| `map<string, T>` | map of T |
| a change's time | long, logical type timestamp-micros |

A nullable column is a union with null, and null is its default.

DynamoDB takes any text as the name of an attribute, Avro only `[A-Za-z_][A-Za-z0-9_]*`. A character that is not legal
where it stands becomes `_xHHHH_`, its code point in four to six upper-case hexadecimal digits: `order-id` becomes
`order_x002D_id`, and `1st` becomes `_x0031_st`. An underscore before `x` and four such digits would read as an escape,
so it is escaped itself. Thus different names stay different, each can be read back, and a legal name stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any, Final

import pyarrow as pa

from beam_dynamodb_streams.columns.names import Path
from beam_dynamodb_streams.columns.schema import Schema
from beam_dynamodb_streams.columns.types import is_json
from beam_dynamodb_streams.records.text_columns import CHANGE_SCHEMA

NAMESPACE: Final = "dynamodb.streams"
IMAGE: Final = "Image"
_IMAGE_NAME: Final = f"{NAMESPACE}.{IMAGE}"
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


def avro_schema_of(columns: pa.Schema, name: str) -> dict[str, Any]:
    """Return the Avro schema of rows with these columns, as JSON.

    Structs are the sections of a change: its keys, and images, which all have the same type.

    Args:
        columns: The columns of a change and of a file's layout.
        name: The name of the record.
    """
    fields = []
    image_is_defined = False
    for column in columns:
        kind: object = None
        if pa.types.is_struct(column.type) and column.name == "keys":
            kind = _record(NAMESPACE, "Keys", column.type)
        elif pa.types.is_struct(column.type):
            # Avro defines a named type once; later uses are its name.
            kind = _IMAGE_NAME if image_is_defined else _record(NAMESPACE, IMAGE, column.type)
            image_is_defined = True
        fields.append(_field(column, NAMESPACE, kind))
    return {"type": "record", "name": name, "namespace": NAMESPACE, "fields": fields}


def avro_rows(batch: pa.RecordBatch, schema: Schema | None) -> Iterator[dict[str, Any]]:
    """Yield the rows of a batch of `schema.arrow`, or of `CHANGE_SCHEMA`, as fastavro takes them, in their order.

    Raises:
        ValueError: The batch has other columns.
    """
    expected = _columns(schema)
    if not batch.schema.equals(expected):
        raise ValueError(f"the batch has the columns {batch.schema.names} of another schema: {expected}")
    return avro_records(batch)


def avro_records(rows: pa.RecordBatch) -> Iterator[dict[str, Any]]:
    """Yield the rows as fastavro takes them for the schema `avro_schema_of`, in their order."""
    names = rows.schema.names
    columns = [
        _records(column, _IMAGE_NAME) if name == "keys" and pa.types.is_struct(column.type) else _values(column)
        for name, column in zip(names, rows.columns, strict=True)
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


def _field(column: pa.Field, record: str, kind: object = None) -> dict[str, object]:
    """Return the field of a column. `record` is the full name of the record that it is in."""
    kind = kind or _type(column, record)
    field: dict[str, object] = {"name": avro_name(column.name), "type": kind}
    if column.nullable:
        field |= {"type": ["null", kind], "default": None}
    return field


def _type(column: pa.Field, record: str) -> object:
    """Return the type of a column. `record` is the full name of the record that it is in: names are unique in it."""
    kind = column.type
    if pa.types.is_struct(kind):
        return _record(record, avro_name(column.name), kind)
    if pa.types.is_list(kind):
        return {"type": "array", "items": _inner_type(kind.value_field, column.name, record)}
    if pa.types.is_map(kind):
        return {"type": "map", "values": _inner_type(kind.item_field, column.name, record)}
    if pa.types.is_decimal128(kind):
        return {"type": "bytes", "logicalType": "decimal", "precision": kind.precision, "scale": kind.scale}
    if pa.types.is_timestamp(kind):
        return {"type": "long", "logicalType": "timestamp-micros"}
    return {"type": "string", "dynamodb": "json"} if is_json(column) else _PRIMITIVES[kind]


def _inner_type(column: pa.Field, name: str, record: str) -> object:
    kind = _type(column.with_name(name), record)
    return ["null", kind] if column.nullable else kind


def _record(namespace: str, name: str, kind: pa.DataType) -> dict[str, object]:
    fields = [_field(member, f"{namespace}.{name}") for member in kind]
    return {"type": "record", "name": name, "namespace": namespace, "fields": fields}


def _values(column: pa.Array, name: str = _IMAGE_NAME) -> list[Any]:
    """Return the values of a nullable column. `name` is the full name of the record that it is, or holds.

    A value that holds others is a pair of the name of its type and itself. fastavro then does not try which type of
    the union it fits, which takes a third of the time to write.
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
