"""Conversion of one attribute to its column: the rule that the vectorised path must agree with, and its fallback.

A conversion is `(value, reason)`: the Python value for Arrow that the column holds, and why the column does not hold
the attribute whole, or None if it does.
"""

from __future__ import annotations

import sys
from base64 import b64decode
from binascii import a2b_base64
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, TypeAlias

import msgspec
import pyarrow as pa

from beam_dynamodb_streams.columns.schema import Schema
from beam_dynamodb_streams.columns.types import is_json, tags

Conversion: TypeAlias = tuple[Any, str | None]
_parse_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_parse = msgspec.json.Decoder(dict[str, Any]).decode
_INT64 = range(-(2**63), 2**63)


@dataclass(frozen=True, slots=True)
class AttributeMisfit:
    """An attribute that its column does not hold whole; `attribute` is None if the image itself is malformed."""

    attribute: str | None
    reason: str
    payload: bytes


def convert_image(schema: Schema, raw: bytes | msgspec.Raw) -> tuple[dict[str, Any] | None, list[AttributeMisfit]]:
    """Return the row of an image in the type `schema.image`, and the attributes that it does not hold whole.

    The row is None if the image is not an object.
    """
    try:
        members = _parse_members(raw)
    except (msgspec.DecodeError, RecursionError):
        return None, [AttributeMisfit(None, "an image is an object of attributes", bytes(raw))]
    row: dict[str, Any] = {}
    misfits = []
    for column in schema.attributes:
        if (attribute := members.get(column.name)) is None:
            continue
        row[column.name], reason = convert_attribute(column, attribute)
        if reason is not None:
            misfits.append(AttributeMisfit(column.name, reason, bytes(attribute)))
    if schema.other is not None:
        columns = set(schema.attributes.names)
        others = {name: attribute for name, attribute in members.items() if name not in columns}
        for misfit in misfits:
            if misfit.attribute is not None and schema.policy(misfit.attribute) == "text":
                others[misfit.attribute] = msgspec.Raw(misfit.payload)
        row[schema.other] = msgspec.json.encode(dict(sorted(others.items()))).decode() if others else None
    return row, misfits


def convert_attribute(column: pa.Field, raw: bytes | msgspec.Raw) -> Conversion:
    """Return the conversion of one attribute in DynamoDB JSON."""
    try:
        if is_json(column):
            return bytes(raw).decode(), None
        return convert(column.type, _parse(raw))
    except (msgspec.DecodeError, RecursionError) as fault:
        return None, f"not an attribute value: {fault}"


def convert(kind: pa.DataType, tagged: Any) -> Conversion:
    """Return the conversion of one parsed attribute value, such as `{"N": "12.50"}`, to a column of this type."""
    if not isinstance(tagged, dict) or len(tagged) != 1:
        return None, "not an attribute value with one type tag"
    ((tag, content),) = tagged.items()
    if tag == "NULL" and content is True:
        return None, None
    if tag not in tags(kind):
        return None, f"{tag} is not {kind}"
    match tag, content:
        case "S", str():
            return content, None
        case "N", str():
            return _number(kind, content)
        case "B", str():
            return _binary(content)
        case "BOOL", bool():
            return content, None
        case "M", dict() if pa.types.is_map(kind):
            return _map(kind, content)
        case "M", dict():
            return _struct(kind, content)
        case "L", list():
            return _list(kind, content)
        case (("SS" | "NS" | "BS"), list()):
            return _set(kind, tag[0], content)
    return None, f"not a value of type {tag}"


def _number(kind: pa.DataType, text: str) -> Conversion:
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None, "a text that is not a number"
    if not number.is_finite():
        return None, "a number is finite"
    if kind == pa.string():
        return text, None
    if kind == pa.float64():
        return float(number), None
    if kind == pa.int64():
        whole = int(number) if number.adjusted() < 19 else None
        return (whole, None) if whole == number and whole in _INT64 else (None, "not a whole number of 64 bits")
    digits, exponent = number.as_tuple()[1:]
    text_digits = "".join(map(str, digits))
    zeros = len(text_digits) - len(text_digits.rstrip("0"))
    after_point = max(0, -(int(exponent) + zeros))
    if number and (after_point > kind.scale or number.adjusted() >= kind.precision - kind.scale):
        return None, f"more digits than {kind}"
    return number if number else Decimal(0), None


def decoded_base64(text: str | bytes) -> bytes:
    """Return the bytes of a base64 text. Raise `ValueError` for a character or a padding that does not belong there."""
    if sys.version_info >= (3, 11):
        return a2b_base64(text, strict_mode=True)
    if len(text) % 4:
        raise ValueError("the length of a base64 text is a multiple of 4")
    return b64decode(text, validate=True)


def _binary(text: str) -> Conversion:
    try:
        return decoded_base64(text), None
    except ValueError:
        return None, "a text that is not base64"


def _struct(kind: pa.DataType, members: dict[str, Any]) -> Conversion:
    converted = {member.name: convert(member.type, members[member.name]) for member in kind if member.name in members}
    reasons = ((name, converted[name][1] if name in converted else f"{kind} has no such member") for name in members)
    return {name: value for name, (value, _) in converted.items()}, _first(reasons)


def _map(kind: pa.DataType, members: dict[str, Any]) -> Conversion:
    converted = {name: convert(kind.item_type, member) for name, member in members.items()}
    return [(name, value) for name, (value, _) in converted.items()], _first(
        (name, converted[name][1]) for name in converted
    )


def _list(kind: pa.DataType, elements: list[Any]) -> Conversion:
    converted = [convert(kind.value_type, element) for element in elements]
    return [value for value, _ in converted], _first((index, reason) for index, (_, reason) in enumerate(converted))


def _set(kind: pa.DataType, tag: str, elements: list[Any]) -> Conversion:
    """Return the elements, sorted; nothing if one does not convert, because the order would then be lost."""
    converted = [convert(kind.value_type, {tag: element}) for element in elements]
    reason = _first((index, reason) for index, (_, reason) in enumerate(converted))
    return (None, reason) if reason else (sorted(value for value, _ in converted), None)


def _first(reasons: Iterable[tuple[str | int, str | None]]) -> str | None:
    return next((f"{index}: {reason}" for index, reason in reasons if reason is not None), None)
