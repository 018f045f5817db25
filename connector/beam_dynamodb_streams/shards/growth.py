"""A frontier while one discovery changes it: what becomes of each shard that a listing shows.

A discovery decides about each listed shard that the frontier has not reached, parents first. The shard's first parent
decides:

| first parent | the shard |
|---|---|
| none, or gone and never listed | begins at the start position, if the frontier adopts |
| ended | begins where the parent says |
| finished, its children are to be read | begins where the parent says: it was listed late |
| finished, its children are not | is not read: it is another frontier's, or past the stop |
| … but the other frontier may never have seen it | is adopted once the parent is gone; until then, ask |
| being read, or awaited | waits |
| an ancestor of a shard that was reached | belongs to whoever reads its siblings |
| also not reached yet | waits, because the parent comes first |
| unlisted | waits while the service is asked whether the parent is gone |
| listed late, and its child began as a root | begins as usual, although after its child, because late is better than
never |

A shard that a merge made has several parents. It begins once all of them that this frontier reads have ended: see
`Growth.holds_back`. A parent that is gone counts as ended.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

from beam_dynamodb_streams.shards.frontier import EARLIEST, Finished, Frontier, Reading, top
from beam_dynamodb_streams.shards.lineage import Seen
from beam_dynamodb_streams.shards.position import TRIM_HORIZON, AtTime, End, StartPosition


class Growth:
    """The tables of a frontier while one discovery changes them.

    They are copied once for a discovery, not for each shard.
    """

    def __init__(self, frontier: Frontier, seen: Seen) -> None:
        self.shards = dict(frontier.shards)
        self.finished = dict(frontier.finished)
        self.saved = dict(frontier.saved)
        self.awaited = dict(frontier.awaited)
        self.unconfirmed = set(frontier.unconfirmed)
        self.unlinked = set(frontier.unlinked)
        self.opened: list[str] = []
        self.doubtful: dict[str, str] = {}
        self._before = frontier
        self._lineage = seen.lineage
        self._gone = seen.gone
        self._seen_unlinked = seen.unlinked
        self._second = seen.second
        self._adopts = frontier.adopts
        self._start = frontier.start

    @cached_property
    def passed(self) -> set[str]:
        """The shards that were reached before, and their ancestors, which were read because parents come first.

        For a shard that this frontier does not read, only its first ancestors count, because another parent may be this
        frontier's own. For a shard that began as a root because nothing listed it, none count, because a parent that is
        listed later was not read.
        """
        before, lineage = self._before, self._lineage
        foreign = [shard for shard, done in before.finished.items() if done.children is None]
        own = [*before.shards, *(before.finished.keys() - foreign)]
        passed = set(own)
        for ancestor in own:
            if ancestor in self.unlinked:
                continue
            new = [parent for parent in lineage.parents(ancestor) if parent not in passed]
            passed.update(new)
            own += new
        passed.update(foreign)
        for shard in foreign:
            for ancestor in lineage.first_ancestors(shard):
                if ancestor in passed:
                    break
                passed.add(ancestor)
        return passed

    # The cases

    def decide(self, shard: str) -> None:
        """Decide about a shard that was not reached before, by its first parent: the table of this module."""
        lineage, parent = self._lineage, self._lineage.first_parent(shard)
        if parent is None:
            if self._adopts:
                self.open(shard, self._start)
                if shard in self._seen_unlinked:
                    self.unlinked.add(shard)
        elif (done := self.finished.get(parent)) is not None:
            if done.children is not None:
                self.begin(shard, done.children)
            else:
                self.inherit(shard, parent)
        elif (reading := self.shards.get(parent)) is not None:
            if isinstance(reading.position, End):
                self.begin(shard, reading.position.children)
            else:
                self.wait(shard, parent)
        elif parent in self.passed:
            # An ancestor that was read so long ago that it was forgotten. Both parts of a split may have it.
            ours = self.reads_child_of(parent)
            if ours or (ours is None and self._adopts):
                self.begin(shard, self._start)
            elif ours is False:
                self.disown(shard)
        elif parent in self.awaited:
            self.wait(shard, parent)
            if parent not in lineage and top(self.awaited, parent) not in self.shards:
                self.begin_or_ask(shard, parent)  # what led here is read or gone
        elif parent in lineage:
            pass  # the parent is new too, and comes first
        elif self._adopts:  # shards without a known relative belong to the frontier that adopts
            self.begin_or_ask(shard, parent)

    def begin_or_ask(self, shard: str, unlisted: str) -> None:
        """Open `shard` if its `unlisted` parent is gone; otherwise note that the service must be asked."""
        if unlisted in self._gone:
            self.begin(shard, self._start)
        else:
            self.doubtful[shard] = unlisted

    def inherit(self, shard: str, parent: str) -> None:
        """Leave `shard` to the frontier of its `parent`, unless the parent was gone before that frontier can have seen
        it.

        In that case adopt the shard, because reading it twice is better than never. Until the service was asked about
        the parent, the shard is doubtful.
        """
        unproven = parent in self.unconfirmed
        if unproven and parent in self._gone:
            self.adopt(shard)
        elif unproven and parent not in self._lineage:
            self.doubtful[shard] = parent
        else:
            self.disown(shard)

    def adopt(self, shard: str) -> None:
        """Open `shard`, and let its known descendants follow it as usual."""
        released = [shard]
        for known in released:
            self.finished.pop(known, None)
            self.unconfirmed.discard(known)
            released += [
                child
                for child in self._lineage.children(known)
                if child in self.unconfirmed and self._lineage.first_parent(child) == known
            ]
        self.begin(shard, self._start)

    def disown(self, shard: str) -> None:
        """Record that `shard` is another frontier's, or past the stop."""
        if shard not in self.finished:
            self.finished[shard] = Finished(self._second, None)
            if self._adopts:
                self.unconfirmed.add(shard)
            self.release_parents(shard)

    def wait(self, shard: str, parent: str) -> None:
        """Record that `shard` is this frontier's and not reached yet.

        A frontier that adopts finds it again without a link.
        """
        if not self._adopts:
            self.awaited.setdefault(shard, parent)  # a link once seen stays true, whatever a listing says later

    def open(self, shard: str, position: StartPosition, watermark: int = EARLIEST) -> None:
        self.shards[shard] = Reading(self.saved.pop(shard, position), max(watermark, self._before.floor))
        self.opened.append(shard)

    # Merges

    def begin(self, shard: str, position: StartPosition) -> None:
        """Open `shard` at the `position` that its first parent implies, unless another parent holds it back.

        With several parents the position is TRIM_HORIZON if one of them had a record, because all records of the shard
        are younger than that record. Otherwise it is the earliest of the parents' start moments. The watermark is the
        minimum of the parents' watermarks.
        """
        parents = self._lineage.parents(shard)
        others = parents[1:]
        if sum(self.holds_back(shard, other) for other in others):  # each may have to be probed
            self.wait(shard, parents[0])
            return
        known = [self.shards[parent] for parent in parents if parent in self.shards]
        starts = [position, *filter(None, map(self._children_start, others))]
        moments = [start for start in starts if isinstance(start, AtTime)]
        earliest = min(moments, key=lambda start: start.second) if len(moments) == len(starts) else TRIM_HORIZON
        self.open(shard, earliest, min((reading.watermark for reading in known), default=EARLIEST))
        self.release_parents(shard)

    def _children_start(self, parent: str) -> StartPosition | None:
        """Return where the children of an ended parent begin; None if another frontier reads the parent."""
        if (reading := self.shards.get(parent)) is not None:
            return reading.position.children if isinstance(reading.position, End) else None
        done = self.finished.get(parent)
        return self._start if done is None else done.children

    def holds_back(self, shard: str, parent: str) -> bool:
        """Return whether `shard` has to wait for `parent`, which is not its first one.

        It waits for a parent that this frontier reads or will read, and for one that the service must be asked about.
        Parents of other frontiers do not hold it back, because this frontier cannot know when they end.
        """
        reading = self.shards.get(parent)
        if reading is not None:
            return not isinstance(reading.position, End)
        if parent in self.finished or shard in self._lineage.ancestors(parent) or parent == shard:
            return False
        if parent in self.awaited and (parent in self._lineage or top(self.awaited, parent) in self.shards):
            return True
        if parent in self._lineage:
            return parent not in self.passed and self._will_read(parent)
        if parent in self._gone or parent in self.passed:
            return False
        self.doubtful.setdefault(shard, parent)
        return True

    def _will_read(self, shard: str) -> bool:
        """Return whether a listed shard that was not reached yet is this frontier's, by its first ancestors."""
        line = [shard, *self._lineage.first_ancestors(shard)]
        for ancestor in line[1:]:
            if ancestor in self.shards or ancestor in self.awaited:
                return True
            if (done := self.finished.get(ancestor)) is not None:
                return done.children is not None or ancestor in self.unconfirmed
            if ancestor in self.passed:
                ours = self.reads_child_of(ancestor)
                return self._adopts if ours is None else ours
        loops = self._lineage.first_parent(line[-1]) is not None  # nothing in a loop of parents is ever read
        return self._adopts and not loops

    def release_parents(self, shard: str) -> None:
        """Remove the ended parents of a merge's `shard` for which it was the last undecided child."""
        parents = self._lineage.parents(shard)
        if len(parents) > 1:
            for parent in parents:
                if all(map(self._holds, self._lineage.children(parent))):
                    self.leave(parent)

    # The end of a shard

    def hand_over(self, parent: str) -> None:
        """If the parent has ended, replace it with its known children in one step (trap 20).

        The child of a merge may have to wait for its other parent. The parent then stays, and holds the watermark for
        the child.
        """
        reading = self.shards.get(parent)
        children = self._lineage.children(parent)
        if reading is None or not children or not isinstance(reading.position, End):
            return
        for child in children:
            if not self._holds(child):
                if len(self._lineage.parents(child)) == 1:
                    self.open(child, reading.position.children, reading.watermark)
                else:
                    self.decide(child)
        if all(map(self._holds, children)):
            self.leave(parent)

    def leave(self, parent: str) -> None:
        reading = self.shards.get(parent)
        if reading is not None and isinstance(reading.position, End):
            del self.shards[parent]
            self.finished[parent] = Finished(self._second, reading.position.children)

    # What is known

    def reads_child_of(self, parent: str) -> bool | None:
        """Return whether the known children of a parent are this frontier's; None if they differ, or none is known."""
        children = self._lineage.children(parent)
        known = [child for child in children if self._holds(child) and self._lineage.first_parent(child) == parent]
        ours = {child in self.shards or self.finished[child].children is not None for child in known}
        return ours.pop() if len(ours) == 1 else None

    def _holds(self, shard: str) -> bool:
        return shard in self.shards or shard in self.finished

    def frontier(self) -> Frontier:
        before = self._before
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
            read_to=before.watermark if before.shards and not self.shards else before.read_to,
            unlinked=frozenset(filter(self._holds, self.unlinked)),
        )
