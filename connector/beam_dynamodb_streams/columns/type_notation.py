"""How the type of a column is written: as text, and as a Python type.

| column | as text | as Python type |
|---|---|---|
| string | `"string"` | `str`; `Decimal`, as its exact text |
| int64 | `"int64"` | `int` |
| float64 | `"float64"` or `"double"` | `float` |
| decimal128(p, s) | `"decimal128(12, 2)"` |  |
| bool | `"bool"` | `bool` |
| binary | `"binary"` | `bytes` |
| `list<T>` | `[T]` | `list[T]`, `set[T]`, `frozenset[T]` |
| struct | `{"city": T, …}` |  |
| `map<string, T>` | `{"*": T}` | `dict[str, T]` |
| any value, as DynamoDB JSON | `"json"` | `object` |

An Arrow type is written as itself. A member whose name consists of stars alone is written with one more star.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from types import NoneType, UnionType
from typing import Any, Final, TypeAlias, Union, get_args, get_origin

import pyarrow as pa

from beam_dynamodb_streams.columns.types import is_json, json_field
from beam_dynamodb_streams.errors import InvalidOptionError

Notation: TypeAlias = "str | list[Notation] | dict[str, Notation]"
ANY_NAME: Final = "*"
_TEXTS: Final = {
    "string": pa.string(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "double": pa.float64(),
    "bool": pa.bool_(),
    "binary": pa.binary(),
}
_PYTHON: Final[Mapping[object, pa.DataType]] = {
    str: pa.string(),
    Decimal: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
    bytes: pa.binary(),
}
_DECIMAL: Final = re.compile(r"decimal128\( *(\d{1,2}) *, *(\d{1,2}) *\)")


def notation_of(column: pa.Field) -> Notation:
    """Return the type of the column as text, lists and dicts: the inverse of `column_of`."""
    kind = column.type
    if pa.types.is_struct(kind):
        return {_starred(member.name): notation_of(member) for member in kind}
    if pa.types.is_map(kind):
        return {ANY_NAME: notation_of(kind.item_field)}
    if pa.types.is_list(kind):
        return [notation_of(kind.value_field)]
    if kind == pa.float64():
        return "float64"
    return "json" if is_json(column) else str(kind)


def column_of(name: str, notation: object, path: str | None = None) -> pa.Field:
    """Return the column of this name and type.

    Raises:
        InvalidOptionError: The notation is not one of a type; the error names its path in the attribute.
    """
    path = name if path is None else path
    if notation in ("json", object) or notation is Any:
        return json_field(name)
    try:
        return pa.field(name, _type_of(notation, path))
    except RecursionError:
        raise InvalidOptionError(f"attribute {name!r} is declared with too many levels: use 'json'") from None


def _type_of(notation: object, path: str) -> pa.DataType:
    match notation:
        case pa.DataType():
            return notation
        case str() if notation in _TEXTS:
            return _TEXTS[notation]
        case str() if found := _DECIMAL.fullmatch(notation):
            return _decimal(int(found[1]), int(found[2]), notation, path)
        case [element]:
            return pa.list_(column_of("item", element, f"{path}[]"))
        case Mapping() if list(notation) == [ANY_NAME]:
            return _map(notation[ANY_NAME], path)
        case Mapping() if notation:
            return pa.struct([column_of(_unstarred(name), notation[name], f"{path}.{name}") for name in notation])
    return _python_type(notation, path)


def _python_type(notation: object, path: str) -> pa.DataType:
    try:
        if (kind := _PYTHON.get(notation)) is not None:
            return kind
    except TypeError:  # a value without a hash is not a type
        raise _refused(notation, path) from None
    origin, arguments = get_origin(notation), get_args(notation)
    if origin in (list, set, frozenset, Sequence):
        return pa.list_(column_of("item", arguments[0], f"{path}[]"))
    if origin in (dict, Mapping) and arguments[0] is str:
        return _map(arguments[1], path)
    if origin in (Union, UnionType):
        present = [argument for argument in arguments if argument is not NoneType]
        if len(present) == 1:
            return _type_of(present[0], path)
    raise _refused(notation, path)


def _map(item: object, path: str) -> pa.DataType:
    return pa.map_(pa.string(), column_of("value", item, f"{path}[]"))


def _decimal(precision: int, scale: int, notation: str, path: str) -> pa.DataType:
    try:
        return pa.decimal128(precision, scale)
    except ValueError:
        raise InvalidOptionError(
            f"attribute {path!r} is declared {notation!r}: a decimal128 has 1 to 38 digits"
        ) from None


def _starred(name: str) -> str:
    return name + ANY_NAME if not name.strip(ANY_NAME) else name


def _unstarred(name: object) -> str:
    if not isinstance(name, str):
        raise InvalidOptionError(f"{name!r} is not an attribute name: names are str")
    return name[:-1] if not name.strip(ANY_NAME) else name


def _refused(notation: object, path: str) -> InvalidOptionError:
    return InvalidOptionError(
        f"attribute {path!r} is declared {notation!r}: use 'string', 'int64', 'float64', 'decimal128(12, 2)', 'bool', "
        f"'binary', 'json', [T] for a list or set, {{'name': T}} for a map of known names, or {{'*': T}} for any"
    )
