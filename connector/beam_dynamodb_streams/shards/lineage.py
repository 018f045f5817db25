"""The family tree of a stream's shards, as far as listings have shown it.

Every shard has one parent at most and there are no merges, so the lineage is a forest. Listings lie by omission
(fact 6), so a lineage only ever grows while it is in memory: a link once seen stays true.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Shard:
    """One listed shard. ``ending_sequence_number`` is no proof that it is closed: some endpoints list one for a
    shard that still grows (fact page, emulators), so only a page without a next iterator ends a shard."""

    shard_id: str
    parent: str | None = None
    starting_sequence_number: str | None = None
    ending_sequence_number: str | None = None


def created(shard_id: str) -> float | None:
    """When a shard was created, in epoch seconds, as its id says; None if it says nothing.

    The service does not document it. The first number of its ids is a time in milliseconds, and Flink's connector
    relies on that: good enough to show to people, and nothing here reads by it.
    """
    number = shard_id.removeprefix("shardId-").partition("-")[0]
    return int(number) / 1000 if len(number) == 20 and number.isascii() and number.isdecimal() else None


class Lineage:
    """All shards seen so far, with their links. Grows by :meth:`add`; answers in time proportional to the answer."""

    __slots__ = ("_children", "_shards")

    def __init__(self, shards: Iterable[Shard] = ()) -> None:
        self._shards: dict[str, Shard] = {}
        self._children: dict[str, list[str]] = {}
        self.add(shards)

    @classmethod
    def draw(cls, tree: Mapping[str, Iterable[str]]) -> Lineage:
        """The lineage of a drawing such as ``{"a": ["b", "c"]}``; a parent that is not itself a child is a root."""
        parents = {child: parent for parent, children in tree.items() for child in children}
        ids = dict.fromkeys([*tree, *parents])
        return cls(Shard(shard_id, parents.get(shard_id)) for shard_id in ids)

    def add(self, shards: Iterable[Shard]) -> bool:
        """Takes in listed shards, in any order and any number of times; True if a shard or a link is new."""
        grew = False
        for listed in shards:
            known = self._shards.get(listed.shard_id)
            linked = known is not None and known.parent is not None
            shard = replace(listed, parent=known.parent) if known is not None and linked else listed
            if shard.parent is not None and not linked:
                self._children.setdefault(shard.parent, []).append(shard.shard_id)
            grew |= known is None or shard.parent != known.parent
            self._shards[shard.shard_id] = shard
        return grew

    def forget(self, shard_ids: Iterable[str]) -> None:
        """Drops shards that can no longer be listed, so that memory follows the open shards and not the run."""
        for shard_id in shard_ids:
            shard = self._shards.pop(shard_id, None)
            if shard is not None and shard.parent is not None and (siblings := self._children.get(shard.parent)):
                siblings.remove(shard_id)
                if not siblings:
                    del self._children[shard.parent]

    def get(self, shard_id: str) -> Shard | None:
        return self._shards.get(shard_id)

    def parent(self, shard_id: str) -> str | None:
        shard = self._shards.get(shard_id)
        return shard.parent if shard else None

    def children(self, shard_id: str) -> tuple[str, ...]:
        """The known children, in the order in which they were first seen."""
        return tuple(self._children.get(shard_id, ()))

    def ancestors(self, shard_id: str) -> Iterator[str]:
        """Parent, grandparent and so on, up to and including the first one that no listing has shown."""
        seen = {shard_id}
        parent = self.parent(shard_id)
        while parent is not None and parent not in seen:  # a listing that loops must not loop the reader
            yield parent
            seen.add(parent)
            parent = self.parent(parent)

    def __contains__(self, shard_id: object) -> bool:
        return shard_id in self._shards

    def __iter__(self) -> Iterator[str]:
        return iter(self._shards)

    def __len__(self) -> int:
        return len(self._shards)

    def __repr__(self) -> str:
        opened = sum(shard.ending_sequence_number is None for shard in self._shards.values())
        return f"Lineage({len(self._shards)} shards, {opened} of them open)"

    def _repr_html_(self) -> str:
        from beam_dynamodb_streams.shards.drawing import svg

        return svg(self)
