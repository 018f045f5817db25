"""The poll loop: which request is next, and what the listings move. No Beam, no threads, no sleeping.

Between the slices of one worker a reader keeps what is not worth storing: iterators, quiet runs, and pages requested
ahead. The frontier that is passed to it is the truth, and it drops everything that does not fit. So nothing is lost if
a reader is discarded, or receives an older frontier, at any time.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import inf
from typing import Final

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
from beam_dynamodb_streams.reader.settling import RELIST_SECONDS
from beam_dynamodb_streams.reader.table_scan import TableScanner, event_second
from beam_dynamodb_streams.reader.waiting import WaitingReport
from beam_dynamodb_streams.shards.discovery import discover, take_over
from beam_dynamodb_streams.shards.frontier import EARLIEST, Frontier
from beam_dynamodb_streams.shards.lineage import Seen
from beam_dynamodb_streams.shards.loss import MICROS, RETENTION_SECONDS
from beam_dynamodb_streams.shards.position import End
from beam_dynamodb_streams.shards.segments import segment_name

_LOGGER: Final = logging.getLogger(__name__)

_LOOP: Final = (
    "DescribeStream of %s lists shards that are their own ancestors (%s; %d shards): shard %s is read as one without a "
    "parent, and changes of one key may be out of order between these shards. Report it to whoever runs the endpoint"
)


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
    _waiting: WaitingReport = field(default_factory=WaitingReport)
    _look_at_waiting: float = 0.0
    _known: Frontier | None = None
    _shard_ended: bool = False  # since the last discovery
    _relisted: bool = False  # a whole listing was completed that may confirm unconfirmed shards of the frontier
    _ending: bool = False
    _loops_reported: int = 0
    _gone_reported: set[str] = field(default_factory=set)
    _empty_watermark: int = EARLIEST
    _published: int = EARLIEST  # the largest watermark of all claims
    _drained: bool = False  # no change will be delivered any more

    def __post_init__(self) -> None:
        self._listings = Listings(self.retention)
        self._faults = LastingFaults(self.fetcher, self.now, give_up_after=self.give_up_after)
        self._schedule = Schedule(self._faults, self.random, self.pace)
        self._answers = Answers(
            self._schedule, self.rules, self.tally, self.service_time, self.retention, self.trims_by_age_alone
        )
        self._resumed = ResumedShards(self.earlier, self.retention)
        self._end = EndOfStream(self.on_new_stream, self.rules)

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
            self._drained = False
            if frontier is not self._known:
                self._resume(frontier, now)
            self._report_waiting(frontier, now)
            claim = self._discover(frontier, now) or self._forget_saved(frontier, now) or self._close(frontier, now)
            claim = claim or self._release(frontier, now)
            if claim is not None:
                return claim
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
            self._listings.start_over(now)  # whatever the listings have shown is new to this frontier
            self._ending = False
            self._resumed.start_over()
            self._gone_reported.clear()
        if known is not None and (
            known != frontier or any(r.hint and r.hint != known.shards[s].hint for s, r in frontier.shards.items())
        ):
            self._schedule.forget()
            self._answers.forget()
        if self.scanner is not None and known != frontier:
            self.scanner.resume(frontier.scan)
        self._follow(frontier, now)
        self._known = frontier
        self._faults.stream_arn = frontier.stream_arn

    def _follow(self, frontier: Frontier, now: float) -> None:
        """Look for the children of each ended shard, and read each open one."""
        for shard, reading in frontier.shards.items():
            if isinstance(reading.position, End):
                self._shard_ended |= self._listings.await_children(shard, reading.watermark, now)
        self._schedule.follow(frontier, now)

    # What the listings show

    def _discover(self, frontier: Frontier, now: float) -> Claim | None:
        if not self._listings.changed(now) and not self._relisted:
            return self._take_over(frontier, now) if self._shard_ended else None
        self._shard_ended = self._relisted = False
        seen = self._listings.look(now, self.service_time())
        for loop in seen.lineage.loops[self._loops_reported :]:
            _LOGGER.warning(_LOOP, frontier.stream_arn, " <- ".join(loop[:10]), len(loop), loop[0])
        self._loops_reported = len(seen.lineage.loops)
        found = discover(frontier, seen)
        patient = bool(frontier.open_shards)
        self._listings.unlisted.doubt(set(found.doubtful.values()), now, patient=patient, shared=frontier.shared)
        self._listings.unlisted.probe_only(found.fading | self._resumed.ask_after(frontier, seen), now)
        for leaf in seen.leaves:
            if leaf in frontier.shards:
                self._listings.left(leaf)
                if leaf not in seen.gone and not self._listings.disabled:
                    self._waiting.left_without(leaf, frontier.stream_arn)
        if found.frontier is frontier:
            return None
        self._ending &= not any(self._is_found(shard, seen) for shard in found.opened)
        losses = [loss for loss in found.losses if loss.shard_id not in self._gone_reported]
        return self._complete(Claim(found.frontier, opened=found.opened, losses=losses), now)

    def _is_found(self, shard: str, seen: Seen) -> bool:
        """Return whether a shard that begins is a find, so that there may be others like it.

        One that listings showed before, and that only waited for the proof that its parents are gone, is not.
        """
        parents = seen.lineage.parents(shard)
        return self._listings.is_recent(shard) or not parents or any(parent not in seen.gone for parent in parents)

    def _take_over(self, frontier: Frontier, now: float) -> Claim | None:
        self._shard_ended = False
        found = take_over(frontier, self._listings.seen(now, self.service_time()))
        if found.frontier is frontier:
            return None
        self._ending = False
        return self._complete(Claim(found.frontier, opened=found.opened), now)

    def _forget_saved(self, frontier: Frontier, now: float) -> Claim | None:
        if not self._resumed.is_due(frontier, now) or not self._listings.settled(now):
            return None
        seen = self._listings.seen(now, self.service_time())
        decided = self._resumed.forget(frontier, seen, now)
        self._listings.unlisted.probe_also(self._resumed.ask_after(frontier, seen), now)
        return None if decided is None else self._complete(Claim(decided[0], losses=decided[1]), now)

    def _close(self, frontier: Frontier, now: float) -> Claim | None:
        """Return the claim that ends the read, or begins the next stream: no other shard will be found in this one.

        The frontier must be empty, and the listings must have settled since it became empty and since the last shard
        was found.
        """
        self._end.reached = False
        deserted = not frontier.adopts and not frontier.shards and not frontier.awaited  # nothing can be added to it
        past_stop = self.rules.past_stop(self.service_time())
        self._listings.give_up_children(past_stop=past_stop)
        if not self._listings.disabled and not past_stop and not deserted:
            return None
        if not self._ending:
            self._ending = True
            self._listings.settle(now)
        if frontier.shards or not self._listings.settled(now):
            return None
        if self._resumed.undecided(frontier, self._listings.seen(now, self.service_time())):
            return None  # a loss may still be reported
        claim: Claim | None = Claim(frontier.close())
        if not self._end.ends_the_read and frontier.adopts and self._listings.disabled:
            self._end.reached = True  # of all groups, the one that adopts continues in the next stream
            claim = self._end.claim(frontier)
        if claim is not None and claim.frontier.closed and frontier.scan is not None and not frontier.scan.complete:
            self._drained = True
            return None  # the rows that are left are newer than every change that is delivered
        return None if claim is None else self._complete(claim, now)

    def _report_waiting(self, frontier: Frontier, now: float) -> None:
        if now >= self._look_at_waiting:
            self._look_at_waiting = now + 1.0
            self._waiting.report(self._listings.waiting(now), frontier.stream_arn, now)

    def _ask(self, now: float, stream_arn: str) -> float:
        """Make the requests that are due. Return when the next one is, or when to look at what probes have shown."""
        listings, schedule = self._listings, self._schedule
        upcoming = listings.due(now)
        if upcoming <= now:
            schedule.submit(listings.request(now))
            upcoming = inf
        if self._end.due() <= now:
            schedule.submit(self._end.request(stream_arn))
        if self.scanner is not None:
            free = schedule.pace.requests - schedule.unanswered
            upcoming = min(upcoming, self.scanner.ask(now, free, schedule.submit), self.scanner.due(now))
        upcoming = min(
            upcoming, self._end.due(), schedule.ask(now, shared=listings.probes.busy(now)), listings.answers_due
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
                if self.scanner is not None:
                    self.scanner.delayed(request, now, self._schedule.back_off)
                return None
            case Failed(_, error):  # the error ends the read: the reader will not be used again
                raise error
            case Delayed(request):
                self.tally[metrics.DELAYS] += 1
                if isinstance(request, FindNext):
                    self._end.delayed(now, self._schedule.back_off)
                elif isinstance(request, Scan):
                    if self.scanner is not None:
                        self.scanner.delayed(request, now, self._schedule.back_off)
                elif not isinstance(request, Read):
                    self._listings.delayed(request, now, self._schedule.back_off)
                elif state is not None:
                    self._schedule.after_failure(request.shard, now)
                return None
            case PageScanned():
                if self.scanner is not None:
                    self.scanner.take(answer)
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
                    self._listings.denied(request.shard)
                    self._gone_reported.add(request.shard)
                    claim = self._answers.gone(frontier, request.shard)
                if claim is None:
                    return None
                if self.scanner is not None:
                    self.scanner.touch(claim.touched)
                claim = self._complete(claim, now)
                if claim.shard:
                    self._ask(
                        now, frontier.stream_arn
                    )  # the next page is fetched while this one is decoded and emitted
                return claim
            case NextFound():
                self._end.take(answer, now)
                return None
            case _:
                if self._listings.take(answer, now):
                    self._relisted |= bool(frontier.unconfirmed)
                    self._listings.keep(frontier.shards.keys() | frontier.finished.keys() | frontier.saved.keys())
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
        watermark = self._watermark(frontier, now)
        self._published = max(self._published, watermark)
        return replace(claim, frontier=frontier, watermark=watermark)

    def _watermark(self, frontier: Frontier, now: float) -> int:
        watermark = EARLIEST  # held until the listings have settled: one may still show another shard
        if self._listings.settled(now):
            if frontier.shards:
                watermark = min([frontier.watermark, *self._listings.held_watermarks()])
            else:
                watermark = self._watermark_without_shards(frontier)
        return watermark

    def _watermark_without_shards(self, frontier: Frontier) -> int:
        """Return the watermark while the frontier has no shard: it may adopt one later, or follow to another stream."""
        watermarks = []
        if frontier.shared:  # it holds the watermark of all groups
            watermarks.append(int((self.service_time() - self.rules.slack - RELIST_SECONDS) * MICROS))
        if self._listings.disabled and frontier.adopts and not self._end.ends_the_read:
            watermarks.append(self._end.watermark())
        return min(watermarks, default=EARLIEST)

    # The rows of a snapshot

    def _may_be_deleted(self, error: Exception) -> bool:
        """Return whether a scan failed because the table was deleted, and perhaps created again with other keys.

        The stream is then read to its end, and a read that follows waits for the table's next stream.
        """
        deleted = isinstance(error, NotFoundError) or (
            isinstance(error, InvalidRequestError) and self._listings.disabled
        )
        return deleted and self.on_new_stream == "follow" and not self._drained

    def _release(self, frontier: Frontier, now: float) -> Claim | None:
        """Return the claim of the next page of rows whose answer the watermark has passed; None if there is none."""
        scanner, scan = self.scanner, frontier.scan
        if scanner is None or scan is None or not scanner.waiting:
            return None
        if self._drained:
            watermark = int((self.service_time() - self.rules.slack) * MICROS)
            released = scanner.release(inf)
        else:
            watermark = self._watermark(self._answers.joined(frontier), now)
            released = scanner.release(watermark / MICROS)
        if released is None:
            return None
        moment = event_second(max(watermark, self._published))
        name = segment_name(released.segment, scan.total)
        entries = scanner.table.entries(released.rows, scan, moment)
        records, malformed = scanner.filter(entries, name)
        place = released.last
        if frontier.remaining is not None and len(records) > frontier.remaining:
            records = records[: frontier.remaining]
            place = next(row.keys for row, entry in zip(released.rows, entries, strict=True) if entry is records[-1])
        scan = scan.delivered(released.segment, place, rows=len(records), replaced=released.replaced, moment=moment)
        scanner.delivered(scan)
        self.tally[metrics.SNAPSHOT_ROWS_REPLACED] += released.replaced
        after = frontier.deliver_rows(scan, len(records))
        return self._complete(Claim(after, shard=name, records=records, malformed=malformed, scanned=True), now)
