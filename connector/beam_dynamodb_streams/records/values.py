"""Attribute values between DynamoDB JSON and Python: exact both ways.

=====  ==================  =====  ==============
S      str                 M      dict[str, …]
N      decimal.Decimal     L      list
B      bytes               SS     set[str]
BOOL   bool                NS     set[Decimal]
NULL   None                BS     set[bytes]
=====  ==================  =====  ==============

A number is the Decimal of its exact text, whatever the ambient decimal context says: nothing is rounded and no legal
number raises (fact 16). Anything that is not an attribute value is a `MalformedRecordError` that holds the bytes and
names the attribute: no type tag or two, an unknown tag, NaN, bad base64. Its message quotes no content of an item.
Two things that the service never sends are read all the same: a number in any spelling that Decimal takes ("1_000"),
and a value with a member that is no tag beside its tag, which is skipped, as AWS's own clients skip it.
"""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, TypeAlias, TypedDict

import msgspec

from beam_dynamodb_streams.errors import InvalidValueError, MalformedRecordError

Value: TypeAlias = (
    "str | Decimal | bytes | bool | dict[str, Value] | list[Value] | set[str] | set[Decimal] | set[bytes] | None"
)
Image: TypeAlias = dict[str, Value]


class _Tagged(TypedDict, total=False):
    """An attribute value as it stands in JSON: one of these. The parser checks types and reads numbers and base64."""

    S: str
    N: Decimal
    B: bytes
    BOOL: bool
    NULL: bool
    M: dict[str, _Tagged]
    L: list[_Tagged]
    SS: set[str]
    NS: set[Decimal]
    BS: set[bytes]


_parse_value = msgspec.json.Decoder(_Tagged).decode
_parse_image = msgspec.json.Decoder(dict[str, _Tagged]).decode

# What parsing and untagging raise on what is no attribute value: KeyError where no tag is left to pop, TypeError for a
# signalling NaN in a set, which has no hash.
_FAULTS = (ValueError, KeyError, TypeError, RecursionError)


def decode_value(raw: bytes | msgspec.Raw) -> Value:
    """The Python value of one attribute value such as ``{"N":"12.50"}``."""
    try:
        return _value(raw)
    except _FAULTS as fault:
        raise _malformed(fault, raw) from None


def decode_image(raw: bytes | msgspec.Raw) -> Image:
    """The Python values of an image or of keys: a JSON object of attribute values by name, in its order."""
    try:
        members: dict[str, Any] = _parse_image(raw)
        _untag(members, members.items())
    except _FAULTS as fault:
        raise _malformed(fault, raw, _first_malformed(raw)) from None
    return members


def _value(raw: bytes | msgspec.Raw) -> Value:
    elements: list[Any] = [_parse_value(raw)]
    _untag(elements, enumerate(elements))
    return elements[0]  # type: ignore[no-any-return]  # a value by now


def _untag(container: Any, tagged_by_place: Iterable[tuple[Any, Any]]) -> None:
    """Puts values in the place of tagged values. One loop for maps and lists: it is most of what decoding costs."""
    for place, tagged in tagged_by_place:
        tag, content = tagged.popitem()
        if tagged:
            raise ValueError("more than one type tag")
        if tag == "S":
            pass  # the most frequent tag: it skips the questions below
        elif tag == "N":
            if not content.is_finite():
                raise ValueError("a number is finite")
        elif tag == "M":
            _untag(content, content.items())
        elif tag == "L":
            _untag(content, enumerate(content))
        elif tag == "NULL":
            if not content:
                raise ValueError("NULL is true or absent")
            content = None
        elif tag == "NS" and not all(map(Decimal.is_finite, content)):
            raise ValueError("a number is finite")
        container[place] = content


def _malformed(fault: Exception, raw: bytes | msgspec.Raw, where: str = "") -> MalformedRecordError:
    match fault:
        case KeyError():
            reason = "no type tag, or an unknown one"
        case RecursionError():
            reason = "nested far deeper than 32 levels"
        case _:
            reason = str(fault)
    error = MalformedRecordError(f"not DynamoDB JSON: {where}{reason}")
    error.payload = bytes(raw)
    return error


def _first_malformed(raw: bytes | msgspec.Raw) -> str:
    """The name of the first attribute of an image that is at fault, if it is an image and the fault lies inside."""
    try:
        attributes = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    except _FAULTS:
        return ""
    for name, attribute in attributes.items():
        try:
            _value(attribute)
        except _FAULTS:
            return f"attribute {name!r}: "
    return ""


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
