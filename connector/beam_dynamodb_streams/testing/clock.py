"""The service's time."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

_DEFAULT_START = datetime(2026, 1, 1, tzinfo=UTC)


class Clock:
    """A clock that moves only when told: call it for epoch seconds, as ``time.time``.

    Everything in the local service reads one clock: creation times, trimming, the age of iterators, the
    ``Date`` header. Thread-safe. ``time.time`` itself serves where the real time is wanted.
    """

    def __init__(self, start: float | datetime = _DEFAULT_START) -> None:
        """``start`` is epoch seconds or an aware datetime."""
        if isinstance(start, datetime) and start.tzinfo is None:
            raise ValueError(f"start={start!r} has no time zone: give an aware datetime, such as in UTC")
        self._now = start.timestamp() if isinstance(start, datetime) else float(start)
        self._lock = threading.Lock()

    def __call__(self) -> float:
        return self._now

    def advance(self, seconds: float) -> float:
        """Moves the clock forward and returns the new time."""
        if seconds < 0:
            raise ValueError(f"advance({seconds!r}): this clock never goes back")
        with self._lock:
            self._now += seconds
            return self._now

    def __repr__(self) -> str:
        return f"Clock({datetime.fromtimestamp(self._now, UTC).isoformat()})"
