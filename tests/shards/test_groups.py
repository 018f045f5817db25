"""Several frontiers share a stream: whatever each of them is shown, each shard is read by exactly one.

The stream here is drawn by hypothesis and pure: shards roll and split, and are gone a day after they closed. A group
lists with holes, reads at its own speed, forgets what it may, and is thrown away and resumed from its frontier.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from connector.shards.discovery import discover
from connector.shards.frontier import Frontier, begin
from connector.shards.groups import deal
from connector.shards.lineage import Lineage, Shard
from connector.shards.position import TRIM_HORIZON, After

HOUR = 3600
DAY = 24 * HOUR
OPEN = 10**12


@dataclass
class Stream:
    """What the service holds: each shard's parent and the second it closed."""

    parents: dict[str, str | None] = field(default_factory=dict)
    closed: dict[str, int] = field(default_factory=dict)
    second: int = 1_000 * DAY

    def add(self, parent: str | None, children: int) -> None:
        if parent is not None:
            self.closed[parent] = self.second
        for _ in range(children):
            name = f"s{len(self.parents)}"
            self.parents[name], self.closed[name] = parent, OPEN

    def exists(self, shard: str) -> bool:
        return self.closed[shard] + DAY > self.second

    @property
    def open(self) -> list[str]:
        return [shard for shard in self.parents if self.closed[shard] == OPEN]

    def listed(self) -> list[Shard]:
        return [Shard(shard, parent) for shard, parent in self.parents.items() if self.exists(shard)]

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


class Sharing(RuleBasedStateMachine):
    """``made`` are the shards that a group has held; a shard is never held by two, in all its life."""

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
        """Within a day every group has listed once without holes: what the law asks for."""
        for group in self.groups:
            group.list(self.stream)
        self.stream.second += hours * HOUR
        for group in self.groups:
            group.list(self.stream)

    @precondition(lambda self: len(self.stream.parents) < 60)
    @rule(rolls=st.lists(st.integers(0, 9), max_size=6), hours=st.integers(25, 90))
    def all_pause_for_longer_than_the_service_keeps_anything(self, rolls: list[int], hours: int) -> None:
        """They know the same when they stop; shards roll on while nobody looks."""
        for group in self.groups:
            group.list(self.stream)
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
                assert self.held.setdefault(shard, number) == number, f"{shard} is held by two groups"

    def teardown(self) -> None:
        if not hasattr(self, "groups"):
            return
        for _ in range(len(self.stream.parents) + 2):
            for number, group in enumerate(self.groups):
                group.read(self.stream)
                group.list(self.stream)
                for shard in group.frontier.shards:
                    assert self.held.setdefault(shard, number) == number, f"{shard} is held by two groups"
        holders = [shard for group in self.groups for shard in group.frontier.open_shards]
        assert sorted(set(holders) & set(self.stream.open)) == sorted(self.stream.open), "a shard is read by nobody"


TestSharing = Sharing.TestCase
TestSharing.settings = settings(max_examples=100, stateful_step_count=25)
