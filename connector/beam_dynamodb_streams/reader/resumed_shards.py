"""The shards of an earlier run that no longer exist: which of them are losses, and which were read. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import inf
from typing import Final

from beam_dynamodb_streams.shards.frontier import Frontier, Reading
from beam_dynamodb_streams.shards.lineage import Seen
from beam_dynamodb_streams.shards.loss import RETENTION_SECONDS, Loss, shard_gone
from beam_dynamodb_streams.shards.position import End, Position

#: How often to check whether shards of an earlier run are gone.
CHECK_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class EarlierRun:
    """The positions of an earlier run, and the second up to which it had read everything; see `StreamPosition`."""

    saved: Mapping[str, Position] = field(default_factory=dict)
    until: int | None = None


@dataclass(slots=True)
class ResumedShards:
    """Decides about saved shards once the listings have settled and each shard that they lack was probed."""

    earlier: EarlierRun
    retention: float = RETENTION_SECONDS
    _next: float = 0.0
    _asking: bool = False

    @property
    def due(self) -> float:
        """When to check again; never, unless a shard is still to be probed."""
        return self._next if self._asking else inf

    def start_over(self) -> None:
        self._next, self._asking = 0.0, False

    def is_due(self, frontier: Frontier, now: float) -> bool:
        return bool(frontier.saved) and now >= self._next

    def ask_after(self, frontier: Frontier, seen: Seen) -> set[str]:
        """Return the shards that are still to be probed; none before the listings have settled."""
        return self._unknown(frontier, seen) if self._asking else set()

    def undecided(self, frontier: Frontier, seen: Seen) -> bool:
        """Return whether a loss may still be reported."""
        return bool(frontier.saved.keys() - seen.listed - seen.found)

    def forget(self, frontier: Frontier, seen: Seen, now: float) -> tuple[Frontier, list[Loss]] | None:
        """Return the frontier without the positions of shards that are gone, and the losses (trap 13).

        Returns None if nothing can be decided now. Call it only when `is_due` and `seen` is settled.
        """
        self._next = now + CHECK_SECONDS
        unknown = self._unknown(frontier, seen)
        self._asking = bool(unknown)
        unlisted = frontier.saved.keys() & seen.gone - seen.listed
        if unknown or not unlisted:
            return None
        left = len(frontier.saved) < len(self.earlier.saved) or len(unlisted) < len(frontier.saved)
        losses = [
            shard_gone(
                frontier.stream_arn,
                shard,
                Reading(frontier.saved[shard]),
                now=seen.second,
                promised=True,
                retention=self.retention,
            )
            for shard in sorted(unlisted)
            if frontier.adopts and not self._was_read(shard, seen, left=left)
        ]
        kept = {shard: position for shard, position in frontier.saved.items() if shard not in unlisted}
        return replace(frontier, saved=kept), [loss for loss in losses if loss]

    def _was_read(self, shard: str, seen: Seen, *, left: bool) -> bool:
        """Return whether the earlier run left nothing unread of a shard that is gone.

        `left`: whether other shards that it saved still exist. A run that saved which shards it read to their end had
        not read the others. A run that saved only the positions of delivered records may have read further, because the
        shard and its children may have had no records after that. Such a shard counts as read, with two exceptions: no
        saved shard is left, or its child was not begun although not everything was read within the last day.
        """
        saved, until = self.earlier.saved, self.earlier.until
        if until is not None and until > seen.second - self.retention:
            return True
        if isinstance(saved[shard], End):
            parents = {parent for listed in seen.listed for parent in seen.lineage.parents(listed)}
            return left or any(isinstance(saved.get(parent), End) for parent in parents)
        if until is None and any(isinstance(position, End) for position in saved.values()):
            return False
        children = seen.lineage.children(shard) if until is not None else ()
        return any(child in saved for child in children) if children else left

    def _unknown(self, frontier: Frontier, seen: Seen) -> set[str]:
        """Return the saved shards that are not listed, and that were not probed yet."""
        return frontier.saved.keys() - seen.listed - seen.gone - seen.found
