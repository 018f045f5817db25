"""`Schema`: a table's attributes as columns, declared in Arrow's types.

======================  ===========================================================================
column                  the attributes that fit it
======================  ===========================================================================
string                  S, and N as its text: nothing is lost
int64                   N that is whole and within 64 bits
float64                 N, rounded to the nearest double
decimal128(p, s)        N with at most s digits after the point and p in all
bool                    BOOL
binary                  B
list<T>                 L of what fits T; SS, NS or BS if their elements fit T, sorted
struct<…>               M with these members and no others
map<string, T>          M of what fits T
string, json            any value, as DynamoDB JSON (`json_field`)
======================  ===========================================================================

An absent attribute and a NULL are null in every column. Every column is nullable.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias, get_args

import pyarrow as pa

from connector.errors import InvalidOptionError
from connector.records.change_log import CHANGE_SCHEMA, METADATA_COLUMNS

OnMisfit: TypeAlias = Literal["dead_letter", "text", "raise"]
_TAG: Final = b"dynamodb"
_ESCAPED: Final = re.compile(r'["\\\x00-\x1f]')


def json_field(name: str) -> pa.Field:
    """A column that holds an attribute of any type as DynamoDB JSON text."""
    return pa.field(name, pa.string(), metadata={_TAG: b"json"})


def is_json(column: pa.Field) -> bool:
    return bool((column.metadata or {}).get(_TAG) == b"json")


@dataclass(frozen=True, slots=True)
class Schema:
    """Which attribute goes into which column, and what becomes of the rest.

    - ``attributes``: the columns of an image; ``keys``: the names among them that are the table's key.
    - ``other``: the name of one more column of each image, which holds as DynamoDB JSON the attributes that have no
      column, null where there are none; None leaves them out.
    - ``on_misfit``: what becomes of an attribute that its column cannot hold whole (another type, too many digits, a
      member that a struct does not have). Its column holds what fits, null where nothing does, and the attribute

      - ``"dead_letter"``: is returned beside the batch (`Misfit`),
      - ``"text"``: is kept in the column ``other`` as well,
      - ``"raise"``: raises `MisfitError`.

    ``arrow`` is the schema of the rows: the metadata of a change, then structs ``keys``, ``new_image``, ``old_image``.
    """

    attributes: pa.Schema
    keys: tuple[str, ...]
    other: str | None = "other_attributes"
    on_misfit: OnMisfit = "dead_letter"
    image: pa.DataType = field(init=False, compare=False, repr=False)
    arrow: pa.Schema = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        _check(self)
        columns = [nullable(column) for column in self.attributes]
        by_name = {column.name: column for column in columns}
        image = pa.struct([*columns, *([pa.field(self.other, pa.string())] if self.other else [])])
        keys = pa.struct([by_name[name] for name in self.keys])
        object.__setattr__(self, "image", image)
        rows = [CHANGE_SCHEMA.field(name) for name in METADATA_COLUMNS]
        rows += [pa.field("keys", keys, nullable=False), pa.field("new_image", image), pa.field("old_image", image)]
        object.__setattr__(self, "arrow", pa.schema(rows))


def nullable(column: pa.Field) -> pa.Field:
    """The column and all inside it nullable, its metadata kept."""
    kind = column.type
    if pa.types.is_struct(kind):
        kind = pa.struct([nullable(member) for member in kind])
    elif pa.types.is_list(kind):
        kind = pa.list_(nullable(kind.value_field))
    elif pa.types.is_map(kind):
        kind = pa.map_(pa.string(), nullable(kind.item_field))
    return pa.field(column.name, kind, metadata=column.metadata)


def tags(kind: pa.DataType) -> tuple[str, ...]:
    """The type tags that a column of this type takes, most expected first; none if no attribute fits it."""
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


def is_open(column: pa.Field) -> bool:
    """True if the column, or one inside it, takes members whose names are not known beforehand.

    So does one with a name that stands escaped in JSON: the parsers of typed columns look for plain names.
    """
    kind = column.type
    if _ESCAPED.search(column.name):
        return True
    if pa.types.is_struct(kind):
        return any(is_open(member) for member in kind)
    if pa.types.is_list(kind):
        return is_open(kind.value_field)
    return is_json(column) or bool(pa.types.is_map(kind))


def _check(schema: Schema) -> None:
    names = schema.attributes.names
    if not names or len(set(names)) != len(names):
        raise InvalidOptionError(f"attributes={names!r}: give at least one attribute, each name once")
    for column in schema.attributes:
        _check_type(column.name, column)
    if not schema.keys or not set(schema.keys) <= set(names):
        raise InvalidOptionError(f"keys={schema.keys!r}: name the table's key attributes, each among {names!r}")
    for name in schema.keys:
        if not set(tags(schema.attributes.field(name).type)) & set("SNB") or is_json(schema.attributes.field(name)):
            raise InvalidOptionError(
                f"key attribute {name!r} is declared {schema.attributes.field(name).type}: keys are S, N or B, so "
                f"declare a string, a number or binary"
            )
    if schema.other is not None and (not schema.other or schema.other in names):
        raise InvalidOptionError(f"other={schema.other!r}: give a name that no attribute has, or None")
    if schema.on_misfit not in get_args(OnMisfit):
        raise InvalidOptionError(f"on_misfit={schema.on_misfit!r}: use one of {', '.join(get_args(OnMisfit))}")
    if schema.on_misfit == "text" and schema.other is None:
        raise InvalidOptionError("on_misfit='text' keeps misfits in the column other: give other a name")


def _check_type(path: str, column: pa.Field) -> None:
    kind = column.type
    if not tags(kind) or (pa.types.is_struct(kind) and not kind.num_fields):
        raise InvalidOptionError(
            f"attribute {path!r} is declared {kind}: use string, int64, float64, decimal128, bool, binary, list, "
            f"struct with members, or map with string keys"
        )
    if is_json(column) and (kind != pa.string() or path != column.name):
        raise InvalidOptionError(f"{path!r} is declared {kind} to hold JSON: declare a whole attribute with json_field")
    if pa.types.is_struct(kind):
        for member in kind:
            _check_type(f"{path}.{member.name}", member)
    elif pa.types.is_list(kind):
        _check_type(f"{path}[]", kind.value_field)
    elif pa.types.is_map(kind):
        _check_type(f"{path}[]", kind.item_field)
