"""Parents that were read to their ends: children are looked for until their number is settled (facts 6 and 20)."""

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
class Proof:
    """Listings since a moment: how many, and when the next one is worth making."""

    since: float
    due: float
    asked: int = 0
    listings: int = 0

    def listed(self, now: float, *, whole: bool = True) -> None:
        """A listing is over. One that broke off proves nothing, but another at once would break off too."""
        self.listings += whole
        self.asked += 1
        self.due = now + min(15.0, 2.0 ** max(0, min(self.asked, 10) - 5))

    def holds(self, now: float) -> bool:
        return self.listings >= SETTLED_LISTINGS and now - self.since >= SETTLED_SECONDS


@dataclass(slots=True)
class Ending:
    """A parent. ``watermark`` is held for its children; ``probe``: when to ask whether the service still has it;
    ``afters``: the children after which the pages of a listing of its children alone went on.

    ``probed``: whether that was asked after the stream was disabled. If not, children may have been there, and are gone
    like their parent.
    """

    proof: Proof
    watermark: int
    probe: float
    probed: bool = False
    afters: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Endings:
    """By shard. ``gone``, where it is asked for, is what the service denies."""

    lineage: Lineage
    _endings: dict[str, Ending] = field(default_factory=dict)
    _due: float | None = None  # the earliest of theirs, while nothing has moved them

    @property
    def watermarks(self) -> list[int]:
        return [ending.watermark for ending in self._endings.values()]

    def add(self, parent: str, watermark: int, now: float) -> bool:
        """Whether it is a new one."""
        if parent in self._endings:
            return False
        self._endings[parent] = Ending(Proof(now, now), watermark, now + RELIST_SECONDS)
        self._due = None
        return True

    def remove(self, parent: str) -> None:
        self._endings.pop(parent, None)
        self._due = None

    def clear(self) -> None:
        self._endings, self._due = {}, None

    # What is wanted

    def due(self) -> float:
        """When the next one wants a listing or a probe; asked far more often than there is one, and for thousands."""
        if self._due is None:
            self._due = min((min(e.proof.due, e.probe) for e in self._endings.values()), default=inf)
        return self._due

    def childless(self, now: float, gone: Container[str]) -> list[str]:
        """Those of a disabled stream that would be leaves, if the service still knows them."""
        return [
            parent
            for parent, ending in self._endings.items()
            if not ending.probed and parent not in gone and self._has_none(parent, ending, now)
        ]

    def parents(self, now: float) -> list[str]:
        """Those whose children are to be listed now; first those of which none is known, since nobody reads them."""
        due = [parent for parent, ending in self._endings.items() if ending.proof.due <= now]
        return sorted(due, key=lambda parent: len(self.lineage.children(parent)) > 0)

    def came_to(self, parent: str) -> str | None:
        """Where the listing of its children alone goes on."""
        afters = self._endings[parent].afters
        return afters[-1] if afters else None

    def was_asked(self, parent: str) -> bool:
        """Whether any listing since its end has looked for its children."""
        return self._endings[parent].proof.asked > 0

    def probe(self, now: float) -> str | None:
        """The one to ask after, if any is due."""
        for parent, ending in self._endings.items():
            if ending.probe <= now:
                ending.probe = now + RELIST_SECONDS
                self._due = None
                return parent
        return None

    # What came

    def listed(self, parent: str, now: float, *, after: str | None = None) -> None:
        """Its children alone were listed, up to ``after`` if more may follow: a page of few shards is the last one only
        if it says so, and a repeat would go in circles (fact 6)."""
        if (ending := self._endings.get(parent)) is not None:
            if after is not None and after not in ending.afters:
                ending.afters.append(after)
            else:
                ending.afters.clear()
                ending.proof.listed(now, whole=after is None)
            self._due = None

    def all_listed(self, now: float, *, began: float, whole: bool) -> None:
        """A listing of all shards is over that began then."""
        for ending in self._endings.values():
            if ending.proof.since <= began:
                ending.proof.listed(now, whole=whole)
        self._due = None

    def probed(self, parent: str) -> None:
        """The service was asked after it, and the stream is disabled."""
        if parent in self._endings:
            self._endings[parent].probed = True

    def settle(self, now: float, gone: Container[str]) -> bool:
        """Forgets those whose children are all known. Whether that, or a leaf, changes what a discovery finds."""
        settled = [parent for parent, ending in self._endings.items() if ending.proof.holds(now)]
        known = [parent for parent in settled if self.lineage.children(parent)]
        for parent in known:
            self.remove(parent)
        return bool(known or self.leaves(now, gone))

    def leaves(self, now: float, gone: Container[str]) -> list[str]:
        """Those that are settled to have no children: their stream is disabled, or they are gone themselves."""
        return [
            parent
            for parent, ending in self._endings.items()
            if (ending.probed or parent in gone) and self._has_none(parent, ending, now)
        ]

    def _has_none(self, parent: str, ending: Ending, now: float) -> bool:
        return ending.proof.holds(now) and not self.lineage.children(parent)
