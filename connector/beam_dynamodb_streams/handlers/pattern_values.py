"""The comparisons of an event pattern, each with one value of an event.

A value is text here, as in AWS's own engine: a string is in quotes (`"abc"`), and everything else is its JSON text
(`1.50`, `true`, `null`). So `[true]` does not match the string "true", and a prefix matches strings alone.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from math import isinf
from typing import Final, Protocol

_IPV4: Final = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+")
_IPV6: Final = re.compile(r"[0-9a-fA-F:]*:[0-9a-fA-F:]*")
_MASK: Final = re.compile(r"[+-]?[0-9]+")
_HEX_DIGITS: Final = frozenset("0123456789ABCDEF")


class PatternError(ValueError):
    """A pattern that the service refuses."""


class Comparison(Protocol):
    """One element of a pattern's array."""

    def accepts(self, value: str) -> bool:
        """Return whether a value of the event matches."""


def comparable(text: str) -> float | None:
    """Return a number that can be compared by its value; None for what is not a number, or does not fit a double.

    A number with more digits than a double holds, such as an account's 38 digits, is compared by its text alone.
    """
    if not text or text[0] not in "-0123456789":
        return None
    try:
        exact = Decimal(text)
        number = float(exact)
    except (InvalidOperation, ValueError, OverflowError):
        return None
    return number + 0.0 if not isinf(number) and Decimal(repr(number)) == exact else None


@dataclass(frozen=True, slots=True)
class Exactly:
    """The value has this text."""

    text: str

    def accepts(self, value: str) -> bool:
        return value == self.text


@dataclass(frozen=True, slots=True)
class Exists:
    """There is a value. It is only asked of values, and an object or an array is not one."""

    def accepts(self, value: str) -> bool:  # noqa: ARG002 - any value will do
        return True


@dataclass(frozen=True, slots=True)
class Absent:
    """There is no value. `pattern_match` decides this, since no value can."""

    def accepts(self, value: str) -> bool:  # noqa: ARG002
        return False


@dataclass(frozen=True, slots=True)
class Like:
    """The text matches a regular expression."""

    expression: re.Pattern[str]

    def accepts(self, value: str) -> bool:
        return self.expression.fullmatch(value) is not None


@dataclass(frozen=True, slots=True)
class InRange:
    """The number is between two others. An end is open if it does not belong to the range."""

    bottom: float
    top: float
    bottom_open: bool = False
    top_open: bool = False

    def accepts(self, value: str) -> bool:
        number = comparable(value)
        if number is None or not self.bottom <= number <= self.top:
            return False
        return not ((self.bottom_open and number == self.bottom) or (self.top_open and number == self.top))


@dataclass(frozen=True, slots=True)
class InNetwork:
    """The address is between two others, all in hexadecimal digits.

    AWS's engine compares the digits from the left and stops as soon as they decide, whatever follows. So an IPv4
    network contains the IPv6 addresses that begin with its digits, and `0.0.0.0/0` contains the number 100.
    """

    bottom: str
    top: str

    def accepts(self, value: str) -> bool:
        if not (len(value) > 1 and value[0] == value[-1] == '"'):
            return self._decides(value)
        try:
            return self._decides(address_digits(value[1:-1]))
        except PatternError:
            return False

    def _decides(self, digits: str) -> bool:
        length = len(self.bottom)
        if self.bottom <= digits[:length] <= self.top and len(digits) >= length:
            return True
        return any(
            digits[end - 1] in _HEX_DIGITS and self.bottom[:end] < digits[:end] < self.top[:end]
            for end in range(1, min(len(digits), length - 1) + 1)
        )


@dataclass(frozen=True, slots=True)
class NotANumberOf:
    """The value is not one of these numbers."""

    numbers: frozenset[float]

    def accepts(self, value: str) -> bool:
        return comparable(value) not in self.numbers


@dataclass(frozen=True, slots=True)
class NoneOf:
    """None of the comparisons accepts the value."""

    others: tuple[Comparison, ...]

    def accepts(self, value: str) -> bool:
        return not any(other.accepts(value) for other in self.others)


def starts_with(text: str) -> Like:
    return Like(re.compile(re.escape('"' + text) + ".*", re.DOTALL))


def ends_with(text: str) -> Like:
    return Like(re.compile(".*" + re.escape(text + '"'), re.DOTALL))


def ignoring_case(text: str, *, before: str = '"', after: str = '"') -> Like:
    """Return the comparison with each letter in either case. `before` and `after` are expressions around the text."""
    letters = (f"(?:{re.escape(each.lower())}|{re.escape(each.upper())})" for each in text)
    return Like(re.compile(before + "".join(letters) + after, re.DOTALL))


def wildcard(text: str) -> Like:
    r"""Return the comparison with a text in which `*` stands for any characters, `\*` for `*` and `\\` for `\`."""
    expression, position = ['"'], 0
    while position < len(text):
        letter, following = text[position], text[position + 1 : position + 2]
        if letter == "*":
            if following == "*":
                raise PatternError(f"consecutive wildcard characters in {text!r}")
            expression.append(".*")
        elif letter == "\\":
            if following not in ("*", "\\"):
                raise PatternError(f"invalid escape character in {text!r}")
            expression.append(re.escape(following))
            position += 1
        else:
            expression.append(re.escape(letter))
        position += 1
    return Like(re.compile("".join(expression) + '"', re.DOTALL))


def network(text: str) -> InNetwork:
    """Return the comparison with a network such as 10.0.0.0/24."""
    parts = text.rstrip("/").split("/") if text.strip("/") else []
    if len(parts) != 2:
        raise PatternError(f"malformed CIDR {text!r}: one '/' is required")
    if not _MASK.fullmatch(parts[1]):
        raise PatternError(f"malformed CIDR {text!r}: the mask bits are an integer")
    digits, mask = address_digits(parts[0]), int(parts[1])
    bits = 4 * len(digits)
    if not 0 <= mask < bits:
        raise PatternError(f"malformed CIDR {text!r}: use 0 to {bits - 1} mask bits")
    variable = (1 << (bits - mask)) - 1
    address = int(digits, 16)
    return InNetwork(_hex(address & ~variable, len(digits)), _hex(address | variable, len(digits)))


def one_address(text: str) -> InNetwork | None:
    """Return the comparison with an address, in whatever spelling; None if the text is not an address."""
    try:
        digits = address_digits(text)
    except PatternError:
        return None
    return InNetwork(digits, digits)


def address_digits(text: str) -> str:
    """Return the hexadecimal digits of an IPv4 or IPv6 address."""
    try:
        if _IPV4.fullmatch(text):
            octets = [int(part) for part in text.split(".")]
            return bytes(octets).hex().upper()
        if _IPV6.fullmatch(text):
            address = ipaddress.IPv6Address(text)
            return (address.ipv4_mapped or address).packed.hex().upper()
    except ValueError:
        pass
    raise PatternError(f"invalid IP address {text!r}")


def _hex(number: int, digits: int) -> str:
    return f"{number:0{digits}X}"
