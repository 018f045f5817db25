"""One shard and its records, without HTTP and without a clock of its own."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from dataclasses import dataclass, field
from itertools import pairwise
from operator import attrgetter
from random import Random

PAGE_BYTES = 1_048_576
SHARD_LIFE_SECONDS = 4 * 3600.0
HASH_SPACE = 1 << 128
_low = attrgetter("low")


class SequenceNumbers:
    """The sequence numbers of one root shard and all its descendants.

    They grow along a lineage and are unique in the stream. Each root begins at a length of its own, just below a power
    of ten. So numbers of two lineages cannot be compared, and soon a number is longer than its predecessor, so that
    comparing them as text is wrong (trap 4).
    """

    def __init__(self, root: int, random: Random) -> None:
        self._root = root
        self._random = random
        self._value: int = 10 ** random.randrange(17, 26) - random.randrange(200, 4_000)

    def take(self) -> int:
        self._value += 1 + int(self._random.random() * 99)
        return self._value * 10_000 + self._root


@dataclass(slots=True, eq=False)
class Shard:
    """A range of the hash space, the records written while it was open, and how many of them are trimmed.

    Positions are indexes into everything ever written to the shard, so trimming does not move them.
    """

    shard_id: str
    parent_shard_id: str | None
    low: int
    high: int
    numbers: SequenceNumbers
    born: float
    starting: int
    ended: float | None = None
    ending: int | None = None
    hidden: bool = False
    dropped: bool = False
    ghost: bool = False
    trimmed: int = 0
    bodies: list[bytes] = field(default_factory=list)
    sequence: list[int] = field(default_factory=list)
    written: list[float] = field(default_factory=list)
    newest: list[int] = field(default_factory=list)
    reach: list[int] = field(default_factory=list)

    @property
    def is_open(self) -> bool:
        return self.ended is None

    @property
    def end(self) -> int:
        """The position after the last record."""
        return len(self.bodies)

    def append(self, number: int, now: float, created: int, body: bytes) -> None:
        """Append a record written at `now` with the creation time `created`, both in epoch seconds."""
        self.bodies.append(body)
        self.sequence.append(number)
        self.written.append(max(now, self.written[-1]) if self.written else now)
        self.newest.append(max(created, self.newest[-1]) if self.newest else created)
        self.reach.append((self.reach[-1] if self.reach else 0) + len(body) + 1)

    def close(self, now: float) -> None:
        """Close the shard. The number of its last record becomes the ending sequence number."""
        self.ended = now
        self.ending = self.sequence[-1] if self.sequence else self.numbers.take()

    def trim(self, horizon: float) -> None:
        """Trim what was written before `horizon`."""
        self.trimmed = max(self.trimmed, bisect_left(self.written, horizon))

    def is_gone(self, horizon: float) -> bool:
        """Return whether the service forgot the closed shard: nothing is younger than `horizon` (trap 11)."""
        if self.dropped:
            return True
        if self.ended is None:
            return False
        return self.trimmed == self.end if self.bodies else self.ended < horizon

    def at_number(self, number: int) -> int:
        """Return the position of the first record whose number is at least `number`."""
        return bisect_left(self.sequence, number)

    def after_number(self, number: int) -> int:
        """Return the position of the first record whose number is greater than `number`."""
        return bisect_right(self.sequence, number)

    def at_time(self, timestamp: float) -> int:
        """Return the position of the first untrimmed record whose creation time is at or after `timestamp`."""
        # The first element that reaches a bound is also the first whose running maximum reaches it.
        return max(self.trimmed, bisect_left(self.newest, timestamp))

    def is_trimmed(self, number: int) -> bool:
        """Return whether `number` is older than the trim point."""
        return self.trimmed > 0 and number <= self.sequence[self.trimmed - 1]

    def page(self, position: int, limit: int) -> list[bytes]:
        """Return the encoded records from `position`: at most `limit` and 1 MB, but at least one if there is one."""
        if position >= self.end:
            return []
        before = self.reach[position - 1] if position else 0
        full = bisect_right(self.reach, before + PAGE_BYTES, position)
        return self.bodies[position : max(position + 1, min(full, position + limit))]


@dataclass(slots=True, eq=False)
class Shards:
    """All shards of one stream, past ones too, and the open shard of each hash."""

    random: Random
    by_id: dict[str, Shard] = field(default_factory=dict)
    open: list[Shard] = field(default_factory=list)

    def add_roots(self, count: int, born: float, *, after_trimmed: bool) -> None:
        """Divide the hash space among `count` shards.

        They have no parent, or `after_trimmed` parents that the service has forgotten: then each names the id of one.
        """
        edges = [HASH_SPACE * index // count for index in range(count + 1)]
        for index in range(count):
            root = self._add(None, edges[index], edges[index + 1], SequenceNumbers(index, self.random), born)
            if after_trimmed:
                digits = Random(root.shard_id).getrandbits(32)  # the draws of the stream's own random stay as they are
                root.parent_shard_id = _shard_id(max(0.0, born - SHARD_LIFE_SECONDS), digits)

    def owner(self, key_hash: int) -> Shard:
        """Return the open shard that takes writes of this hash."""
        return self.open[bisect_right(self.open, key_hash, key=_low) - 1]

    def replace(self, parent: Shard, now: float, *, children: int) -> list[Shard]:
        """Close an open shard, and return its `children`, which share its range and take the later writes."""
        self.open.remove(parent)
        parent.close(now)
        width = parent.high - parent.low
        edges = [parent.low + width * index // children for index in range(children + 1)] if children else []
        return [self._add(parent.shard_id, low, high, parent.numbers, now) for low, high in pairwise(edges)]

    def _add(self, parent: str | None, low: int, high: int, numbers: SequenceNumbers, now: float) -> Shard:
        while (shard_id := _shard_id(now, self.random.getrandbits(32))) in self.by_id:
            continue
        shard = Shard(shard_id, parent, low, high, numbers, now, numbers.take())
        self.by_id[shard_id] = shard
        insort(self.open, shard, key=_low)
        return shard


def _shard_id(born: float, digits: int) -> str:
    return f"shardId-{int(born * 1000):020d}-{digits:08x}"
