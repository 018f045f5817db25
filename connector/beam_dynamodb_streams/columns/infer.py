"""`infer`: the schema for a sample of items, and how well it fits them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import msgspec
import pyarrow as pa

from beam_dynamodb_streams.columns.names import NameProblem
from beam_dynamodb_streams.columns.observed import CaseConflict, ColumnTypes, Numbers, Observed
from beam_dynamodb_streams.columns.scalar import convert_attribute, convert_image
from beam_dynamodb_streams.columns.schema import Schema
from beam_dynamodb_streams.columns.types import LEVELS, json_field, names_that_clash
from beam_dynamodb_streams.errors import InvalidOptionError

LEAST_FIT: Final = 0.95
"""If a smaller share of an attribute's values fits one type, it becomes a json column, which holds all of them."""

COLUMNS: Final = 500
"""At most this many attributes get columns: the most frequent ones."""

_parse = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_parse_attribute = msgspec.json.Decoder(dict[str, Any]).decode
_KEY_TYPES: Final = {"S": pa.string(), "B": pa.binary()}


@dataclass(frozen=True, slots=True)
class Conflict:
    """A path at which values of several types occurred.

    Attributes:
        place: The attribute, or a path in it: `address.city`, `tags[]` for elements, `meta.*` for any member.
        counts: The count of values by type tag.
        column: The column of the attribute.
    """

    place: str
    counts: Mapping[str, int]
    column: pa.Field


@dataclass(frozen=True, slots=True)
class Inferred:
    """The schema for a sample of items, and how well it fits them.

    Attributes:
        schema: The schema.
        items: The count of items.
        fitting: The count of items all of whose attributes have a column and fit it. An attribute that differs only in
            case from one with a column needs none.
        seen: For each attribute, the count of items that have it.
        conflicts: The paths at which values of several types occurred.
        case_conflicts: The names that differ only in case.
        name_problems: The names of columns that readers of files refuse, with the name that `rename="safe"` gives them.
    """

    schema: Schema
    items: int
    fitting: int
    seen: Mapping[str, int]
    conflicts: tuple[Conflict, ...]
    case_conflicts: tuple[CaseConflict, ...] = ()
    name_problems: tuple[NameProblem, ...] = ()


def infer(
    items: Sequence[bytes],
    key_types: Mapping[str, str],
    *,
    numbers: Numbers = "text",
    rename: Literal["safe"] | None = None,
) -> Inferred:
    """Return the schema for items in DynamoDB JSON, of a table with keys such as `{"order_id": "S"}`.

    - Numbers become text, which loses nothing. With `numbers="narrow"` they become int64 if all are whole and within
      64 bits, else decimal128 if 38 digits hold all, else text. They never become float64, which rounds: declare it.
    - A map becomes a struct of the members that occurred, or, with more than 50 names, a map of any names. Sets become
      lists.
    - Values of several types: S and N together become text. Otherwise the column has the type that takes most of the
      values if these are at least 95 %; else it is a json column. An attribute that was always NULL becomes text.
    - A value with more than 100 levels (DynamoDB nests 32) fits no typed column. It counts as one of another type.
    - Names that differ only in case: the most frequent of such attributes, or the key, has a column, and the others go
      to the column `other`. A map with such members becomes a map of any names. Two keys both have a column, and the
      schema renames the second one in files (`Schema.rename`).
    - With `rename="safe"` all of these have columns, and every name that a reader of files refuses has another one
      there. Without it, `Inferred.name_problems` reports these names.

    The columns are the keys, then the other attributes by name, so that another sample of the same table results in the
    same schema where possible. An item that is not a JSON object counts as an item that does not fit.

    Raises:
        InvalidOptionError: `numbers` or `rename` is not one of its two values.
    """
    if numbers not in get_args(Numbers):
        raise InvalidOptionError(f"numbers={numbers!r}: use 'text' or 'narrow'")
    if rename not in ("safe", None):
        raise InvalidOptionError(
            f"rename={rename!r}: use 'safe' or None, and edit the schema's rename= for other names"
        )
    choose = ColumnTypes(numbers, renames=rename is not None)
    observed: dict[str, Observed] = {name: Observed() for name in key_types}
    raws: dict[str, list[msgspec.Raw]] = {}
    for item in items:
        for name, raw in _members(item).items():
            raws.setdefault(name, []).append(raw)
            observed.setdefault(name, Observed()).add(_value(raw))
    others = sorted(observed.keys() - key_types.keys(), key=lambda name: (-len(raws[name]), name))
    case_conflicts = [conflict for name in sorted(observed) for conflict in observed[name].case_conflicts(name, choose)]
    left_out: set[str] = set()
    for group in names_that_clash(observed):
        ranked = sorted(group, key=lambda name: (name not in key_types, -len(raws.get(name, ())), name))
        without = [] if rename else [name for name in ranked[1:] if name not in key_types]
        left_out.update(without)
        counts = {name: len(raws.get(name, ())) for name in group}
        renamed = ranked[1:] if rename else [name for name in group[1:] if {name, group[0]} <= key_types.keys()]
        handling = f"{', '.join(without) or 'none'} without a column"
        case_conflicts.append(
            CaseConflict(counts, f"{handling}; {', '.join(renamed)} renamed in files" if renamed else handling)
        )
    others = [name for name in others if name not in left_out]
    columns = [_key(name, tag, observed[name], choose) for name, tag in key_types.items()]
    columns += [_column(name, observed[name], raws[name], choose) for name in sorted(others[: COLUMNS - len(columns)])]
    attributes = pa.schema(columns)
    other = "other_attributes"
    while other in {name.lower() for name in observed}:
        other += "_"
    names = rename or names_in_files(key_types, taken={name.lower() for name in [*observed, other]})
    schema = Schema(attributes, tuple(key_types), other=other, rename=names)
    conflicts = [
        Conflict(place, dict(seen.tags), column)
        for column in columns
        for place, seen in observed[column.name].paths(column.name)
        if len(seen.type_tags()) > 1
    ]
    seen = {name: len(raws.get(name, ())) for name in observed}
    return Inferred(
        schema,
        len(items),
        sum(_fits(schema, item, left_out) for item in items),
        seen,
        tuple(conflicts),
        tuple(case_conflicts),
        schema.name_problems(),
    )


