"""What a page moves: which of its records are delivered, and where the frontier stands after them. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import count

from beam_dynamodb_streams.reader.requests import PageRead
from beam_dynamodb_streams.shards.frontier import EARLIEST, Frontier
from beam_dynamodb_streams.shards.loss import MICROS
from beam_dynamodb_streams.shards.position import After, AtTime, Position
from beam_dynamodb_streams.shards.quiet import QuietRule
from beam_dynamodb_streams.wire import MalformedEntry, RawRecord

#: No clock is that far ahead: a record created so long after it was read would end its shard, or hold all others late.
AHEAD_SECONDS = 3600


#: Returns the entries of a shard's page that are delivered, in order, and those that turned out to be malformed.
EntryFilter = Callable[[list[RawRecord], str], tuple[list[RawRecord], list[MalformedEntry]]]


def pass_all(entries: list[RawRecord], shard: str) -> tuple[list[RawRecord], list[MalformedEntry]]:  # noqa: ARG001
    """Return all entries."""
    return entries, []


@dataclass(frozen=True, slots=True)
class Rules:
    """What a read is asked for. ``stop``: the last second to deliver, inclusive; ``slack``: how far creation times may
    be out of order inside a shard (fact 19), in seconds; ``quiet``: when empty pages are believed; ``selection``: which
    changes are delivered at all. ``gapless``: a shard ends at its first change past the stop, so that what is delivered
    of it has no gap, and the next read may go on after the last."""

    stop: int | None = None
    slack: float = 5.0
    quiet: QuietRule = QuietRule()
    filter: EntryFilter = pass_all
    gapless: bool = False

    def past_stop(self, moment: float) -> bool:
        """Whether, at ``moment``, whatever belongs before the stop was written and visible: the stop's own second is
        over, and the slack too."""
        return self.stop is not None and moment > self.stop + 1 + self.slack


@dataclass(frozen=True, slots=True)
class Delivery:
    """The page's share: ``records`` in order, ``newest`` the largest creation time seen (seconds) or None."""

    frontier: Frontier
    records: list[RawRecord]
    malformed: list[MalformedEntry] = field(default_factory=list)
    newest: float | None = None
    ended: bool = False
    finished: bool = False


def deliver(frontier: Frontier, read: PageRead, rules: Rules) -> Delivery:
    """Moves the shard of ``read`` to the end of its page, or to the stop inside it.

    Records past the stop are passed over; the shard is finished once one is later than the stop by more than the
    slack, since an earlier one may still follow it until then; at once where the rules want no gap. A record from the
    future is delivered as it is, but says nothing of what follows it.
    """
    shard = read.request.shard
    latest = read.asked + AHEAD_SECONDS
    newest = max((created for record in read.records if (created := _created(record)) <= latest), default=None)
    cut_off = False
    if rules.gapless and rules.stop is not None and newest is not None and newest >= rules.stop + 1:
        cut_off = True
        read = _before_the_stop(read, rules)
    records, malformed = read.records, read.page.malformed
    position = _last(read)
    if rules.stop is not None:
        records = [record for record in records if _created(record) < rules.stop + 1]
    records, undecodable = rules.filter(records, shard)
    malformed = [*malformed, *undecodable]
    if frontier.remaining is not None and len(records) >= frontier.remaining:
        records = records[: frontier.remaining]
        position = After(records[-1].sequence_number)
        malformed = _before(records[-1], malformed, read)
    watermark = EARLIEST if newest is None else int((newest - rules.slack) * MICROS)
    moved = frontier.advance(
        shard,
        frontier.shards[shard].position if position is None else position,
        watermark=watermark,
        hint=read.hint,
        records=len(records),
    )
    if moved.remaining == 0:
        return Delivery(moved.close(), records, malformed, newest)
    if cut_off or (rules.stop is not None and newest is not None and newest > rules.stop + rules.slack):
        return Delivery(moved.finish(shard, second=int(read.asked)), records, malformed, newest, finished=True)
    if read.hint is None:  # the last page may bring records and no next iterator (fact 1)
        return Delivery(moved.end(shard), records, malformed, newest, ended=True)
    return Delivery(moved, records, malformed, newest)


def _before_the_stop(read: PageRead, rules: Rules) -> PageRead:
    """The page up to its first record past the stop."""
    first = next(n for n, r in enumerate(read.records) if rules.stop is not None and _created(r) >= rules.stop + 1)
    malformed = _before(read.records[first], read.page.malformed, read)
    return replace(read, records=read.records[:first], page=replace(read.page, malformed=malformed))


def _before(record: RawRecord, malformed: Sequence[MalformedEntry], read: PageRead) -> list[MalformedEntry]:
    """Those that stand before a record of the page: what follows it is the next read's to tell of. One without a number
    of its own is found by its place, which counts the malformed ones too."""
    taken = {entry.index for entry in read.page.malformed}
    places = (place for place in count() if place not in taken)
    place = next(place for place, other in zip(places, read.page.records, strict=False) if other is record)
    number = int(record.sequence_number)
    return [
        entry
        for entry in malformed
        if (entry.index < place if entry.sequence_number is None else int(entry.sequence_number) < number)
    ]


def _created(record: RawRecord) -> float:
    return record.creation_time


def _last(read: PageRead) -> Position | None:
    """The position after the page; None if it names none. A page still before its start moment moves nothing."""
    numbers = [entry.sequence_number for entry in read.page.malformed if entry.sequence_number is not None]
    if read.records:
        numbers.append(read.records[-1].sequence_number)
    elif isinstance(read.request.position, AtTime):
        return None
    return After(max(numbers, key=int)) if numbers else None
