"""The clock of the service, estimated from the dates of its answers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

#: No service answers after this moment (the year 2200): such a date is garbage, and later arithmetic would overflow.
_LATEST_DATE: Final = 7_258_118_400.0


class ServiceClock:
    """An estimate of the service's clock, on top of a local clock (both epoch seconds). Thread-safe.

    Every answer carries a `Date` header: the second in which the service answered, rounded down. That moment lies
    somewhere between the request and the arrival of the answer. `now()` takes the earliest time that fits, so it is
    never ahead of the service, and it is behind by at most one second and the way back of the answer. A start time
    that is resolved from it can repeat changes, and never loses one (trap 3).

    Later answers only narrow the estimate, however long they take and in whatever order they arrive. So the difference
    of two `now()` is a duration as well, too long by at most what was narrowed in between (trap 5). An answer that
    contradicts the estimate replaces it: one of the clocks was set, or has drifted. Before the first answer `now()` is
    the local clock.

    `signing()` is the time to sign requests with: the local clock until the service says that it is skewed.
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
        """Learn from an answer that has just arrived.

        Args:
          date: the answer's `Date` header; one that is not a date is ignored.
          sent: when the request was sent, by the local clock.
        """
        # The first answer that shows a new second bounds the offset best, so only that one is parsed.
        if date is None or date == self._date:
            return
        seconds = parse_date(date)
        if seconds is None:
            return
        with self._lock:
            least = seconds - self._clock()
            if not self._date or not least <= self._offset < seconds + 1 - sent:
                self._offset = least
            self._date = date

    def correct_signing(self) -> bool:
        """Sign by the service's clock from now on. Return False if no answer has carried a date yet."""
        if not self._date:
            return False
        self._signing_offset = self._offset
        return True


def parse_date(date: str) -> float | None:
    """Return the epoch seconds of a `Date` header, or None for one that is not a date of our time.

    `-0000` means UTC without a statement about the sender's zone. It is never the zone of this machine.
    """
    try:
        moment = parsedate_to_datetime(date)
        seconds = (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError, TypeError, IndexError):  # what the parser raises depends on the garbage
        return None
    return seconds if 0 <= seconds < _LATEST_DATE else None
