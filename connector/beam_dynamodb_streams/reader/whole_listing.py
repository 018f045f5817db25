"""One listing of all shards of a stream, page by page, and when the next one is due. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from beam_dynamodb_streams.reader.requests import List
from beam_dynamodb_streams.reader.settling import RELIST_SECONDS
from beam_dynamodb_streams.shards.lineage import Shard

#: A listing whose requests failed this often without an answer in between begins again from its first page.
FAILED_PAGES: Final = 5

#: How soon a stream that lists no shard is listed again: one that was just enabled has its first shards soon.
EMPTY_RELIST_SECONDS: Final = 2.0


@dataclass(slots=True)
class WholeListing:
    """The listing that is under way, and what the latest complete one has shown.

    Attributes:
        listed: The shards of the latest complete listing.
        listed_at: When the latest complete listing began.
        began: When the latest listing began, complete or not.
        pages: The number of pages of the latest listing.
        under_way: Whether a listing has begun and is not over.
        shown: The shards that the listing that is under way has shown so far.
    """

    listed: frozenset[str] = frozenset()
    listed_at: float = 0.0
    began: float = 0.0
    pages: int = 1
    under_way: bool = False
    shown: set[str] = field(default_factory=set)
    _page_starts: list[str | None] = field(default_factory=list)  # the cursors of its pages
    _next: float = 0.0
    _failures: int = 0

    @property
    def interval(self) -> float:
        """The seconds from one listing to the next while nothing needs one sooner."""
        return max(RELIST_SECONDS, 2.0 * self.pages)

    def due(self, now: float) -> float:
        """Return when the next page is due: at once while a listing is under way."""
        return now if self.under_way else self._next

    def begin_by(self, now: float) -> None:
        """Begin the next listing at `now` at the latest."""
        self._next = min(self._next, now)

    def request(self, now: float) -> List:
        """Return the request for the next page, of a new listing if none is under way."""
        if not self.under_way:
            self.under_way, self.began, self._page_starts, self.shown = True, now, [None], set()
        return List(after=self._page_starts[-1])

    def answered(self) -> None:
        """Record that a request was answered."""
        self._failures = 0

    def failed(self) -> bool:
        """Record that a request failed. Return whether the listing that is under way is to be given up."""
        self._failures += 1
        return self.under_way and self._failures >= FAILED_PAGES

    def take(self, shards: Sequence[Shard], cursor: str | None) -> bool | None:
        """Add a page. Return None while there are others, True after the last one, and False for a repeated cursor.

        A null cursor is the only end. A repeated one would never end.
        """
        self.shown.update(shard.shard_id for shard in shards)
        if cursor is None or cursor in self._page_starts:
            return cursor is None
        self._page_starts.append(cursor)
        return None

    def finish(self, now: float, *, whole: bool, disabled: bool) -> None:
        """End the listing. `whole`: whether it has shown all pages. `disabled`: whether the stream is disabled."""
        self.under_way = False
        self.pages = max(1, len(self._page_starts))
        self._next = now + self.interval
        if whole:
            self.listed, self.listed_at = frozenset(self.shown), self.began
            if not self.listed and not disabled:
                self._next = now + EMPTY_RELIST_SECONDS
