"""The shards of one stream as consumers are shown them: in an order that only grows, with hash ranges. Pure.

A shard is *admitted* once its siblings are known, since they share their parent's hash range, and a range that a
consumer has stored must not change. Listings leave shards out (trap 6), so one child alone is admitted only when enough
listings have shown no other one. DynamoDB splits a shard into two: two children are admitted at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set
from typing import Final

from beam_dynamodb_streams.kinesis.hash_ranges import WHOLE, HashRange
from beam_dynamodb_streams.shards.lineage import Lineage, Shard, created

#: How many children a split makes.
SPLIT: Final = 2

#: The end that is listed for a closed shard whose end no listing shows yet. The Kinesis Adapter writes this one, too.
UNKNOWN_END: Final = "9223372036854775807"


class KnownShards:
    """What listings have shown. Not thread-safe: `listing.ShardListing` holds a lock around it."""

    def __init__(self) -> None:
        self._lineage = Lineage()
        self._order: dict[str, int] = {}  # admitted shards, each with a number that only grows
        self._next = 0
        self._ranges: dict[str, HashRange] = {}
        self._listed_at: dict[str, float] = {}
        self._children: dict[str, tuple[str, ...]] = {}  # admitted ones
        self._began = False

    def take(self, shards: Iterable[Shard], now: float) -> bool:
        """Take in the shards of a listing. Return whether one of them is new."""
        listed = list(shards)
        self._listed_at.update((shard.shard_id, now) for shard in listed)
        return self._lineage.add(listed)

    def begin(self) -> None:
        """Admit all shards that are known when the interface starts: their roots tile the space in equal parts."""
        self._began = True
        roots = sorted(shard for shard in self._lineage if not self._known_parent(shard))
        for root, part in zip(roots, WHOLE.parts(max(1, len(roots))), strict=False):
            self._ranges[root] = part
        self.admit(frozenset(self._lineage))

    def admit(self, settled: Set[str]) -> None:
        """Admit each shard whose siblings are known: they are two, or `settled` has the parent."""
        waiting = sorted(shard for shard in self._lineage if shard not in self._order)
        while True:
            ready = [shard for shard in waiting if self._may_enter(shard, settled)]
            if not ready:
                return
            for shard in ready:
                if shard not in self._order:  # else it entered with a sibling
                    self._enter(shard)
            waiting = [shard for shard in waiting if shard not in self._order]

    def unsettled_parents(self) -> list[str]:
        """Return the shards with a child that is known and not admitted."""
        waiting = (shard for shard in self._lineage if shard not in self._order)
        return sorted({parent for shard in waiting if (parent := self._known_parent(shard)) is not None})

    def forget(self, before: float) -> None:
        """Forget each shard that no listing has shown since `before`."""
        old = [shard for shard in self._lineage if self._listed_at.get(shard, 0.0) < before]
        self._lineage.forget(old)
        for shard in old:
            self._order.pop(shard, None)
            self._ranges.pop(shard, None)
            self._listed_at.pop(shard, None)
            self._children.pop(shard, None)

    # What is known

    def __iter__(self) -> Iterator[str]:
        """Yield the admitted shards in the order of their discovery."""
        return iter(self._order)

    def __contains__(self, shard: object) -> bool:
        return shard in self._order

    def __len__(self) -> int:
        return len(self._order)

    def is_listed(self, shard: str) -> bool:
        """Return whether a listing has shown the shard, admitted or not."""
        return shard in self._lineage

    def number(self, shard: str) -> int | None:
        """Return the place of an admitted shard in the order, a number that never changes; None for any other."""
        return self._order.get(shard)

    def hash_range(self, shard: str) -> HashRange:
        return self._ranges[shard]

    def parent(self, shard: str) -> str | None:
        """Return the parent that the shard names, listed or not."""
        return self._lineage.first_parent(shard)

    def roots(self) -> list[str]:
        """Return the admitted shards whose parent is not known."""
        return [shard for shard in self._order if self._known_parent(shard) not in self._order]

    def children(self, shard: str) -> tuple[str, ...]:
        """Return the admitted children."""
        return self._children.get(shard, ())

    def listed_children(self, shard: str) -> tuple[str, ...]:
        """Return the children that a listing has shown, admitted or not."""
        return self._lineage.children(shard)

    def is_open(self, shard: str) -> bool:
        """Return whether consumers are shown the shard as open: until its children are admitted.

        So the open shards always are the leaves of the tree, whose ranges tile the space. A disabled stream's last
        shards stay open for the same reason.
        """
        return not self._children.get(shard)

    def numbers(self, shard: str) -> tuple[str, str | None]:
        """Return the first sequence number and the last one; None for an open shard."""
        listed = self._lineage.get(shard)
        first = (listed.starting_sequence_number if listed else None) or "0"
        if self.is_open(shard):
            return first, None
        return first, (listed.ending_sequence_number if listed else None) or UNKNOWN_END

    def last_number(self, shard: str) -> str | None:
        """Return the last sequence number of the shard as listed, or None."""
        listed = self._lineage.get(shard)
        return listed.ending_sequence_number if listed else None

    def created(self, shard: str) -> float | None:
        """Return when the shard was created, in epoch seconds, as its id shows; None if it does not."""
        return created(shard)

    # Admission

    def _known_parent(self, shard: str) -> str | None:
        parent = self._lineage.first_parent(shard)
        return parent if parent is not None and parent in self._lineage else None

    def _may_enter(self, shard: str, settled: Set[str]) -> bool:
        parent = self._known_parent(shard)
        if parent is None:
            return True
        if parent not in self._order:
            return False
        return parent in settled or len(self._lineage.children(parent)) >= SPLIT or bool(self._children.get(parent))

    def _enter(self, shard: str) -> None:
        parent = self._known_parent(shard)
        if parent is None:
            self._ranges.setdefault(shard, WHOLE)
            siblings: tuple[str, ...] = (shard,)
        else:
            before = self._children.get(parent, ())
            siblings = before or tuple(sorted(self._lineage.children(parent)))
            whole = self._ranges[parent]
            if before:  # a sibling that every listing has left out until now: no range is free for it
                self._ranges[shard] = whole
                self._children[parent] = siblings = (*before, shard)
            else:
                self._ranges.update(zip(siblings, whole.parts(len(siblings)), strict=True))
                self._children[parent] = siblings
        for sibling in siblings:
            if sibling not in self._order:
                self._order[sibling] = self._next
                self._next += 1
        late = [child for child in self._lineage.children(shard) if child in self._order]
        if late:  # it was left out of the listings that showed its children
            self._ranges[shard] = HashRange(
                min(self._ranges[child].first for child in late), max(self._ranges[child].last for child in late)
            )
            self._children[shard] = tuple(late)
