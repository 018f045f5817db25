"""Conversion of whole columns: tagged attribute values from Arrow's JSON parser, to the types of a schema.

Each step returns the column, and a mask of the rows that must be converted again one by one (`Recheck`), or None if
there are none. These rows are null or wrong in the column: their values do not fit, or are spelt unusually. The caller
converts them by `columns.scalar`.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from beam_dynamodb_streams.columns.scalar import decoded_base64
from beam_dynamodb_streams.columns.types import tags

Recheck: TypeAlias = "npt.NDArray[np.bool_] | None"
Paths: TypeAlias = frozenset[str]


def tagged_type(kind: pa.DataType, path: str, expected: Paths | None) -> pa.DataType:
    """Return the JSON type of an attribute value of this type: a struct of the tags that fit.

    With `expected` paths, the struct has only their tags, because the parser makes a column for each tag. A path is
    the names and tags that lead to a tag, such as `address/M/street/S` and `tags/L/S`.
    """
    fitting = [tag for tag in (*tags(kind), "NULL") if expected is None or f"{path}/{tag}" in expected]
    contents = [(tag, _content_type(kind, tag, f"{path}/{tag}", expected)) for tag in fitting]
    return pa.struct(contents)


def _content_type(kind: pa.DataType, tag: str, path: str, expected: Paths | None) -> pa.DataType:
    match tag:
        case "M":
            members = [(each.name, tagged_type(each.type, f"{path}/{each.name}", expected)) for each in kind]
            return pa.struct([(name, tagged) for name, tagged in members if tagged.num_fields])
        case "L":
            return pa.list_(tagged_type(kind.value_type, path, expected))
        case "SS" | "NS" | "BS":
            return pa.list_(pa.string())
        case "BOOL" | "NULL":
            return pa.bool_()
        case _:
            return pa.string()


def paths_in(tagged: pa.StructArray, path: str) -> Paths:
    """Return the paths, as in `tagged_type`, to the tags that these values have."""
    paths = set()
    for index in range(tagged.type.num_fields):
        content, tag = tagged.field(index), tagged.type.field(index).name
        if content.null_count == len(content):
            continue
        inner = f"{path}/{tag}"
        paths.add(inner)
        if tag == "M":
            for member in range(content.type.num_fields):
                paths |= paths_in(content.field(member), f"{inner}/{content.type.field(member).name}")
        elif tag == "L":
            paths |= paths_in(content.values, inner)
    return frozenset(paths)


def untag(tagged: pa.StructArray, kind: pa.DataType) -> tuple[pa.Array, Recheck]:
    """Return the values of one attribute, or of the elements of lists."""
    rows = len(tagged)
    contents = {tagged.type.field(index).name: tagged.field(index) for index in range(tagged.type.num_fields)}
    held = {tag: content for tag, content in contents.items() if content.null_count < rows}
    recheck: Recheck = None
    if len(held) > 1 or sum(rows - content.null_count for content in held.values()) != rows - tagged.null_count:
        count = sum((_valid(content).astype(np.int8) for content in held.values()), np.zeros(rows, np.int8))
        recheck = _any(_valid(tagged) & (count != 1))
    columns = []
    for tag, content in held.items():
        if tag == "NULL":
            recheck = (
                either_mask(recheck, content.fill_null(True).to_numpy(zero_copy_only=False) == 0)
                if content.false_count
                else recheck
            )
        else:
            column, more = content_of_tag(content, tag, kind)
            columns.append(column)
            recheck = either_mask(recheck, more)
    if not columns:
        return pa.nulls(rows, kind), recheck
    return columns[0] if len(columns) == 1 else pc.coalesce(*columns), recheck


def content_of_tag(content: pa.Array, tag: str, kind: pa.DataType) -> tuple[pa.Array, Recheck]:
    """Return the values of the contents of this tag: texts, or lists of texts for a set."""
    match tag:
        case "S" | "BOOL":
            return content, None
        case "N":
            return _numbers(content, kind)
        case "B":
            return _binaries(content)
        case "M":
            return _structs(content, kind)
        case "L":
            elements, recheck = untag(content.values, kind.value_type)
            recheck = either_mask(recheck, ~_valid(content.values)) if content.values.null_count else recheck
            return _lists(content, elements, kind), _rows_of(content, recheck)
        case _:
            elements, recheck = content_of_tag(content.values, tag[0], kind.value_type)
            return _sorted(_lists(content, elements, kind)), _rows_of(content, recheck)


def _numbers(texts: pa.StringArray, kind: pa.DataType) -> tuple[pa.Array, Recheck]:
    if kind == pa.string():
        return texts, None
    plain = texts
    if pa.types.is_decimal128(kind) and _is_unusual(texts):
        plain = pc.if_else(pc.match_substring_regex(texts, _PLAIN), texts, None)
    try:
        numbers = pc.cast(plain, kind)
    except pa.ArrowInvalid:
        fits = pc.match_substring_regex(texts, _fitting(kind))
        plain = pc.if_else(fits, texts, None)
        numbers = pc.cast(plain, kind)
    if kind == pa.float64() and not pc.all(pc.is_finite(numbers), min_count=0).as_py():
        plain = numbers = pc.if_else(pc.is_finite(numbers), numbers, None)
    return numbers, None if plain.null_count == texts.null_count else _valid(texts) & ~_valid(plain)


_PLAIN = r"^-?[0-9]{1,38}(\.[0-9]{1,38})?$"


def _is_unusual(texts: pa.StringArray) -> bool:
    """Return whether a text is long or has an exponent: Arrow reads 1E-130 as a decimal of 0, without an error."""
    limits, content = _content_of(texts)
    return bool(np.diff(limits).max(initial=0) > 40 or b"E" in content or b"e" in content)


def _fitting(kind: pa.DataType) -> str:
    if kind == pa.int64():
        return r"^-?[0-9]{1,18}$"
    if kind == pa.float64():
        return r"^-?[0-9]{1,40}(\.[0-9]{1,40})?(E-?[0-9]{1,2})?$"
    whole, after_point = kind.precision - kind.scale, kind.scale
    return rf"^-?[0-9]{{1,{max(whole, 1)}}}" + (rf"(\.[0-9]{{1,{after_point}}})?$" if after_point else "$")


def _binaries(texts: pa.StringArray) -> tuple[pa.Array, Recheck]:
    """Decode all values in one pass of base64: '=' is read as 'A', and the bytes of it are cut out afterwards."""
    limits, encoded = _content_of(texts)
    lengths = np.diff(limits)
    if b"=" not in encoded and not np.any(lengths % 4):
        try:
            return _of_limits(texts, limits // 4 * 3, decoded_base64(encoded)), None
        except ValueError:
            return pa.nulls(len(texts), pa.binary()), _valid(texts)
    characters = np.frombuffer(encoded, np.uint8)
    last = limits[1:][lengths > 0]
    padding = np.zeros(len(texts), np.int32)
    padded = characters[last - 1] == _PAD
    padding[lengths > 0] = padded.astype(np.int32) + (padded & (characters[last - 2] == _PAD))
    whole = not np.any(lengths % 4) and encoded.count(b"=") == padding.sum()
    try:
        decoded = decoded_base64(encoded.replace(b"=", b"A") if whole else b"?")
    except ValueError:
        return pa.nulls(len(texts), pa.binary()), _valid(texts)
    last = limits[1:] // 4 * 3
    cut = np.concatenate([last[padding > 0] - 1, last[padding == 2] - 2])
    keep = np.ones(len(decoded), np.bool_)
    keep[cut] = False
    limits = np.concatenate([[0], np.cumsum(lengths // 4 * 3 - padding)]).astype(np.int32)
    return _of_limits(texts, limits, np.frombuffer(decoded, np.uint8)[keep]), None


def _of_limits(texts: pa.StringArray, limits: npt.NDArray[np.int32], content: Any) -> pa.BinaryArray:
    """Return the bytes between the limits, null where the texts are null."""
    binaries = pa.Array.from_buffers(pa.binary(), len(texts), [None, pa.py_buffer(limits), pa.py_buffer(content)])
    return pc.if_else(texts.is_valid(), binaries, None) if texts.null_count else binaries


def _content_of(texts: pa.StringArray) -> tuple[npt.NDArray[np.int32], bytes]:
    """Return the offset of each text in their joined content, with the end of the last, and the content."""
    _, ends, content = texts.buffers()
    limits = np.frombuffer(ends, np.int32, len(texts) + 1, texts.offset * 4)
    return limits - limits[0], memoryview(content or b"")[limits[0] : limits[-1]].tobytes()


_PAD = ord("=")


def _structs(content: pa.StructArray, kind: pa.DataType) -> tuple[pa.Array, Recheck]:
    columns = []
    recheck: Recheck = None
    for member in kind:
        index = content.type.get_field_index(member.name)
        column, more = (pa.nulls(len(content), member.type), None)
        if index >= 0:
            column, more = untag(content.field(index), member.type)
        columns.append(column)
        recheck = either_mask(recheck, more)
    missing = content.is_null() if content.null_count else None
    return pa.StructArray.from_arrays(columns, fields=list(kind), mask=missing), recheck


def _lists(content: pa.ListArray, elements: pa.Array, kind: pa.DataType) -> pa.ListArray:
    missing = content.is_null() if content.null_count else None
    return pa.ListArray.from_arrays(content.offsets, elements, type=kind, mask=missing)


def _rows_of(content: pa.ListArray, recheck_elements: Recheck) -> Recheck:
    if recheck_elements is None:
        return None
    recheck = np.zeros(len(content), np.bool_)
    recheck[pc.list_parent_indices(content).to_numpy()[recheck_elements]] = True
    return recheck


def lists_of_texts(texts: pa.StringArray, tag: str, kind: pa.DataType, rows: int) -> tuple[pa.Array, Recheck]:
    """Return lists of scalars of this tag, the same number in each row."""
    offsets = np.linspace(0, len(texts), rows + 1).astype(np.int32)
    content = pa.ListArray.from_arrays(offsets, texts)
    elements, recheck = content_of_tag(texts, tag, kind.value_type)
    return _lists(content, elements, kind), _rows_of(content, recheck)


def sets_of_texts(texts: pa.StringArray, tag: str, kind: pa.DataType, rows: int) -> tuple[pa.Array, Recheck]:
    """Return sets of scalars of this tag, the same number in each row."""
    offsets = np.linspace(0, len(texts), rows + 1).astype(np.int32)
    return content_of_tag(pa.ListArray.from_arrays(offsets, texts), tag, kind)


def _sorted(lists: pa.ListArray) -> pa.ListArray:
    elements = lists.values
    if len(elements) < 2:
        return lists
    in_order = pc.less_equal(elements[:-1], elements[1:])
    in_order = (in_order.fill_null(True) if in_order.null_count else in_order).to_numpy(zero_copy_only=False)
    starts = lists.offsets.to_numpy()
    in_order[starts[(starts > 0) & (starts < len(elements))] - 1] = True
    if in_order.all():
        return lists
    order = pc.sort_indices(
        pa.table([pc.list_parent_indices(lists), elements], names=["parent", "element"]),
        sort_keys=[("parent", "ascending"), ("element", "ascending")],
    )
    missing = lists.is_null() if lists.null_count else None
    return pa.ListArray.from_arrays(lists.offsets, elements.take(order), type=lists.type, mask=missing)


def _valid(column: pa.Array) -> npt.NDArray[np.bool_]:
    return column.is_valid().to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]  # pyarrow is untyped


def either_mask(one: Recheck, other: Recheck) -> Recheck:
    """Return the rows that are in either mask."""
    if one is None or other is None:
        return one if other is None else other
    return one | other


def _any(recheck: npt.NDArray[np.bool_]) -> Recheck:
    return recheck if recheck.any() else None
