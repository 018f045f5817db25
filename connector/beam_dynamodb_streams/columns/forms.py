"""Columns written down: the text of a type, and Python's own types.

=============================  ==============================  ============================================
column                         as text                         as Python type
=============================  ==============================  ============================================
string                         ``"string"``                    ``str``; ``Decimal``, as its exact text
int64                          ``"int64"``                     ``int``
float64                        ``"float64"`` or ``"double"``   ``float``
decimal128(p, s)               ``"decimal128(12, 2)"``
bool                           ``"bool"``                      ``bool``
binary                         ``"binary"``                    ``bytes``
list<T>                        ``[T]``                         ``list[T]``, ``set[T]``, ``frozenset[T]``
struct                         ``{"city": T, …}``
map<string, T>                 ``{"*": T}``                    ``dict[str, T]``
any value, as DynamoDB JSON    ``"json"``                      ``object``
=============================  ==============================  ============================================

An Arrow type stands for itself. Of a member whose own name is nothing but stars, the name is written with one more.
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

Form: TypeAlias = "str | list[Form] | dict[str, Form]"
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


def form_of(column: pa.Field) -> Form:
    """The column in text; the inverse of `column_of`."""
    kind = column.type
    if pa.types.is_struct(kind):
        return {_starred(member.name): form_of(member) for member in kind}
    if pa.types.is_map(kind):
        return {ANY_NAME: form_of(kind.item_field)}
    if pa.types.is_list(kind):
        return [form_of(kind.value_field)]
    if kind == pa.float64():
        return "float64"
    return "json" if is_json(column) else str(kind)


def column_of(name: str, form: object, path: str | None = None) -> pa.Field:
    """The column of this name and form. Raises `InvalidOptionError`, naming the path of what is no form."""
    path = name if path is None else path
    if form in ("json", object) or form is Any:
        return json_field(name)
    return pa.field(name, _type_of(form, path))


def _type_of(form: object, path: str) -> pa.DataType:
    match form:
        case pa.DataType():
            return form
        case str() if form in _TEXTS:
            return _TEXTS[form]
        case str() if found := _DECIMAL.fullmatch(form):
            return _decimal(int(found[1]), int(found[2]), form, path)
        case [element]:
            return pa.list_(column_of("item", element, f"{path}[]"))
        case Mapping() if list(form) == [ANY_NAME]:
            return _map(form[ANY_NAME], path)
        case Mapping() if form:
            return pa.struct([column_of(_unstarred(name), form[name], f"{path}.{name}") for name in form])
    return _python_type(form, path)


def _python_type(form: object, path: str) -> pa.DataType:
    try:
        if (kind := _PYTHON.get(form)) is not None:
            return kind
    except TypeError:  # what has no hash is no type
        raise _refused(form, path) from None
    origin, arguments = get_origin(form), get_args(form)
    if origin in (list, set, frozenset, Sequence):
        return pa.list_(column_of("item", arguments[0], f"{path}[]"))
    if origin in (dict, Mapping) and arguments[0] is str:
        return _map(arguments[1], path)
    if origin in (Union, UnionType):
        present = [argument for argument in arguments if argument is not NoneType]
        if len(present) == 1:
            return _type_of(present[0], path)
    raise _refused(form, path)


def _map(item: object, path: str) -> pa.DataType:
    return pa.map_(pa.string(), column_of("value", item, f"{path}[]"))


def _decimal(precision: int, scale: int, form: str, path: str) -> pa.DataType:
    try:
        return pa.decimal128(precision, scale)
    except ValueError:
        raise InvalidOptionError(f"attribute {path!r} is declared {form!r}: a decimal128 has 1 to 38 digits") from None


def _starred(name: str) -> str:
    return name + ANY_NAME if not name.strip(ANY_NAME) else name


def _unstarred(name: object) -> str:
    if not isinstance(name, str):
        raise InvalidOptionError(f"{name!r} is not an attribute name: names are str")
    return name[:-1] if not name.strip(ANY_NAME) else name


def _refused(form: object, path: str) -> InvalidOptionError:
    return InvalidOptionError(
        f"attribute {path!r} is declared {form!r}: use 'string', 'int64', 'float64', 'decimal128(12, 2)', 'bool', "
        f"'binary', 'json', [T] for a list or set, {{'name': T}} for a map of known names, or {{'*': T}} for any"
    )
