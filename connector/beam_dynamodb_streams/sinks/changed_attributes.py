"""The column `changed_attributes`: which attributes of its item a change changed. Pure.

All attributes of an inserted or deleted item are changed. Of a modified item, those whose values differ are changed.
The column is null where the view type leaves out an image that is needed to know (trap 17).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from beam_dynamodb_streams.columns import Schema
from beam_dynamodb_streams.columns.types import is_json
from beam_dynamodb_streams.columns.uniform_members import attributes_by_shape, differing_attributes
from beam_dynamodb_streams.errors import MalformedRecordError
from beam_dynamodb_streams.records import decode_value
from beam_dynamodb_streams.records.values import same_values

NAMES: Final = pa.list_(pa.field("item", pa.string(), nullable=False))

_Mask = npt.NDArray[np.bool_]
_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def changed_attributes(rows: pa.RecordBatch, schema: Schema | None) -> pa.ListArray:
    """Return the names for each row, sorted.

    With a schema, they are the names of its columns and of the attributes in the column `other`. NULL and an absent
    attribute are then the same, because both are null in a column.
    """
    known = _is_known(rows)
    found = _Found()
    if schema is None:
        known &= _find_in_texts(rows, known, found)
    else:
        _find_in_columns(rows, schema, known, found)
    return found.lists(known)


def _find_in_columns(rows: pa.RecordBatch, schema: Schema, known: _Mask, found: _Found) -> None:
    new, old = rows.column("new_image"), rows.column("old_image")
    for column in schema.attributes:
        index = schema.image.get_field_index(column.name)
        one, other = pc.struct_field(new, [index]), pc.struct_field(old, [index])
        changed = np.flatnonzero(_differ(one, other) & known)
        if is_json(column):
            changed = np.array([row for row in changed if not _same(_bytes(one[row]), _bytes(other[row]))], np.int64)
        found.add(changed, [column.name], np.zeros(len(changed), np.int64))
    if schema.other is not None:
        index = schema.image.get_field_index(schema.other)
        one, other = pc.struct_field(new, [index]), pc.struct_field(old, [index])
        for row in np.flatnonzero(_unequal(one, other) & known).tolist():
            found.add_names(row, _changed_members(_bytes(one[row]), _bytes(other[row])) or [])


def _find_in_texts(rows: pa.RecordBatch, known: _Mask, found: _Found) -> _Mask:
    """Find the attributes in images that are DynamoDB JSON. Return which rows do not have a malformed image."""
    new, old = rows.column("new_image"), rows.column("old_image")
    left = known & _unequal(new, old)
    well_formed = np.ones(len(rows), np.bool_)
    both = np.flatnonzero(left & _valid(new) & _valid(old))
    for differing in differing_attributes(_texts(new, both), _texts(old, both)):
        same = [at for at, pair in zip(differing.unsure, differing.values, strict=True) if _same(*pair)]
        rows_found, columns = np.delete(differing.rows, same), np.delete(differing.columns, same)
        found.add(both[rows_found], differing.names, columns)
        left[both[differing.pairs]] = False
    for images, others in ((new, old), (old, new)):
        alone = np.flatnonzero(left & _valid(images) & ~_valid(others))
        for places, names in attributes_by_shape(_texts(images, alone)):
            found.add(np.repeat(alone[places], len(names)), names, np.tile(np.arange(len(names)), len(places)))
            left[alone[places]] = False
    others = np.flatnonzero(left)
    for row, one, other in zip(others.tolist(), _texts(new, others), _texts(old, others), strict=True):
        changed = _changed_members(one, other)
        if changed is None:
            well_formed[row] = False
        else:
            found.add_names(row, changed)
    return well_formed


class _Found:
    """The attributes found so far: for each, its row and the number of its name."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._rows: list[npt.NDArray[np.int64]] = []
        self._names: list[npt.NDArray[np.int64]] = []

    def add(self, rows: npt.NDArray[np.int64], names: list[str], places: npt.NDArray[np.int64]) -> None:
        """Add the attributes of rows; `places` says which of the names each one has."""
        numbers = [self._numbers.setdefault(name, len(self._numbers)) for name in names]
        self._rows.append(rows)
        self._names.append(np.array(numbers, np.int64)[places])

    def add_names(self, row: int, names: list[str]) -> None:
        self.add(np.full(len(names), row), names, np.arange(len(names)))

    def lists(self, known: _Mask) -> pa.ListArray:
        """Return the sorted names of each row; null for a row that is not known."""
        in_order = sorted(self._numbers)
        rank = np.zeros(len(in_order), np.int64)
        rank[[self._numbers[name] for name in in_order]] = np.arange(len(in_order))
        rows = np.concatenate([np.zeros(0, np.int64), *self._rows])
        ranks = rank[np.concatenate([np.zeros(0, np.int64), *self._names])]
        # An attribute that its column holds in part, and the column `other` whole, was found twice.
        both = np.sort(rows * (len(in_order) + 1) + ranks)
        both = both[np.append(True, both[1:] != both[:-1])] if len(both) else both
        rows, ranks = np.divmod(both, len(in_order) + 1)
        limits = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(known)))]).astype(np.int32)
        offsets = pa.array(limits, mask=np.append(~known, False)) if not known.all() else pa.array(limits)
        names = pa.array(in_order, pa.string()).take(pa.array(ranks))
        return pa.ListArray.from_arrays(offsets, names, type=NAMES)


