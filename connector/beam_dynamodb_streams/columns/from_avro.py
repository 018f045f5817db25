"""An Avro schema of a table's items as columns: the reverse of `columns.avro`.

int and long become int64, float and double float64, enum and uuid string, fixed binary. Of the other logical types only
decimal is accepted. The rest are refused: DynamoDB has no times or dates, so declare the type that holds them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pyarrow as pa

from beam_dynamodb_streams.columns.avro import attribute_name
from beam_dynamodb_streams.columns.types import json_field
from beam_dynamodb_streams.errors import InvalidOptionError

_PRIMITIVES: Final = {
    "string": pa.string(),
    "int": pa.int64(),
    "long": pa.int64(),
    "float": pa.float64(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
    "bytes": pa.binary(),
}
_NAMED: Final = {"enum": pa.string(), "fixed": pa.binary()}


def is_avro(source: Mapping[str, Any]) -> bool:
    """Return whether this is an Avro record and not a mapping of attributes to types."""
    return source.get("type") == "record" and isinstance(source.get("fields"), list)


def attributes_of(record: Mapping[str, Any]) -> pa.Schema:
    """Return the fields of a record as attributes, with the names that `avro_name` made legal.

    Raises:
        InvalidOptionError: A field has a type that no attribute has.
    """
    return pa.schema(_ColumnReader().of_record(record, "", ""))


class _ColumnReader:
    """Reads columns, and remembers the named types for later uses of their names."""

    def __init__(self) -> None:
        self._named: dict[str, tuple[Mapping[str, Any], str]] = {}
        self._around: list[str] = []  # the records around the one that is being read

    def of_record(self, record: Mapping[str, Any], path: str, namespace: str) -> list[pa.Field]:
        full = _full_name(record, namespace)
        if full in self._around:
            raise InvalidOptionError(
                f"attribute {path!r} is a {full} inside a {full}, and no column is recursive: use 'json'"
            )
        self._named[full] = record, namespace
        self._around.append(full)
        columns = []
        for field in record.get("fields", ()):
            if not isinstance(field, Mapping) or not isinstance(field.get("name"), str) or "type" not in field:
                raise InvalidOptionError(f"the Avro record {full} has the field {field!r}: give it a name and a type")
            name = attribute_name(field["name"])
            columns.append(self._column(name, field["type"], f"{path}.{name}" if path else name, _space(full)))
        self._around.pop()
        return columns

    def _column(self, name: str, avro: Any, path: str, namespace: str) -> pa.Field:
        avro = _present(avro, path)
        if isinstance(avro, Mapping) and avro.get("dynamodb") == "json":
            return json_field(name)
        return pa.field(name, self._type(avro, path, namespace))

    def _type(self, avro: Any, path: str, namespace: str) -> pa.DataType:
        avro = _present(avro, path)
        if isinstance(avro, str) and avro not in _PRIMITIVES:
            avro, namespace = self._definition(avro, path, namespace)
        if isinstance(avro, str):
            return _PRIMITIVES[avro]
        if not isinstance(avro, Mapping) or not isinstance(avro.get("type"), str | list | Mapping):
            raise _refused(avro, path)
        match avro["type"], avro.get("logicalType"):
            case (("bytes" | "fixed"), "decimal"):
                self._remember(avro, namespace)
                return _decimal(avro, path)
            case "string", "uuid":
                return pa.string()
            case _, str():
                raise _refused(avro, path)
            case "record", _:
                return pa.struct(self.of_record(avro, path, namespace))
            case "array", _:
                return pa.list_(self._column("item", avro.get("items"), f"{path}[]", namespace))
            case "map", _:
                return pa.map_(pa.string(), self._column("value", avro.get("values"), f"{path}[]", namespace))
            case ("enum" | "fixed") as kind, _:
                self._remember(avro, namespace)
                return _NAMED[kind]
            case inner, _:
                return self._type(inner, path, namespace)

    def _remember(self, avro: Mapping[str, Any], namespace: str) -> None:
        if "name" in avro:
            self._named[_full_name(avro, namespace)] = avro, namespace

    def _definition(self, name: str, path: str, namespace: str) -> tuple[Mapping[str, Any], str]:
        for full in (f"{namespace}.{name}", name):
            if full in self._named:
                return self._named[full]
        raise _refused(name, path)


def _present(avro: Any, path: str) -> Any:
    """Return the one type of a union that is not null."""
    if not isinstance(avro, list):
        return avro
    present = [each for each in avro if each != "null"]
    if len(present) != 1:
        raise _refused(avro, path)
    return present[0]


def _decimal(avro: Mapping[str, Any], path: str) -> pa.DataType:
    try:
        return pa.decimal128(avro.get("precision"), avro.get("scale", 0))
    except (ValueError, TypeError):
        raise _refused(avro, path) from None


def _full_name(named: Mapping[str, Any], namespace: str) -> str:
    name = str(named.get("name", ""))
    space = named.get("namespace", namespace)
    return f"{space}.{name}" if space and "." not in name else name


def _space(full: str) -> str:
    return full.rpartition(".")[0]


def _refused(avro: object, path: str) -> InvalidOptionError:
    return InvalidOptionError(
        f"attribute {path!r} is declared {avro!r} in Avro: use string, long, double, boolean, bytes, decimal, array, "
        f"map or record, or a union of one of them with null; a text for any value is "
        f'{{"type": "string", "dynamodb": "json"}}'
    )
