"""The batches of a bundle, in an order that keeps the order of each key. Pure.

The changes of a shard are in one lane, or with a parallelization factor in several: all changes of a key are in one.
The lanes of a bundle are invoked in waves. Two lanes in one wave may be invoked side by side. Each wave begins when the
one before it is done. A child's changes arrive after the last change of its parent. So a lane that begins after another
shard's lane has ended is always in a later wave.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

_T = TypeVar("_T")

#: Lambda's limit of an event: 6 MB, with some room for what is around the records.
LARGEST_EVENT: Final = 6 * 1024 * 1024 - 1024


@dataclass(frozen=True, slots=True)
class Entry(Generic[_T]):
    """A change in a lane: when it arrived, as a number that counts up, and how many bytes of an event it takes."""

    arrival: int
    size: int
    item: _T


@dataclass(slots=True)
class Lane(Generic[_T]):
    """Changes of one shard that wait for their invocation, in order. `since` is when the first of them arrived."""

    shard: str
    number: int
    since: float
    entries: list[Entry[_T]] = field(default_factory=list)

    @property
    def first(self) -> int:
        return self.entries[0].arrival

    @property
    def last(self) -> int:
        return self.entries[-1].arrival


@dataclass(frozen=True, slots=True)
class Work(Generic[_T]):
    """The batches of one lane, to be invoked one after another."""

    shard: str
    batches: tuple[tuple[_T, ...], ...]


class Lanes(Generic[_T]):
    """The lanes of a bundle.

    Args:
        batch_size: How many changes a batch has at most.
        factor: How many lanes a shard has.
        window: After how many seconds a batch is invoked that is not full; None for the end of the bundle.
        largest: How many bytes the changes of a batch have at most.
    """

    def __init__(
        self, batch_size: int, *, factor: int = 1, window: float | None = None, largest: int = LARGEST_EVENT
    ) -> None:
        self._batch_size = batch_size
        self._factor = factor
        self._window = window
        self._largest = largest
        self._lanes: dict[tuple[str, int], Lane[_T]] = {}
        self._waiting: dict[str, int] = {}
        self._sizes: dict[str, int] = {}
        self._arrivals = 0

    def add(self, shard: str, lane: int, change: _T, *, size: int, now: float) -> list[list[Work[_T]]]:
        """Add a change, and return the waves that are to be invoked now: none while batches fill.

        Args:
            shard: Its shard.
            lane: A number that is the same for all changes of its key.
            change: The change.
            size: How many bytes of an event it takes.
            now: The time, in seconds.
        """
        entry = Entry(self._arrivals, size, change)
        self._arrivals += 1
        key = (shard, lane % self._factor)
        if key not in self._lanes:
            self._lanes[key] = Lane(*key, now)
        self._lanes[key].entries.append(entry)
        self._waiting[shard] = self._waiting.get(shard, 0) + 1
        self._sizes[shard] = self._sizes.get(shard, 0) + size
        full = self._waiting[shard] >= self._batch_size * self._factor or self._sizes[shard] >= self._largest
        late = self._window is not None and any(now - each.since >= self._window for each in self._of(shard))
        if not (full or late):
            return []
        due = self._of(shard)
        begins = min(each.first for each in due)
        return self._take([*(each for each in self._lanes.values() if each.last < begins), *due])

    def flush(self) -> list[list[Work[_T]]]:
        """Return the waves of all changes that wait."""
        return self._take(list(self._lanes.values()))

    def flush_shard(self, shard: str) -> list[list[Work[_T]]]:
        """Return the waves of all changes of one shard that wait."""
        return self._take(self._of(shard))

    def _of(self, shard: str) -> list[Lane[_T]]:
        return [lane for lane in self._lanes.values() if lane.shard == shard]

    def _take(self, lanes: Iterable[Lane[_T]]) -> list[list[Work[_T]]]:
        taken = list(lanes)
        for lane in taken:
            del self._lanes[lane.shard, lane.number]
            self._waiting.pop(lane.shard, None)
            self._sizes.pop(lane.shard, None)
        return [[Work(lane.shard, tuple(self._batches(lane))) for lane in wave] for wave in waves(taken)]

    def _batches(self, lane: Lane[_T]) -> Iterator[tuple[_T, ...]]:
        batch: list[_T] = []
        size = 0
        for entry in lane.entries:
            if batch and (len(batch) == self._batch_size or size + entry.size > self._largest):
                yield tuple(batch)
                batch, size = [], 0
            batch.append(entry.item)
            size += entry.size
        yield tuple(batch)


def waves(lanes: Iterable[Lane[_T]]) -> list[list[Lane[_T]]]:
    """Return the lanes in waves: a lane that begins after one of another shard has ended is in a later wave."""
    found: list[list[Lane[_T]]] = []
    for lane in sorted(lanes, key=lambda each: each.first):
        if found and not any(other.shard != lane.shard and other.last < lane.first for other in found[-1]):
            found[-1].append(lane)
        else:
            found.append([lane])
    return found
