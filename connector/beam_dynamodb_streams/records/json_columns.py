"""Rows of Arrow columns as JSON lines, encoded column by column, without a Python object for a row.

The lines are those of `records.json_lines`. One call of Arrow joins the texts of all columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final, TypeAlias

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from beam_dynamodb_streams.records.fields import EPOCH

_JSON_COLUMNS: Final = frozenset({"user_identity", "keys", "new_image", "old_image", "image"})
_ENCODED_BYTES: Final = 8 << 20  # of Arrow data at once: what fits a cache is encoded fastest, and all below 2 GiB
_Parts: TypeAlias = "list[bytes | pa.BinaryArray]"
_encode: Final = msgspec.json.Encoder().encode


def encode_lines(rows: pa.RecordBatch) -> bytes:
    """Return a line for each row, with its line end: a member for each column, in their order.

    The columns are those of `CHANGE_SCHEMA` and of a layout of files (`sinks.layouts`).
    """
    return b"".join(map(_lines, _slices(rows)))


def _slices(rows: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    if len(rows) > 1 and rows.nbytes > _ENCODED_BYTES:
        half = len(rows) // 2
        yield from _slices(rows.slice(0, half))
        yield from _slices(rows.slice(half))
    elif len(rows):
        yield rows


def _lines(rows: pa.RecordBatch) -> bytes:
    parts: _Parts = []
    for number, (name, column) in enumerate(zip(rows.schema.names, rows.columns, strict=True)):
        parts += [b",%s:" % _encode(name) if number else b"{%s:" % _encode(name), *_values(name, column)]
    parts.append(b"}\n")
    merged: list[Any] = []
    for part in parts:
        if isinstance(part, bytes) and merged and isinstance(merged[-1], bytes):
            merged[-1] += part
        else:
            merged.append(part)
    pieces = [pa.scalar(part, pa.binary()) if isinstance(part, bytes) else part for part in merged]
    lines = pc.binary_join_element_wise(*pieces, pa.scalar(b"", pa.binary()))
    _, offsets, content = lines.buffers()
    limits = np.frombuffer(offsets, np.int32, len(lines) + 1, lines.offset * 4)
    return memoryview(content)[limits[0] : limits[-1]].tobytes()


def _values(name: str, column: pa.Array) -> _Parts:
    """Return the JSON of each value: parts that follow one another."""
    kind = column.type
    if name in _JSON_COLUMNS:
        return [_or_null(_without_line_ends(column.view(pa.binary())), column)]
    if pa.types.is_timestamp(kind):
        moments = column.view(pa.int64()).dictionary_encode()
        texts = [_encode(EPOCH + timedelta(microseconds=each)) for each in moments.dictionary.to_pylist()]
        return [_or_null(pa.array(texts, pa.binary()).take(moments.indices), column)]
    if pa.types.is_string(kind) and not column.null_count and not _needs_escape(column):
        return [b'"', column.view(pa.binary()), b'"']
    if pa.types.is_int64(kind) or pa.types.is_boolean(kind):
        return [_or_null(column.cast(pa.string()).view(pa.binary()), column)]
    if pa.types.is_list(kind) and pa.types.is_string(kind.value_type):
        return [_or_null(_lists(column), column)]
    return [pa.array(list(map(_encode, column.to_pylist())), pa.binary())]


def _or_null(texts: pa.BinaryArray, column: pa.Array) -> pa.BinaryArray:
    return pc.if_else(column.is_valid(), texts, pa.scalar(b"null", pa.binary())) if column.null_count else texts


def _without_line_ends(texts: pa.BinaryArray) -> pa.BinaryArray:
    # A line end in JSON can only stand between its tokens: inside a string it is escaped.
    content = _content(texts)
    if b"\n" not in content and b"\r" not in content:
        return texts
    replaced = [None if each is None else each.replace(b"\n", b"").replace(b"\r", b"") for each in texts.to_pylist()]
    return pa.array(replaced, pa.binary())


def _lists(column: pa.ListArray) -> pa.BinaryArray:
    """Return lists of texts as JSON; of a null list, anything. Few texts differ, so each is encoded once."""
    if column.null_count:
        column = pc.if_else(column.is_valid(), column, pa.scalar([], column.type))
    offsets = column.offsets.to_numpy()
    elements = column.values.slice(offsets[0], offsets[-1] - offsets[0]).dictionary_encode()
    quoted = pa.array(list(map(_encode, elements.dictionary.to_pylist())), pa.binary()).take(elements.indices)
    joined = pc.binary_join(
        pa.ListArray.from_arrays(pa.array(offsets - offsets[0]), quoted), pa.scalar(b",", pa.binary())
    )
    begin, end, none = (pa.scalar(each, pa.binary()) for each in (b"[", b"]", b""))
    return pc.binary_join_element_wise(begin, joined, end, none)


def _needs_escape(texts: pa.StringArray) -> bool:
    content = _content(texts)
    if b'"' in content or b"\\" in content:
        return True
    return bool((np.frombuffer(content, np.uint8) < ord(" ")).any())


def _content(texts: pa.Array) -> bytes:
    _, offsets, content = texts.buffers()
    limits = np.frombuffer(offsets, np.int32, len(texts) + 1, texts.offset * 4)
    return memoryview(content or b"")[limits[0] : limits[-1]].tobytes()
