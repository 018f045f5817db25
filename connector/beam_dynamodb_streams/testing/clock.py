"""The service's time."""

from __future__ import annotations

import threading
from datetime import datetime, timezone

_DEFAULT_START = datetime(2026, 1, 1, tzinfo=timezone.utc)


class Clock:
    """A clock that moves only when a test advances it. Calling it returns epoch seconds, as `time.time` does.

    Everything in the local service reads one clock: creation times, trimming, the age of iterators and the `Date`
    header. It is thread-safe. Pass `time.time` itself to the service for real time.
    """

    def __init__(self, start: float | datetime = _DEFAULT_START) -> None:
        """Set the clock to `start`: epoch seconds or an aware datetime, by default 2026-01-01 in UTC."""
        if isinstance(start, datetime) and start.tzinfo is None:
            raise ValueError(f"start={start!r} has no time zone: give an aware datetime, such as in UTC")
        self._now = start.timestamp() if isinstance(start, datetime) else float(start)
        self._lock = threading.Lock()

    def __call__(self) -> float:
        return self._now

    def advance(self, seconds: float) -> float:
        """Move the clock forward and return the new time."""
        if seconds < 0:
            raise ValueError(f"advance({seconds!r}): the clock cannot move back; pass a positive number of seconds")
        with self._lock:
            self._now += seconds
            return self._now

    def __repr__(self) -> str:
        return f"Clock({datetime.fromtimestamp(self._now, timezone.utc).isoformat()})"
