"""The hash key ranges of shards. DynamoDB has none, and a KCL reads nothing unless they tile the whole space. Pure.

The ranges mean nothing for where a record is: DynamoDB does not say by which rule it places a key.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

LAST: Final = 2**128 - 1


@dataclass(frozen=True, slots=True)
class HashRange:
    """The hash keys from `first` to `last`, both included."""

    first: int
    last: int

    def parts(self, count: int) -> list[HashRange]:
        """Return `count` ranges of equal size that tile this one, in order.

        A range with fewer keys than parts is given to each part whole: overlapping ranges are better than empty ones.
        """
        size = self.last - self.first + 1
        if size < count:
            return [self] * count
        edges = [self.first + size * part // count for part in range(count + 1)]
        return [HashRange(low, high - 1) for low, high in pairwise(edges)]

    def to_dict(self) -> dict[str, str]:
        return {"StartingHashKey": str(self.first), "EndingHashKey": str(self.last)}


WHOLE: Final = HashRange(0, LAST)


def is_tiling(ranges: Iterable[HashRange]) -> bool:
    """Return whether the ranges have every hash key exactly once."""
    following = 0
    for each in sorted(ranges, key=lambda one: one.first):
        if each.first != following:
            return False
        following = each.last + 1
    return following == LAST + 1


def tiling(ranges: dict[str, HashRange]) -> dict[str, HashRange]:
    """Return ranges of the same shards that tile the whole space: these if they do, else equal parts, in order."""
    if is_tiling(ranges.values()):
        return ranges
    in_order = sorted(ranges, key=lambda shard: (ranges[shard].first, ranges[shard].last, shard))
    return dict(zip(in_order, WHOLE.parts(len(in_order)), strict=True))
