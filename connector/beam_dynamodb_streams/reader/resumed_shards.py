"""What an earlier run saved of shards that are no longer there: what is lost, and what is only over. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import inf
from typing import Final

from beam_dynamodb_streams.reader.listings import Listings
from beam_dynamodb_streams.shards.frontier import Frontier, Reading
from beam_dynamodb_streams.shards.loss import RETENTION_SECONDS, Loss, shard_gone
from beam_dynamodb_streams.shards.position import End, Position

#: How often it is looked whether shards of an earlier run are gone.
SAVED_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class EarlierRun:
    """What an earlier run had read, and until when it had read all there was; see :class:`StreamPosition`."""

    saved: Mapping[str, Position] = field(default_factory=dict)
    until: int | None = None


@dataclass(slots=True)
class ResumedShards:
    """Decides once the listings have settled and the service has denied, or shown, each saved shard that they lack."""

    stream_arn: str
    earlier: EarlierRun
    _next: float = 0.0
    _waiting: bool = False

    @property
    def due(self) -> float:
        """When to look again; never, unless the service is still to be asked after a shard."""
        return self._next if self._waiting else inf

    def begin_anew(self) -> None:
        self._next, self._waiting = 0.0, False

    def asked_after(self, frontier: Frontier, listings: Listings) -> set[str]:
        """The shards that the service is still to be asked after; none before the listings have settled."""
        return self._unknown(frontier, listings) if self._waiting else set()

    def undecided(self, frontier: Frontier, listings: Listings) -> bool:
        """Whether a loss may still be told."""
        return bool(frontier.saved.keys() - listings.listed - listings.found)

    def forget(
        self, frontier: Frontier, listings: Listings, *, now: float, service_time: Callable[[], float]
    ) -> tuple[Frontier, list[Loss]] | None:
        """The frontier without the positions of shards that are gone, and the losses (fact 13); None if nothing is
        decided now."""
        if not frontier.saved or now < self._next or not listings.settled(now) or listings.doubts:
            return None
        self._next = now + SAVED_SECONDS
        unknown = self._unknown(frontier, listings)
        listings.fading |= unknown
        self._waiting = bool(unknown)
        unlisted = frontier.saved.keys() & listings.gone - listings.listed
        if unknown or not unlisted:
            return None
        left = len(frontier.saved) < len(self.earlier.saved) or len(unlisted) < len(frontier.saved)
        second = service_time()
        losses = [
            shard_gone(self.stream_arn, shard, Reading(frontier.saved[shard]), now=second, promised=True)
            for shard in sorted(unlisted)
            if frontier.adopts and not self._was_read_on(shard, listings, second, left=left)
        ]
        kept = {shard: position for shard, position in frontier.saved.items() if shard not in unlisted}
        return replace(frontier, saved=kept), [loss for loss in losses if loss]

    def _was_read_on(self, shard: str, listings: Listings, second: float, *, left: bool) -> bool:
        """Whether the earlier run left nothing unread of a shard that is gone. ``left``: others that it saved are not.

        Where that run saved what it had read to its end as such, all else was not. Where it may only have known what it
        delivered, a shard may have brought nothing since, and its children neither: it is taken for read, unless
        nothing is left at all, or its child was not begun though not all was read within the last day.
        """
        saved, until = self.earlier.saved, self.earlier.until
        if until is not None and until > second - RETENTION_SECONDS:
            return True
        if isinstance(saved[shard], End):
            return left or any(
                isinstance(saved.get(parent), End) for parent in map(listings.lineage.parent, listings.listed) if parent
            )
        if until is None and any(isinstance(position, End) for position in saved.values()):
            return False
        children = listings.lineage.children(shard) if until is not None else ()
        return any(child in saved for child in children) if children else left

    def _unknown(self, frontier: Frontier, listings: Listings) -> set[str]:
        """Not listed, and neither denied nor shown by the service."""
        return frontier.saved.keys() - listings.listed - listings.gone - listings.found
