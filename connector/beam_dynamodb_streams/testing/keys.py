"""A table's key schema, and where a key belongs in the hash space."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from random import Random
from typing import Literal

from beam_dynamodb_streams.testing.values import Attributes, attribute, to_json

KeyType = Literal["S", "N", "B"]


class TableKeys:
    """The partition key, and the sort key if there is one, by name and type."""

    def __init__(self, table: str, types: Mapping[str, KeyType]) -> None:
        if not 1 <= len(types) <= 2 or not set(types.values()) <= {"S", "N", "B"}:
            raise ValueError(
                f"keys={dict(types)!r}: a table has a partition key, or that and a sort key, each of type S, N or B"
            )
        self._table = table
        self.types = dict(types)
        self._partition = next(iter(types))

    def of(self, values: Attributes) -> Attributes:
        """Return the key attributes among `values`. Raises ValueError if one is missing or has another type."""
        try:
            found = {name: values[name] for name in self.types}
        except KeyError as missing:
            raise ValueError(f"{self._table} needs the key attribute {missing}: its keys are {self.types}") from None
        for name, kind in self.types.items():
            if not found[name].get(kind):
                raise ValueError(f"the key {name} of {self._table} must be a non-empty {kind}, not {found[name]}")
        return found

    def hash(self, values: Attributes) -> int:
        """Return 128 bits of the partition key alone: its items stay in one shard, in the order of their writes."""
        value = to_json({self._partition: values[self._partition]})
        return int.from_bytes(hashlib.md5(value, usedforsecurity=False).digest(), "big")

    def draw(self, random: Random) -> dict[str, object]:
        """Return a random key: a new one, except by chance."""
        return {name: _draw(kind, random.getrandbits(48)) for name, kind in self.types.items()}

    def hash_of(self, keys: Mapping[str, object]) -> int:
        """Return `hash` of Python values."""
        return self.hash({self._partition: attribute(keys[self._partition])})

    def schema(self) -> list[dict[str, str]]:
        """Return `KeySchema` as the service writes it."""
        roles = zip(self.types, ("HASH", "RANGE"), strict=False)
        return [{"AttributeName": name, "KeyType": role} for name, role in roles]


def _draw(kind: KeyType, bits: int) -> object:
    match kind:
        case "S":
            return f"key-{bits:012x}"
        case "N":
            return bits
        case "B":
            return bits.to_bytes(6, "big")
