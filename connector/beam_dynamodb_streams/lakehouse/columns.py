"""How the columns of files differ from those of a table. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import pyarrow as pa


class Difference(NamedTuple):
    """What a table lacks, and what stands in the way, each as a text that names the column."""

    added: list[str]
    conflicts: list[str]


def compare(table: pa.Schema, files: pa.Schema, *, widens_decimals: bool = False) -> Difference:
    """Return how the columns of files differ from those of a table.

    A column of the table that the files lack is null in their rows, which is no difference.

    Args:
        table: The table's columns.
        files: The columns of the files.
        widens_decimals: Whether the table takes decimals of more digits than it has.
    """
    found = Difference([], [])
    _compare_fields(list(table), list(files), "", found, widens_decimals=widens_decimals)
    return found


def odd_names(files: pa.Schema, odd: Iterable[str]) -> list[str]:
    """Return the columns, as dotted names, whose own name has one of these characters."""
    characters = set(odd)
    return [path for path, name in _names(list(files), "") if characters.intersection(name)]


def ambiguous_names(files: pa.Schema) -> list[str]:
    """Return the dotted names that stand for two columns, as `a.b` does beside a struct `a` with a member `b`."""
    paths = [path for path, _ in _names(list(files), "")]
    return sorted({path for path in paths if paths.count(path) > 1})


def _compare_fields(
    table: list[pa.Field], files: list[pa.Field], place: str, found: Difference, *, widens_decimals: bool
) -> None:
    known = {field.name: field for field in table}
    lower = {name.lower(): name for name in known}
    for field in files:
        path = f"{place}{field.name}"
        held = known.get(field.name)
        if held is not None:
            if not held.nullable and field.nullable:
                found.conflicts.append(f"{path} is never null there, and may be null in the files")
            _compare_types(held.type, field.type, path, found, widens_decimals=widens_decimals)
        elif (other := lower.get(field.name.lower())) is not None:
            found.conflicts.append(f"{path} differs from {place}{other} there only in case")
        else:
            found.added.append(path)
    given = {field.name for field in files}
    found.conflicts.extend(
        f"{place}{field.name} is never null there, and the files do not have it"
        for field in table
        if not field.nullable and field.name not in given
    )


def _compare_types(
    table: pa.DataType, files: pa.DataType, path: str, found: Difference, *, widens_decimals: bool
) -> None:
    held, given = _kind(table), _kind(files)
    if held != given:
        wider = pa.types.is_decimal(table) and pa.types.is_decimal(files) and table.scale == files.scale
        if wider and table.precision > files.precision:
            return  # a narrower decimal is read as a wider one
        if wider and widens_decimals:
            found.added.append(f"{path} ({given})")
            return
        found.conflicts.append(f"{path} is {held} there, and {given} in the files")
    elif held == "struct":
        _compare_fields(list(table), list(files), f"{path}.", found, widens_decimals=widens_decimals)
    elif held == "list":
        _compare_types(table.value_type, files.value_type, f"{path}[]", found, widens_decimals=widens_decimals)
    elif held == "map":
        _compare_types(table.item_type, files.item_type, f"{path}{{}}", found, widens_decimals=widens_decimals)


def _kind(kind: pa.DataType) -> str:
    types = pa.types
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return "string"
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind):
        return "binary"
    if types.is_list(kind) or types.is_large_list(kind):
        return "list"
    if types.is_timestamp(kind):
        return "a time with a zone" if kind.tz else "a time without a zone"
    if types.is_decimal(kind):
        return f"decimal128({kind.precision}, {kind.scale})"
    return "struct" if types.is_struct(kind) else "map" if types.is_map(kind) else str(kind)


def _names(fields: list[pa.Field], place: str) -> Iterator[tuple[str, str]]:
    for field in fields:
        path, kind = f"{place}{field.name}", field.type
        yield path, field.name
        while pa.types.is_list(kind) or pa.types.is_map(kind):
            kind = kind.value_type if pa.types.is_list(kind) else kind.item_type
        if pa.types.is_struct(kind):
            yield from _names(list(kind), f"{path}.")
