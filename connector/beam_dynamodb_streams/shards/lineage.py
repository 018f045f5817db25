"""The family tree of a stream's shards, as far as listings have shown it.

A shard has no parent, one, or several: a shard of DynamoDB Streams has at most one, a merge of Kinesis has two.
Listings leave shards out (trap 6), so a lineage only grows while it is in memory: a link shown once stays true.

The *first* parent of a shard has the smallest id. Where several frontiers share a stream, the shard belongs to the
frontier of its first parent. First parents alone form a forest, so every shard has exactly one owner. All parents
together decide when the shard begins.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, replace
from typing import Final

from beam_dynamodb_streams.shards.loss import RETENTION_SECONDS


@dataclass(frozen=True, slots=True)
class Shard:
    """One listed shard.

    `ending_sequence_number` does not prove that the shard is closed, because some endpoints list one for a shard that
    still grows (emulators do). Only a page without a next iterator ends a shard.
    """

    shard_id: str
    parents: tuple[str, ...] = ()
    starting_sequence_number: str | None = None
    ending_sequence_number: str | None = None


def parents_of(parent: str | None) -> tuple[str, ...]:
    """Return the parents of a shard that names one parent, or none."""
    return () if parent is None else (parent,)


#: The year 2200. Digits that say a later moment are not a time, and no date could be made of some of them.
_LATEST_CREATION: Final = 7_258_118_400.0


def created(shard_id: str) -> float | None:
    """Return when a shard was created, in epoch seconds, as its id shows; None if the id has no time.

    The service does not document this, but the first number of its ids is a time in milliseconds, and Flink's connector
    relies on it. It is only shown to people. No decision about reading uses it.
    """
    number = shard_id.removeprefix("shardId-").partition("-")[0]
    if len(number) != 20 or not (number.isascii() and number.isdecimal()):
        return None
    seconds = int(number) / 1000
    return seconds if seconds < _LATEST_CREATION else None


class Lineage:
    """All shards seen so far, with their links. It grows by `add`; each answer takes time in proportion to its size."""

    __slots__ = ("_children", "_cut", "_shards", "loops")

    def __init__(self, shards: Iterable[Shard] = ()) -> None:
        self._shards: dict[str, Shard] = {}
        self._children: dict[str, list[str]] = {}
        self._cut: set[tuple[str, str]] = set()  # links to parents that are not believed, since they closed a loop
        self.loops: list[tuple[str, ...]] = []
        self.add(shards)

    @classmethod
    def draw(cls, tree: Mapping[str, Iterable[str]]) -> Lineage:
        """Return the lineage of a drawing such as `{"a": ["c"], "b": ["c", "d"]}`; others are roots."""
        parents: dict[str, tuple[str, ...]] = dict.fromkeys(tree, ())
        for parent, children in tree.items():
            for child in children:
                parents[child] = (*parents.get(child, ()), parent)
        return cls(Shard(shard_id, of) for shard_id, of in parents.items())

    def add(self, shards: Iterable[Shard]) -> bool:
        """Take in listed shards, in any order and any number of times. Return whether a shard or a link is new."""
        grew = False
        for listed in shards:
            known = self._shards.get(listed.shard_id)
            before = () if known is None else known.parents
            parents = listed.parents
            if self._cut:
                parents = tuple(parent for parent in parents if (listed.shard_id, parent) not in self._cut)
            if parents != before:
                parents = tuple(sorted({*before, *parents}))
                for parent in parents:
                    if parent not in before:
                        self._children.setdefault(parent, []).append(listed.shard_id)
            grew |= known is None or parents != before
            self._shards[listed.shard_id] = listed if parents == listed.parents else replace(listed, parents=parents)
            if parents != before and (listed.shard_id in self._children or listed.shard_id in parents):
                self._break_loops(listed.shard_id)
        return grew

    def _break_loops(self, shard_id: str) -> None:
        """Cut the loops of parents through a shard: its records could else never be read (trap 6).

        The shard with the smallest id becomes a root. So does each that names an open shard as its parent, which cannot
        have children. The order of the others stays.
        """
        while loop := self._loop(shard_id):
            self.loops.append(tuple(sorted(loop)))
            for child, parent in zip(loop, [*loop[1:], loop[0]], strict=True):
                if child == min(loop) or self._shards[parent].ending_sequence_number is None:
                    self._cut.add((child, parent))
                    self._children[parent].remove(child)
                    if not self._children[parent]:
                        del self._children[parent]
                    shard = self._shards[child]
                    self._shards[child] = replace(shard, parents=tuple(p for p in shard.parents if p != parent))

    def _loop(self, shard_id: str) -> list[str]:
        """Return a loop of listed shards through this one, each before the parent it names; empty if there is none."""
        came_from: dict[str, str] = {}
        ahead = [shard_id]
        for child in ahead:
            for parent in self.parents(child):
                if parent == shard_id:
                    loop = [child]
                    while loop[-1] != shard_id:
                        loop.append(came_from[loop[-1]])
                    return loop[::-1]
                if parent in self._shards and parent not in came_from:
                    came_from[parent] = child
                    ahead.append(parent)
        return []

    def forget(self, shard_ids: Iterable[str]) -> None:
        """Drop shards that can no longer be listed, so that memory follows the open shards and not the run."""
        for shard_id in shard_ids:
            shard = self._shards.pop(shard_id, None)
            for parent in () if shard is None else shard.parents:
                siblings = self._children[parent]
                siblings.remove(shard_id)
                if not siblings:
                    del self._children[parent]

    def get(self, shard_id: str) -> Shard | None:
        return self._shards.get(shard_id)

    def parents(self, shard_id: str) -> tuple[str, ...]:
        """Return the known parents, in the order of their ids; empty for a root and for an unlisted shard."""
        shard = self._shards.get(shard_id)
        return shard.parents if shard else ()

    def first_parent(self, shard_id: str) -> str | None:
        """Return the parent whose frontier owns the shard; None for a root and for an unlisted shard."""
        shard = self._shards.get(shard_id)
        return shard.parents[0] if shard and shard.parents else None

    def children(self, shard_id: str) -> tuple[str, ...]:
        """Return the known children, in the order in which they were first seen."""
        return tuple(self._children.get(shard_id, ()))

    def ancestors(self, shard_id: str) -> Iterator[str]:
        """Yield parents, grandparents and so on, each once, up to and including those that no listing has shown."""
        seen = {shard_id}  # parents that form a loop in a listing must not loop the reader
        ahead = [*self.parents(shard_id)]
        for ancestor in ahead:
            if ancestor not in seen:
                yield ancestor
                seen.add(ancestor)
                ahead += self.parents(ancestor)

    def first_ancestors(self, shard_id: str) -> Iterator[str]:
        """Yield the first parent, its first parent and so on, up to and including one that no listing has shown."""
        seen = {shard_id}
        parent = self.first_parent(shard_id)
        while parent is not None and parent not in seen:
            yield parent
            seen.add(parent)
            parent = self.first_parent(parent)

    def __contains__(self, shard_id: object) -> bool:
        return shard_id in self._shards

    def __iter__(self) -> Iterator[str]:
        return iter(self._shards)

    def __len__(self) -> int:
        return len(self._shards)

    def __repr__(self) -> str:
        opened = sum(shard.ending_sequence_number is None for shard in self._shards.values())
        return f"Lineage({len(self._shards)} shards, {opened} of them open)"


@dataclass(frozen=True, slots=True)
class Seen:
    """What the listings and probes have shown at `second` of the service's clock.

    `listed`: the shards of the latest whole listing. `gone`: the shards that the service says do not exist; a shard
    that is only unlisted is not among them, because listings leave shards out (trap 6). `found`: the shards that were
    probed and exist. `unlinked`: the found shards that were read as roots because no listing shows them, so their
    parents are not known yet. `leaves`: ended shards that will have no children. `settled`: whether the listings prove
    that nothing else is there. `forget_before`: finished shards that are older than this second may be forgotten.
    `confirm_before`: what was seen before this second, all frontiers of the stream have seen. `retention`: seconds for
    which the stream keeps a record. `lineage` only grows.
    """

    lineage: Lineage
    second: int
    listed: Set[str] = frozenset()
    gone: Set[str] = frozenset()
    found: Set[str] = frozenset()
    unlinked: Set[str] = frozenset()
    leaves: tuple[str, ...] = ()
    settled: bool = False
    forget_before: int = 0
    confirm_before: int = 0
    retention: float = RETENTION_SECONDS
