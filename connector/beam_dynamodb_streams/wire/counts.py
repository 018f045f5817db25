"""Counts of the calls of a client, by operation."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts by operation name ("GetRecords", …). An operation that never happened is absent.

    Attributes:
      calls: requests sent, retries included. Each GetRecords request is billed, whether its page is empty or not.
      throttles: answers that throttled the call.
      retries: requests sent again, after any fault.
    """

    calls: dict[str, int] = field(default_factory=dict)
    throttles: dict[str, int] = field(default_factory=dict)
    retries: dict[str, int] = field(default_factory=dict)


class CallCounts:
    """Thread-safe counters of one client: `totals()` since it was made, `take()` since the last take."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counters: tuple[Counter[str], Counter[str], Counter[str]] = (Counter(), Counter(), Counter())
        self._taken: tuple[Counter[str], Counter[str], Counter[str]] = (Counter(), Counter(), Counter())

    def called(self, operation: str) -> None:
        with self._lock:
            self._counters[0][operation] += 1

    def throttled(self, operation: str) -> None:
        with self._lock:
            self._counters[1][operation] += 1

    def retried(self, operation: str) -> None:
        with self._lock:
            self._counters[2][operation] += 1

    def totals(self) -> Counts:
        """Return the counts since the client was made."""
        with self._lock:
            calls, throttles, retries = (dict(counter) for counter in self._counters)
        return Counts(calls, throttles, retries)

    def take(self) -> Counts:
        """Return the counts since the last `take()`. Every count is in exactly one take, on whatever thread."""
        with self._lock:
            calls, throttles, retries = (
                dict(now - before) for now, before in zip(self._counters, self._taken, strict=True)
            )
            calls_now, throttles_now, retries_now = self._counters
            self._taken = (calls_now.copy(), throttles_now.copy(), retries_now.copy())
        return Counts(calls, throttles, retries)
