"""Which shards the service is to be asked after: many at once, each of them one request at a time. No I/O.

A probe is a GetShardIterator call, so it takes nothing from the budget of DescribeStream (`reader.call_budget`). On a
stream that is older than a day every oldest listed shard names a parent that is trimmed (trap 22), so there are
thousands of probes at the start of a read. They are made at the rate of the network, beside the reads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from math import inf
from typing import Final

#: A shard that exists although no listing shows it is asked after again this many seconds later, or more seldom: all of
#: them together at most `REPEATED_A_SECOND` times a second.
PROBE_SECONDS: Final = 2.0
REPEATED_A_SECOND: Final = 8


@dataclass(slots=True)
class Probes:
    """The shards to probe, by the moment at which each is due."""

    _due: dict[str, float] = field(default_factory=dict)
    _heap: list[tuple[float, str]] = field(default_factory=list)  # (due, shard); outdated entries are skipped
    _in_flight: set[str] = field(default_factory=set)
    _failures: dict[str, int] = field(default_factory=dict)

    def ask(self, shard: str, due: float) -> None:
        """Ask after a shard at `due`, unless it is to be asked after earlier, or its answer is under way."""
        if shard not in self._in_flight and due < self._due.get(shard, inf):
            self._due[shard] = due
            heappush(self._heap, (due, shard))

    def drop(self, shard: str) -> None:
        """Ask no more after a shard. An answer that is under way still counts."""
        self._due.pop(shard, None)
        self._failures.pop(shard, None)

    def due(self) -> float:
        """Return when the next probe is due."""
        while self._heap and self._due.get(self._heap[0][1]) != self._heap[0][0]:
            heappop(self._heap)
        return self._heap[0][0] if self._heap else inf

    def busy(self, now: float) -> bool:
        """Return whether answers are under way, or probes are due."""
        return bool(self._in_flight) or self.due() <= now

    def take(self, now: float) -> str | None:
        """Return the next shard to probe if one is due, else None."""
        if self.due() > now:
            return None
        _, shard = heappop(self._heap)
        del self._due[shard]
        self._in_flight.add(shard)
        return shard

    def answered(self, shard: str) -> None:
        """Count the answer to a probe."""
        self._in_flight.discard(shard)
        self._failures.pop(shard, None)

    def failed(self, shard: str, now: float, back_off: Callable[[int], float]) -> None:
        """Ask after a shard again later, since its probe failed (trap 15). The others do not wait for it."""
        self._in_flight.discard(shard)
        failures = self._failures[shard] = self._failures.get(shard, 0) + 1
        self.ask(shard, now + back_off(failures))

    def repeat(self, shard: str, now: float, among: int) -> None:
        """Ask after a shard again that exists, `among` that many others like it."""
        self.ask(shard, now + max(PROBE_SECONDS, among / REPEATED_A_SECOND))