def names_in_files(names: Iterable[str], *, taken: Iterable[str] = ()) -> dict[str, str]:
    """Return other names for all but the first of the names that differ only in case: `userid_2` for `userid`.

    They follow from the names alone. `taken` are names in lower case that stay free of them.
    """
    used, renamed = {*taken}, {}
    for group in names_that_clash(names):
        for name in group[1:]:
            number = 2
            while f"{name}_{number}".lower() in used:
                number += 1
            renamed[name] = f"{name}_{number}"
            used.add(renamed[name].lower())
    return renamed


def _key(name: str, tag: str, observed: Observed, choose: ColumnTypes) -> pa.Field:
    return pa.field(name, _KEY_TYPES.get(tag) or observed.column_type(choose))


def _column(name: str, observed: Observed, raws: Sequence[msgspec.Raw], choose: ColumnTypes) -> pa.Field:
    column = pa.field(name, observed.column_type(choose))
    fitting = sum(convert_attribute(column, raw)[1] is None for raw in raws)
    return column if fitting >= LEAST_FIT * len(raws) else json_field(name)


def _fits(schema: Schema, item: bytes, left_out: set[str]) -> bool:
    row, misfits = convert_image(schema, item)
    if row is None or misfits:
        return False
    others = row[schema.other or ""]
    return others is None or _members(str(others).encode()).keys() <= left_out


def _members(item: bytes) -> dict[str, msgspec.Raw]:
    try:
        return _parse(item)
    except (msgspec.DecodeError, RecursionError):
        return {}


def _value(raw: msgspec.Raw) -> object:
    """Return the parsed value; None if it cannot be parsed, or no column can be nested as deep as it is."""
    try:
        parsed = _parse_attribute(raw)
    except (msgspec.DecodeError, RecursionError):
        return None
    return None if _is_too_deep(bytes(raw), parsed) else parsed


def _is_too_deep(text: bytes, parsed: object) -> bool:
    if text.count(b"{") + text.count(b"[") <= 2 * LEVELS:  # a map or list is an object with its tag, and its content
        return False
    inside: list[object] = [parsed]
    for _ in range(2 * LEVELS + 1):
        inside = [
            member
            for each in inside
            for member in (each.values() if isinstance(each, dict) else each if isinstance(each, list) else ())
        ]
    return bool(inside)
