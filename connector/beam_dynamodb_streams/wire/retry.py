"""How long to wait before a call is repeated."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential back-off with full jitter: `delay(n)` is uniform in [0, min(cap, base * 2**n)) seconds.

    Full jitter spreads the readers of a stream, which share one limit of 10 DescribeStream calls a second.
    """

    base: float = 0.05
    cap: float = 5.0

    def delay(self, failures: int, random: Callable[[], float]) -> float:
        """Return the seconds to wait after a failure that follows `failures` others; `random` is in [0, 1)."""
        ceiling = min(self.cap, math.ldexp(self.base, min(failures, 64)))
        return ceiling * random()
