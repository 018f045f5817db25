"""The clock of the service, estimated from the dates of its answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timezone
from email.utils import parsedate_to_datetime
from math import inf
from typing import Final

#: No service answers after this moment (the year 2200): such a date is garbage, and later arithmetic would overflow.
_LATEST_DATE: Final = 7_258_118_400.0


#: An answer that contradicts the estimate by more seconds than this is believed once others agree with it.
SUDDEN_SECONDS: Final = 5.0
AGREEING_ANSWERS: Final = 3

#: A first answer that is further from the local clock than this is not believed against the next one.
FAR_SECONDS: Final = 60.0


def steady_clock() -> Callable[[], float]:
    """Return a clock of epoch seconds that is read from the wall clock once, and moves with the monotonic clock.

    So the difference of two of its times is a duration, although the wall clock may be set in between.
    """
    began = time.time() - time.monotonic()
    return lambda: began + time.monotonic()


class ServiceClock:
    """An estimate of the service's clock, on top of a local clock (both epoch seconds). Thread-safe.

    Every answer carries a `Date` header: the second in which the service answered, rounded down. That moment lies
    somewhere between the request and the arrival of the answer. `now()` takes the earliest time that fits, so it is
    never ahead of the service, and it is behind by at most one second and the way back of the answer. A start time
    that is resolved from it can repeat changes, and never loses one (trap 3).

    Later answers only narrow the estimate, however long they take and in whatever order they arrive. So the difference
    of two `now()` is a duration as well, too long by at most what was narrowed in between (trap 5). An answer that
    contradicts the estimate by a few seconds replaces it: a clock has drifted, or the service's hosts differ. A larger
    contradiction needs `AGREEING_ANSWERS` in a row, since a single `Date` may be wrong. It is true after this machine
    was suspended. Before the first answer `now()` is the local clock.

    `signing()` is the time to sign requests with: the local clock until the service says that it is skewed.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._date = ""
        self._offset = 0.0
        self._most = inf  # the offset is less than this, by all answers that agree
        self._doubtful = False  # the only answer so far is far from the local clock
        self._other: tuple[float, float] | None = None  # the bounds of answers that contradict the estimate
        self._others = 0
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
            least, most = seconds - self._clock(), seconds + 1 - sent
            if not self._date:
                self._follow(date, least, most)
                self._doubtful = abs(least) > FAR_SECONDS
            elif least < self._most and most > self._offset:
                self._follow(date, max(least, self._offset), min(most, self._most))
            elif abs(least - self._offset) <= SUDDEN_SECONDS or (self._doubtful and abs(least) <= FAR_SECONDS):
                self._follow(date, least, most)
            else:
                self._contradict(date, least, most)

    def _follow(self, date: str, least: float, most: float) -> None:
        self._date, self._offset, self._most = date, least, most
        self._other, self._others, self._doubtful = None, 0, False

    def _contradict(self, date: str, least: float, most: float) -> None:
        if self._other is not None and least < self._other[1] and most > self._other[0]:
            self._other = max(least, self._other[0]), min(most, self._other[1])
            self._others += 1
        else:
            self._other, self._others = (least, most), 1
        if self._others >= AGREEING_ANSWERS:
            self._follow(date, *self._other)

    def correct_signing(self) -> bool:
        """Sign by the service's clock from now on. Return False if no answer has carried a date yet.

        Call it when the service has refused a signature as too old or too new: the answer that contradicts the estimate
        is the refusal, and it is right.
        """
        with self._lock:
            if not self._date:
                return False
            if self._other is not None:
                self._follow(self._date, *self._other)
            self._signing_offset = self._offset
            return True


def parse_date(date: str) -> float | None:
    """Return the epoch seconds of a `Date` header, or None for one that is not a date of our time.

    `-0000` means UTC without a statement about the sender's zone. It is never the zone of this machine.
    """
    try:
        moment = parsedate_to_datetime(date)
        seconds = (moment if moment.tzinfo is not None else moment.replace(tzinfo=timezone.utc)).timestamp()
    except (ValueError, OverflowError, TypeError, IndexError):  # what the parser raises depends on the garbage
        return None
    return seconds if 0 <= seconds < _LATEST_DATE else None
