"""How many listings prove an absence, and the ended shards whose children are looked for (traps 6 and 20).

One listing may leave a shard out. `SETTLED_LISTINGS` listings over `SETTLED_SECONDS` prove that a shard is absent.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field
from math import inf
from typing import Final

from beam_dynamodb_streams.shards.lineage import Lineage

SETTLED_LISTINGS: Final = 3
SETTLED_SECONDS: Final = 5.0
RELIST_SECONDS: Final = 60.0


@dataclass(slots=True)
class Settling:
    """The listings since a moment: how many were whole, and when the next one is due."""

    since: float
    due: float
    asked: int = 0
    listings: int = 0

    def listed(self, now: float, *, whole: bool = True) -> None:
        """Count a listing that has ended.

        One that failed proves nothing. The next one still waits for the interval, because another one at once would
        fail too.
        """
        self.listings += whole
        self.asked += 1
        self.due = now + min(15.0, 2.0 ** max(0, min(self.asked, 10) - 5))

    @property
    def settles(self) -> float:
        """When time alone settles it; never if listings are missing."""
        return self.since + SETTLED_SECONDS if self.listings >= SETTLED_LISTINGS else inf

    def settled(self, now: float) -> bool:
        return self.listings >= SETTLED_LISTINGS and now >= self.since + SETTLED_SECONDS


@dataclass(slots=True)
class EndedShard:
    """A shard whose children are looked for.

    `settling` are the listings since it was closed, `at` is when it was read to its end. `watermark` is held for the
    children. `cursors`: the cursors that a listing of its children alone has followed.
    `probed`: whether the service was asked after the stream was disabled. If not, children may have been there, and are
    gone like their parent.
    """

    settling: Settling
    at: float
    watermark: int
    probed: bool = False
    cursors: list[str] = field(default_factory=list)


@dataclass(slots=True)
class EndedShards:
    """The ended shards, by id. `gone`, where a method takes it, are the shards that do not exist in the service."""

    lineage: Lineage
    patience: float = inf  # how long after its end a shard without a child counts as a leaf, in seconds
    _ended: dict[str, EndedShard] = field(default_factory=dict)
    _due: float | None = None  # the earliest due time of all, while nothing has changed it
    _settles: float | None = None  # the next moment at which time alone settles one, while nothing has changed it

    @property
    def watermarks(self) -> list[int]:
        return [ended.watermark for ended in self._ended.values()]

    def add(self, parent: str, watermark: int, now: float, *, closed: float, listings: int) -> bool:
        """Add a shard that has ended. Return whether it is new.

        Args:
            parent: The shard.
            watermark: The watermark that is held for its children.
            now: When it was read to its end.
            closed: Since when it is known to be closed. If it has children they exist since then, so listings count
                from then on: those after the last page of a shard that had been closed before prove nothing more.
            listings: The number of whole listings since then.
        """
        if parent in self._ended:
            return False
        self._ended[parent] = EndedShard(Settling(closed, now, listings=listings), now, watermark)
        self._due = self._settles = None
        return True

    def remove(self, parent: str) -> None:
        self._ended.pop(parent, None)
        self._due = self._settles = None

    def __contains__(self, shard: object) -> bool:
        return shard in self._ended

    def clear(self) -> None:
        self._ended, self._due, self._settles = {}, None, None

    # What is due

    def due(self) -> float:
        """Return when the first one needs a listing. Cached: it is asked far more often than it changes."""
        if self._due is None:
            self._due = min((ended.settling.due for ended in self._ended.values()), default=inf)
        return self._due

    def settles(self, now: float) -> float:
        """Return when time alone settles the next one. Cached, as `due` is."""
        if self._settles is None or self._settles <= now:
            moments = (ended.settling.settles for ended in self._ended.values())
            self._settles = min((moment for moment in moments if moment > now), default=inf)
        return self._settles

    def unproven_leaves(self, now: float, gone: Container[str]) -> list[str]:
        """Return those of a disabled stream that are leaves if they still exist in the service."""
        return [
            parent
            for parent, ended in self._ended.items()
            if not ended.probed and parent not in gone and self._is_childless(parent, ended, now)
        ]

    def to_list(self, now: float) -> list[str]:
        """Return those whose children are to be listed now.

        Those without a known child come first, because nobody reads their children.
        """
        due = [parent for parent, ended in self._ended.items() if ended.settling.due <= now]
        return sorted(due, key=lambda parent: len(self.lineage.children(parent)) > 0)

    def cursor(self, parent: str) -> str | None:
        """Return the child after which the listing of its children alone resumes; None for the first page."""
        cursors = self._ended[parent].cursors
        return cursors[-1] if cursors else None

    def was_asked(self, parent: str) -> bool:
        """Return whether any listing since its end has looked for its children."""
        return self._ended[parent].settling.asked > 0

    # What was answered

    def listed(self, parent: str, now: float, *, after: str | None = None) -> None:
        """Count a page of its children alone; `after` is the cursor of the next page.

        A page of few shards is the last one only if it names no cursor. A cursor that repeats would never end (trap 6).
        """
        if (ended := self._ended.get(parent)) is not None:
            if after is not None and after not in ended.cursors:
                ended.cursors.append(after)
            else:
                ended.cursors.clear()
                ended.settling.listed(now, whole=after is None)
            self._due = self._settles = None

    def all_listed(self, now: float, *, began: float, whole: bool) -> None:
        """Count a listing of all shards that began at `began` and is over now."""
        for ended in self._ended.values():
            if ended.settling.since <= began:
                ended.settling.listed(now, whole=whole)
        self._due = self._settles = None

    def probed(self, parent: str) -> None:
        """Record that the shard was probed while the stream is disabled."""
        if parent in self._ended:
            self._ended[parent].probed = True

    def drop_settled(self, now: float, gone: Container[str]) -> bool:
        """Drop those whose children are all known.

        Return whether that, or a leaf, changes the result of a discovery.
        """
        settled = [parent for parent, ended in self._ended.items() if ended.settling.settled(now)]
        known = [parent for parent in settled if self.lineage.children(parent)]
        for parent in known:
            self.remove(parent)
        return bool(known or self.leaves(now, gone))

    def leaves(self, now: float, gone: Container[str]) -> list[str]:
        """Return those that will have no children: their stream is disabled, or they are gone, or patience is over."""
        return [
            parent
            for parent, ended in self._ended.items()
            if (ended.probed or parent in gone or now - ended.at >= self.patience)
            and self._is_childless(parent, ended, now)
        ]

    def childless(self, now: float) -> list[tuple[str, float]]:
        """Return the ended shards that have no child in settled listings, and the seconds since each ended."""
        return [
            (parent, now - ended.at) for parent, ended in self._ended.items() if self._is_childless(parent, ended, now)
        ]

    def _is_childless(self, parent: str, ended: EndedShard, now: float) -> bool:
        return ended.settling.settled(now) and not self.lineage.children(parent)
