"""The poll loop: what the listings and an answer move. No Beam, no threads, no sleeping.

A reader keeps what is not worth storing (iterators, quiet runs, pages asked for ahead) between the slices of one
worker. The frontier it is given is the truth: whatever the reader remembers that does not fit it is dropped, so a
reader may be thrown away, or met by an older frontier, at any time, and nothing is lost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import inf
from typing import Final

from beam_dynamodb_streams import metrics
from beam_dynamodb_streams.reader.claim import Claim
from beam_dynamodb_streams.reader.fetcher import Fetcher
from beam_dynamodb_streams.reader.listings import Listings
from beam_dynamodb_streams.reader.page import Rules, deliver
from beam_dynamodb_streams.reader.requests import Answer, Delayed, Failed, Gone, PageRead, Read
from beam_dynamodb_streams.reader.resumed_shards import EarlierRun, ResumedShards
from beam_dynamodb_streams.reader.schedule import Pace, Remembered, Schedule
from beam_dynamodb_streams.reader.settling import RELIST_SECONDS
from beam_dynamodb_streams.shards.discovery import discover, take_over
from beam_dynamodb_streams.shards.frontier import EARLIEST, Frontier, Hint, Reading
from beam_dynamodb_streams.shards.loss import (
    MICROS,
    RETENTION_SECONDS,
    Loss,
    children_missed,
    records_trimmed,
    shard_gone,
    waited_too_long,
)
from beam_dynamodb_streams.shards.position import End
from beam_dynamodb_streams.shards.quiet import NOT_QUIET

#: After so many listings of one frontier, all others of the stream have listed it once.
CONFIRMING_LISTINGS: Final = 3


@dataclass(slots=True)
class Reader:
    """``next(frontier, deadline)`` until it gives None; used by one thread at a time.

    ``service_time`` is the service's clock (epoch seconds), ``random`` gives 0 to 1. ``resumes``: when, on the
    fetcher's clock, there is something to do again after ``next`` gave None.
    """

    stream_arn: str
    fetcher: Fetcher
    service_time: Callable[[], float]
    random: Callable[[], float]
    rules: Rules = Rules()
    pace: Pace = Pace()
    earlier: EarlierRun = EarlierRun()
    tally: Counter[str] = field(default_factory=Counter)
    resumes: float = 0.0
    _answered: bool = False
    _listings: Listings = field(default_factory=Listings)
    _schedule: Schedule = field(init=False)
    _saved: ResumedShards = field(init=False)
    _known: Frontier | None = None
    _quiet_watermarks: dict[str, int] = field(default_factory=dict)
    _quiet_hints: dict[str, Hint] = field(default_factory=dict)
    _ending: bool = False
    _loss_reported: set[str] = field(default_factory=set)
    _empty_watermark: int = EARLIEST

    def __post_init__(self) -> None:
        self._schedule = Schedule(self.fetcher, self.random, self.pace)
        self._saved = ResumedShards(self.stream_arn, self.earlier)

    def next(self, frontier: Frontier, deadline: float, *, rests: float | None = None) -> Claim | None:
        """The next step from ``frontier``, or None when ``deadline`` (of the fetcher's clock) has come or all is read.

        Ask again with the step's own frontier once it is claimed. Raises what no waiting mends. With ``rests`` it is
        None too once an answer has come, all is answered, and for so many seconds, until ``resumes``, nothing is to do.
        To ask again earlier does no harm: it waits.
        """
        while not frontier.closed:
            now = self.fetcher.now()
            if frontier is not self._known:
                self._resume(frontier, now)
            step = self._discover(frontier, now) or self._forget_saved(frontier, now) or self._close(frontier, now)
            if step is not None:
                return step
            upcoming = min(self._ask(now), self._saved.due)
            idle = self._answered and not self._schedule.unanswered
            resting = rests is not None and idle and upcoming - now >= rests
            if now >= deadline or resting:
                if (step := self._refresh(frontier)) is None:
                    self._answered, self.resumes = False, upcoming if resting else now
                return step
            answer = self.fetcher.take(max(0.0, min(upcoming, deadline) - now))
            if answer is not None and (step := self._digest(frontier, answer)) is not None:
                return step
        return None

    @property
    def doubts(self) -> int:
        """How many parents that no listing shows keep their children waiting (fact 8)."""
        return self._listings.doubts

    def close(self) -> None:
        self.fetcher.close()

    def _resume(self, frontier: Frontier, now: float) -> None:
        """Takes a frontier that was not handed out just now as the truth: what was remembered of another is dropped."""
        known = self._known
        if known != frontier:
            self._listings.begin_anew(now)  # whatever they have shown, this frontier has not seen it
            self._ending = False
            self._saved.begin_anew()
            self._loss_reported.clear()
        if known is not None and (
            known != frontier or any(r.hint and r.hint != known.shards[s].hint for s, r in frontier.shards.items())
        ):
            self._schedule.forget()
            self._quiet_hints, self._quiet_watermarks = {}, {}
        self._meet(frontier, now)
        self._known = frontier

    def _meet(self, frontier: Frontier, now: float) -> None:
        for shard, reading in frontier.shards.items():
            if isinstance(reading.position, End):
                self._listings.await_children(shard, reading.watermark, now)
        self._schedule.meet(frontier, now)

    # What the listings show

    def _discover(self, frontier: Frontier, now: float) -> Claim | None:
        if not self._listings.dirty:
            return self._take_over(frontier, now) if self._listings.ended else None
        self._listings.dirty = self._listings.ended = False
        second = int(self.service_time())
        leaves = [leaf for leaf in self._listings.leaves(now) if leaf in frontier.shards]
        found = discover(frontier, self._listings.lineage, second=second, gone=self._listings.gone, leaves=leaves)
        patient, old = bool(frontier.open_shards), second - RETENTION_SECONDS - 3600
        self._listings.doubt(set(found.doubtful.values()), now, patient=patient, shared=frontier.shared)
        fading = frontier.fading(before=old, listed=self._listings.listed) - self._listings.gone
        self._listings.fading = fading | self._saved.asked_after(frontier, self._listings)
        losses = []
        for leaf in leaves:
            self._listings.left(leaf)
            if leaf in self._listings.gone and leaf not in self._loss_reported:
                losses.append(children_missed(self.stream_arn, leaf, frontier.shards[leaf]))
        seen = second - int(CONFIRMING_LISTINGS * self._listings.interval)
        moved = found.frontier.confirm(before=seen, listed=self._listings.listed)
        if moved is frontier:
            return None
        self._ending = False
        moved = moved.forget_finished(before=old, listed=self._listings.listed, gone=self._listings.gone)
        return self._complete(Claim(moved, opened=found.opened, losses=losses), now)

    def _take_over(self, frontier: Frontier, now: float) -> Claim | None:
        self._listings.ended = False
        found = take_over(frontier, self._listings.lineage, second=int(self.service_time()))
        if found.frontier is frontier:
            return None
        self._ending = False
        return self._complete(Claim(found.frontier, opened=found.opened), now)

    def _forget_saved(self, frontier: Frontier, now: float) -> Claim | None:
        found = self._saved.forget(frontier, self._listings, now=now, service_time=self.service_time)
        return None if found is None else self._complete(Claim(found[0], losses=found[1]), now)

    def _close(self, frontier: Frontier, now: float) -> Claim | None:
        """Closes an empty frontier once the listings have settled, since the end came in sight and the last shard was
        found, that nothing more is to be read."""
        deserted = not frontier.adopts and not frontier.shards and not frontier.awaited  # nothing will ever come to it
        if self._listings.status != "DISABLED" and not self.rules.past_stop(self.service_time()) and not deserted:
            return None
        if not self._ending:
            self._ending = True
            self._listings.settle(now)
        if frontier.shards or not self._listings.settled(now) or self._listings.doubts:
            return None
        if self._saved.undecided(frontier, self._listings):
            return None  # a loss may still be told
        return self._complete(Claim(frontier.close()), now)

    def _ask(self, now: float) -> float:
        """Makes the requests that are due; gives the moment of the next one."""
        upcoming = self._listings.due(now)
        if upcoming <= now:
            self._schedule.submit(self._listings.request(now))
            upcoming = inf
        return min(upcoming, self._schedule.ask(now))

    # What an answer moves

    def _digest(self, frontier: Frontier, answer: Answer) -> Claim | None:
        self._answered = True
        state = self._schedule.landed(answer.request)
        now = self.fetcher.now()
        match answer:
            case Failed(_, error):  # the reader is not asked again: what it remembers went with the request
                raise error
            case Delayed(request):
                self.tally[metrics.DELAYS] += 1
                if not isinstance(request, Read):
                    self._listings.delayed(now, self._schedule.back_off(3))
                elif state is not None:
                    self._schedule.after_failure(request.shard, now)
            case PageRead(request) | Gone(Read() as request):
                if state is None:
                    return None
                state.failures = 0
                if request.position != frontier.shards[request.shard].position:
                    self._schedule.at_once(request.shard, now)  # asked for ahead of a frontier that never came to be
                elif isinstance(answer, PageRead):
                    return self._page(frontier, answer, state, now)
                else:
                    return self._gone(frontier, request.shard, now)
            case _:
                listed = self._listings.listed
                self._listings.take(answer, now)
                if self._listings.listed is not listed:
                    self._listings.dirty |= bool(frontier.unconfirmed)
                    self._listings.keep(frontier.shards.keys() | frontier.finished.keys() | frontier.saved.keys())
        return None

    def _page(self, frontier: Frontier, read: PageRead, state: Remembered, now: float) -> Claim | None:
        shard = read.request.shard
        self.tally[metrics.ITERATOR_RENEWALS] += read.renewals
        losses = self._losses(read, frontier.shards[shard], state)
        if not read.page.records and not read.page.malformed and read.hint is not None and not losses:
            return self._empty_page(frontier, read, state, read.hint, now)
        delivery = deliver(frontier, read, self.rules)
        self._quiet_hints.pop(shard, None)
        reading = delivery.frontier.shards.get(shard)
        if reading is not None and not reading.ended:
            full = len(read.page.records) + len(read.page.malformed) >= self.pace.page
            lagging = delivery.newest is not None and read.asked - delivery.newest > self.pace.behind
            state.position, state.hint, state.quiet, state.wait = reading.position, reading.hint, NOT_QUIET, 0.0
            (self._schedule.at_once if full or lagging else self._schedule.soon)(shard, now)
        step = Claim(
            delivery.frontier,
            shard=shard,
            records=delivery.records,
            malformed=delivery.malformed,
            losses=losses,
            ended=shard if delivery.ended or delivery.finished else "",
            lag=None if delivery.newest is None else max(0.0, read.asked - delivery.newest),
            page_bytes=len(read.page.body),
        )
        step = self._complete(step, now)
        self._ask(now)  # the next page comes over the network while this one is decoded and emitted
        return step

    def _losses(self, read: PageRead, reading: Reading, state: Remembered) -> list[Loss]:
        """Return what the page shows to be lost before it, once for each position."""
        shard, loss = read.request.shard, None
        if read.trimmed is not None and state.trim_reported != read.request.position:
            loss = records_trimmed(self.stream_arn, shard, reading, certain=read.trimmed)
            state.trim_reported = read.request.position
        elif state.trim_reported is None:
            loss = waited_too_long(self.stream_arn, shard, reading, asked=read.asked)
            state.trim_reported = None if loss is None else read.request.position
        return [] if loss is None else [loss]

    def _empty_page(
        self, frontier: Frontier, read: PageRead, state: Remembered, hint: Hint, now: float
    ) -> Claim | None:
        """Moves no position, so it is not worth a claim: it is remembered until the slice ends."""
        shard = read.request.shard
        self.tally[metrics.EMPTY_PAGES] += 1
        stopping = self.rules.past_stop(read.asked)
        if stopping and not self.rules.past_stop(state.quiet.first):
            state.quiet = NOT_QUIET  # pages asked for before the stop say nothing about what came after them
        state.quiet = state.quiet.empty_page(read.asked)
        state.hint = self._quiet_hints[shard] = hint
        if not state.quiet.proves(self.rules.quiet):
            self._schedule.soon(shard, now)
            return None
        if stopping:
            return self._complete(Claim(frontier.finish(shard, second=int(read.asked)), ended=shard), now)
        self._quiet_watermarks[shard] = int((read.asked - self.rules.slack) * MICROS)
        self._schedule.seldom(shard, now)
        return None

    def _gone(self, frontier: Frontier, shard: str, now: float) -> Claim:
        self._listings.gone.add(shard)
        self._loss_reported.add(shard)
        loss = shard_gone(self.stream_arn, shard, frontier.shards[shard], now=self.service_time())
        self.tally[metrics.SHARDS_LOST] += loss is not None
        return self._complete(Claim(frontier.end(shard), losses=[loss] if loss else [], ended=shard), now)

    def _refresh(self, frontier: Frontier) -> Claim | None:
        """At the end of a slice: the iterators and watermarks that empty pages brought, worth storing once."""
        quiet = bool(self._quiet_hints or self._quiet_watermarks)
        if not quiet and (frontier.shards or not frontier.shared):
            return None
        step = self._complete(Claim(frontier), self.fetcher.now())
        if not quiet and step.watermark < self._empty_watermark + MICROS:
            return None
        self._empty_watermark = step.watermark
        return step

    def _complete(self, step: Claim, now: float) -> Claim:
        """The step with what empty pages brought, and its watermark; its frontier is the one known from now on."""
        frontier = step.frontier
        if self._quiet_hints or self._quiet_watermarks:
            frontier = frontier.refreshed(self._quiet_hints, self._quiet_watermarks)
            self._quiet_hints, self._quiet_watermarks = {}, {}
        if step.opened or step.ended:
            self._meet(frontier, now)
        self._known = frontier  # the positions of the rest are already those remembered
        watermark = EARLIEST  # held until the listings settled: a shard may be there that none has shown yet
        if self._listings.settled(now) and not self._listings.doubts:
            if frontier.shards:
                watermark = min([frontier.watermark, *self._listings.held_watermarks()])
            elif frontier.shared:  # the others' changes wait for this one, whatever it may yet adopt
                watermark = int((self.service_time() - self.rules.slack - RELIST_SECONDS) * MICROS)
        return replace(step, frontier=frontier, watermark=watermark)
