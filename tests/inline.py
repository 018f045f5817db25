"""A reader driven by hand: requests are performed as they are made, and waiting moves the clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping

from connector.shards.frontier import Frontier, begin
from connector.shards.loss import Loss
from connector.shards.position import TRIM_HORIZON, Position, StartPosition
from connector.shards.stored import decode_frontier, encode_frontier
from connector.source.agenda import Pace
from connector.source.delivery import Rules
from connector.source.reader import Reader, Step
from connector.source.requests import Answer, Caller, Request
from connector.testing import Clock, LocalStreams
from connector.wire import Client


class InlineFetcher:
    """The fetcher's contract without threads: an answer waits as soon as its request is submitted."""

    def __init__(self, caller: Caller, clock: Clock) -> None:
        self._caller, self._clock = caller, clock
        self._answers: deque[Answer] = deque()

    def submit(self, request: Request) -> None:
        self._answers.append(self._caller.perform(request))

    def take(self, timeout: float) -> Answer | None:
        if self._answers:
            return self._answers.popleft()
        self._clock.advance(max(timeout, 0.001))
        return None

    def now(self) -> float:
        return self._clock()

    def close(self) -> None:
        self._answers.clear()


class DrivenRead:
    """One read of a table's stream: what it delivered, lost and where it stands. Claims every step that it is given."""

    def __init__(
        self,
        service: LocalStreams,
        clock: Clock,
        stream_arn: str,
        *,
        start: StartPosition = TRIM_HORIZON,
        rules: Rules | None = None,
        pace: Pace | None = None,
        saved: Mapping[str, Position] | None = None,
    ) -> None:
        self._client = Client(
            endpoint_url=service.endpoint_url,
            region_name=service.region_name,
            clock=clock,
            sleep=lambda seconds: clock.advance(seconds) and None,
            random=lambda: 0.5,
            max_attempts=2,
        )
        self._clock, self._stream = clock, stream_arn
        self._rules, self._pace = rules or Rules(slack=0.0), pace or Pace(page=50)
        self.frontier: Frontier = begin(start, saved=saved)
        self.delivered: list[tuple[str, str]] = []
        self.losses: list[Loss] = []
        self.watermarks: list[int] = []
        self.reader = self._reader()

    def _reader(self) -> Reader:
        caller = Caller(self._client, self._stream, limit=self._pace.page)
        return Reader(
            self._stream,
            InlineFetcher(caller, self._clock),
            self._client.service_time,
            lambda: 0.5,
            self._rules,
            self._pace,
        )

    def run(self, seconds: float) -> None:
        """Reads for so many seconds of the clock, or to the end."""
        for _ in self.steps(seconds):
            pass

    def steps(self, seconds: float) -> Iterator[Step]:
        """The same, step by step, each already claimed."""
        deadline = self._clock() + seconds
        while (step := self.reader.next(self.frontier, deadline)) is not None:
            self._claim(step)
            yield step

    def _claim(self, step: Step) -> None:
        self.frontier = step.frontier
        self.delivered += [(step.shard, record.dynamodb.SequenceNumber) for record in step.records]
        self.losses += step.losses
        self.watermarks.append(step.watermark)

    def stored(self) -> bytes:
        return encode_frontier(self.frontier)

    def restore(self, stored: bytes) -> None:
        """As after a failure: a new reader, from what was stored."""
        self.frontier = decode_frontier(stored)
        self.reader = self._reader()

    def go_back(self, stored: bytes) -> None:
        """As after a failure that the worker survived: the same reader, from what was stored."""
        self.frontier = decode_frontier(stored)
