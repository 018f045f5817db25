"""Which shard is polled next: at most one request for each shard and `Pace.requests` in all, the longest due first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from math import inf
from typing import Final

from beam_dynamodb_streams.reader.fetcher import Fetcher
from beam_dynamodb_streams.reader.requests import Read, Request
from beam_dynamodb_streams.shards.frontier import Frontier, Hint
from beam_dynamodb_streams.shards.position import Position
from beam_dynamodb_streams.shards.quiet import NOT_QUIET, QuietRun

#: Idle shards are polled in rounds at least this many seconds apart. Between rounds nothing is due, and a bundle may
#: rest.
ROUND_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Pace:
    """How often a shard is polled, in seconds, and how many requests are in flight at once.

    After a page that was full, or older than `behind`, the next one is requested at once. A shard whose pages are not
    full is polled every `poll` seconds. A shard that is proven quiet is polled less and less often, in the end every
    `idle` seconds. At most `requests` pages are in flight or unread, one for each shard, which bounds the memory.
    `page` is the most records that a page may have. A shard is never polled twice within `least` seconds. `most` is the
    number of polls a second, of all shards together, beyond which shards are polled less often than every `poll`
    seconds: they would keep a core busy with pages that are mostly empty.
    """

    poll: float = 0.2
    idle: float = 2.0
    behind: float = 10.0
    requests: int = 16
    page: int = 1000
    least: float = 0.0
    most: float = 1_250.0


@dataclass(slots=True)
class Remembered:
    """What is remembered of one shard: where its next page begins, and when it is due."""

    position: Position
    hint: Hint | None
    due: float = inf
    asked: float = -inf
    failures: int = 0
    wait: float = 0.0
    quiet: QuietRun = NOT_QUIET
    trim_reported: Position | None = None
    repeated: tuple[object, int] = (None, 0)  # what a page brought that moved nothing, and how often in a row


@dataclass(slots=True)
class Schedule:
    """The shards to read, ordered by when each is due. `random` returns a number from 0 to 1."""

    fetcher: Fetcher
    random: Callable[[], float]
    pace: Pace
    _shards: dict[str, Remembered] = field(default_factory=dict)
    _heap: list[tuple[float, str]] = field(default_factory=list)  # (due, shard); outdated entries are skipped
    _in_flight: set[str] = field(default_factory=set)
    _unanswered: int = 0

    def follow(self, frontier: Frontier, now: float) -> None:
        """Remember each shard that is to be read, and no other."""
        for shard, reading in frontier.shards.items():
            if not reading.ended and shard not in self._shards:
                self._shards[shard] = Remembered(reading.position, reading.hint)
                self.at_once(shard, now)
        for shard in [s for s in self._shards if s not in frontier.shards or frontier.shards[s].ended]:
            del self._shards[shard]

    def forget(self) -> None:
        """Forget everything but requests in flight.

        Their answers are still counted, and are dropped because their shard has moved.
        """
        self._shards = {}

    # What is asked

    @property
    def unanswered(self) -> int:
        return self._unanswered

    @property
    def is_full(self) -> bool:
        """Whether no more requests may be made before an answer comes."""
        return self._unanswered >= self.pace.requests

    def ask(self, now: float, *, shared: bool = False) -> float:
        """Make the reads that are due. Return when the next one is. `shared`: half of the requests are for probes."""
        reads = self.pace.requests // 2 if shared else self.pace.requests
        while self._heap:
            due, shard = self._heap[0]
            state = self._shards.get(shard)
            if state is None or state.due != due or shard in self._in_flight:
                heappop(self._heap)
            elif self.is_full or len(self._in_flight) >= reads:
                return inf  # the next answer frees a place
            elif due > now:
                return due
            else:
                heappop(self._heap)
                self._in_flight.add(shard)
                state.asked = now
                self.submit(Read(shard, state.position, state.hint))
        return inf

    def submit(self, request: Request) -> None:
        self._unanswered += 1
        self.fetcher.submit(request)

    def answered(self, request: Request) -> Remembered | None:
        """Count a request as answered. Return what is remembered of its shard; None if no shard is to be read by it."""
        self._unanswered -= 1
        if not isinstance(request, Read):
            return None
        self._in_flight.discard(request.shard)
        return self._shards.get(request.shard)

    # When a shard is asked again

    def at_once(self, shard: str, now: float) -> None:
        self._schedule(shard, max(now, self._shards[shard].asked + self.pace.least))

    def soon(self, shard: str, now: float) -> None:
        self._schedule(shard, now + max(self.pace.poll, len(self._shards) / self.pace.most))

    def seldom(self, shard: str, now: float) -> None:
        """Poll a quiet shard less and less often, in the end every `idle` seconds, in rounds.

        Each shard has a random round of its own.
        """
        state, idle = self._shards[shard], self.pace.idle
        has_a_round = state.wait == idle
        state.wait = min(idle, max(self.pace.poll, state.wait * 1.5))
        if state.wait < idle:
            self._schedule(shard, now + state.wait * (0.9 + self.random() / 5))
            return
        rounds = max(1, idle // ROUND_SECONDS)
        length = idle / rounds
        upcoming = now // length + 1
        drawn = (now + idle * (1.0 if has_a_round else self.random())) // length
        self._schedule(shard, max(drawn, upcoming) * length)

    def after_failure(self, shard: str, now: float) -> None:
        state = self._shards[shard]
        state.failures += 1
        self._schedule(shard, now + self.back_off(state.failures))

    def back_off(self, failures: int) -> float:
        """Return the seconds to wait. They double with each failure in a row, up to 5 seconds."""
        return min(5.0, 0.1 * 2.0 ** min(failures, 10)) * (0.5 + self.random() / 2)

    def _schedule(self, shard: str, due: float) -> None:
        self._shards[shard].due = due
        heappush(self._heap, (due, shard))
