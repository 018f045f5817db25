"""A sample of a shard: a few of its pages.

Of a table's stream, these reads are billed, and take one of the two readers that a shard may have while they last. Of a
Kinesis data stream, they take a part of the calls that all readers of a shard share.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Final

from beam_dynamodb_streams.errors import DelayError
from beam_dynamodb_streams.reader.requests import Delayed, Failed, PageRead, Read
from beam_dynamodb_streams.reader.stream import Entry, Stream
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


@dataclass(frozen=True, slots=True)
class FoundRecords:
    """The first page with records from a position on.

    Attributes:
        records: its records; empty if none were found.
        behind: how many seconds the first page that was read is behind the shard's newest record; None if the service
            does not say.
        trimmed: whether the position was trimmed, so that the shard was read from its oldest record.
    """

    records: Sequence[Entry]
    behind: float | None = None
    trimmed: bool = False

    @property
    def caught_up(self) -> bool:
        """Whether there is no record, as far as the service says."""
        return not self.records and not self.behind


class ShardSampler:
    """Reads some pages of the shards of a stream. Thread-safe, as long as each shard is read by one thread at a time.

    Args:
        stream: what is read.
        clock: returns seconds whose differences are durations.
        sleep: waits for seconds.
    """

    def __init__(
        self,
        stream: Stream,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._caller = StreamCaller(stream)
        self._traits = stream.traits
        self._clock = clock
        self._sleep = sleep
        self._due: dict[str, float] = {}

    def sample(self, shard: str, end: float) -> ShardSample:
        """Return a sample of the shard, which ended at `end`, in seconds since the epoch, or is open until then."""
        try:
            return self._sample(shard, end)
        except DelayError as error:
            return ShardSample(0, failure=str(error))

    def _sample(self, shard: str, end: float) -> ShardSample:
        found = self.first_records(shard, TRIM_HORIZON)
        if found is None or not found.records:
            return ShardSample(0)
        oldest = newest = found.records
        for back in self._look_back():
            if end - back <= oldest[-1].creation_time:
                break
            if (found := self.first_records(shard, AtTime(int(end - back)))) and found.records:
                newest = found.records
                break
        read = len(oldest) + (len(newest) if newest is not oldest else 0)
        return ShardSample(read, creation_time(oldest[0]), creation_time(newest[-1]))

    def _look_back(self) -> Iterator[float]:
        yield from _LOOK_BACK
        back = 24 * 3600
        while back < self._traits.retention_seconds:
            yield back
            back *= 4

    def first_records(self, shard: str, position: Position) -> FoundRecords | None:
        """Return the first page from `position` on that has records.

        Returns:
            The page; None if the shard is gone, since an overview does without it.

        Raises:
            DelayError: The shard is throttled, or its answers fail, after all retries.
        """
        hint: Hint | None = None
        first: PageRead | None = None
        for _ in range(_QUIET_PAGES):  # an empty page proves nothing (trap 5)
            self._wait(shard)
            match self._caller.perform(Read(shard, position, hint)):
                case Failed(_, error) | Delayed(_, error):
                    raise error
                case PageRead() as page:
                    first = first or page
                    if page.records or page.hint is None or page.page.behind == 0:
                        return FoundRecords(page.records, first.page.behind, first.trimmed is not None)
                    hint = page.hint
                case _:
                    return None
        return FoundRecords([], *(() if first is None else (first.page.behind, first.trimmed is not None)))

    def _wait(self, shard: str) -> None:
        now = self._clock()
        if (due := self._due.get(shard, now)) > now:
            self._sleep(due - now)
        self._due[shard] = max(due, now) + self._traits.least_seconds


def creation_time(record: Entry) -> datetime:
    return datetime.fromtimestamp(record.creation_time, timezone.utc)
