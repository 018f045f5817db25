"""The watermark of a read: the moment that no record which it delivers later precedes. No I/O."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from beam_dynamodb_streams.reader.end_of_stream import EndOfStream
from beam_dynamodb_streams.reader.listings import Listings
from beam_dynamodb_streams.reader.settling import RELIST_SECONDS
from beam_dynamodb_streams.shards.frontier import EARLIEST, Frontier
from beam_dynamodb_streams.shards.loss import MICROS


@dataclass(slots=True)
class ReadWatermark:
    """The watermark of one read, in microseconds since the epoch.

    Args:
        listings: What the listings have shown.
        end: The end of the stream.
        slack: How far creation times may be out of order, in seconds.
        service_time: The service's clock, in epoch seconds.

    Attributes:
        published: The largest watermark of all claims.
    """

    listings: Listings
    end: EndOfStream
    slack: float
    service_time: Callable[[], float]
    published: int = EARLIEST

    def current(self, frontier: Frontier, now: float) -> int:
        """Return the watermark at a frontier. It is held until the listings have settled: they may show a shard."""
        watermark = EARLIEST
        if self.listings.settled(now):
            if frontier.shards:
                watermark = min([frontier.watermark, *self.listings.held_watermarks()])
            else:
                watermark = self._without_shards(frontier)
        return watermark

    def publish(self, frontier: Frontier, now: float) -> int:
        """Return the watermark at a frontier that is claimed."""
        watermark = self.current(frontier, now)
        self.published = max(self.published, watermark)
        return watermark

    def drained(self) -> int:
        """Return the watermark of a read that delivers no change any more: it moves with the service's clock."""
        return int((self.service_time() - self.slack) * MICROS)

    def _without_shards(self, frontier: Frontier) -> int:
        """Return the watermark while the frontier has no shard: it may adopt one later, or follow to another stream."""
        watermarks = []
        if frontier.shared:  # it holds the watermark of all groups
            watermarks.append(int((self.service_time() - self.slack - RELIST_SECONDS) * MICROS))
        if self.listings.disabled and frontier.adopts and not self.end.ends_the_read:
            watermarks.append(self.end.watermark())
        return min(watermarks, default=EARLIEST)
