"""Pages of records as consumers get them, and the cache that they share. Pure, but for the cache's lock."""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from beam_dynamodb_streams.kinesis.cursor import After, At, Position
from beam_dynamodb_streams.kinesis.record_data import Records

#: How many bytes of Data the pages in the cache may have. A page that was written as CBOR has as many bytes again.
CACHE_BYTES: Final = 64 * 1024 * 1024

#: How long a page may be the answer to "the oldest record" and "the first one since", in seconds. The horizon moves.
START_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Page:
    """The records of one shard from one position on, without a gap.

    Attributes:
      start: the position that the page was read from.
      records: at least one.
      read_at: when it was read.
      in_order: whether the numbers rise, so that a position inside the page can be found.
    """

    start: Position
    records: Records
    read_at: float
    in_order: bool
    _integers: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, start: Position, records: Records, read_at: float) -> Page:
        return cls(start, records, read_at, _rise(records.numbers))

    @property
    def integers(self) -> list[int]:
        """The sequence numbers. Most pages are read from their beginning to their end, and need no integers."""
        if not self._integers:
            self._integers[:] = map(int, self.records.numbers)
        return self._integers

    @property
    def size(self) -> int:
        return sum(map(len, self.records.data))

    def index(self, position: Position, now: float) -> int | None:
        """Return the index of the first record at `position`; None if the page does not have what comes first there."""
        if position == self.start:
            fixed = isinstance(position, After | At)
            return 0 if fixed or now - self.read_at < START_SECONDS else None
        if not self.in_order:
            return None
        numbers = self.records.numbers
        match position:
            case At(number) if int(numbers[0]) <= number <= int(numbers[-1]):
                return bisect_left(self.integers, number)
            case After(number) if int(numbers[0]) <= number < int(numbers[-1]):
                return bisect_right(self.integers, number)
        return None

    def following(self, end: int) -> After:
        """Return the position behind the first `end` records (trap 4: the largest number and not the last one)."""
        return After(int(self.records.numbers[end - 1]) if self.in_order else max(self.integers[:end]))


def _rise(numbers: list[str]) -> bool:
    """Return whether sequence numbers rise (trap 4). Texts of one length compare as their numbers do, and faster."""
    if len(set(map(len, numbers))) > 1:
        integers = list(map(int, numbers))
        return integers == sorted(integers)
    return numbers == sorted(numbers)


class PageCache:
    """Pages that were read lately, so that two consumers of a shard are one reader. Thread-safe.

    DynamoDB allows two readers of a shard. More of them are throttled.
    """

    def __init__(self, most_bytes: int = CACHE_BYTES) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._pages: OrderedDict[tuple[str, Position], Page] = OrderedDict()
        self._by_shard: dict[str, list[Page]] = {}
        self._lock = threading.Lock()

    def find(self, shard: str, position: Position, now: float) -> tuple[Page, int] | None:
        """Return a page that has the record at `position`, and its index; None if there is none."""
        with self._lock:
            for page in reversed(self._by_shard.get(shard, ())):
                if (index := page.index(position, now)) is not None:
                    self._pages.move_to_end((shard, page.start))
                    return page, index
        return None

    def add(self, shard: str, page: Page) -> None:
        with self._lock:
            self._drop(shard, page.start)
            self._pages[shard, page.start] = page
            self._by_shard.setdefault(shard, []).append(page)
            self._bytes += page.size
            while self._bytes > self._most_bytes and len(self._pages) > 1:
                self._drop(*next(iter(self._pages)))

    def _drop(self, shard: str, start: Position) -> None:
        page = self._pages.pop((shard, start), None)
        if page is not None:
            self._by_shard[shard].remove(page)
            if not self._by_shard[shard]:
                del self._by_shard[shard]
            self._bytes -= page.size
