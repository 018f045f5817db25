"""What a reader of a table's stream costs: every GetRecords call is billed, empty or not. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from beam_dynamodb_streams.reader.schedule import Pace

PRICE: Final = 0.02 / 100_000
"""USD for a GetRecords call in us-east-1, after the first 2.5 million of a month. Other regions differ by a few
percent."""


@dataclass(frozen=True, slots=True)
class ReadCost:
    """The GetRecords calls that one reader of the whole stream makes in a day, and their price in USD.

    Attributes:
        idle_calls: the calls while no shard has anything new.
        busy_calls: the calls while every shard has changes, in pages that are not full.
    """

    idle_calls: int
    busy_calls: int

    @property
    def idle_usd(self) -> float:
        return self.idle_calls * PRICE

    @property
    def busy_usd(self) -> float:
        return self.busy_calls * PRICE


def daily_cost(open_shards: int, pace: Pace) -> ReadCost:
    """Return the cost of a reader for a day. Every GetRecords call is billed, empty or not; other calls are free."""
    day = 24 * 3600
    return ReadCost(round(open_shards * day / pace.idle), round(open_shards * day / pace.poll))
