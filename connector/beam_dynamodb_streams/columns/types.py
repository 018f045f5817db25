"""Which attribute values a column of an Arrow type takes.

| column | the attributes that fit it |
|---|---|
| string | S, and N as its text: nothing is lost |
| int64 | N that is whole and within 64 bits |
| float64 | N, rounded to the nearest double |
| decimal128(p, s) | N with at most s digits after the point and p in all |
| bool | BOOL |
| binary | B |
| `list<T>` | L of what fits T; SS, NS or BS if their elements fit T, sorted |
| `struct<…>` | M with these members and no others |
| `map<string, T>` | M of what fits T |
| string, json | any value, as DynamoDB JSON (`json_field`) |

An absent attribute and a NULL are null in every column. Every column is nullable.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import pyarrow as pa

from beam_dynamodb_streams.errors import InvalidOptionError

LEVELS: Final = 100
"""Types may be nested this deep. DynamoDB nests 32 levels; some emulators more."""

_TAG: Final = b"dynamodb"
_ESCAPED: Final = re.compile(r'["\\\x00-\x1f]')


def json_field(name: str) -> pa.Field:
    """Return a column that holds an attribute of any type as DynamoDB JSON text."""
    return pa.field(name, pa.string(), metadata={_TAG: b"json"})


def is_json(column: pa.Field) -> bool:
    return bool((column.metadata or {}).get(_TAG) == b"json")


def nullable(column: pa.Field) -> pa.Field:
    """Return the column with all inside it nullable, and without metadata except the mark of a json column."""
    kind = column.type
    if pa.types.is_struct(kind):
        kind = pa.struct([nullable(member) for member in kind])
    elif pa.types.is_list(kind):
        kind = pa.list_(nullable(kind.value_field.with_name("item")))
    elif pa.types.is_map(kind):
        kind = pa.map_(pa.string(), nullable(kind.item_field))
    return json_field(column.name) if is_json(column) else pa.field(column.name, kind)


def names_that_clash(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Return the groups of names that differ only in case: Spark, DuckDB, Hive and Trino take each for one name."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(name.lower(), []).append(name)
    return [tuple(sorted(group)) for group in groups.values() if len(group) > 1]


def first_clash(kind: pa.DataType, place: str = "") -> str | None:
    """Return names in a struct, at any depth, that differ only in case, as paths; None if there are none."""
    if pa.types.is_list(kind):
        return first_clash(kind.value_type, f"{place}[]")
    if pa.types.is_map(kind):
        return first_clash(kind.item_type, f"{place}.*")
    if not pa.types.is_struct(kind):
        return None
    prefix = f"{place}." if place else ""
    for group in names_that_clash(member.name for member in kind):
        return " and ".join(repr(f"{prefix}{name}") for name in group)
    return next((found for member in kind if (found := first_clash(member.type, f"{prefix}{member.name}"))), None)


def tags(kind: pa.DataType) -> tuple[str, ...]:
    """Return the type tags that a column of this type takes, the most likely first; none if no attribute fits it."""
    if kind == pa.string():
        return ("S", "N")
    if kind in (pa.int64(), pa.float64()) or pa.types.is_decimal128(kind):
        return ("N",)
    if kind == pa.bool_():
        return ("BOOL",)
    if kind == pa.binary():
        return ("B",)
    if pa.types.is_struct(kind) or (pa.types.is_map(kind) and kind.key_type == pa.string()):
        return ("M",)
    if pa.types.is_list(kind):
        return ("L", *(f"{tag}S" for tag in tags(kind.value_type) if tag in "SNB"))
    return ()


def needs_escape(name: str) -> bool:
    """Return whether the name of an attribute is escaped in JSON."""
    return _ESCAPED.search(name) is not None


def is_open(column: pa.Field) -> bool:
    """Return whether the column, or one inside it, takes members whose names are not known in advance.

    A column whose name is escaped in JSON counts as open, because the parsers of typed columns look for plain names.
    """
    kind = column.type
    if needs_escape(column.name):
        return True
    if pa.types.is_struct(kind):
        return any(is_open(member) for member in kind)
    if pa.types.is_list(kind):
        return is_open(kind.value_field)
    return is_json(column) or bool(pa.types.is_map(kind))


def _is_too_deep(kind: pa.DataType) -> bool:
    """Return whether the type has more than `LEVELS` levels. Not by recursion, which such a type would exceed."""
    level = [kind]
    for _ in range(LEVELS + 1):
        level = [
            inner
            for each in level
            for inner in (
                [each.item_type] if pa.types.is_map(each) else [each.field(i).type for i in range(each.num_fields)]
            )
        ]
    return bool(level)


def check_column(column: pa.Field, path: str | None = None) -> None:
    """Raise `InvalidOptionError` if no attribute fits the column. `path` is its path in the attribute."""
    kind = column.type
    path = column.name if path is None else path
    if path == column.name and _is_too_deep(kind):
        raise InvalidOptionError(
            f"attribute {path!r} is declared with more than {LEVELS} levels, and DynamoDB nests 32: declare the whole "
            "attribute as 'json' (json_field)"
        )
    if not tags(kind) or (pa.types.is_struct(kind) and not kind.num_fields):
        raise InvalidOptionError(
            f"attribute {path!r} is declared {kind}: use string, int64, float64, decimal128, bool, binary, list, "
            f"struct with members, or map with string keys"
        )
    if not column.name:
        raise InvalidOptionError(f"attribute {path!r} has an empty name, which DynamoDB does not accept")
    if pa.types.is_decimal128(kind) and not 0 <= kind.scale <= kind.precision:
        raise InvalidOptionError(f"attribute {path!r} is declared {kind}: use decimal128(p, s) with 0 <= s <= p")
    if is_json(column) and (kind != pa.string() or path != column.name):
        raise InvalidOptionError(f"{path!r} is declared {kind} to hold JSON: declare a whole attribute with json_field")
    if pa.types.is_struct(kind):
        names = [member.name for member in kind]
        if len(set(names)) != len(names):
            raise InvalidOptionError(f"attribute {path!r} has the members {names!r}: give each name once")
        for member in kind:
            check_column(member, f"{path}.{member.name}")
    elif pa.types.is_list(kind):
        check_column(kind.value_field, f"{path}[]")
    elif pa.types.is_map(kind):
        check_column(kind.item_field, f"{path}[]")
