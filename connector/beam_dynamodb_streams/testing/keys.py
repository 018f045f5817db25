"""A table's key schema, and where a key belongs in the hash space."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from random import Random
from typing import Literal

from beam_dynamodb_streams.testing.values import Attributes, attribute, to_json

KeyType = Literal["S", "N", "B"]


class Keys:
    """The partition key and perhaps a sort key, by name and type."""

    def __init__(self, table: str, types: Mapping[str, KeyType]) -> None:
        if not 1 <= len(types) <= 2 or not set(types.values()) <= {"S", "N", "B"}:
            raise ValueError(
                f"keys={dict(types)!r}: a table has a partition key and perhaps a sort key, each S, N or B"
            )
        self._table = table
        self.types = dict(types)
        self._partition = next(iter(types))

    def of(self, values: Attributes) -> Attributes:
        """The key attributes among ``values``; ValueError where one is missing or of another type."""
        try:
            found = {name: values[name] for name in self.types}
        except KeyError as missing:
            raise ValueError(f"{self._table} needs the key attribute {missing}: its keys are {self.types}") from None
        for name, kind in self.types.items():
            if not found[name].get(kind):
                raise ValueError(f"key {name} of {self._table} is a non-empty {kind}, not {found[name]}")
        return found

    def hash(self, values: Attributes) -> int:
        """128 bits of the partition key alone: its items stay in one shard, in the order of their writes."""
        value = to_json({self._partition: values[self._partition]})
        return int.from_bytes(hashlib.md5(value, usedforsecurity=False).digest())

    def draw(self, random: Random) -> dict[str, object]:
        """A key that is new but for chance."""
        return {name: _draw(kind, random.getrandbits(48)) for name, kind in self.types.items()}

    def hash_of(self, keys: Mapping[str, object]) -> int:
        """``hash`` of Python values."""
        return self.hash({self._partition: attribute(keys[self._partition])})

    def schema(self) -> list[dict[str, str]]:
        """``KeySchema`` as the service writes it."""
        roles = zip(self.types, ("HASH", "RANGE"), strict=False)
        return [{"AttributeName": name, "KeyType": role} for name, role in roles]


def _draw(kind: KeyType, bits: int) -> object:
    match kind:
        case "S":
            return f"key-{bits:012x}"
        case "N":
            return bits
        case "B":
            return bits.to_bytes(6)
