"""The poll loop: which request is next, and what its answer moves. No Beam, no threads, no sleeping.

What the listings move is in `reader.shard_discovery`, and how rows of a snapshot are joined in `reader.snapshot_join`.

Between the slices of one worker a reader keeps what is not worth storing: iterators, quiet runs, and pages requested
ahead. The frontier that is passed to it is the truth, and it drops everything that does not fit. So nothing is lost if
a reader is discarded, or receives an older frontier, at any time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import inf

from beam_dynamodb_streams import metrics
from beam_dynamodb_streams.errors import InvalidRequestError, NotFoundError
from beam_dynamodb_streams.reader.answers import Answers
from beam_dynamodb_streams.reader.claim import Claim
from beam_dynamodb_streams.reader.end_of_stream import EndOfStream, OnNewStream
from beam_dynamodb_streams.reader.fetcher import Fetcher
from beam_dynamodb_streams.reader.lasting_faults import LastingFault, LastingFaults
from beam_dynamodb_streams.reader.listings import Listings
from beam_dynamodb_streams.reader.page import Rules
from beam_dynamodb_streams.reader.requests import (
    Answer,
    Delayed,
    Failed,
    FindNext,
    Gone,
    NextFound,
    PageRead,
    PageScanned,
    Probe,
    Read,
    Scan,
)
from beam_dynamodb_streams.reader.resumed_shards import EarlierRun, ResumedShards
from beam_dynamodb_streams.reader.schedule import Pace, Schedule
from beam_dynamodb_streams.reader.shard_discovery import ShardDiscovery
from beam_dynamodb_streams.reader.snapshot_join import SnapshotJoin
from beam_dynamodb_streams.reader.table_scan import TableScanner
from beam_dynamodb_streams.reader.watermark import ReadWatermark
from beam_dynamodb_streams.shards.frontier import EARLIEST, Frontier
from beam_dynamodb_streams.shards.loss import MICROS, RETENTION_SECONDS
from beam_dynamodb_streams.shards.position import End


@dataclass(slots=True)
class Reader:
    """Reads one stream: call `next(frontier, deadline)` until it returns None. Used by one thread at a time.

    Args:
        fetcher: Performs the requests.
        now: The monotonic clock of all deadlines and rests, in seconds.
        service_time: The service's clock, in epoch seconds.
        random: Returns 0 to 1, for jitter.
        rules: What is delivered.
        pace: How often each shard is asked.
        earlier: The state of an earlier run.
        tally: Counts what happens, by the names of `metrics`.
        on_new_stream: What happens once the stream is disabled and read to its end.
        retention: For how many seconds the stream keeps a record.
        trims_by_age_alone: See `stream.StreamTraits`.
        give_up_after: How long a request may fail without a break, in seconds, before its error is raised.
        scanner: Scans the table, where a snapshot of it is joined with the stream.
        resumes: After `next` returned None, the time on the clock `now` at which the next request is due.
    """

    fetcher: Fetcher
    now: Callable[[], float]
    service_time: Callable[[], float]
    random: Callable[[], float]
    rules: Rules = Rules()
    pace: Pace = Pace()
    earlier: EarlierRun = EarlierRun()
    tally: Counter[str] = field(default_factory=Counter)
    on_new_stream: OnNewStream = "finish"
    retention: float = RETENTION_SECONDS
    trims_by_age_alone: bool = False
    give_up_after: float | None = None
    resumes: float = 0.0
    scanner: TableScanner | None = None
    _answered: bool = False
    _faults: LastingFaults = field(init=False)
    _listings: Listings = field(init=False)
    _schedule: Schedule = field(init=False)
    _answers: Answers = field(init=False)
    _resumed: ResumedShards = field(init=False)
    _end: EndOfStream = field(init=False)
    _discovery: ShardDiscovery = field(init=False)
    _watermark: ReadWatermark = field(init=False)
    _snapshot: SnapshotJoin = field(init=False)
    _known: Frontier | None = None
    _empty_watermark: int = EARLIEST

    def __post_init__(self) -> None:
        self._listings = Listings(self.retention)
        self._faults = LastingFaults(self.fetcher, self.now, give_up_after=self.give_up_after)
        self._schedule = Schedule(self._faults, self.random, self.pace)
        self._answers = Answers(
            self._schedule, self.rules, self.tally, self.service_time, self.retention, self.trims_by_age_alone
        )
        self._resumed = ResumedShards(self.earlier, self.retention)
        self._end = EndOfStream(self.on_new_stream, self.rules)
        self._discovery = ShardDiscovery(self._listings, self._resumed, self._end, self.rules, self.service_time)
        self._watermark = ReadWatermark(self._listings, self._end, self.rules.slack, self.service_time)
        self._snapshot = SnapshotJoin(self.scanner, self._watermark, self._answers, self.tally)

    def next(self, frontier: Frontier, deadline: float, *, rests: float | None = None) -> Claim | None:
        """Return the next claim from `frontier`, or None at the deadline or when all is read.

        Call it again with the claim's own frontier once that is claimed. If nothing is due yet, it waits.

        Args:
            frontier: Where the read stands.
            deadline: When to return at the latest, on the clock `now`.
            rests: If given, None is also returned once at least one request was made, all are answered, and nothing is
                due for at least this many seconds; see `resumes`.

        Raises:
            ConnectorError: An error of the service that does not pass with time.
        """
        while not frontier.closed:
            now = self.now()
            if frontier is not self._known:
                self._resume(frontier, now)
            claim = self._discovery.claim(frontier, now)
            claim = claim or self._snapshot.claim(frontier, now, drained=self._discovery.drained)
            if claim is not None:
                return self._complete(claim, now)
            upcoming = min(self._ask(now, frontier.stream_arn), self._resumed.due)
            idle = self._answered and not self._schedule.unanswered
            resting = rests is not None and idle and upcoming - now >= rests
            if now >= deadline or resting:
                if (claim := self._refresh(frontier)) is None:
                    self._answered, self.resumes = False, upcoming if resting else now
                return claim
            answer = self._faults.take(max(0.0, min(upcoming, deadline) - now))
            if answer is not None and (claim := self._take(frontier, answer)) is not None:
                return claim
        return None

    @property
    def doubts(self) -> int:
        """The number of parents that no listing shows and whose children wait (trap 8)."""
        return self._listings.unlisted.doubts

    @property
    def lasting_faults(self) -> list[LastingFault]:
        """The oldest request of each operation that fails, or is not answered, now."""
        return self._faults.lasting()

    def close(self, *, report: bool = False) -> None:
        """Close the fetcher. `report`: the read ends here, so what has not answered until now is logged."""
        if report:
            self._faults.report_end()
        self._faults.close()

    def _resume(self, frontier: Frontier, now: float) -> None:
        """Adopt a frontier that is not the one just returned, and drop what was remembered of the other."""
        known = self._known
        if known != frontier:
            self._discovery.start_over(now)
            self._snapshot.resume(frontier.scan)
        if known is not None and (
            known != frontier or any(r.hint and r.hint != known.shards[s].hint for s, r in frontier.shards.items())
        ):
            self._schedule.forget()
            self._answers.forget()
        self._follow(frontier, now)
        self._known = frontier
        self._faults.stream_arn = frontier.stream_arn

    def _follow(self, frontier: Frontier, now: float) -> None:
        """Look for the children of each ended shard, and read each open one."""
        for shard, reading in frontier.shards.items():
            if isinstance(reading.position, End):
                self._discovery.await_children(shard, reading.watermark, now)
        self._schedule.follow(frontier, now)

    def _ask(self, now: float, stream_arn: str) -> float:
        """Make the requests that are due. Return when the next one is, or when to look at what probes have shown."""
        listings, schedule = self._listings, self._schedule
        upcoming = listings.due(now)
        if upcoming <= now:
            schedule.submit(listings.request(now))
            upcoming = inf
        if self._end.due() <= now:
            schedule.submit(self._end.request(stream_arn))
        upcoming = min(upcoming, self._snapshot.ask(now, schedule))
        upcoming = min(
            upcoming,
            self._end.due(),
            schedule.ask(now, shared=listings.probes.busy(now)),
            listings.answers_due,
            listings.settles(now),
        )
        while not schedule.is_full and (shard := listings.probes.take(now)) is not None:
            schedule.submit(Probe(shard))
        return upcoming if schedule.is_full else min(upcoming, listings.probes.due())

    # What an answer moves

    def _take(self, frontier: Frontier, answer: Answer) -> Claim | None:
        self._answered = True
        state = self._schedule.answered(answer.request)
        now = self.now()
        match answer:
            case Failed(Scan() as request, error) if self._may_be_deleted(error):
                self._snapshot.delayed(request, now, self._schedule.back_off)
                return None
            case Failed(_, error):  # the error ends the read: the reader will not be used again
                raise error
            case Delayed(request):
                self.tally[metrics.DELAYS] += 1
                if isinstance(request, FindNext):
                    self._end.delayed(now, self._schedule.back_off)
                elif isinstance(request, Scan):
                    self._snapshot.delayed(request, now, self._schedule.back_off)
                elif not isinstance(request, Read):
                    self._listings.delayed(request, now, self._schedule.back_off)
                elif state is not None:
                    self._schedule.after_failure(request.shard, now)
                return None
            case PageScanned():
                self._snapshot.take(answer)
                return None
            case PageRead(request) | Gone(Read() as request):
                if state is None:
                    return None
                state.failures = 0
                if request.position != frontier.shards[request.shard].position:
                    self._schedule.at_once(request.shard, now)  # requested ahead for a frontier that was never claimed
                    return None
                if isinstance(answer, PageRead):
                    claim = self._answers.page(frontier, answer, state, now)
                else:
                    self._discovery.denied(request.shard)
                    claim = self._answers.gone(frontier, request.shard)
                if claim is None:
                    return None
                self._snapshot.touch(claim.touched)
                claim = self._complete(claim, now)
                if claim.shard:
                    self._ask(now, frontier.stream_arn)  # the next page is fetched while this one is emitted
                return claim
            case NextFound():
                self._end.take(answer, now)
                return None
            case _:
                if self._listings.take(answer, now):
                    self._discovery.listed(frontier)
                return None

    def _refresh(self, frontier: Frontier) -> Claim | None:
        """Return, at the end of a slice, the claim of what empty pages changed: it is stored once in a slice."""
        collected = self._answers.collected
        if not collected and (frontier.shards or not (frontier.shared or self._end.reached)):
            return None
        claim = self._complete(Claim(frontier), self.now())
        if not collected and claim.watermark < self._empty_watermark + MICROS:
            return None
        self._empty_watermark = claim.watermark
        return claim

    def _complete(self, claim: Claim, now: float) -> Claim:
        """Return the claim with what empty pages changed, and with its watermark.

        Its frontier is then the known one.
        """
        frontier = self._answers.join(claim.frontier)
        if claim.opened or claim.ended:
            self._follow(frontier, now)
        self._known = frontier  # the positions of the other shards are already those remembered
        return replace(claim, frontier=frontier, watermark=self._watermark.publish(frontier, now))

    def _may_be_deleted(self, error: Exception) -> bool:
        """Return whether a scan failed because the table was deleted, and perhaps created again with other keys.

        The stream is then read to its end, and a read that follows waits for the table's next stream.
        """
        deleted = isinstance(error, NotFoundError) or (
            isinstance(error, InvalidRequestError) and self._listings.disabled
        )
        return deleted and self.on_new_stream == "follow" and not self._discovery.drained
