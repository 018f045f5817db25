"""What is in a shard, from a few of its pages: billed, and one of its two readers while it lasts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from beam_dynamodb_streams.reader.requests import Failed, PageRead, Read, StreamCaller
from beam_dynamodb_streams.shards.frontier import Hint
from beam_dynamodb_streams.shards.position import TRIM_HORIZON, AtTime, Position
from beam_dynamodb_streams.wire import RawRecord

PAGE: Final = 100
"""The records that a page is asked for."""

_QUIET_PAGES: Final = 8
_LOOK_BACK: Final = (60, 600, 3600, 4 * 3600)
"""How many seconds before its end a shard is looked at for its last record, one after the other."""


@dataclass(frozen=True, slots=True)
class Sampled:
    """``records`` were read of the shard; ``first`` is the creation time of its oldest, ``last`` of its newest record,
    or of one that is at most as far from it as the look back reached. None where none was found."""

    records: int
    first: datetime | None = None
    last: datetime | None = None


def sampled(caller: StreamCaller, shard: str, end: float) -> Sampled:
    oldest = records_from(caller, shard, TRIM_HORIZON)
    if not oldest:
        return Sampled(0)
    first, newest = oldest[0], oldest
    for back in _LOOK_BACK:
        if end - back <= oldest[-1].dynamodb.ApproximateCreationDateTime:
            break
        if found := records_from(caller, shard, AtTime(int(end - back))):
            newest = found
            break
    read = len(oldest) + (len(newest) if newest is not oldest else 0)
    return Sampled(read, created_at(first), created_at(newest[-1]))


def records_from(caller: StreamCaller, shard: str, position: Position) -> list[RawRecord] | None:
    """The first page that brings any; None if it is throttled or gone, since a glance goes on without."""
    hint: Hint | None = None
    for _ in range(_QUIET_PAGES):  # an empty page proves nothing (fact 5)
        match caller.perform(Read(shard, position, hint)):
            case Failed(_, error):
                raise error
            case PageRead() as page if page.records or page.hint is None:
                return page.records
            case PageRead() as page:
                hint = page.hint
            case _:
                return None
    return []


def created_at(record: RawRecord) -> datetime:
    return datetime.fromtimestamp(record.dynamodb.ApproximateCreationDateTime, UTC)
