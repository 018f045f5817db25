"""Attribute values between DynamoDB JSON and Python: exact both ways.

=====  ==================  =====  ==============
S      str                 M      dict[str, …]
N      decimal.Decimal     L      list
B      bytes               SS     set[str]
BOOL   bool                NS     set[Decimal]
NULL   None                BS     set[bytes]
=====  ==================  =====  ==============

A number is the Decimal of its exact text, whatever the ambient decimal context says: nothing is rounded and
no legal number raises (fact 16). Anything that is not an attribute value is a `MalformedRecordError` that
holds the bytes and names the attribute: a value without exactly one type tag, an unknown tag, NaN, bad
base64.
"""

from __future__ import annotations

import re
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, TypeAlias

import msgspec

from connector.errors import InvalidValueError, MalformedRecordError

Value: TypeAlias = (
    "str | Decimal | bytes | bool | dict[str, Value] | list[Value] | set[str] | set[Decimal] | set[bytes] | None"
)
Image: TypeAlias = dict[str, Value]

_is_number = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?").fullmatch
_decode_members = msgspec.json.Decoder(dict[str, dict[str, Any]]).decode
_decode_tagged = msgspec.json.Decoder(dict[str, Any]).decode


class _Numbers(dict[str, Decimal]):
    """The Decimals of recently met texts: old and new images, and the rows of a page, repeat most numbers.

    A hit costs a fifth of a conversion. Bounded: some 4 MB when full.
    """

    def __missing__(self, text: str) -> Decimal:
        if not _is_number(text):
            raise ValueError("a text that is not a number")
        if len(self) >= 16_384:
            self.clear()
        number = self[text] = Decimal(text)
        return number


_numbers = _Numbers()
_number = _numbers.__getitem__


def decode_value(raw: bytes | msgspec.Raw) -> Value:
    """The Python value of one attribute value such as ``{"N":"12.50"}``."""
    try:
        return _value(_decode_tagged(raw))
    except _FAULTS as fault:
        raise _malformed(fault, raw) from None


def decode_image(raw: bytes | msgspec.Raw) -> Image:
    """The Python values of an image or of keys: a JSON object of attribute values by name, in its order."""
    try:
        return _members(_decode_members(raw))
    except _FAULTS as fault:
        raise _malformed(fault, raw) from None


# What the parser and the unchecked steps of `_value` raise on anything but an attribute value: checking first
# would cost more than the decoding. `msgspec.DecodeError` is a ValueError.
_FAULTS = (ValueError, TypeError, KeyError, AttributeError, RecursionError)
_TOO_DEEP = "nested far deeper than 32 levels"


def _malformed(fault: Exception, raw: bytes | msgspec.Raw) -> MalformedRecordError:
    path = "".join(reversed(getattr(fault, "path", [])))
    reason = _TOO_DEEP if isinstance(fault, RecursionError) else _reason(fault)
    where = f" at {path.lstrip('.')}" if path else ""
    error = MalformedRecordError(f"not DynamoDB JSON{where}: {reason}")
    error.payload = bytes(raw)
    return error


class _Fault(ValueError):
    """A fault with the path to it, innermost step first."""

    def __init__(self, reason: str, path: list[str]) -> None:
        super().__init__(reason)
        self.path = path


def _inside(fault: Exception, step: str) -> Exception:
    if isinstance(fault, _Fault):
        fault.path.append(step)
        return fault
    return fault if isinstance(fault, RecursionError) else _Fault(_reason(fault), [step])


def _reason(fault: Exception) -> str:
    if isinstance(fault, ValueError):
        return str(fault)
    if isinstance(fault, TypeError):
        return "a value does not fit its type tag"
    return "an attribute value is an object with one type tag"


def _members(members: dict[str, Any]) -> Image:
    """Replaces each tagged value of a freshly parsed object by its Python value, in place."""
    name = ""
    try:
        for name, tagged in members.items():
            members[name] = _value(tagged)
    except _FAULTS as fault:
        raise _inside(fault, f".{name}") from None
    return members


