"""Several frontiers share a stream: whatever each of them is shown, each shard is read by exactly one.

The stream here is drawn by hypothesis and pure: shards roll and split, and are gone a day after they closed. A group
lists with holes, reads at its own speed, forgets what it may, and is thrown away and resumed from its frontier. The
law asks that every group lists for some minutes before all of them pause, and once in a day.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from beam_dynamodb_streams.shards.frontier import Frontier, begin
from beam_dynamodb_streams.shards.groups import deal
from beam_dynamodb_streams.shards.lineage import Lineage, Shard
from beam_dynamodb_streams.shards.position import TRIM_HORIZON, After
from tests.shards.seen import discover

MINUTES = 180
HOUR = 3600
DAY = 24 * HOUR
OPEN = 10**12


@dataclass
class Stream:
    """What the service holds: each shard's parents and the second it closed."""

    parents: dict[str, tuple[str, ...]] = field(default_factory=dict)
    closed: dict[str, int] = field(default_factory=dict)
    second: int = 1_000 * DAY

    def add(self, parent: str | None, children: int) -> None:
        self.grow(() if parent is None else (parent,), children)

    def grow(self, parents: tuple[str, ...], children: int) -> None:
        for parent in parents:
            self.closed[parent] = self.second
        for _ in range(children):
            name = f"s{len(self.parents)}"
            self.parents[name], self.closed[name] = parents, OPEN

    def exists(self, shard: str) -> bool:
        return self.closed[shard] + DAY > self.second

    @property
    def open(self) -> list[str]:
        return [shard for shard in self.parents if self.closed[shard] == OPEN]

    def listed(self) -> list[Shard]:
        return [Shard(shard, parents) for shard, parents in self.parents.items() if self.exists(shard)]

    @property
    def gone(self) -> set[str]:
        return {shard for shard in self.parents if not self.exists(shard)}


@dataclass
class Group:
    """One frontier and what its worker remembers of the listings."""

    frontier: Frontier
    lineage: Lineage = field(default_factory=Lineage)

    def list(self, stream: Stream, *, holes: frozenset[int] = frozenset()) -> None:
        shown = [shard for index, shard in enumerate(stream.listed()) if index not in holes]
        self.lineage.add(shown)
        names = {shard.shard_id for shard in shown}
        leaves = [s for s in self.frontier.ended_shards if s in stream.gone and not self.lineage.children(s)]
        while True:
            found = discover(
                self.frontier,
                self.lineage,
                second=stream.second,
                gone=stream.gone,
                leaves=leaves if not holes else (),
            )
            if found.frontier is self.frontier:
                break
            self.frontier, leaves = found.frontier, []
        self.frontier = self.frontier.confirm(before=stream.second - MINUTES + 1, listed=names)
        self.frontier = self.frontier.forget_finished(before=stream.second - DAY - HOUR, listed=names, gone=stream.gone)
        if not holes:
            kept = names | self.frontier.shards.keys() | self.frontier.finished.keys()
            self.lineage.forget([shard for shard in self.lineage if shard not in kept])

    def read(self, stream: Stream) -> None:
        """All that it may read now, to its end where there is one."""
        for shard in self.frontier.open_shards:
            if stream.closed[shard] <= stream.second:
                self.frontier = self.frontier.end(shard)
            else:
                self.frontier = self.frontier.advance(shard, After(str(stream.second)))


def two_groups(stream: Stream) -> tuple[Group, Group, str]:
    """The first one, which adopts, and the one that owns the root, of a stream of two roots."""
    stream.add(None, 2)
    whole = Group(begin(TRIM_HORIZON))
    whole.list(stream)
    first, owner = map(Group, deal(whole.frontier, whole.lineage, 2, second=stream.second))
    (root,) = owner.frontier.shards
    return first, owner, root


@pytest.mark.parametrize(
    ("seen_by_the_owner", "minutes_before_the_pause", "read_by"),
    [(False, False, ["first"]), (True, False, ["first", "owner"]), (True, True, ["owner"])],
    ids=["unseen", "seen just now", "seen for minutes"],
)
def test_no_pause_leaves_to_nobody_what_descends_from_a_roll_that_some_had_not_seen(
    seen_by_the_owner: bool, minutes_before_the_pause: bool, read_by: list[str]
) -> None:
    """Trap 13: it is read twice where the first group cannot know whether the owner saw the roll."""
    stream = Stream()
    first, owner, root = two_groups(stream)
    stream.add(root, 1)  # s2
    first.list(stream)
    if seen_by_the_owner:
        owner.list(stream)
    if minutes_before_the_pause:
        stream.second += MINUTES
        first.list(stream)
    stream.add("s2", 1)  # s3, within the pause
    stream.second += DAY + HOUR
    for group in (first, owner):
        group.lineage = Lineage()
        for _ in range(3):
            group.list(stream)
            group.read(stream)
    readers = [name for name, group in (("first", first), ("owner", owner)) if "s3" in group.frontier.shards]
    assert readers == read_by


def test_what_is_known_to_descend_from_a_shard_that_changed_hands_is_read_after_it() -> None:
    """Trap 13: three rolls within a minute, seen by the first group alone; then a pause in which the first one's link
    goes, and the others do not."""
    stream = Stream()
    first, _, root = two_groups(stream)
    for parent in (root, "s2", "s3"):
        stream.add(parent, 1)
        stream.second += 20
    first.list(stream)
    stream.second += DAY - 30  # s2 closed 40 seconds before, s3 20
    first.lineage = Lineage()
    first.list(stream)
    assert {"s3", "s4"} & first.frontier.shards.keys() == {"s3"}
    first.read(stream)
    first.list(stream)
    assert {"s3", "s4"} & first.frontier.shards.keys() == {"s4"}


