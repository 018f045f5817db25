"""How many read units a scan may consume: a token bucket, fed by what each page is reported to have consumed."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Final

#: What a page of 1 MB consumes with a consistent read: the most that a page costs.
PAGE_UNITS: Final = 256.0

UNIT_BYTES: Final = 4096


@dataclass(slots=True)
class ReadBudget:
    """Spreads pages so that a scan consumes at most `per_second` read units on average; `inf` for no limit.

    A page's price is known once it is answered. Until then it counts as dear as the last one, and the first one as a
    whole page. A page that costs more than a second's units delays the next one.
    """

    per_second: float = inf
    _credit: float = 0.0
    _credited: float | None = None
    _expected: float = PAGE_UNITS
    _items_per_unit: float = 1.0

    def due(self, now: float) -> float:
        """Return when the next page may be requested."""
        if self.per_second == inf:
            return now
        if self._credited is not None:
            self._credit = min(self.per_second, self._credit + (now - self._credited) * self.per_second)
        self._credited = now
        return now if self._credit >= 0 else now - self._credit / self.per_second

    def limit(self) -> int | None:
        """Return how many items the next page may have, so that it costs about a second's units; None: any number."""
        if self.per_second == inf or self.per_second >= PAGE_UNITS:
            return None
        return max(1, int(self.per_second * self._items_per_unit))

    def requested(self) -> float:
        """Count a page that is requested, and return what it is expected to cost."""
        self._credit -= self._expected
        return self._expected

    def answered(self, expected: float, units: float, items: int) -> None:
        """Replace what a page was expected to cost by what it did."""
        self._credit += expected - units
        if items:
            self._items_per_unit = items / max(units, 1.0)
        self._expected = min(PAGE_UNITS, units)

    def failed(self, expected: float) -> None:
        """Count a page that was not answered."""
        self._credit += expected
