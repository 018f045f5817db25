"""Typed rows as JSON lines: images are plain JSON objects, whose values need no tags because the schema has the types.

| column | JSON |
|---|---|
| string, bool, int64 | string, boolean, number |
| float64 | number |
| decimal128(p, s) | string, so that no reader rounds it |
| binary | string, base64 |
| `list<T>`, `struct<…>`, `map<string, T>` | array, object, object |
| json, and the attributes without a column | their DynamoDB JSON as an object |
| a time | string, RFC 3339 |
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Final

import msgspec
import pyarrow as pa

from beam_dynamodb_streams.columns.types import is_json
from beam_dynamodb_streams.records.fields import EPOCH, MICROSECOND

_IMAGES: Final = ("new_image", "old_image", "image")
_encode_lines: Final = msgspec.json.Encoder().encode_lines


def encode_typed_lines(rows: pa.RecordBatch, columns: pa.Schema, other: str | None) -> bytes:
    """Return a line for each row, with its line end: a member for each column, in their order.

    Args:
        rows: Rows of a layout with a schema.
        columns: The columns of the layout, which say which of them hold JSON.
        other: The name of the column in an image that holds the attributes without a column.
    """
    names = columns.names
    values = [
        _raw(array)
        if column.name == "user_identity"
        else plain_values(array, column, other if column.name in _IMAGES else None)
        for array, column in zip(rows.columns, columns, strict=True)
    ]
    return _encode_lines([dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)])


def plain_values(array: pa.Array, column: pa.Field, other: str | None = None, *, numbers: bool = False) -> list[Any]:
    """Return the values of a column as an encoder of JSON takes them.

    Args:
        array: The column.
        column: Its field, which says whether it holds JSON.
        other: The name of the member that holds the attributes without a column, if this is an image.
        numbers: Whether decimals are numbers of exactly their digits, in place of strings.
    """
    kind = column.type
    if is_json(column):
        return _raw(array)
    if pa.types.is_struct(kind):
        names = [member.name for member in kind]
        members = [
            _raw(each) if member.name == other else plain_values(each, member, numbers=numbers)
            for each, member in zip(array.flatten(), kind, strict=True)
        ]
        rows: list[Any] = [dict(zip(names, row, strict=True)) for row in zip(*members, strict=True)]
    elif pa.types.is_list(kind):
        elements = plain_values(array.values, kind.value_field, numbers=numbers)
        rows = [elements[start:end] for start, end in pairwise(array.offsets.to_pylist())]
    elif pa.types.is_map(kind):
        names, items = array.keys.to_pylist(), plain_values(array.items, kind.item_field, numbers=numbers)
        limits = pairwise(array.offsets.to_pylist())
        rows = [dict(zip(names[start:end], items[start:end], strict=True)) for start, end in limits]
    elif pa.types.is_timestamp(kind):
        return [None if each is None else EPOCH + each * MICROSECOND for each in array.view(pa.int64()).to_pylist()]
    elif numbers and pa.types.is_decimal(kind):
        return [None if each is None else msgspec.Raw(f"{each:f}") for each in array.to_pylist()]
    else:
        return array.to_pylist()  # type: ignore[no-any-return]  # pyarrow is untyped
    if array.null_count:
        return [row if valid else None for row, valid in zip(rows, array.is_valid().to_pylist(), strict=True)]
    return rows


def _raw(texts: pa.Array) -> list[msgspec.Raw | None]:
    """Return JSON texts as parts of a line. A line end in them can only stand between two tokens."""
    return [
        None if text is None else msgspec.Raw(text.replace(b"\n", b"").replace(b"\r", b""))
        for text in texts.view(pa.binary()).to_pylist()
    ]
