"""How long to wait before a call is repeated, and the service's clock."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential back-off with full jitter: ``delay(n)`` is uniform in [0, min(cap, base * 2**n)) seconds.

    Full jitter spreads the readers of a stream, which all meet the same limit of 10 DescribeStream calls a
    second.
    """

    base: float = 0.05
    cap: float = 5.0

    def delay(self, failures: int, random: Callable[[], float]) -> float:
        """Seconds to wait after a failure that ``failures`` others came before; ``random`` is in [0, 1)."""
        ceiling = min(self.cap, math.ldexp(self.base, min(failures, 64)))
        return ceiling * random()


class ServiceClock:
    """The service's clock as its answers' ``Date`` header tells it, on top of a local clock (epoch seconds).

    The header is the second in which the service answered, cut down; it is read when the answer has
    arrived. So ``now()`` is not ahead of the service, and at most a second and the way back behind: a
    start time resolved from it can repeat changes, never lose one (fact 3). Later answers only narrow that
    down, so that ``now()`` measures times between calls too (fact 5), unless one contradicts it: then one of
    the clocks was set, and that answer counts. ``now()`` is the local clock before any answer.

    ``signing`` is what a request is signed with: the local clock until the service says that it is skewed.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._date = ""
        self._offset = 0.0
        self._signing_offset = 0.0

    def now(self) -> float:
        return self._clock() + self._offset

    def signing(self) -> float:
        return self._clock() + self._signing_offset

    def observe(self, date: str | None) -> None:
        """Take the ``Date`` header of an answer that has just arrived; what is no date is passed over."""
        # The first answer that shows a new second bounds the offset best, so only that one is parsed.
        if date is None or date == self._date:
            return
        try:
            seconds = parsedate_to_datetime(date).timestamp()
        except ValueError:
            return
        least = seconds - self._clock()
        if not self._date or not least <= self._offset < least + 1:
            self._offset = least
        self._date = date

    def correct_signing(self) -> bool:
        """Sign by the service's clock from now on; False when no answer has carried a date."""
        if not self._date:
            return False
        self._signing_offset = self._offset
        return True
