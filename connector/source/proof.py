"""Listings lie by omission (fact 6): an absence is believed after several of them over some time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

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
