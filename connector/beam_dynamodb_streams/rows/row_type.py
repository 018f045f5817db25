"""The Beam schema of rows: a named tuple for a `Schema`, with named tuples for keys, images and structs inside it.

| Arrow | Beam |
|---|---|
| string, int64, float64, bool, binary | STRING, INT64, DOUBLE, BOOLEAN, BYTES |
| decimal128(p, s) | the logical type decimal (`decimal.Decimal`) |
| timestamp | the logical type micros_instant (`Timestamp`) |
| `list<T>`, `map<string, T>` | ARRAY and MAP of nullable T |
| `struct<…>` | a row |

Beam (2.77) makes Python classes of the field names, so a name must be an identifier.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from decimal import Decimal
from keyword import iskeyword
from typing import Any, Final, Optional

import pyarrow as pa
from apache_beam.typehints.row_type import RowTypeConstraint
from apache_beam.typehints.schemas import named_tuple_from_schema, named_tuple_to_schema
from apache_beam.utils.timestamp import Timestamp

from beam_dynamodb_streams.columns import Schema
from beam_dynamodb_streams.errors import InvalidOptionError
from beam_dynamodb_streams.records.beam_row import ChangeRow

_ATOMS: Final[dict[pa.DataType, type]] = {
    pa.string(): str,
    pa.int64(): int,
    pa.float64(): float,
    pa.bool_(): bool,
    pa.binary(): bytes,
}


def row_class(schema: Schema | None) -> Any:
    """Return the class of the rows of a schema: a named tuple, the same for equal schemas.

    Raises:
        InvalidOptionError: An attribute has a name that no field of a row can have.
    """
    return ChangeRow if schema is None else struct_class(file_struct(schema))


def row_hint(schema: Schema | None) -> Any:
    """Return the element type of a PCollection of these rows.

    It is not the class itself, because Beam (2.77) infers `Any` for the fields that `beam.Select` takes from a class.
    """
    return RowTypeConstraint.from_user_type(row_class(schema))


def file_struct(schema: Schema) -> pa.StructType:
    """Return the columns of `schema.arrow` as one struct, with the names of `Schema.rename` as in files."""
    images = ("keys", "new_image", "old_image")
    return pa.struct(
        [column.with_type(schema.in_files(column.type)) if column.name in images else column for column in schema.arrow]
    )


def struct_class(kind: pa.StructType) -> Any:
    """Return the named tuple of a struct."""
    for member in kind:
        _check_name(member.name)
    fields = [(member.name, _hint(member.type, nullable=member.nullable)) for member in kind]
    # The same id in every process: a runner that updates a job compares coders, and a row's coder has the id in it.
    schema_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"beam-dynamodb-streams:row:v1:{_notation(kind)}"))
    hint = RowTypeConstraint.from_fields(fields, schema_id=schema_id)
    return named_tuple_from_schema(named_tuple_to_schema(hint))


def _notation(kind: pa.DataType) -> str:
    """Return all that makes the class of a struct: names, types, and which of them may be null."""
    if not pa.types.is_struct(kind):
        return str(kind)
    members = (f"{m.name!r}:{_notation(m.type)}:{m.nullable}" for m in kind)
    return f"{{{','.join(members)}}}"


def _hint(kind: pa.DataType, *, nullable: bool = True) -> Any:
    if kind in _ATOMS:
        hint: Any = _ATOMS[kind]
    elif pa.types.is_decimal(kind):
        hint = Decimal
    elif pa.types.is_timestamp(kind):
        hint = Timestamp
    elif pa.types.is_struct(kind):
        hint = struct_class(kind)
    elif pa.types.is_map(kind):
        hint = Mapping[str, _hint(kind.item_type)]  # type: ignore[misc]  # a type that is made at run time
    else:
        hint = Sequence[_hint(kind.value_type)]  # type: ignore[misc]  # a type that is made at run time
    return Optional[hint] if nullable else hint  # noqa: UP045 - Beam does not know the other form everywhere


def _check_name(name: str) -> None:
    if not name.isidentifier() or iskeyword(name) or name.startswith("_"):
        raise InvalidOptionError(
            f"attribute {name!r} cannot be a field of a row: Beam takes Python identifiers that do not begin with an "
            f"underscore. Give it another name in the schema: rename='safe', or rename={{{name!r}: …}}"
        )
