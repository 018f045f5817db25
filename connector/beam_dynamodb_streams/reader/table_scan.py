"""Joins the scan of a table with the changes of its stream, so that no key ever goes back in time. No I/O.

Never drop a change because of a row; drop a row because of a change:

1. Pages are read consistently, so a row holds every write that was completed before its page was requested. That is
   every change that was delivered before.
2. A row is dropped if a change of its key is delivered between the request for its page and the release of the page.
   That change, or one after it, is the newer state.
3. A page is released once the watermark has passed the moment of its answer. Every write that a row can hold was
   completed before that moment, so its change has been delivered by then, and case 2 has dropped the row.

So the row that is released holds exactly what the changes of its key that were delivered before have left, and every
later change is newer. An upsert in the order of delivery is therefore right at any time.

The pages of a segment are released in order, since the frontier keeps one place for each segment. A page that is not
released is in no frontier: after a restore it is requested again.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from math import inf
from typing import Final

from beam_dynamodb_streams import metrics
from beam_dynamodb_streams.errors import ServiceError
from beam_dynamodb_streams.reader.items import ItemKey, ItemTable, Row
from beam_dynamodb_streams.reader.page import EntryFilter, pass_all
from beam_dynamodb_streams.reader.read_budget import ReadBudget
from beam_dynamodb_streams.reader.requests import PageScanned, Scan
from beam_dynamodb_streams.reader.stream import Entry
from beam_dynamodb_streams.shards.loss import MICROS
from beam_dynamodb_streams.shards.segments import TableScan

#: Pages in memory at most, of at most 1 MB each: those that were requested and are not released yet.
MOST_PAGES: Final = 64
#: Segments that are read at once, and pages in flight at once. A segment has one page in flight at most.
MOST_OPEN: Final = 8
IN_FLIGHT: Final = 4

#: How far the watermark must be past the answer, besides the slack: creation times are floored to the second, and the
#: service's clock is known to be at most a second ahead of what its answers say.
RELEASE_SECONDS: Final = 2.0

#: How soon to look again whether a page can be released.
LOOK_SECONDS: Final = 0.1


@dataclass(slots=True)
class _Page:
    """A page that waits for its release, without the rows that were dropped so far."""

    last: bytes | None
    answered: float
    rows: dict[ItemKey, Row]
    replaced: int


@dataclass(frozen=True, slots=True)
class Released:
    """A page that is delivered: its segment, the key after which the next page begins, and its rows."""

    segment: int
    last: bytes | None
    rows: list[Row]
    replaced: int


@dataclass(slots=True)
class TableScanner:
    """The pages of one scan that were requested and not delivered yet.

    Args:
        table: What is scanned.
        budget: What the scan may consume.
        slack: How far creation times may be out of order, in seconds.
        tally: Counts what happens, by the names of `metrics`.
        filter: Which rows are delivered.
    """

    table: ItemTable
    budget: ReadBudget = field(default_factory=ReadBudget)
    slack: float = 5.0
    tally: Counter[str] = field(default_factory=Counter)
    filter: EntryFilter = pass_all
    _scan: TableScan | None = None
    _attempt: int = 0  # the answers of earlier ones are not wanted any more
    _next: dict[int, bytes] = field(default_factory=dict)  # segments without a page in flight, and where they continue
    _to_begin: int = 0
    _in_flight: dict[int, tuple[float, set[ItemKey]]] = field(default_factory=dict)  # price, and what was touched since
    _pages: dict[int, deque[_Page]] = field(default_factory=dict)
    _paused_until: float = 0.0
    _failures: int = 0

    def resume(self, scan: TableScan | None) -> None:
        """Begin at the places of a frontier, and drop all pages."""
        self._scan = scan
        self._attempt += 1
        self._next = dict(scan.places) if scan else {}
        self._to_begin = scan.begun if scan else 0
        for expected, _ in self._in_flight.values():
            self.budget.failed(expected)
        self._in_flight, self._pages = {}, {}

    @property
    def waiting(self) -> bool:
        """Whether a page waits for its release."""
        return bool(self._pages)

    def ask(self, now: float, free: int, submit: Callable[[Scan], None]) -> float:
        """Request the pages that are due, at most `free` of them. Return when the next one is."""
        scan = self._scan
        if scan is None:
            return inf
        while free and len(self._in_flight) < IN_FLIGHT and self._unreleased < MOST_PAGES:
            segment = self._choose(scan)
            if segment is None:
                return inf
            due = max(self.budget.due(now), self._paused_until)
            if due > now:
                return due
            place = self._next.pop(segment, b"")
            self._to_begin = max(self._to_begin, segment + 1)
            self._in_flight[segment] = (self.budget.requested(), set())
            submit(Scan(segment, scan.total, place, self.budget.limit(), self._attempt))
            free -= 1
        return inf

    @property
    def _unreleased(self) -> int:
        return len(self._in_flight) + sum(map(len, self._pages.values()))

    def _choose(self, scan: TableScan) -> int | None:
        """Return the segment that waited longest, or a new one while few are open."""
        fresh = self._to_begin < scan.total and len(self._next) + len(self._in_flight) < MOST_OPEN
        return self._to_begin if fresh else next(iter(self._next), None)

    def touch(self, entries: Iterable[Entry]) -> None:
        """Drop the rows of all changed items: these changes are delivered before any page that is unreleased now."""
        if not self._in_flight and not self._pages:
            return
        keys = {key for entry in entries if (key := self.table.key_of(entry)) is not None}
        for _, touched in self._in_flight.values():
            touched |= keys
        for pages in self._pages.values():
            for page in pages:
                for key in page.rows.keys() & keys:
                    del page.rows[key]
                    page.replaced += 1

    def take(self, answer: PageScanned) -> None:
        """Keep a page until its release.

        Raises:
            ServiceError: The page continues where it began, so the scan would never end.
        """
        request, page = answer.request, answer.page
        if request.attempt != self._attempt:
            return
        expected, touched = self._in_flight.pop(request.segment)
        self.budget.answered(expected, page.units, len(page.rows))
        self.tally[metrics.SNAPSHOT_UNITS] += round(page.units)
        self._failures = 0
        if page.last is not None and page.last == request.place:
            raise ServiceError(
                f"Scan returned segment {request.segment} of {request.total} from the same key again: the endpoint "
                "repeats it for ever. Check the endpoint"
            )
        rows = {row.key: row for row in page.rows if row.key not in touched}
        kept = _Page(page.last, answer.answered, rows, len(page.rows) - len(rows))
        self._pages.setdefault(request.segment, deque()).append(kept)
        if page.last is not None:
            self._next[request.segment] = page.last

    def delayed(self, request: Scan, now: float, back_off: Callable[[int], float]) -> None:
        """Request a page again later. All others wait too: a throttle is about the table, not about a segment."""
        if request.attempt != self._attempt:
            return
        expected, _ = self._in_flight.pop(request.segment)
        self.budget.failed(expected)
        self._next = {request.segment: request.place, **self._next}
        self._failures += 1
        self._paused_until = now + back_off(self._failures)

    def release(self, watermark: float) -> Released | None:
        """Return the next page that is delivered: its answer was before the watermark; None if there is none.

        Args:
            watermark: Seconds since the epoch that no undelivered change precedes; `inf` if none will follow.
        """
        passed = watermark - RELEASE_SECONDS - self.slack
        for segment, pages in self._pages.items():
            if pages[0].answered <= passed:
                page = pages.popleft()
                if not pages:
                    del self._pages[segment]
                return Released(segment, page.last, list(page.rows.values()), page.replaced)
        return None

    def delivered(self, scan: TableScan) -> None:
        """Take note of the scan after what was released is delivered."""
        self._scan = scan

    def due(self, now: float) -> float:
        """Return when to look again whether a page can be released."""
        return now + LOOK_SECONDS if self._pages else inf


def event_second(micros: int) -> int:
    """Return a moment rounded up to a whole second, in microseconds: rows are dated by seconds, as changes are."""
    return -(-micros // MICROS) * MICROS
