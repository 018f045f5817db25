"""Numbers as grouping keys: Beam's coders of `Decimal`, with a type hint and without one.

Beam groups by the bytes of a key, and has no deterministic bytes for a `Decimal`. As a key, a number here has the same
bytes however it is written: `Decimal("7")`, `Decimal("7.0")` and `Decimal("7E0")` are one number for DynamoDB, and are
equal in Python. A group's key is the shortest of them, `Decimal("7")`. Values that are not keys keep every digit.
"""

from __future__ import annotations

from contextlib import suppress
from decimal import Decimal
from typing import Any, Final

from apache_beam import coders
from apache_beam.typehints import typehints

from beam_dynamodb_streams.beam.coders import NamedCoder, OwnCoder
from beam_dynamodb_streams.errors import InvalidValueError


def canonical_text(number: Decimal) -> str:
    """Return the text of a number that is the same for all equal numbers, in any decimal context."""
    sign, digits, exponent = number.as_tuple()
    if not isinstance(exponent, int):
        return str(number)  # NaN or Infinity, which DynamoDB does not have
    text = "".join(map(str, digits)).lstrip("0")
    short = text.rstrip("0")
    if not short:
        return "0"
    exponent += len(text) - len(short)
    shown = short + "0" * exponent if 0 <= exponent <= 40 else f"{short}E{exponent}"
    return f"-{shown}" if sign else shown


class NumberKeyCoder(OwnCoder):
    """Encodes a `Decimal` as its canonical text: deterministic, and the coder of keys."""

    hint = Decimal
    name = "number_key:v1"

    def encode(self, value: Decimal) -> bytes:
        return canonical_text(value).encode()

    def decode(self, encoded: bytes) -> Decimal:
        return _number(encoded)


class NumberCoder(OwnCoder):
    """Encodes a `Decimal` as it is written, with every digit. Beam takes `NumberKeyCoder` where it groups."""

    hint = Decimal
    name = "number:v1"

    def encode(self, value: Decimal) -> bytes:
        return str(value).encode()

    def decode(self, encoded: bytes) -> Decimal:
        return _number(encoded)

    def is_deterministic(self) -> bool:
        return False

    def as_deterministic_coder(self, step_label: str, error_message: str | None = None) -> NumberKeyCoder:  # noqa: ARG002 - Beam's signature
        return NumberKeyCoder()


def _number(encoded: bytes) -> Decimal:
    try:
        return Decimal(encoded.decode("ascii"))
    except (ArithmeticError, ValueError) as error:
        raise InvalidValueError(f"a stored number is refused: {encoded[:80]!r} is not one") from error


class AnyCoder(NamedCoder, coders.FastPrimitivesCoder):
    """Beam's own coder of values whose type has no coder. As a key, a value may hold numbers."""

    name = "any:v1"

    @classmethod
    def from_type_hint(cls, typehint: Any, registry: Any) -> coders.Coder:
        for earlier in (coders.ProtoCoder, coders.ProtoPlusCoder):  # those that Beam asks before its own
            with suppress(ValueError, TypeError):
                return earlier.from_type_hint(typehint, registry)
        return cls()

    def as_deterministic_coder(self, step_label: str, error_message: str | None = None) -> AnyKeyCoder:
        return AnyKeyCoder(super().as_deterministic_coder(step_label, error_message))


class AnyKeyCoder(NamedCoder):
    """Encodes keys without a type hint.

    A first byte of 0 precedes Beam's own bytes. A first byte of 1 precedes those of a key that holds numbers or
    frozen sets, at any depth: each value is then a pair of a tag and its content.
    """

    name = "any_key:v1"

    def __init__(self, plain: coders.Coder) -> None:
        self._plain = plain

    def parts(self) -> tuple[coders.Coder, ...]:
        return (self._plain,)

    def encode(self, value: Any) -> bytes:
        if _needs_tags(value):
            return _TAGGED + bytes(self._plain.encode(self._tagged(value)))
        return _PLAIN + bytes(self._plain.encode(value))

    def decode(self, encoded: bytes) -> Any:
        value = self._plain.decode(encoded[1:])
        return _untagged(value) if encoded[:1] == _TAGGED else value

    def is_deterministic(self) -> bool:
        return True

    def to_type_hint(self) -> Any:
        return typehints.Any

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AnyKeyCoder) and self._plain == other._plain

    def __hash__(self) -> int:
        return hash((type(self), self._plain))

    def _tagged(self, value: Any) -> tuple[str, Any]:
        kind = type(value)
        if kind is Decimal:
            return "N", canonical_text(value)
        if kind in (set, frozenset):
            return kind.__name__, sorted(map(self._tagged, value), key=self._plain.encode)
        if kind in (list, tuple):
            return kind.__name__, [self._tagged(each) for each in value]
        if kind is dict:
            pairs = [[self._tagged(name), self._tagged(each)] for name, each in value.items()]
            return "dict", sorted(pairs, key=lambda pair: bytes(self._plain.encode(pair[0])))
        return "", value


_PLAIN: Final = b"\x00"
_TAGGED: Final = b"\x01"
_COLLECTIONS: Final[dict[str, type]] = {kind.__name__: kind for kind in (list, tuple, set, frozenset)}


def _needs_tags(value: Any) -> bool:
    """Return whether a key holds what Beam has no deterministic bytes for: numbers, and sets that may be keys."""
    kind = type(value)
    if kind is dict:
        return any(map(_needs_tags, value)) or any(map(_needs_tags, value.values()))
    return kind in (Decimal, frozenset) or (kind in (list, tuple, set) and any(map(_needs_tags, value)))


def _untagged(tagged: tuple[str, Any]) -> Any:
    tag, content = tagged
    if tag == "N":
        return Decimal(content)
    if tag == "dict":
        return {_untagged(name): _untagged(each) for name, each in content}
    return _COLLECTIONS[tag](map(_untagged, content)) if tag else content


def register_key_coders() -> None:
    """Register the coders of numbers and of values without a type hint. Calling it again changes nothing.

    A coder of `Decimal` that the pipeline's author registers stays, or replaces this one.
    """
    registry = coders.registry
    if isinstance(registry.get_coder(Decimal), coders.FastPrimitivesCoder):  # Beam's default
        registry.register_coder(Decimal, NumberCoder)
    if not isinstance(registry.get_coder(typehints.Any), AnyCoder):
        registry.register_fallback_coder(AnyCoder)
