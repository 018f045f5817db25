"""Attribute values between DynamoDB JSON and Python, exact in both directions.

| tag | Python | tag | Python |
|---|---|---|---|
| S | str | M | dict[str, …] |
| N | decimal.Decimal | L | list |
| B | bytes | SS | set[str] |
| BOOL | bool | NS | set[Decimal] |
| NULL | None | BS | set[bytes] |

A number is the Decimal of its exact text. The ambient decimal context has no influence: nothing is rounded, and no
legal number raises (trap 16). Anything that is not an attribute value raises a `MalformedRecordError`, which holds the
bytes and names the attribute: no type tag, two tags, an unknown tag, NaN, bad base64. Its message quotes no content of
an item.

Two things that the service never sends are accepted: a number in any spelling that Decimal takes ("1_000"), and a value
that has a member which is not a tag beside its tag. That member is skipped, as AWS's own clients skip it.
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
    """An attribute value in JSON: one of these members. The parser checks types and reads numbers and base64."""

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

# What parsing and untagging raise if the JSON is not an attribute value. KeyError: there is no tag to pop. TypeError: a
# signalling NaN is in a set, and has no hash.
_FAULTS = (ValueError, KeyError, TypeError, RecursionError)


def decode_value(raw: bytes | msgspec.Raw) -> Value:
    """Return the Python value of one attribute value such as `{"N":"12.50"}`.

    Raises:
        MalformedRecordError: It is not an attribute value.
    """
    try:
        return _value(raw)
    except _FAULTS as fault:
        raise _malformed(fault, raw) from None


def decode_image(raw: bytes | msgspec.Raw) -> Image:
    """Return the Python values of an image or of keys: a JSON object of attribute values by name, in its order.

    Raises:
        MalformedRecordError: It is not such an object.
    """
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


def _untag(container: Any, tagged_values: Iterable[tuple[Any, Any]]) -> None:
    """Replace tagged values by their values. One loop for maps and lists: decoding spends most of its time here."""
    for key, tagged in tagged_values:
        tag, content = tagged.popitem()
        if tagged:
            raise ValueError("more than one type tag")
        if tag == "S":
            pass  # the most frequent tag skips the comparisons below
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
        container[key] = content


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
    """Return the name of the first malformed attribute of an image, or nothing if the image itself is malformed."""
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
    """Return the DynamoDB JSON of a Python value, with sets sorted: the inverse of `decode_value`.

    It also accepts int, bytearray, tuple, frozenset and any Mapping with str keys.

    Raises:
        InvalidValueError: The value is a float, an empty or mixed set, or a number that DynamoDB cannot hold.
    """
    return msgspec.json.encode(_tagged(value))


def encode_image(image: Mapping[str, object]) -> bytes:
    """Return the DynamoDB JSON of an item's attributes by name: the inverse of `decode_image`."""
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
    """Return whether both are the same attribute value: as `==`, but a BOOL never equals an N."""
    if one.__class__ is not other.__class__:
        return False
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same_values(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same_values, one, other))
    return one == other
