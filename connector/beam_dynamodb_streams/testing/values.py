"""Python values as DynamoDB attribute values, and back. The kit shares this with no other part of the package.

str→S, int and Decimal→N, bytes→B, bool→BOOL, None→NULL, mapping→M, list and tuple→L, sets→SS, NS and BS. On the way
back every number is a Decimal.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TypedDict

import msgspec


class AttributeValue(TypedDict, total=False):
    """One attribute value as the service writes it in JSON: exactly one member is present."""

    S: str
    N: str
    B: str
    BOOL: bool
    NULL: bool
    M: dict[str, AttributeValue]
    L: list[AttributeValue]
    SS: list[str]
    NS: list[str]
    BS: list[str]


Attributes = dict[str, AttributeValue]


@dataclass(frozen=True, slots=True)
class Image:
    """An item, or its keys, as compact JSON with sorted names, so that equal items have equal bytes.

    `size` is in bytes, by DynamoDB's rule.
    """

    json: bytes
    size: int

    @classmethod
    def of(cls, values: Attributes) -> Image:
        return cls(to_json(values), size_of(values))

    def item(self) -> dict[str, object]:
        return plain_item(_decoder.decode(self.json))


_decoder = msgspec.json.Decoder(Attributes)
_encoder = msgspec.json.Encoder(order="sorted")
_MAX_DIGITS = 38
_MAX_EXPONENT = 125
_MIN_EXPONENT = -130
_MAX_DEPTH = 32


def attributes(item: Mapping[str, object]) -> Attributes:
    """Return a whole item, attribute by attribute."""
    return {name: attribute(value) for name, value in item.items()}


def attribute(value: object, _depth: int = 0) -> AttributeValue:
    """Return one value. Raises TypeError for a type that DynamoDB does not have, ValueError for a value it refuses."""
    if isinstance(value, str):
        return {"S": value}
    if value is None:
        return {"NULL": True}
    if isinstance(value, bool):
        return {"BOOL": value}
    if isinstance(value, int | Decimal):
        return {"N": number_text(value)}
    if isinstance(value, bytes | bytearray):
        return {"B": _base64(value)}
    if isinstance(value, set | frozenset):
        return _set(value)
    if _depth >= _MAX_DEPTH:
        raise ValueError(f"nested deeper than {_MAX_DEPTH} levels")
    if isinstance(value, Mapping):
        return {"M": {name: attribute(inner, _depth + 1) for name, inner in value.items()}}
    if isinstance(value, list | tuple):
        return {"L": [attribute(inner, _depth + 1) for inner in value]}
    if isinstance(value, float):
        raise TypeError(f"{value!r} is a float, which DynamoDB cannot hold exactly: use Decimal({str(value)!r})")
    raise TypeError(f"{value!r} is a {type(value).__name__}, which is not a DynamoDB type")


def number_text(value: int | Decimal) -> str:
    """Return a number as the service does: plain digits, without an exponent or insignificant zeros."""
    if isinstance(value, int):
        digits = str(value)
        if len(digits) < _MAX_DIGITS:
            return digits
    sign, figures, exponent = Decimal(value).as_tuple()
    if not isinstance(exponent, int):
        raise TypeError(f"{value!r} is not a number")
    text = "".join(map(str, figures)).lstrip("0")
    significant = text.rstrip("0")
    if not significant:
        return "0"
    exponent += len(text) - len(significant)
    adjusted = exponent + len(significant) - 1
    if len(significant) > _MAX_DIGITS or not _MIN_EXPONENT <= adjusted <= _MAX_EXPONENT:
        raise ValueError(f"{value!r} is outside DynamoDB's numbers: 38 digits, 1E-130 to 9.99E+125")
    plain = Decimal((sign, tuple(map(int, significant)), exponent))
    return format(plain, "f")


def plain(value: AttributeValue) -> object:
    """Return the Python value of one attribute value."""
    ((kind, inner),) = value.items()
    match kind:
        case "N":
            return Decimal(value["N"])
        case "NULL":
            return None
        case "B":
            return base64.b64decode(value["B"])
        case "M":
            return plain_item(value["M"])
        case "L":
            return [plain(element) for element in value["L"]]
        case "SS":
            return set(value["SS"])
        case "NS":
            return {Decimal(element) for element in value["NS"]}
        case "BS":
            return {base64.b64decode(element) for element in value["BS"]}
        case _:
            return inner


def plain_item(values: Attributes) -> dict[str, object]:
    """Return the Python values of an item."""
    return {name: plain(value) for name, value in values.items()}


def to_json(values: Attributes) -> bytes:
    """Return compact JSON with sorted names."""
    return _encoder.encode(values)


def size_of(values: Attributes) -> int:
    """Return the bytes by DynamoDB's rule: text in UTF-8, numbers by their digits, three more per list or map."""
    return sum(len(name.encode()) + _size(value) for name, value in values.items())


def _size(value: AttributeValue) -> int:
    for kind, inner in value.items():
        match kind:
            case "S":
                return len(value["S"].encode())
            case "N":
                return _number_size(value["N"])
            case "B":
                return _binary_size(value["B"])
            case "M":
                return 3 + len(value["M"]) + size_of(value["M"])
            case "L":
                return 3 + sum(1 + _size(element) for element in value["L"])
            case "SS":
                return sum(len(element.encode()) for element in value["SS"])
            case "NS":
                return sum(map(_number_size, value["NS"]))
            case "BS":
                return sum(map(_binary_size, value["BS"]))
            case _:
                return 1 if inner is not None else 0
    return 0


def _number_size(text: str) -> int:
    digits = text.replace("-", "").replace(".", "").strip("0")
    return (len(digits) + 1) // 2 + 1 + text.startswith("-")


def _binary_size(text: str) -> int:
    return len(text) * 3 // 4 - text.count("=", -2)


def _set(value: Iterable[object]) -> AttributeValue:
    elements = list(value)
    if not elements:
        raise ValueError("DynamoDB has no empty sets")
    texts = [element for element in elements if isinstance(element, str)]
    if len(texts) == len(elements):
        return {"SS": sorted(texts)}
    binaries = [element for element in elements if isinstance(element, bytes)]
    if len(binaries) == len(elements):
        return {"BS": sorted(map(_base64, binaries))}
    numbers = [element for element in elements if isinstance(element, int | Decimal) and not isinstance(element, bool)]
    if len(numbers) == len(elements):
        return {"NS": [number_text(number) for number in sorted(numbers)]}
    raise TypeError(f"{value!r}: the elements of a DynamoDB set must be all str, all bytes or all numbers")


def _base64(value: bytes | bytearray) -> str:
    return base64.b64encode(value).decode("ascii")
