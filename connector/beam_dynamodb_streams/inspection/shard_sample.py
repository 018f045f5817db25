"""A sample of a shard: a few of its pages.

These reads are billed, and take one of the two readers that a shard may have while they last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Final

from beam_dynamodb_streams.errors import DelayError
from beam_dynamodb_streams.reader.requests import Delayed, Failed, PageRead, Read
from beam_dynamodb_streams.reader.stream import Entry
from beam_dynamodb_streams.reader.stream_caller import StreamCaller
from beam_dynamodb_streams.shards.frontier import Hint
from beam_dynamodb_streams.shards.position import TRIM_HORIZON, AtTime, Position

PAGE: Final = 100
"""How many records to request for a page."""

_QUIET_PAGES: Final = 8
_LOOK_BACK: Final = (60, 600, 3600, 4 * 3600)
"""Where the last record of a shard is looked for, in seconds before its end, one after the other."""


@dataclass(frozen=True, slots=True)
class ShardSample:
    """The creation times of a shard's first and last records, from a few of its pages.

    Attributes:
        records: how many records were read.
        first: when the oldest record was created; None if no record was found.
        last: when the newest record was created, or one that is at most as far from it as the search looked back.
        failure: the error of a call that did not succeed, so that the sample is not whole; None without one.
    """

    records: int
    first: datetime | None = None
    last: datetime | None = None
    failure: str | None = None


def sample_shard(caller: StreamCaller, shard: str, end: float) -> ShardSample:
    """Return a sample of the shard, which ended at `end`, in seconds since the epoch, or is open until then."""
    try:
        return _sample(caller, shard, end)
    except DelayError as error:
        return ShardSample(0, failure=str(error))


def _sample(caller: StreamCaller, shard: str, end: float) -> ShardSample:
    oldest = first_records(caller, shard, TRIM_HORIZON)
    if not oldest:
        return ShardSample(0)
    first, newest = oldest[0], oldest
    for back in _LOOK_BACK:
        if end - back <= oldest[-1].creation_time:
            break
        if found := first_records(caller, shard, AtTime(int(end - back))):
            newest = found
            break
    read = len(oldest) + (len(newest) if newest is not oldest else 0)
    return ShardSample(read, creation_time(first), creation_time(newest[-1]))


def first_records(caller: StreamCaller, shard: str, position: Position) -> Sequence[Entry] | None:
    """Return the first page from `position` on that has records.

    Returns:
        The records, empty if there are none; None if the shard is gone, since an overview does without it.

    Raises:
        DelayError: The shard is throttled, or its answers fail, after all retries.
    """
    hint: Hint | None = None
    for _ in range(_QUIET_PAGES):  # an empty page proves nothing (trap 5)
        match caller.perform(Read(shard, position, hint)):
            case Failed(_, error) | Delayed(_, error):
                raise error
            case PageRead() as page if page.records or page.hint is None:
                return page.records
            case PageRead() as page:
                hint = page.hint
            case _:
                return None
    return []


def creation_time(record: Entry) -> datetime:
    return datetime.fromtimestamp(record.creation_time, timezone.utc)
