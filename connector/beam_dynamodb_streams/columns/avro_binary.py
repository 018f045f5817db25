"""Rows of Arrow columns in Avro's binary form, encoded column by column, without a Python object for a value.

Each column becomes pieces: binary arrays with one element for each row. The record of a row is all of its pieces, one
after another, so one call of Arrow joins those of all rows. `columns.avro` has the schema of these records.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

_Piece: TypeAlias = pa.BinaryArray | pa.BinaryScalar
_Bytes: TypeAlias = npt.NDArray[np.uint8]
_Mask: TypeAlias = npt.NDArray[np.bool_]
_Valid: TypeAlias = "_Mask | None"  # None: no value is null

_NULL: Final = 0  # the indices of the two types of a union with null, as Avro encodes them
_VALUE: Final = 2
_EMPTY: Final = pa.scalar(b"", pa.binary())
_END: Final = pa.scalar(b"\0", pa.binary())
_PRESENT: Final = pa.scalar(bytes([_VALUE]), pa.binary())
_ABSENT: Final = pa.scalar(bytes([_NULL]), pa.binary())


def encode_avro(rows: pa.RecordBatch, *, logical_types: bool = True) -> pa.BinaryArray:
    """Return the record of each row in Avro's binary form. Together they must have less than 2 GiB.

    Args:
        rows: The rows; their columns are those of `columns.avro.avro_schema_of`.
        logical_types: As for the schema: without them a decimal is its text.
    """
    encoder = _Encoder(logical_types)
    return _join(encoder.fields(rows.columns, list(rows.schema)), len(rows))


class _Encoder:
    def __init__(self, logical_types: bool) -> None:
        self._logical_types = logical_types

    def fields(self, columns: Sequence[pa.Array], fields: Sequence[pa.Field]) -> list[_Piece]:
        """Return the pieces of a record with these fields."""
        return [
            piece
            for column, field in zip(columns, fields, strict=True)
            for piece in self.pieces(column, nullable=field.nullable)
        ]

    def pieces(self, column: pa.Array, *, nullable: bool) -> list[_Piece]:
        """Return the pieces of a column, a union with null if it is nullable."""
        kind = column.type
        valid = column.is_valid().to_numpy(zero_copy_only=False) if column.null_count else None
        if pa.types.is_struct(kind):
            return self._records(column, valid, nullable)
        if pa.types.is_list(kind):
            return self._arrays(column, valid, nullable)
        if pa.types.is_map(kind):
            return self._maps(column, valid, nullable)
        if pa.types.is_decimal128(kind):
            if self._logical_types:
                return [_decimals(column, valid, nullable)]
            column = pa.array([None if each is None else f"{each:f}" for each in column.to_pylist()], pa.string())
        if pa.types.is_boolean(column.type):
            values = column.fill_null(False) if column.null_count else column
            return [_fixed(values.to_numpy(zero_copy_only=False).astype(np.uint8)[:, None], valid, nullable)]
        if pa.types.is_float64(column.type):
            numbers = column.fill_null(0.0) if column.null_count else column
            return [_fixed(numbers.to_numpy().astype("<f8").view(np.uint8).reshape(-1, 8), valid, nullable)]
        if pa.types.is_int64(column.type) or pa.types.is_timestamp(column.type):
            whole = column.view(pa.int64())
            return [_longs((whole.fill_null(0) if column.null_count else whole).to_numpy(), valid, nullable)]
        return _texts(column, valid, nullable)

    def _records(self, column: pa.StructArray, valid: _Valid, nullable: bool) -> list[_Piece]:
        pieces = self.fields(column.flatten(), list(column.type))
        if nullable:
            pieces.insert(0, _PRESENT)
        if valid is None:
            return pieces
        return [pc.if_else(pa.array(valid), _join(pieces, len(column)), _ABSENT if nullable else _EMPTY)]

    def _arrays(self, column: pa.ListArray, valid: _Valid, nullable: bool) -> list[_Piece]:
        column = _without_hidden(column, valid)
        offsets = column.offsets.to_numpy()
        elements = column.values.slice(offsets[0], offsets[-1] - offsets[0])
        pieces = self.pieces(elements, nullable=column.type.value_field.nullable)
        return _blocks(offsets - offsets[0], _join(pieces, len(elements)), valid, nullable)

    def _maps(self, column: pa.MapArray, valid: _Valid, nullable: bool) -> list[_Piece]:
        column = _without_hidden(column, valid)
        offsets = column.offsets.to_numpy()
        keys, items = (part.slice(offsets[0], offsets[-1] - offsets[0]) for part in (column.keys, column.items))
        pieces = [
            *self.pieces(keys, nullable=False),
            *self.pieces(items, nullable=column.type.item_field.nullable),
        ]
        return _blocks(offsets - offsets[0], _join(pieces, len(keys)), valid, nullable)


def _join(pieces: Sequence[_Piece], rows: int) -> pa.BinaryArray:
    """Return the pieces of each row, one after another."""
    if not rows or not any(isinstance(piece, pa.Array) for piece in pieces):
        return pa.array(
            [b"".join(piece.as_py() for piece in pieces if isinstance(piece, pa.Scalar))] * rows, pa.binary()
        )
    if len(pieces) == 1:
        return pieces[0]
    return pc.binary_join_element_wise(*pieces, _EMPTY)


def _without_hidden(column: Any, valid: _Valid) -> Any:
    """Return the lists, or maps, without elements below a null."""
    if valid is None:
        return column
    lengths = np.diff(column.offsets.to_numpy())
    return column.take(pa.array(np.arange(len(column)), mask=~valid)) if lengths[~valid].any() else column


def _blocks(offsets: npt.NDArray[np.int32], elements: pa.BinaryArray, valid: _Valid, nullable: bool) -> list[_Piece]:
    """Return the pieces of arrays or maps, each in one block: the count, the elements, and a count of 0 behind them."""
    counts = np.diff(offsets)
    limits = np.frombuffer(elements.buffers()[1], np.int32, len(elements) + 1, elements.offset * 4)[offsets]
    content = pa.Array.from_buffers(pa.binary(), len(counts), [None, pa.py_buffer(limits), elements.buffers()[2]])
    end: _Piece = _END
    if not counts.all():  # an empty array is its count alone, and so is null
        ends = np.zeros(len(counts) + 1, np.int32)
        np.cumsum(counts > 0, out=ends[1:])
        zeros = pa.py_buffer(bytes(int(ends[-1])))
        end = pa.Array.from_buffers(pa.binary(), len(counts), [None, pa.py_buffer(ends), zeros])
    return [_longs(counts.astype(np.int64), valid, nullable), content, end]


def _texts(column: pa.Array, valid: _Valid, nullable: bool) -> list[_Piece]:
    """Return the pieces of strings or bytes: the length, and the bytes."""
    binaries = column.view(pa.binary())
    if column.null_count:
        binaries = binaries.fill_null(b"")
    lengths = np.diff(np.frombuffer(binaries.buffers()[1], np.int32, len(column) + 1, binaries.offset * 4))
    return [_longs(lengths.astype(np.int64), valid, nullable), binaries]


def _longs(numbers: npt.NDArray[np.int64], valid: _Valid, nullable: bool) -> pa.BinaryArray:
    """Return whole numbers in Avro's variable length: 7 bits a byte, the lowest first; the lowest bit is the sign."""
    left = ((numbers << 1) ^ (numbers >> 63)).view(np.uint64)
    largest = int(left.max()) if len(left) else 0
    count = max(1, -(-largest.bit_length() // 7))
    lead = int(nullable)
    parts = np.empty((len(left), lead + count), np.uint8)
    kept: _Valid = None if count == 1 else np.ones(parts.shape, np.bool_)
    for index in range(lead, lead + count):
        if kept is not None and index > lead:
            kept[:, index] = left != 0
        parts[:, index] = left & np.uint64(0x7F)
        left >>= np.uint64(7)
        if index < lead + count - 1:
            parts[:, index] |= (left != 0).view(np.uint8) << 7
    return _varying(parts, kept, valid, nullable)


def _decimals(column: pa.Decimal128Array, valid: _Valid, nullable: bool) -> pa.BinaryArray:
    """Return decimals as their unscaled number: its length, and its bytes in two's complement, the highest first."""
    stored = np.frombuffer(column.buffers()[1], np.uint8, len(column) * 16, column.offset * 16).reshape(-1, 16)
    if valid is not None:
        stored = np.where(valid[:, None], stored, np.uint8(0))
    words = stored.view("<i8")
    small = bool((words[:, 1] == words[:, 0] >> 63).all())
    size = 8 if small else 16
    lead = int(nullable)
    parts = np.empty((len(stored), lead + 1 + size), np.uint8)
    content = parts[:, lead + 1 :]
    content[:] = stored[:, size - 1 :: -1] if small else stored[:, ::-1]
    negative = content[:, 0] >= 0x80
    # A byte is needed unless it, and all before it, repeat the sign that the next one shows by itself.
    spare = content[:, :-1] == np.where(negative, np.uint8(0xFF), np.uint8(0))[:, None]
    spare &= (content[:, 1:] >= 0x80) == negative[:, None]
    needed = ~np.logical_and.accumulate(spare, axis=1)
    kept = np.ones(parts.shape, np.bool_)
    kept[:, lead + 1 : -1] = needed
    parts[:, lead] = (needed.sum(axis=1) + 1) << 1
    return _varying(parts, kept, valid, nullable)


def _fixed(content: _Bytes, valid: _Valid, nullable: bool) -> pa.BinaryArray:
    """Return values of the same number of bytes."""
    if not nullable:
        return _varying(content, None, valid, nullable)
    return _varying(np.concatenate([np.zeros((len(content), 1), np.uint8), content], axis=1), None, valid, nullable)


def _varying(parts: _Bytes, kept: _Valid, valid: _Valid, nullable: bool) -> pa.BinaryArray:
    """Return the bytes of each row that are kept. In a nullable column the first one says which type follows."""
    rows, width = parts.shape
    if nullable:
        parts[:, 0] = _VALUE if valid is None else np.where(valid, np.uint8(_VALUE), np.uint8(_NULL))
    if valid is not None:
        kept = np.ones(parts.shape, np.bool_) if kept is None else kept
        kept[~valid, int(nullable) :] = False
    if kept is None or kept.all():
        limits = np.arange(0, (rows + 1) * width, width, dtype=np.int32) if width else np.zeros(rows + 1, np.int32)
        content: Any = parts
    else:
        limits = np.zeros(rows + 1, np.int32)
        np.cumsum(kept.sum(axis=1), out=limits[1:])
        content = parts[kept]
    return pa.Array.from_buffers(
        pa.binary(), rows, [None, pa.py_buffer(limits), pa.py_buffer(np.ascontiguousarray(content).ravel())]
    )