def has_attribute(images: pa.Array, name: str, schema: Schema | None) -> npt.NDArray[np.bool_]:
    """Return for each image whether it has the attribute. Beside a schema, one that is NULL counts as absent."""
    if schema is None:
        return np.array([_has_member(text, name) for text in images.view(pa.binary()).to_pylist()], np.bool_)
    found = np.zeros(len(images), np.bool_)
    if name in schema.attributes.names:
        found |= _valid(pc.struct_field(images, [schema.image.get_field_index(name)]))
    if schema.other is not None:
        others = pc.struct_field(images, [schema.image.get_field_index(schema.other)])
        found |= np.array([_has_member(_bytes(text), name) for text in others], np.bool_)
    return found


def _has_member(text: bytes | None, name: str) -> bool:
    try:
        return text is not None and name in _members(text)
    except (msgspec.DecodeError, RecursionError):
        return False


def _is_known(rows: pa.RecordBatch) -> _Mask:
    """Return for each row whether it has the images that are needed: both, or the one that an INSERT or REMOVE has."""
    kind = rows.column("event_name")
    new, old = (_valid(rows.column(name)) for name in ("new_image", "old_image"))
    inserted: _Mask = pc.equal(kind, "INSERT").to_numpy(zero_copy_only=False)
    removed: _Mask = pc.equal(kind, "REMOVE").to_numpy(zero_copy_only=False)
    return (inserted & new) | (removed & old) | (new & old)


def _texts(images: pa.Array, rows: npt.NDArray[np.int64]) -> list[Any]:
    """Return the images of these rows as bytes; None where there is none."""
    chosen = images if len(rows) == len(images) else images.take(pa.array(rows))
    return chosen.view(pa.binary()).to_pylist()  # type: ignore[no-any-return]  # pyarrow is untyped


def _bytes(text: pa.Scalar) -> bytes | None:
    return None if text.as_py() is None else text.as_py().encode()


def _changed_members(new: bytes | None, old: bytes | None) -> list[str] | None:
    """Return the sorted names, or None if an image is not a JSON object. Malformed images are written as received."""
    if new == old:
        return []
    try:
        one, other = _members(new or b"{}"), _members(old or b"{}")
    except (msgspec.DecodeError, RecursionError):
        return None
    changed = [name for name, raw in one.items() if name not in other or not _same(bytes(raw), bytes(other[name]))]
    changed += [name for name in other if name not in one]
    return sorted(changed)


def _same(one: bytes | None, other: bytes | None) -> bool:
    # Equal values may differ in bytes: the members of a map and the elements of a set have no order.
    if one is None or other is None or one == other:
        return one == other
    try:
        return same_values(decode_value(one), decode_value(other))
    except MalformedRecordError:
        return False


def _differ(one: pa.Array, other: pa.Array) -> _Mask:
    """Return for each row whether the two values of a column differ; null equals only null."""
    kind = one.type
    if pa.types.is_struct(kind):
        found: _Mask = _valid(one) != _valid(other)
        both = ~found & _valid(one)
        for index in range(kind.num_fields):
            found |= _differ(pc.struct_field(one, [index]), pc.struct_field(other, [index])) & both
        return found
    if pa.types.is_list(kind):
        return _lists_differ(one, other)
    if pa.types.is_map(kind):
        return np.fromiter(_maps_differ(one, other), np.bool_, len(one))
    return _unequal(one, other)


def _unequal(one: pa.Array, other: pa.Array) -> _Mask:
    equal: _Mask = pc.fill_null(pc.equal(one, other), False).to_numpy(zero_copy_only=False)
    return ~equal & (_valid(one) | _valid(other))


def _lists_differ(one: pa.ListArray, other: pa.ListArray) -> _Mask:
    lengths = [pc.fill_null(pc.list_value_length(each), -1).to_numpy(zero_copy_only=False) for each in (one, other)]
    found: _Mask = lengths[0] != lengths[1]
    alike = pa.array(~found)
    elements = [each.filter(alike).flatten() for each in (one, other)]
    if len(elements[0]):
        parents = np.repeat(np.flatnonzero(~found), np.maximum(lengths[0][~found], 0))
        found[parents[_differ(*elements)]] = True
    return found


def _maps_differ(one: pa.MapArray, other: pa.MapArray) -> Iterator[bool]:
    for mine, theirs in zip(one.to_pylist(), other.to_pylist(), strict=True):
        if mine is None or theirs is None:
            yield mine is not theirs
        else:
            yield mine != theirs and dict(mine) != dict(theirs)


def _valid(column: pa.Array) -> _Mask:
    valid: _Mask = column.is_valid().to_numpy(zero_copy_only=False)
    return valid
