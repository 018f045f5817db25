"""What a page moves: which of its records are delivered, and where the frontier stands after them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count

from beam_dynamodb_streams.reader.filter import ALL, Selection
from beam_dynamodb_streams.reader.requests import PageRead
from beam_dynamodb_streams.shards.frontier import EARLIEST, Frontier, Reading
from beam_dynamodb_streams.shards.loss import Loss
from beam_dynamodb_streams.shards.position import TRIM_HORIZON, After, AtTime, Horizon, Position
from beam_dynamodb_streams.shards.quiet import QuietRule
from beam_dynamodb_streams.wire import MalformedEntry, RawRecord

MICROS = 1_000_000
RETENTION_SECONDS = 24 * 3600

#: No clock is that far ahead: a record created so long after it was read would end its shard, or hold all others late.
AHEAD_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Rules:
    """What a read is asked for. ``stop``: the last second to deliver, inclusive; ``slack``: how far creation times may
    be out of order inside a shard (fact 19), in seconds; ``quiet``: when empty pages are believed; ``selection``: which
    changes are delivered at all. ``gapless``: a shard ends at its first change past the stop, so that what is delivered
    of it has no gap, and the next read may go on after the last."""

    stop: int | None = None
    slack: float = 5.0
    quiet: QuietRule = QuietRule()
    selection: Selection = ALL
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
    records, undecodable = rules.selection.of(records, shard)
    malformed = [*malformed, *undecodable]
    if frontier.remaining is not None and len(records) >= frontier.remaining:
        records = records[: frontier.remaining]
        position = After(records[-1].dynamodb.SequenceNumber)
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
    number = int(record.dynamodb.SequenceNumber)
    return [
        entry
        for entry in malformed
        if (entry.index < place if entry.sequence_number is None else int(entry.sequence_number) < number)
    ]


def _created(record: RawRecord) -> float:
    return record.dynamodb.ApproximateCreationDateTime


def _last(read: PageRead) -> Position | None:
    """The position after the page; None if it names none. A page still before its start moment moves nothing."""
    numbers = [entry.sequence_number for entry in read.page.malformed if entry.sequence_number is not None]
    if read.records:
        numbers.append(read.records[-1].dynamodb.SequenceNumber)
    elif isinstance(read.request.position, AtTime):
        return None
    return After(max(numbers, key=int)) if numbers else None


def trimmed(stream_arn: str, shard: str, reading: Reading, *, certain: bool) -> Loss | None:
    """The shard goes on at the horizon: what lay between is gone (fact 10). None for a root that was to be read from
    the horizon and never was: the horizon moved, and the promise is what the service still has."""
    if isinstance(reading.position, Horizon) and reading.watermark == EARLIEST:
        return None
    return Loss(
        stream_arn,
        shard,
        str(reading.position),
        str(TRIM_HORIZON),
        _since(reading),
        certain,
        "records older than 24 hours were trimmed before they were read; read more often, or from more workers",
    )


def outlived(stream_arn: str, read: PageRead, reading: Reading) -> Loss | None:
    """A shard that was known, and not begun, for longer than the service keeps records (fact 13): its oldest are gone
    without a word, since the horizon and a moment are positions that are always served."""
    unread = isinstance(reading.position, Horizon | AtTime) and reading.watermark != EARLIEST
    if unread and reading.watermark < (read.asked - RETENTION_SECONDS) * MICROS:
        return trimmed(stream_arn, read.request.shard, reading, certain=False)
    return None


def vanished(stream_arn: str, shard: str, reading: Reading, *, now: float, promised: bool = False) -> Loss | None:
    """The service no longer knows the shard (fact 11); None if it cannot have held anything that was asked for.

    A shard is gone once all its records are older than 24 hours, so a start moment younger than that lost nothing; nor
    did a root that was to be read from the horizon and never was: the promise is what the service still has, unless an
    earlier run ``promised`` it.
    """
    if isinstance(reading.position, AtTime) and reading.position.second > now - RETENTION_SECONDS:
        return None
    if isinstance(reading.position, Horizon) and reading.watermark == EARLIEST and not promised:
        return None
    return Loss(
        stream_arn,
        shard,
        str(reading.position),
        "its children",
        _since(reading),
        False,
        "the shard is gone: its records were trimmed, or the stream was deleted, before it was read to its end",
    )


def generation_missed(stream_arn: str, shard: str, reading: Reading) -> Loss:
    """The shard was read to its end, but its children came and went unseen (fact 13)."""
    return Loss(
        stream_arn,
        shard,
        str(reading.position),
        "the oldest shards that are left",
        _since(reading),
        False,
        "its children were trimmed before any listing showed them; the read was away for more than 24 hours",
    )


def _since(reading: Reading) -> datetime | None:
    if reading.watermark == EARLIEST:
        return None
    return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=reading.watermark)
