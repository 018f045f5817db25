"""How often DescribeStream may be called: 10 a second are allowed for all readers of a stream together."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

SPACING: Final = 0.125
BURST: Final = 200.0  # calls that may be made at once, above one a second


@dataclass(slots=True)
class CallBudget:
    """Keeps ``SPACING`` seconds between calls of any kind and, after ``burst`` pages of listings, to one a second.

    Who lists before there are others need not keep to the latter: ``burst=inf``.
    """

    burst: float = BURST
    _next_call: float = 0.0
    _credited: float = 0.0
    _credit: float = field(init=False)

    def __post_init__(self) -> None:
        self._credit = self.burst

    def allowed(self, now: float) -> float:
        """When the next call may be made."""
        self._credit = min(self.burst, self._credit + max(0.0, now - self._credited))
        self._credited = now
        return max(self._next_call, now if self._credit >= 1 else now + (1 - self._credit))

    def call(self, now: float) -> None:
        """A call is made."""
        self._next_call = now + SPACING

    def listing(self) -> None:
        """The call is for a page of a listing."""
        self._credit -= 1

    def wait(self, until: float) -> None:
        """A call failed for now."""
        self._next_call = max(self._next_call, until)
