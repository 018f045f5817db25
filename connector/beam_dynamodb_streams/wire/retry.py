"""How long to wait before a call is repeated, and the service's clock."""

from __future__ import annotations

import math
import threading
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

    The header is the second in which the service answered, cut down; when that was is known only to lie between
    the request and the answer's arrival. So ``now()`` is not ahead of the service, and at most a second and the
    way back behind: a start time resolved from it can repeat changes, never lose one (fact 3). Later answers only
    narrow that down, however long they take and whichever comes first, so that ``now()`` measures times between
    calls too (fact 5): too long by no more than was narrowed meanwhile. Unless one contradicts it: then one of the
    clocks was set, or has drifted, and that answer counts. ``now()`` is the local clock before any answer.

    ``signing`` is what a request is signed with: the local clock until the service says that it is skewed.
    Thread-safe.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._date = ""
        self._offset = 0.0
        self._signing_offset = 0.0

    def now(self) -> float:
        return self._clock() + self._offset

    def signing(self) -> float:
        return self._clock() + self._signing_offset

    def observe(self, date: str | None, sent: float) -> None:
        """Take the ``Date`` header of an answer that has just arrived to what was sent at ``sent``, by the local
        clock; what is no date is passed over."""
        # The first answer that shows a new second bounds the offset best, so only that one is parsed.
        if date is None or date == self._date:
            return
        try:
            seconds = parsedate_to_datetime(date).timestamp()
        except ValueError:
            return
        with self._lock:
            least = seconds - self._clock()
            if not self._date or not least <= self._offset < seconds + 1 - sent:
                self._offset = least
            self._date = date

    def correct_signing(self) -> bool:
        """Sign by the service's clock from now on; False when no answer has carried a date."""
        if not self._date:
            return False
        self._signing_offset = self._offset
        return True
