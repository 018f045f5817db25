"""What a reader returns: the next frontier to claim, and what is delivered with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from beam_dynamodb_streams.reader.stream import Entry, Malformed
from beam_dynamodb_streams.shards.frontier import EARLIEST, Frontier
from beam_dynamodb_streams.shards.loss import Loss


@dataclass(frozen=True, slots=True)
class Claim:
    """The next claim: `frontier` is the state of the read once everything else in the claim is delivered.

    Args:
        frontier: What the tracker claims.
        watermark: Microseconds since the epoch that no later record precedes, except for records that the service
            itself delivers out of order by more than the slack.
        shard: The shard of the records; "" if the claim has none.
        records: The records to deliver, in order.
        malformed: The entries of the page that could not be decoded.
        losses: The changes that were, or may have been, lost before this claim.
        opened: The shards that begin.
        ended: The shard that was read to its end, or to the stop; "" for none.
        lag: Seconds from the newest record's creation to the request for its page; None without a record.
        page_bytes: The size of the page's answer.
        begins: The stream of the table that begins with the claim, after the end of the one before; "" for none.
        touched: The records of the page before the read's filter: their items have changed, delivered or not.
        scanned: Whether the records are rows of a scan, and not changes of a shard.
    """

    frontier: Frontier
    watermark: int = EARLIEST
    shard: str = ""
    records: Sequence[Entry] = ()
    malformed: Sequence[Malformed] = ()
    losses: Sequence[Loss] = ()
    opened: Sequence[str] = ()
    ended: str = ""
    lag: float | None = None
    page_bytes: int = 0
    begins: str = ""
    touched: Sequence[Entry] = ()
    scanned: bool = False