def _value(tagged: dict[str, Any]) -> Value:
    content: Any
    tag, content = tagged.popitem()
    if tagged:
        raise ValueError(f"more than one type tag: {', '.join(sorted([tag, *tagged]))}")
    if tag == "S":
        if content.__class__ is str:
            return content
    elif tag == "N":
        return _numbers[content]
    elif tag == "M":
        if content.__class__ is dict:
            return _members(content)
    elif tag == "L":
        if content.__class__ is list:
            return _elements(content)
    elif tag == "BOOL":
        if content.__class__ is bool:
            return content
    elif tag == "NULL":
        if content is True:
            return None
    elif tag == "B":
        return a2b_base64(content, strict_mode=True)
    elif tag in _SETS:
        if content.__class__ is list:
            return _SETS[tag](content)
    else:
        raise ValueError(f"unknown type tag {tag!r}")
    raise ValueError(f"not a value of type {tag}")


def _elements(elements: list[Any]) -> list[Value]:
    try:
        for index, tagged in enumerate(elements):
            elements[index] = _value(tagged)
    except _FAULTS as fault:
        raise _inside(fault, f"[{index}]") from None
    return elements


def _strings(elements: list[Any]) -> set[str]:
    if not set(map(type, elements)) <= {str}:
        raise ValueError("not a value of type SS")
    return set(elements)


_SETS: dict[str, Callable[[list[Any]], Value]] = {
    "SS": _strings,
    "NS": lambda elements: set(map(_number, elements)),
    "BS": lambda elements: {a2b_base64(element, strict_mode=True) for element in elements},
}


def encode_value(value: object) -> bytes:
    """The DynamoDB JSON of a Python value: the inverse of `decode_value`, sets in sorted order.

    Takes also int, bytearray, tuple, frozenset and any Mapping with str keys. A float, an empty or mixed
    set and a number that DynamoDB does not hold are refused (`InvalidValueError`).
    """
    return msgspec.json.encode(_tagged(value))


def encode_image(image: Mapping[str, object]) -> bytes:
    """The DynamoDB JSON of an item's attributes by name: the inverse of `decode_image`."""
    return msgspec.json.encode({_name(name): _tagged(value) for name, value in image.items()})


def _tagged(value: object) -> dict[str, object]:
    match value:
        case str():
            return {"S": value}
        case bool():
            return {"BOOL": value}
        case None:
            return {"NULL": True}
        case int() | Decimal():
            return {"N": _number_text(value)}
        case bytes() | bytearray():
            return {"B": _base64(value)}
        case Mapping():
            return {"M": {_name(name): _tagged(member) for name, member in value.items()}}
        case list() | tuple():
            return {"L": [_tagged(element) for element in value]}
        case set() | frozenset():
            return _tagged_set(value)
        case float():
            raise InvalidValueError(
                f"{value!r} is a float, which cannot hold every number exactly: use Decimal({str(value)!r})"
            )
        case _:
            raise InvalidValueError(
                f"{value!r} is a {type(value).__name__}: an attribute value is a str, int, Decimal, bytes, "
                f"bool, None, dict, list, or a set of str, of numbers or of bytes"
            )


def _tagged_set(elements: set[Any] | frozenset[Any]) -> dict[str, object]:
    tagged = [_tagged(element) for element in elements]
    tags = {tag for each in tagged for tag in each}
    if len(tags) != 1 or not tags <= {"S", "N", "B"}:
        raise InvalidValueError(
            f"{elements!r} is not a set that DynamoDB holds: give it at least one element, all str, all "
            f"numbers or all bytes"
        )
    (tag,) = tags
    return {f"{tag}S": [element[tag] for element in sorted(tagged, key=lambda each: str(each[tag]))]}


def _name(name: object) -> str:
    if not isinstance(name, str):
        raise InvalidValueError(f"{name!r} is not an attribute name: names are str")
    return name


def _base64(value: bytes | bytearray) -> str:
    return b2a_base64(value, newline=False).decode("ascii")


def _number_text(value: int | Decimal) -> str:
    number = Decimal(value)
    if not number.is_finite():
        raise InvalidValueError(f"{value!r} is not a number that DynamoDB holds: use NULL or a text instead")
    if not number:
        return "0"  # a Decimal zero may carry any exponent
    digits = "".join(map(str, number.as_tuple().digits)).strip("0")
    if len(digits) > 38 or not -130 <= number.adjusted() <= 125:
        raise InvalidValueError(
            f"{value!r} is not a number that DynamoDB holds (38 significant digits, 1E-130 to 9.99E+125): "
            f"round it or store it as text"
        )
    return str(number)


def same_values(one: Value, other: Value) -> bool:
    """True if both are the same attribute value: like ``==``, but a BOOL is never equal to an N."""
    if one.__class__ is not other.__class__:
        return False
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same_values(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same_values, one, other))
    return one == other
