"""Names that readers of files refuse, and the names that attributes have in files instead. Pure.

DynamoDB takes any text as a name. Readers do not:

| reader | what it refuses |
|---|---|
| Athena, Glue, Hive | a character other than a letter, a digit or an underscore; more than 128 characters (Hive) |
| BigQuery | the same, also letters that are not ASCII; a digit in front; prefixes such as `_PARTITION` |
| Iceberg | a dot, which separates the levels of a nested column |
| Beam rows | what is not a Python identifier; a keyword; an underscore in front |
| all of these, Spark, DuckDB | two names in one place that differ only in case |

A *path* names an attribute or a member inside one: `address.city`, `tags[].label` in the elements of a list,
`meta.*.unit` in the values of a map. As text it is what `Schema.rename` takes. Where a nested path would read as the
name of an attribute, it ends with a dot more, so no two paths are one text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from keyword import iskeyword
from typing import Final, TypeAlias

import pyarrow as pa

from beam_dynamodb_streams.columns.types import names_that_clash

Path: TypeAlias = tuple[str, ...]
LONGEST: Final = 128
_SPELT_OUT: Final = str.maketrans(
    {
        "ß": "ss",
        "ẞ": "SS",
        "æ": "ae",
        "Æ": "AE",
        "œ": "oe",
        "Œ": "OE",
        "ø": "o",
        "Ø": "O",
        "ł": "l",
        "Ł": "L",
        "đ": "d",
        "Đ": "D",
    }
)
_PLAIN: Final = re.compile(r"[A-Za-z0-9_]+")
_RESERVED_BY_BIGQUERY: Final = (
    *("_TABLE_", "_FILE_", "_PARTITION", "_ROW_TIMESTAMP", "__ROOT__", "_COLIDENTIFIER"),
    *("_CHANGE_SEQUENCE_NUMBER", "_CHANGE_TYPE", "_CHANGE_TIMESTAMP"),
)
_CASE_BLIND: Final = ("Athena", "BigQuery", "DuckDB", "Glue", "Hive", "Iceberg", "Spark")


@dataclass(frozen=True, slots=True)
class NameProblem:
    """A name that readers of files refuse.

    Attributes:
        path: The attribute, or a path in it: `order-id`, `address.zip-code`.
        name: The name in the table, which is the last part of the path.
        refused_by: The readers that refuse it, by name.
        reason: What they refuse in it.
        safe: The name that `rename="safe"` gives it.
        in_files: The name that it has in files by the schema at hand: its own, if nothing renames it.
    """

    path: str
    name: str
    refused_by: tuple[str, ...]
    reason: str
    safe: str
    in_files: str


def paths_of(attributes: Iterable[pa.Field]) -> dict[str, Path]:
    """Return all paths in these columns, by their text, the attributes first."""
    columns = list(attributes)
    found: dict[str, Path] = {column.name: (column.name,) for column in columns}
    for column in columns:
        for text, path in _nested(column.type, column.name, (column.name,)):
            free = text
            while free in found:
                free += "."
            found[free] = path
    return found


def safe_names(attributes: Iterable[pa.Field], keys: Iterable[str], other: str | None) -> dict[Path, str]:
    """Return another name for each path whose name a reader refuses. All names in one place stay different.

    A name that no reader refuses stays. Of names that differ only in case a key, or else the first by code points,
    keeps its own. The rest follows from the names in that place alone, whatever their order.
    """
    kept, renamed = frozenset(keys), dict[Path, str]()
    for place, names in _places(list(attributes)):
        taken = () if place or other is None else (other,)
        safe = _safe_siblings(names, () if place else kept, taken)
        renamed.update({(*place, name): other_name for name, other_name in safe.items()})
    return renamed


def name_problems(
    attributes: Iterable[pa.Field], keys: Iterable[str], other: str | None, renamed: Mapping[Path, str]
) -> tuple[NameProblem, ...]:
    """Return the names that a reader refuses, in the order of the columns."""
    columns = list(attributes)
    safe = safe_names(columns, keys, other)
    clashes = {
        (*place, name): group
        for place, names in _places(columns)
        for group in names_that_clash([*names, *([] if place or other is None else [other])])
        for name in group
    }
    found = []
    for text, path in paths_of(columns).items():
        if refusal := _refusal(path[-1], clashes.get(path, ())):
            name = path[-1]
            found.append(NameProblem(text, name, *refusal, safe.get(path, name), renamed.get(path, name)))
    return tuple(found)


def renamed_type(kind: pa.DataType, new_name: Callable[[Path], str], path: Path = ()) -> pa.DataType:
    """Return the type with other names for the members of structs in it. `path` is the path of the type itself."""
    if pa.types.is_struct(kind):
        return pa.struct(
            [
                pa.field(
                    new_name((*path, member.name)),
                    renamed_type(member.type, new_name, (*path, member.name)),
                    member.nullable,
                    member.metadata,
                )
                for member in kind
            ]
        )
    if pa.types.is_list(kind):
        return pa.list_(_retyped(kind.value_field, new_name, path))
    if pa.types.is_large_list(kind):
        return pa.large_list(_retyped(kind.value_field, new_name, path))
    if pa.types.is_map(kind):
        return pa.map_(kind.key_field, _retyped(kind.item_field, new_name, path), kind.keys_sorted)
    return kind


def _retyped(column: pa.Field, new_name: Callable[[Path], str], path: Path) -> pa.Field:
    return column.with_type(renamed_type(column.type, new_name, path))


def original_paths(attributes: Iterable[pa.Field], renamed: Mapping[Path, str]) -> dict[Path, str]:
    """Return the name in the table of each path that was renamed, by its path in files."""
    original: dict[Path, str] = {}
    for path in paths_of(attributes).values():
        if path in renamed:
            original[tuple(renamed.get(path[:end], path[end - 1]) for end in range(1, len(path) + 1))] = path[-1]
    return original


def safe_name(name: str) -> str:
    """Return a name that every reader takes, as like this one as possible. Two names may become one here.

    Letters lose their accents. A letter or digit that is not ASCII becomes its code point (`u9867`), any other
    character an underscore. What would begin with a digit or an underscore, or be a keyword of Python, begins with
    `col_`.
    """
    if _is_safe(name):
        return name
    decomposed = unicodedata.normalize("NFKD", name.translate(_SPELT_OUT))
    text = "".join(_safe_character(each) for each in decomposed if not unicodedata.combining(each))
    if not text[:1].isalpha() or iskeyword(text):
        text = f"col_{text.lstrip('_') or 'unnamed'}"
    if len(text) > LONGEST:
        text = f"{text[: LONGEST - 20]}_{blake2b(name.encode(errors='surrogatepass'), digest_size=4).hexdigest()}"
    return text


def _safe_character(character: str) -> str:
    if character.isascii():
        return character if character.isalnum() else "_"
    return f"u{ord(character):04x}_" if character.isalnum() else "_"


def _is_safe(name: str) -> bool:
    return _refusal(name, ()) is None


def _safe_siblings(names: Iterable[str], first: Iterable[str], taken: Iterable[str]) -> dict[str, str]:
    """Return another name for each of the names that needs one. `first` keep theirs, and `taken` are not given."""
    kept = frozenset(first)
    in_order = sorted(names, key=lambda name: (name not in kept, name))
    used = {each.lower() for each in taken}
    waiting: list[str] = []
    for name in in_order:
        if _is_safe(name) and name.lower() not in used:
            used.add(name.lower())
        else:
            waiting.append(name)
    renamed = {}
    for name in waiting:
        safe, number = (made := safe_name(name)), 1
        while safe.lower() in used:
            number += 1
            safe = f"{made}_{number}"
        renamed[name] = safe
        used.add(safe.lower())
    return renamed


def _refusal(name: str, clash: tuple[str, ...]) -> tuple[tuple[str, ...], str] | None:
    """Return who refuses the name and why; None if nobody does. `clash` are the names that differ in case alone."""
    found: dict[str, tuple[str, ...]] = {}
    if clash:
        others = ", ".join(repr(each) for each in clash if each != name)
        found[f"differs only in case from {others}"] = _CASE_BLIND
    if not _PLAIN.fullmatch(name):
        marks = "".join(dict.fromkeys(each for each in name if not each.isalnum() and each != "_"))
        letters = "".join(dict.fromkeys(each for each in name if each.isalnum() and not each.isascii()))
        if marks:
            found[f"has {marks!r}, not only letters, digits and underscores"] = (
                *("Athena", "Beam rows", "BigQuery", "Glue", "Hive"),
                *(("Iceberg",) if "." in marks else ()),
            )
        if letters:
            found[f"has letters that are not ASCII ({letters})"] = ("Athena", "BigQuery")
    if name[:1].isdigit():
        found["begins with a digit"] = ("Beam rows", "BigQuery")
    if name.startswith("_"):
        found["begins with an underscore"] = ("Beam rows",)
    if name.upper().startswith(_RESERVED_BY_BIGQUERY):
        found["has a prefix that BigQuery reserves"] = ("BigQuery",)
    if iskeyword(name):
        found["is a keyword of Python"] = ("Beam rows",)
    if len(name) > LONGEST:
        found[f"has {len(name)} characters"] = ("Hive",)
    return (tuple(sorted(set[str]().union(*found.values()))), "; ".join(found)) if found else None


def _places(columns: list[pa.Field]) -> Iterator[tuple[Path, list[str]]]:
    """Yield the names in each place: of the attributes, then of the members of each struct, with its path."""
    yield (), [column.name for column in columns]
    inside: dict[Path, list[str]] = {}
    for path in paths_of(columns).values():
        if len(path) > 1:
            inside.setdefault(path[:-1], []).append(path[-1])
    yield from inside.items()


def _nested(kind: pa.DataType, text: str, path: Path) -> Iterator[tuple[str, Path]]:
    while not pa.types.is_struct(kind):
        if pa.types.is_list(kind):
            kind, text = kind.value_type, f"{text}[]"
        elif pa.types.is_map(kind):
            kind, text = kind.item_type, f"{text}.*"
        else:
            return
    for member in kind:
        inner = f"{text}.{member.name}", (*path, member.name)
        yield inner
        yield from _nested(member.type, *inner)
