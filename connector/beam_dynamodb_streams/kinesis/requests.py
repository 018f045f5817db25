"""Checks the parameters of a request against what botocore's model says of them. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from beam_dynamodb_streams.kinesis.faults import KinesisFault
from beam_dynamodb_streams.wire.kinesis_model import InputShape

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
    "boolean": (bool,),
    "blob": (bytes,),
    "structure": (dict,),
    "map": (dict,),
    "list": (list, tuple),
    "timestamp": (int, float),
}


def checked(shape: InputShape, parameters: object) -> dict[str, Any]:
    """Return the parameters of a request without those that are null. Unknown ones are ignored, as AWS does.

    Raises:
      KinesisFault: one is missing, or is not what it must be.
    """
    value = _checked(shape, parameters, "")
    assert isinstance(value, dict)  # noqa: S101 - the shape of every input is a structure
    return value


def _checked(shape: InputShape, value: object, path: str) -> Any:
    if isinstance(value, datetime) and shape.kind == "timestamp":
        value = value.timestamp()
    allowed = _TYPES.get(shape.kind, ())
    if not isinstance(value, allowed) or (isinstance(value, bool) and shape.kind != "boolean"):
        raise KinesisFault(
            "SerializationException", f"{path or 'the request'} is a {type(value).__name__}, not a {shape.kind}"
        )
    if isinstance(value, dict):
        return {
            name: _checked(member, value[name], f"{path}.{_camel(name)}".lstrip("."))
            for name, member in _members(shape, value, path)
        }
    if isinstance(value, list | tuple) and shape.element is not None:
        return [_checked(shape.element, each, f"{path}.{place}") for place, each in enumerate(value, 1)]
    _check_size(shape, value, path)
    return value


def _members(shape: InputShape, value: dict[str, Any], path: str) -> list[tuple[str, InputShape]]:
    for name in shape.required:
        if value.get(name) is None:
            where = f"{path}.{_camel(name)}".lstrip(".")
            raise _constraint(None, where, "Member must not be null")
    return [(name, member) for name, member in shape.members.items() if value.get(name) is not None]


def _check_size(shape: InputShape, value: object, path: str) -> None:
    size = len(value) if isinstance(value, str | bytes) else value
    unit = "have length" if isinstance(value, str | bytes) else "have value"
    if isinstance(size, int | float):
        if shape.least is not None and size < shape.least:
            raise _constraint(value, path, f"Member must {unit} greater than or equal to {shape.least}")
        if shape.most is not None and size > shape.most:
            raise _constraint(value, path, f"Member must {unit} less than or equal to {shape.most}")
    if shape.choices and value not in shape.choices:
        raise _constraint(value, path, f"Member must satisfy enum value set: [{', '.join(shape.choices)}]")


def _constraint(value: object, path: str, rule: str) -> KinesisFault:
    shown = "null" if value is None else str(value)[:100]
    return KinesisFault(
        "ValidationException",
        f"1 validation error detected: Value '{shown}' at '{path}' failed to satisfy constraint: {rule}",
    )


def _camel(name: str) -> str:
    return name[:1].lower() + name[1:]
