"""What the answer to a read changes: a page, an empty page, a shard that is gone. No I/O.

An empty page moves no position, so it is not worth a claim. Its newer iterator and watermark are collected and become
part of the next claim.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from beam_dynamodb_streams import metrics
from beam_dynamodb_streams.errors import ServiceError
from beam_dynamodb_streams.reader.claim import Claim
from beam_dynamodb_streams.reader.page import Rules, deliver
from beam_dynamodb_streams.reader.requests import PageRead
from beam_dynamodb_streams.reader.schedule import Remembered, Schedule
from beam_dynamodb_streams.shards.frontier import EARLIEST, Frontier, Hint, Reading
from beam_dynamodb_streams.shards.loss import MICROS, Loss, records_trimmed, shard_gone, waited_too_long
from beam_dynamodb_streams.shards.quiet import NOT_QUIET

#: A page that moves nothing may come again after a fault, but not this often in a row.
MOST_REPEATS: Final = 5


@dataclass(slots=True)
class Answers:
    """Turns the answers to reads into claims, and schedules the next read of the shard."""

    schedule: Schedule
    rules: Rules
    tally: Counter[str]
    service_time: Callable[[], float]
    retention: float
    trims_by_age_alone: bool = False
    _hints: dict[str, Hint] = field(default_factory=dict)
    _watermarks: dict[str, int] = field(default_factory=dict)

    @property
    def collected(self) -> bool:
        """Whether something was collected from empty pages that no claim has yet."""
        return bool(self._hints or self._watermarks)

    def join(self, frontier: Frontier) -> Frontier:
        """Return the frontier with everything collected from empty pages, and clear the collection."""
        if self.collected:
            frontier = frontier.refresh(self._hints, self._watermarks)
            self.forget()
        return frontier

    def joined(self, frontier: Frontier) -> Frontier:
        """Return the same as `join`, and keep the collection."""
        return frontier.refresh(self._hints, self._watermarks) if self.collected else frontier

    def forget(self) -> None:
        self._hints, self._watermarks = {}, {}

    def page(self, frontier: Frontier, read: PageRead, state: Remembered, now: float) -> Claim | None:
        """Return the claim of a page; None for an empty page that moves nothing."""
        shard = read.request.shard
        self.tally[metrics.ITERATOR_RENEWALS] += read.renewals
        if read.renewals:
            state.repeated = (None, 0)  # read from the position again, where the same page is right
        losses = self._losses(frontier, read, frontier.shards[shard], state)
        empty = not read.page.records and not read.page.malformed and read.page.last_number is None
        if empty and read.hint is not None and not losses:
            return self._empty_page(frontier, read, state, read.hint, now)
        if empty and read.page.behind == 0 and read.hint is not None:  # the claim says that all is read up to now;
            # the end of a shard says nothing of the kind, because its children may have older records
            self._watermarks[shard] = int((read.asked - self.rules.slack) * MICROS)
        delivery = deliver(frontier, read, self.rules)
        self._hints.pop(shard, None)
        reading = delivery.frontier.shards.get(shard)
        if reading is not None and not reading.ended:
            if reading.position == read.request.position:
                _check_repeats(frontier.stream_arn, read, state)
            entries = len(read.page.records) + len(read.page.malformed)
            full = entries >= self.schedule.pace.page or read.page.is_full
            lagging = delivery.newest is not None and read.asked - delivery.newest > self.schedule.pace.behind
            state.position, state.hint, state.quiet, state.wait = reading.position, reading.hint, NOT_QUIET, 0.0
            (self.schedule.at_once if full or lagging else self.schedule.soon)(shard, now)
        return Claim(
            delivery.frontier,
            shard=shard,
            records=delivery.records,
            malformed=delivery.malformed,
            losses=losses,
            ended=shard if delivery.ended or delivery.finished else "",
            lag=None if delivery.newest is None else max(0.0, read.asked - delivery.newest),
            page_bytes=len(read.page.body),
            touched=delivery.touched,
        )

    def gone(self, frontier: Frontier, shard: str) -> Claim:
        """Return the claim that ends a shard that no longer exists in the service."""
        reading = frontier.shards[shard]
        loss = shard_gone(frontier.stream_arn, shard, reading, now=self.service_time(), retention=self.retention)
        self.tally[metrics.SHARDS_LOST] += loss is not None
        return Claim(frontier.end(shard), losses=[loss] if loss else [], ended=shard)

    def _losses(self, frontier: Frontier, read: PageRead, reading: Reading, state: Remembered) -> list[Loss]:
        """Return the losses before the page that the page proves. The loss at a position is reported once."""
        stream, shard = frontier.stream_arn, read.request.shard
        retention = self.retention if read.retention is None else read.retention
        loss = None
        watermark = max(reading.watermark, self._watermarks.get(shard, EARLIEST))
        was_read = self.trims_by_age_alone and watermark > (read.asked - retention) * MICROS
        nothing_left = read.page.unproven and read.page.behind == 0
        if read.trimmed is False and was_read:
            state.trim_reported = read.request.position  # only the position is gone: nothing unread was that old
        elif read.trimmed is not None and state.trim_reported != read.request.position:
            loss = records_trimmed(stream, shard, reading, certain=read.trimmed, retention=retention)
            state.trim_reported = read.request.position
        elif nothing_left and not was_read and state.trim_reported != read.request.position:
            # Of the position, or of what came after it, nothing is left: all of it is older than the retention.
            loss = records_trimmed(stream, shard, reading, certain=False, retention=retention)
            state.trim_reported = read.request.position
        elif state.trim_reported is None:
            loss = waited_too_long(stream, shard, reading, asked=read.asked, retention=retention)
            state.trim_reported = None if loss is None else read.request.position
        return [] if loss is None else [loss]

    def _empty_page(
        self, frontier: Frontier, read: PageRead, state: Remembered, hint: Hint, now: float
    ) -> Claim | None:
        shard = read.request.shard
        self.tally[metrics.EMPTY_PAGES] += 1
        stopping = self.rules.past_stop(read.asked)
        if stopping and not self.rules.past_stop(state.quiet.first):
            state.quiet = NOT_QUIET  # pages requested before the stop prove nothing about what was written after them
        state.quiet = state.quiet.empty_page(read.asked)
        state.hint = self._hints[shard] = hint
        behind = read.page.behind
        written = None if not stopping or self.rules.stop is None else self.rules.stop + 1.0
        if behind or (behind is None and not state.quiet.proves(self.rules.quiet, written=written)):
            self.schedule.soon(shard, now)
            return None
        if stopping:
            return Claim(frontier.finish(shard, second=int(read.asked)), ended=shard)
        self._watermarks[shard] = int((read.asked - self.rules.slack) * MICROS)
        self.schedule.seldom(shard, now)
        return None


def _check_repeats(stream_arn: str, read: PageRead, state: Remembered) -> None:
    """Raise if a page that moves nothing is the same again and again: it would be for ever.

    Such a page is from before a start moment, or has malformed entries without a number alone. Only pages that follow
    each other count: a new iterator, also one that first returned an empty page, may return them again (trap 9).
    """
    page = read.page
    if not page.records and not page.malformed:
        return
    brought = [entry.sequence_number for entry in page.records], [entry.payload for entry in page.malformed]
    before, times = state.repeated
    state.repeated = (brought, times + 1 if brought == before else 1)
    if state.repeated[1] >= MOST_REPEATS:
        numbers = brought[0] or ["none"]
        raise ServiceError(
            f"GetRecords returned the same page {MOST_REPEATS} times in a row, with new iterators ({len(brought[0])} "
            f"records with sequence numbers {numbers[0]} to {numbers[-1]}, {len(brought[1])} malformed): the endpoint "
            "repeats it for ever. Check the endpoint",
            stream=stream_arn or None,
            shard=read.request.shard,
            position=str(read.request.position),
        )
