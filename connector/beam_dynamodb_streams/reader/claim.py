"""What a reader hands to the DoFn: the next thing to claim, and what is delivered with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from beam_dynamodb_streams.shards.frontier import EARLIEST, Frontier
from beam_dynamodb_streams.shards.loss import Loss
from beam_dynamodb_streams.wire import MalformedEntry, RawRecord


@dataclass(frozen=True, slots=True)
class Claim:
    """The next thing to claim: ``frontier`` is where the read stands once the rest is delivered.

    ``records`` are of ``shard``, in order. ``watermark``: microseconds that no later record precedes, but for what the
    service itself delivers out of order by more than the slack.
    """

    frontier: Frontier
    watermark: int = EARLIEST
    shard: str = ""
    records: Sequence[RawRecord] = ()
    malformed: Sequence[MalformedEntry] = ()
    losses: Sequence[Loss] = ()
    opened: Sequence[str] = ()
    ended: str = ""
    lag: float | None = None
    page_bytes: int = 0
