"""What a listing means for a frontier: who begins, who waits, who needs no reading, and whose parent is in doubt."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass, field, replace

from beam_dynamodb_streams.shards.frontier import EARLIEST, Finished, Frontier, Reading, top
from beam_dynamodb_streams.shards.lineage import Lineage
from beam_dynamodb_streams.shards.position import End, StartPosition


@dataclass(frozen=True, slots=True)
class Discovery:
    """``frontier`` with all that may begin now; ``opened`` in the order in which they began; ``doubtful`` maps a shard
    to the parent that no listing has shown: it begins once that parent is known to be gone (fact 8)."""

    frontier: Frontier
    opened: tuple[str, ...] = ()
    doubtful: dict[str, str] = field(default_factory=dict)


def discover(
    frontier: Frontier,
    lineage: Lineage,
    *,
    second: int,
    gone: Container[str] = (),
    leaves: Iterable[str] = (),
) -> Discovery:
    """Moves ``frontier`` on by what ``lineage`` shows. Pure, idempotent, and deaf to the order of the listing.

    A shard begins when its parent's end was reached, or when it has no parent, or when its parent is in ``gone``: the
    shards that the service itself says do not exist. Being unlisted proves nothing, since listings have holes (fact 6).
    ``leaves`` are ended shards that will have no children: they leave without any.
    """
    if frontier.closed:
        return Discovery(frontier)
    growth = _Growth(frontier, second)
    for ended in frontier.ended_shards:
        growth.hand_over(ended, lineage)
    for leaf in leaves:
        growth.leave(leaf)
    doubtful: dict[str, str] = {}
    for shard in sorted(frontier.unconfirmed):
        parent = lineage.parent(shard)
        if (
            parent in growth.unconfirmed
            and shard in growth.unconfirmed
            and growth.inherit(shard, parent, lineage, gone)
        ):
            doubtful[shard] = parent
    passed = _passed(frontier, lineage)
    for shard in _parents_first(lineage, passed):
        if shard in growth.shards:
            continue  # a child that has just taken its parent's place
        parent = lineage.parent(shard)
        if parent is None:
            if frontier.adopts:
                growth.open(shard, frontier.start)
        elif (done := growth.finished.get(parent)) is not None:
            if done.children is not None:
                growth.open(shard, done.children)  # a late sibling of children that took over before
            elif growth.inherit(shard, parent, lineage, gone):
                doubtful[shard] = parent
        elif parent in growth.shards:
            growth.wait(shard, parent)
        elif parent in passed:
            # An ancestor, read so long ago that it is no longer remembered; of a split's parts both may have it.
            ours = growth.holds_one_of(lineage.children(parent))
            if ours or (ours is None and frontier.adopts):
                growth.open(shard, frontier.start)
            elif ours is False:
                growth.disown(shard)
        elif parent in growth.awaited:
            growth.wait(shard, parent)
            if parent not in lineage and top(growth.awaited, parent) not in growth.shards:
                if parent in gone:  # what led here is read or gone
                    growth.open(shard, frontier.start)
                else:
                    doubtful[shard] = parent
        elif parent in lineage:
            pass  # its parent is new too, and comes first
        elif not frontier.adopts:
            pass  # shards without a known relative are another frontier's
        elif parent in gone:
            growth.open(shard, frontier.start)
        else:
            doubtful[shard] = parent
    for shard in growth.opened:  # an earlier run may have saved that it was read to its end
        growth.hand_over(shard, lineage)
    return Discovery(growth.frontier(frontier), tuple(growth.opened), doubtful)


def take_over(frontier: Frontier, lineage: Lineage, *, second: int) -> Discovery:
    """What :func:`discover` gives where ``lineage`` has shown nothing since the last discovery and no shard was denied,
    in time proportional to the frontier: the known children of ended shards take their places."""
    growth = _Growth(frontier, second)
    for ended in frontier.ended_shards:
        growth.hand_over(ended, lineage)
    for shard in growth.opened:  # an earlier run may have saved that it was read to its end
        growth.hand_over(shard, lineage)
    return Discovery(growth.frontier(frontier), tuple(growth.opened))


class _Growth:
    """The tables of a frontier while one discovery changes them: a copy for a listing, not one for every shard."""

    def __init__(self, frontier: Frontier, second: int) -> None:
        self.shards = dict(frontier.shards)
        self.finished = dict(frontier.finished)
        self.saved = dict(frontier.saved)
        self.awaited = dict(frontier.awaited)
        self.unconfirmed = set(frontier.unconfirmed)
        self.opened: list[str] = []
        self._second = second
        self._adopts = frontier.adopts
        self._start = frontier.start

    def open(self, shard: str, position: StartPosition, watermark: int = EARLIEST) -> None:
        self.shards[shard] = Reading(self.saved.pop(shard, position), watermark)
        self.opened.append(shard)

    def disown(self, shard: str) -> None:
        """``shard`` is another frontier's, or past the stop."""
        if shard not in self.finished:
            self.finished[shard] = Finished(self._second, None)
            if self._adopts:
                self.unconfirmed.add(shard)

    def inherit(self, shard: str, parent: str, lineage: Lineage, gone: Container[str]) -> bool:
        """``shard`` is another frontier's as its ``parent`` is, unless that went before the other can have seen it; it
        is taken then, since twice beats never. Whether the service is still to be asked after the parent."""
        unproven = parent in self.unconfirmed
        if unproven and parent in gone:
            self.adopt(shard, lineage)
        elif unproven and parent not in lineage:
            return True
        else:
            self.disown(shard)
        return False

    def adopt(self, shard: str, lineage: Lineage) -> None:
        """``shard`` begins, and what is known to descend from it follows as it would have."""
        released = [shard]
        for known in released:
            self.finished.pop(known, None)
            self.unconfirmed.discard(known)
            released += [child for child in lineage.children(known) if child in self.unconfirmed]
        self.open(shard, self._start)

    def wait(self, shard: str, parent: str) -> None:
        """``shard`` is this frontier's, and not reached yet. One that adopts would find it again without a link."""
        if not self._adopts:
            self.awaited.setdefault(shard, parent)  # a link once seen stays true, whatever a listing says later

    def hand_over(self, parent: str, lineage: Lineage) -> None:
        """If it has ended, the parent leaves and its known children take its place, in one step (fact 20); else it
        waits."""
        reading = self.shards[parent]
        children = lineage.children(parent)
        if children and isinstance(reading.position, End):
            self.leave(parent)
            for child in children:
                if child not in self.shards and child not in self.finished:
                    self.open(child, reading.position.children, reading.watermark)

    def leave(self, parent: str) -> None:
        reading = self.shards.get(parent)
        if reading is not None and isinstance(reading.position, End):
            del self.shards[parent]
            self.finished[parent] = Finished(self._second, reading.position.children)

    def holds_one_of(self, siblings: Iterable[str]) -> bool | None:
        """Whether the siblings that are remembered are this frontier's; None where that does not tell."""
        known = [sibling for sibling in siblings if sibling in self.shards or sibling in self.finished]
        ours = {sibling in self.shards or self.finished[sibling].children is not None for sibling in known}
        return ours.pop() if len(ours) == 1 else None

    def _holds(self, shard: str) -> bool:
        return shard in self.shards or shard in self.finished

    def frontier(self, before: Frontier) -> Frontier:
        awaited = {
            shard: parent
            for shard, parent in self.awaited.items()
            if not self._holds(shard) and self._holds(top(self.awaited, parent))
        }
        if (self.shards, self.finished, awaited) == (before.shards, before.finished, before.awaited):
            return before
        return replace(
            before,
            shards=self.shards,
            finished=self.finished,
            saved=self.saved,
            awaited=awaited,
            unconfirmed=frozenset(self.unconfirmed),
        )


def _passed(frontier: Frontier, lineage: Lineage) -> set[str]:
    """The frontier's shards, the finished ones, and all their ancestors: by the law of order these were read."""
    passed: set[str] = set()
    for shard in [*frontier.shards, *frontier.finished]:
        passed.add(shard)
        for ancestor in lineage.ancestors(shard):
            if ancestor in passed:
                break
            passed.add(ancestor)
    return passed


def _parents_first(lineage: Lineage, passed: Container[str]) -> list[str]:
    fresh = [shard for shard in lineage if shard not in passed]
    return sorted(fresh, key=lambda shard: sum(1 for _ in lineage.ancestors(shard)))