class Sharing(RuleBasedStateMachine):
    """`held` is the frontier that has held a shard. In its whole life each shard is held by exactly one.

    `hasty`: a pause of more than a day began before all had seen a roll. Only then may two hold its descendants.
    """

    hasty = False

    @initialize(
        roots=st.integers(1, 4),
        generations=st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=6),
        groups=st.integers(2, 4),
    )
    def begin(self, roots: int, generations: list[tuple[int, bool]], groups: int) -> None:
        self.stream = Stream()
        self.stream.add(None, roots)
        for which, split in generations:
            self.stream.second += HOUR
            self.stream.add(self.stream.open[which % len(self.stream.open)], 2 if split else 1)
        first = Group(begin(TRIM_HORIZON))
        first.list(self.stream)
        parts = deal(first.frontier, first.lineage, groups, second=self.stream.second)
        self.groups = [Group(part) for part in parts]
        self.held: dict[str, int] = {}

    @rule(which=st.integers(0, 9), split=st.booleans())
    def grow(self, which: int, split: bool) -> None:
        if len(self.stream.open) < 8 or not split:
            self.stream.add(self.stream.open[which % len(self.stream.open)], 2 if split else 1)

    @rule(which=st.integers(0, 9), other=st.integers(0, 9))
    def merge(self, which: int, other: int) -> None:
        """Two open shards become one, as in a stream of Kinesis. Its first parent's group reads it."""
        one, two = (self.stream.open[number % len(self.stream.open)] for number in (which, other))
        if one != two:
            self.stream.grow((one, two), 1)

    @rule(which=st.integers(0, 3), holes=st.frozensets(st.integers(0, 12), max_size=8))
    def list_with_holes(self, which: int, holes: frozenset[int]) -> None:
        self.groups[which % len(self.groups)].list(self.stream, holes=holes)

    @rule(which=st.integers(0, 3))
    def read(self, which: int) -> None:
        self.groups[which % len(self.groups)].read(self.stream)

    @rule(which=st.integers(0, 3))
    def resume_elsewhere(self, which: int) -> None:
        self.groups[which % len(self.groups)].lineage = Lineage()

    @rule(hours=st.integers(1, 20))
    def time_passes(self, hours: int) -> None:
        """Within a day every group has listed for minutes without holes: what the law asks for."""
        self._run_for_minutes()
        self.stream.second += hours * HOUR
        self._run_for_minutes()

    def _run_for_minutes(self) -> None:
        for _ in range(2):
            for group in self.groups:
                group.list(self.stream)
            self.stream.second += MINUTES

    @precondition(lambda self: len(self.stream.parents) < 60)
    @rule(rolls=st.lists(st.integers(0, 9), max_size=6), hours=st.integers(25, 90))
    def all_pause_for_longer_than_the_service_keeps_anything(self, rolls: list[int], hours: int) -> None:
        """All have listed for minutes when they stop; shards roll on while nobody looks."""
        self._run_for_minutes()
        self._pause(rolls, hours)

    @precondition(lambda self: len(self.stream.parents) < 60)
    @rule(
        seen=st.lists(st.tuples(st.integers(0, 9), st.booleans(), st.frozensets(st.integers(0, 3))), max_size=3),
        rolls=st.lists(st.integers(0, 9), max_size=3),
        hours=st.integers(25, 90),
    )
    def all_pause_while_only_some_have_seen_a_roll(
        self, seen: list[tuple[int, bool, frozenset[int]]], rolls: list[int], hours: int
    ) -> None:
        self.hasty = True
        for group in self.groups:
            group.list(self.stream)
        for which, split, by in seen:
            self.stream.add(self.stream.open[which % len(self.stream.open)], 2 if split else 1)
            for number, group in enumerate(self.groups):
                if number in by:
                    group.list(self.stream)
        self._pause(rolls, hours)

    def _pause(self, rolls: list[int], hours: int) -> None:
        for which in rolls:
            self.stream.second += hours * HOUR // (len(rolls) + 1)
            self.stream.add(self.stream.open[which % len(self.stream.open)], 1)
        self.stream.second += hours * HOUR // (len(rolls) + 1)
        for group in self.groups:
            group.lineage = Lineage()
            group.list(self.stream)

    @invariant()
    def no_shard_is_held_by_two(self) -> None:
        for number, group in enumerate(getattr(self, "groups", ())):
            for shard in group.frontier.shards:
                assert self.held.setdefault(shard, number) == number or self.hasty, f"{shard} is held by two groups"

    def teardown(self) -> None:
        if not hasattr(self, "groups"):
            return
        for _ in range(len(self.stream.parents) + 2):
            for number, group in enumerate(self.groups):
                group.read(self.stream)
                group.list(self.stream)
                for shard in group.frontier.shards:
                    assert self.held.setdefault(shard, number) == number or self.hasty, f"{shard} is held by two"
        holders = [shard for group in self.groups for shard in group.frontier.open_shards]
        assert set(holders) >= set(self.stream.open), "a shard is read by nobody"


TestSharing = Sharing.TestCase
TestSharing.settings = settings(max_examples=100, stateful_step_count=25)
