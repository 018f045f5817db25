"""What a page changes: which of its records are delivered, and the frontier after them. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from beam_dynamodb_streams.reader.requests import PageRead
from beam_dynamodb_streams.reader.stream import Entry, Malformed
from beam_dynamodb_streams.shards.frontier import EARLIEST, Frontier
from beam_dynamodb_streams.shards.loss import MICROS
from beam_dynamodb_streams.shards.position import After, AtTime, Position, is_at_or_past
from beam_dynamodb_streams.shards.quiet import QuietRule
from beam_dynamodb_streams.shards.start_stop import AHEAD_SECONDS

#: Returns the entries of a shard's page that are delivered, in order, and those that turned out to be malformed. A
#: filter knows what its stream's entries are; the reader does not.
EntryFilter = Callable[[Sequence[Any], str], tuple[Sequence[Entry], Sequence[Malformed]]]


def pass_all(entries: Sequence[Entry], shard: str) -> tuple[Sequence[Entry], Sequence[Malformed]]:  # noqa: ARG001
    """Return all entries."""
    return entries, []


@dataclass(frozen=True, slots=True)
class Rules:
    """What a read delivers, and when it counts as caught up.

    Attributes:
        stop: The last second to deliver, inclusive; None for a read without such an end.
        slack: How far creation times may be out of order inside a shard (trap 19), in seconds.
        quiet: When empty pages prove that a shard is caught up.
        filter: Which changes are delivered. A change that it leaves out counts as read.
        gapless: Whether a shard ends at its first change past the stop. Then the delivered changes have no gap, and the
            next read can resume after the last one.
    """

    stop: int | None = None
    slack: float = 5.0
    quiet: QuietRule = QuietRule()
    filter: EntryFilter = pass_all
    gapless: bool = False

    def past_stop(self, moment: float) -> bool:
        """Return whether, at `moment`, every change up to the stop was written and visible.

        This is so once the second of the stop and the slack have passed.
        """
        return self.stop is not None and moment > self.stop + 1 + self.slack

    def since_stop(self, moment: float) -> float:
        """Return how many seconds before `moment` the last second to deliver was over."""
        return moment if self.stop is None else moment - (self.stop + 1)


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a page delivers, and the frontier after it.

    `newest` is the largest creation time, in seconds; `touched` are the records before the filter.
    """

    frontier: Frontier
    records: Sequence[Entry]
    malformed: Sequence[Malformed] = field(default_factory=list)
    newest: float | None = None
    ended: bool = False
    finished: bool = False
    touched: Sequence[Entry] = ()


def deliver(frontier: Frontier, read: PageRead, rules: Rules) -> Delivery:
    """Return what a page delivers, with its shard moved to the end of the page, or to the stop inside the page.

    Records past the stop are skipped. The shard is finished by a record that is later than the stop by more than the
    slack, because until then an earlier one may follow. With `Rules.gapless` the first record past the stop finishes
    it. A record that is dated more than an hour ahead proves nothing about the records after it. It is delivered, also
    with a stop: it was written by now, and the read that its date belongs to may come when it is trimmed.
    """
    shard = read.request.shard
    latest = read.asked + AHEAD_SECONDS
    times = [entry.creation_time for entry in read.records]
    largest = max(times, default=None)
    newest = (
        largest if largest is None or largest <= latest else max((at for at in times if at <= latest), default=None)
    )
    cut_off = False
    records, malformed = read.records, read.page.malformed
    if rules.gapless and rules.stop is not None and newest is not None and newest >= rules.stop + 1:
        cut_off = True
        records, malformed = _before_the_stop(read, rules.stop, latest)
    last = None if cut_off else read.page.last_number
    position = _last(read.request.position, records, malformed, last)
    if read.records and newest is None and isinstance(read.request.position, AtTime):
        position = None  # records from the future alone: those from the start moment on are still to come
    if rules.stop is not None and largest is not None and largest >= (end := rules.stop + 1):
        records = [record for record in records if (created := record.creation_time) < end or created > latest]
    touched = records
    records, undecodable = rules.filter(records, shard)
    malformed = [*malformed, *undecodable]
    if frontier.remaining is not None and len(records) >= frontier.remaining:
        records = records[: frontier.remaining]
        position = After(records[-1].sequence_number)
        malformed = _before(records[-1], malformed, read)
    watermark = EARLIEST if newest is None else int((newest - rules.slack) * MICROS)
    before = frontier.shards[shard].position
    moved = frontier.advance(
        shard,
        before if position is None or not is_at_or_past(position, before) else position,
        watermark=watermark,
        hint=read.hint,
        records=len(records),
    )
    if moved.remaining == 0:
        return Delivery(moved.close(), records, malformed, newest, touched=touched)
    if cut_off or (rules.stop is not None and newest is not None and newest > rules.stop + rules.slack):
        finished = moved.finish(shard, second=int(read.asked))
        return Delivery(finished, records, malformed, newest, finished=True, touched=touched)
    if read.hint is None:  # the last page may have records and no next iterator (trap 1)
        return Delivery(moved.end(shard), records, malformed, newest, ended=True, touched=touched)
    return Delivery(moved, records, malformed, newest, touched=touched)


def _before_the_stop(read: PageRead, stop: int, latest: float) -> tuple[Sequence[Entry], Sequence[Malformed]]:
    """Return the entries before the first record past the stop.

    One dated later than `latest` does not count as past it.
    """
    first = next(n for n, entry in enumerate(read.records) if stop + 1 <= entry.creation_time <= latest)
    return read.records[:first], _before(read.records[first], read.page.malformed, read)


def _before(entry: Entry, malformed: Sequence[Malformed], read: PageRead) -> list[Malformed]:
    """Return the malformed entries before an entry of the page. The next read reports those after it.

    An entry without a sequence number is found by its index in the page, which counts malformed entries too.
    """
    taken = {other.index for other in read.page.malformed}
    places = (place for place in count() if place not in taken)
    place = next(place for place, other in zip(places, read.page.records, strict=False) if other is entry)
    number = int(entry.sequence_number)
    return [
        other
        for other in malformed
        if (other.index < place if other.sequence_number is None else int(other.sequence_number) < number)
    ]


def _last(
    position: Position, records: Sequence[Entry], malformed: Sequence[Malformed], last: str | None
) -> Position | None:
    """Return the position after the page that was read from `position`; None if the page has no sequence number.

    `last` is the number of the page's last entry, if the page leaves entries out.

    A page whose records are all before the start moment moves nothing. The position is the largest number, whatever
    the order of the page.
    """
    numbers = [entry.sequence_number for entry in malformed if entry.sequence_number is not None]
    if records:
        numbers += [entry.sequence_number for entry in records]
    elif isinstance(position, AtTime):
        return None
    if last is not None:
        numbers.append(last)
    return After(_largest(numbers)) if numbers else None


def _largest(numbers: list[str]) -> str:
    """Return the largest number. Texts of one length compare as numbers do, in a tenth of the time."""
    same_length = len(min(numbers, key=len)) == len(max(numbers, key=len))
    return max(numbers) if same_length else max(numbers, key=int)
