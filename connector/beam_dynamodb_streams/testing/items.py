"""The items of a table: as they are now, and as a read that is behind may still see them."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from beam_dynamodb_streams.testing.values import Image

HASH_BITS = 128
MAX_PAGE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ItemsPage:
    """What a page of a scan has: items as JSON, their size, and the key after which the next page begins, if any."""

    items: list[bytes]
    size: int
    last: bytes | None


class Items:
    """Items by their key, in the order of a scan. The service's lock guards it.

    The order is that of a hash of the partition key, then of the whole key: an item never changes its place, and a
    segment of a scan is a range of hashes.

    Args:
        hash_of: Returns the hash of a key's partition key, of `HASH_BITS` bits.
    """

    def __init__(self, hash_of: Callable[[bytes], int]) -> None:
        self._hash_of = hash_of
        self._now: dict[bytes, Image] = {}
        self._order: list[tuple[int, bytes]] = []
        self._known: set[bytes] = set()
        self._before: dict[bytes, list[tuple[float, Image | None]]] = {}  # when a key was written, and what it was

    def __len__(self) -> int:
        return len(self._now)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._now)

    def get(self, key: bytes) -> Image | None:
        return self._now.get(key)

    @property
    def size(self) -> int:
        """The bytes of all items."""
        return sum(image.size for image in self._now.values())

    def write(self, key: bytes, new: Image | None, *, now: float, remembers: float) -> None:
        """Replace or remove an item. What it was is kept for `remembers` seconds, for reads that are behind."""
        if remembers > 0:
            kept = [entry for entry in self._before.get(key, []) if entry[0] > now - remembers]
            self._before[key] = [*kept, (now, self._now.get(key))]
        if new is None:
            self._now.pop(key, None)
            return
        self._now[key] = new
        if key not in self._known:
            self._known.add(key)
            insort(self._order, (self._hash_of(key), key))

    def clear(self) -> None:
        self._now.clear()
        self._before.clear()

    def page(
        self,
        after: bytes | None,
        most: int,
        *,
        segment: int = 0,
        total: int = 1,
        seen_at: Callable[[], float] | None = None,
    ) -> ItemsPage:
        """Return the next page of at most `most` items and 1 MB of a segment.

        Args:
            after: The key after which the page begins; None for the segment's first page.
            most: How many items it has at most.
            segment: The segment, counted from 0.
            total: How many segments there are.
            seen_at: Returns, for each item, the moment as of which the page shows it; None for the present.
        """
        first, end = self._bounds(segment, total)
        if after is not None:
            first = max(first, bisect_right(self._order, (self._hash_of(after), after)))
        items: list[bytes] = []
        size = 0
        for _, key in self._order[first:end]:
            image = self._now.get(key) if seen_at is None else self._as_of(key, seen_at())
            if image is None:
                continue
            items.append(image.json)
            size += image.size
            if len(items) == most or size >= MAX_PAGE:
                return ItemsPage(items, size, key)
        return ItemsPage(items, size, None)

    def segment_of(self, key: bytes, total: int) -> int:
        """Return the segment of a key, counted from 0."""
        return (self._hash_of(key) * total) >> HASH_BITS

    def _bounds(self, segment: int, total: int) -> tuple[int, int]:
        low, high = (-(-(number << HASH_BITS) // total) for number in (segment, segment + 1))
        return bisect_left(self._order, (low, b"")), bisect_left(self._order, (high, b""))

    def _as_of(self, key: bytes, moment: float) -> Image | None:
        image = self._now.get(key)
        for written, before in reversed(self._before.get(key, [])):
            if written <= moment:
                break
            image = before
        return image
