"""How often DescribeStream may be called: the service allows 10 calls a second for all readers of a stream together."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

SPACING: Final = 0.125
BURST: Final = 200.0  # calls that may be made at once, in addition to one a second


@dataclass(slots=True)
class CallBudget:
    """Keeps `SPACING` seconds between pages of listings and, after `burst` of them, one page a second.

    A reader that lists while no other reader does needs no limit of pages: `burst=inf`.
    """

    burst: float = BURST
    _next_call: float = 0.0
    _credited: float = 0.0
    _credit: float = field(init=False)

    def __post_init__(self) -> None:
        self._credit = self.burst

    def allowed(self, now: float) -> float:
        """Return when the next call may be made."""
        self._credit = min(self.burst, self._credit + max(0.0, now - self._credited))
        self._credited = now
        return max(self._next_call, now if self._credit >= 1 else now + (1 - self._credit))

    def call(self, now: float) -> None:
        """Count a call for a page of a listing."""
        self._next_call = now + SPACING
        self._credit -= 1

    def wait(self, until: float) -> None:
        """Make no call before `until`, because a call failed."""
        self._next_call = max(self._next_call, until)
