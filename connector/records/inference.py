"""A schema from a sample of items, and how well it holds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, get_args

import msgspec
import pyarrow as pa

from connector.errors import InvalidOptionError
from connector.records.column_types import json_field
from connector.records.fit import fit_attribute, fit_image
from connector.records.observed import Numbers, Observed
from connector.records.schema import Schema

LEAST_FIT: Final = 0.95
"""An attribute of which fewer values than this share fit one type becomes a json column, which holds them all."""

COLUMNS: Final = 500
"""At most this many attributes have columns, the most frequent ones."""

_parse = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_parse_attribute = msgspec.json.Decoder(dict[str, Any]).decode
_KEY_TYPES: Final = {"S": pa.string(), "B": pa.binary()}


@dataclass(frozen=True, slots=True)
class Conflict:
    """A place where values of several types were seen; ``counts`` by type tag, ``column`` the attribute's column.

    ``place`` is an attribute, or a path in one: ``address.city``, ``tags[]`` for elements, ``meta.*`` for any member.
    """

    place: str
    counts: Mapping[str, int]
    column: pa.Field


@dataclass(frozen=True, slots=True)
class Inferred:
    """``fitting`` of the ``items`` have a column for each attribute, and each attribute fits. ``seen`` counts the items
    that have an attribute."""

    schema: Schema
    items: int
    fitting: int
    seen: Mapping[str, int]
    conflicts: tuple[Conflict, ...]


def infer(items: Sequence[bytes], key_types: Mapping[str, str], *, numbers: Numbers = "text") -> Inferred:
    """The schema for items in DynamoDB JSON, of a table with keys such as ``{"order_id": "S"}``.

    - Numbers are text, which never loses; with ``numbers="narrow"`` they are int64 where all are whole and within 64
      bits, else decimal128 where 38 digits hold all, else text. They are never float64, which rounds: declare that.
    - A map is a struct of the members that were seen, or, of more than 50 names, a map of any. Sets are lists.
    - Values of several types: S and N together are text. Otherwise the column is of the type that takes most of them if
      that is 95 % at least; else it is a json column. What was only NULL is text.

    Columns are the keys and then the other attributes by name, so another sample of the same table gives the same
    schema where it can. An item that is no JSON object counts, and does not fit.
    """
    if numbers not in get_args(Numbers):
        raise InvalidOptionError(f"numbers={numbers!r}: use 'text' or 'narrow'")
    observed: dict[str, Observed] = {name: Observed() for name in key_types}
    raws: dict[str, list[msgspec.Raw]] = {}
    for item in items:
        for name, raw in _members(item).items():
            raws.setdefault(name, []).append(raw)
            observed.setdefault(name, Observed()).add(_value(raw))
    others = sorted(observed.keys() - key_types.keys(), key=lambda name: (-len(raws[name]), name))
    columns = [_key(name, tag, observed[name], numbers) for name, tag in key_types.items()]
    columns += [_column(name, observed[name], raws[name], numbers) for name in sorted(others[: COLUMNS - len(columns)])]
    attributes = pa.schema(columns)
    other = "other_attributes"
    while other in attributes.names:
        other += "_"
    schema = Schema(attributes, tuple(key_types), other=other)
    conflicts = [
        Conflict(place, dict(seen.tags), column)
        for column in columns
        for place, seen in observed[column.name].places(column.name)
        if len(seen.type_tags()) > 1
    ]
    seen = {name: len(raws.get(name, ())) for name in observed}
    return Inferred(schema, len(items), sum(_fits(schema, item) for item in items), seen, tuple(conflicts))


def _key(name: str, tag: str, observed: Observed, numbers: Numbers) -> pa.Field:
    return pa.field(name, _KEY_TYPES.get(tag) or observed.column_type(numbers))


def _column(name: str, observed: Observed, raws: Sequence[msgspec.Raw], numbers: Numbers) -> pa.Field:
    column = pa.field(name, observed.column_type(numbers))
    fitting = sum(fit_attribute(column, raw)[1] is None for raw in raws)
    return column if fitting >= LEAST_FIT * len(raws) else json_field(name)


def _fits(schema: Schema, item: bytes) -> bool:
    row, misfits = fit_image(schema, item)
    return row is not None and not misfits and row[schema.other or ""] is None


def _members(item: bytes) -> dict[str, msgspec.Raw]:
    try:
        return _parse(item)
    except (msgspec.DecodeError, RecursionError):
        return {}


def _value(raw: msgspec.Raw) -> object:
    try:
        return _parse_attribute(raw)
    except (msgspec.DecodeError, RecursionError):
        return None
