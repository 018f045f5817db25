"""The laws of delivery for a Kinesis data stream under any life cycle: splits, merges, retention, restarts.

As in `test_life_cycle.py`, the history of a group is cut back to its checkpoint at a restart. For that history: each
record once, each shard in order, a child after all its parents, and no loss that is not reported. `make nightly` runs
a hundred times as many examples.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

from group_rules import GroupRules, which
from hypothesis import HealthCheck, Phase, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule
from life_cycle_laws import Group, Place

from beam_dynamodb_streams.reader.page import Rules
from beam_dynamodb_streams.shards.frontier import EARLIEST
from beam_dynamodb_streams.shards.loss import Loss
from beam_dynamodb_streams.shards.position import TRIM_HORIZON, After, AtTime, End
from beam_dynamodb_streams.testing import Clock, Faults, LocalKinesis, LocalStreams
from beam_dynamodb_streams.testing.kinesis_shards import KinesisShard
from tests.driven_kinesis import DrivenKinesisRead, kinesis_client

NIGHTLY = settings.get_current_profile_name() == "nightly"
MOST_OPEN = 6
MOST_GROUPS = 3
changes = st.integers(0, 30)


class KinesisLifeCycle(GroupRules):
    """A data stream, everything that may happen to it, and the groups that read it."""

    @initialize(
        shards=st.integers(1, 3),
        hours=st.sampled_from([24, 48]),
        history=st.lists(st.tuples(st.sampled_from(["put", "split", "merge"]), which), max_size=6),
        from_now=st.booleans(),
    )
    def start(self, shards: int, hours: int, history: list[tuple[str, int]], from_now: bool) -> None:
        self.clock = Clock()
        self.service = LocalKinesis(clock=self.clock)
        self.table = LocalStreams(clock=self.clock).create_table("orders", keys={"id": "S"})
        self.hours = hours
        self.number = 0
        self.holes = False
        self.trimmed: set[Place] = set()
        self.owed: set[Place] = set()
        self.owed_roots: set[str] = set()
        self.stream = self.service.create_stream("copy", shards=shards)
        self.stream.retention = hours * 3600.0
        for what, number in history:
            if what == "put":
                self.write(number + 1)
            elif what == "split":
                self.split(number, 0)
            else:
                self.merge(number, 0)
            self.clock.advance(1.1)
        self.begin = AtTime(int(self.clock())) if from_now else TRIM_HORIZON
        self.first = int(self.clock()) if from_now else 0
        self.client = kinesis_client(self.service, self.clock)
        self.groups = [Group.of(self.reading())]

    def reading(self) -> DrivenKinesisRead:
        return DrivenKinesisRead(self.client, self.clock, self.stream.arn, start=self.begin, rules=Rules(slack=1.0))

    def write(self, changes: int) -> None:
        found = self.table.put_many({"id": f"k-{(self.number + n) % 12}", "n": self.number + n} for n in range(changes))
        self.number += changes
        self.stream.put_changes(found)

    # What the stream does

    @rule(changes=st.integers(1, 120))
    def put(self, changes: int) -> None:
        event("put")
        self.write(changes)

    @rule(which=which, changes=changes)
    def split(self, which: int, changes: int) -> None:
        opened = self.stream.open_shard_ids
        if len(opened) < MOST_OPEN:
            event("split a shard")
            self.stream.split(opened[which % len(opened)])
            self.write(changes)

    @rule(which=which, changes=changes)
    def merge(self, which: int, changes: int) -> None:
        opened = self.stream.open_shard_ids
        if len(opened) > 1:
            event("merge")
            at = which % (len(opened) - 1)
            pair = opened[at : at + 2]
            self.stream.merge(*(pair if which % 2 else reversed(pair)))
            self.write(changes)

    @rule(
        throttle=st.sampled_from([0.0, 0.3]),
        error=st.sampled_from([0.0, 0.1]),
        empty=st.sampled_from([0.0, 0.5]),
        empty_run=st.sampled_from([1, 50]),
        expire=st.sampled_from([0.0, 0.3]),
        drop=st.sampled_from([0.0, 0.2]),
        holes=st.sampled_from([0.0, 0.2]),
    )
    def serve_badly(
        self, throttle: float, error: float, empty: float, empty_run: int, expire: float, drop: float, holes: float
    ) -> None:
        event("serve badly")
        holes = holes if len(self.groups) == 1 else 0.0
        self.holes |= bool(holes)
        self.service.faults = replace(
            self.service.faults,
            throttle=throttle,
            error=error,
            empty_page=empty,
            empty_run=empty_run,
            expire=expire,
            drop=drop,
            list_holes=holes,
        )

    @rule()
    def let_iterators_expire(self) -> None:
        event("let iterators expire")
        self.clock.advance(6 * 60)

    @rule(part=st.sampled_from([0.5, 0.9, 1.1]), changes=changes)
    def stop_for_hours(self, part: float, changes: int) -> None:
        """Nobody reads, for less or more than the retention."""
        event(f"stop for {part:g} of the retention")
        if len(self.groups) > 1:  # they agree on owners once each has seen every shard
            self.service.faults = Faults()
            self.poll(60.0)
            for group in self.groups:
                group.store()
        self.write(changes)
        self.clock.advance(part * self.hours * 3600)

    # What the reads do

    @rule(seconds=st.sampled_from([0.3, 1.0, 3.0, 20.0, 100.0]))
    def poll_all(self, seconds: float) -> None:
        event("poll")
        self.poll(seconds)

    @precondition(lambda self: len(self.groups) < MOST_GROUPS and not self.service.faults.list_holes)
    @rule(which=which, keep=st.sets(st.integers(0, MOST_OPEN), max_size=4))
    def split_the_restriction(self, which: int, keep: set[int]) -> None:
        group = self.group(which)
        if not set(self.stream.shard_ids).issuperset(group.frontier.shards):
            return  # what descends from a lost shard has no known owner
        self.split_group(group, keep, int(self.clock()))

    def went_back(self) -> None:
        self.note(restored=True)

    # What the laws remember

    def follow(self, group: Group, seconds: float) -> None:
        for claim in group.read.each_claim(seconds):
            for record in claim.records:
                created = int(record.creation_time * 1_000_000)
                assert self.holes or created >= group.watermark, f"{claim.shard} is late: {created}"
            for loss in claim.losses:
                self.assert_unserved(loss)
            if claim.records and not self.holes:
                self.note()
                parents = tuple(
                    parent for parent in self.shards[claim.shard].parents if not self.left_to_others(group, parent)
                )
                unread = [place for place in self.written(parents) if place not in self.done()]
                assert not unread, f"{claim.shard} began before its parents were read: {unread}"
            group.watermark = max(group.watermark, claim.watermark)

    @staticmethod
    def left_to_others(group: Group, shard: str) -> bool:
        """Return whether another group reads a shard: it does not hold back a merge's child that this group reads."""
        done = group.frontier.finished.get(shard)
        return done is not None and done.children is None

    @property
    def shards(self) -> dict[str, KinesisShard]:
        return self.stream._shards

    def written(self, shards: tuple[str, ...] | None = None) -> list[Place]:
        """The places of the records that are asked for."""
        return [
            (name, record.number)
            for name in (self.shards if shards is None else shards)
            for record in self.shards[name].records
            if record.arrived >= self.first
        ]

    def delivered(self) -> list[Place]:
        return [(shard, int(number)) for group in self.groups for shard, number in group.read.delivered]

    def done(self) -> set[Place]:
        return {*self.delivered(), *self.trimmed}

    def note(self, *, restored: bool = False) -> None:
        """Record what can never be read any more, and the losses that are owed for it."""
        if restored:
            self.trimmed, self.owed, self.owed_roots = set(), set(), set()
        served = {
            (shard.shard_id, number)
            for shard in self.stream.listed()
            for number in shard.numbers[shard.trimmed(self.stream.horizon) :]
        }
        done = self.done()
        for place in self.written():
            if place in served or place in done:
                continue
            self.trimmed.add(place)
            name, number = place
            readings = [group.frontier.shards.get(name) for group in self.groups]
            positions = [reading.position for reading in readings if reading is not None]
            if any(isinstance(at, After) and int(at.sequence_number) < number for at in positions):
                self.owed.add(place)
            elif self._begun(name, self.shards[name].arrivals[self.shards[name].numbers.index(number)]):
                self.owed_roots |= self.roots(name)

    def _begun(self, shard: str, second: float) -> bool:
        family = {shard, *self.ancestors(shard)}
        readings = [group.frontier.shards.get(name) for group in self.groups for name in family]
        return any(reading is not None and EARLIEST < reading.watermark <= second * 1_000_000 for reading in readings)

    def ancestors(self, shard: str) -> set[str]:
        parents = self.shards[shard].parents
        return set(parents).union(*map(self.ancestors, parents))

    def roots(self, shard: str) -> set[str]:
        return {name for name in {shard, *self.ancestors(shard)} if not self.shards[name].parents}

    # The laws

    def assert_unserved(self, loss: Loss) -> None:
        """No loss is reported for a position whose record the service still has."""
        shard = self.stream.find(loss.shard_id)
        last = loss.last_position.rpartition(" ")[2]
        if shard is not None and last.isdecimal() and shard.numbers:
            kept = shard.numbers[shard.trimmed(self.stream.horizon) :]
            assert not kept or int(last) < kept[0], f"a loss where the service serves all: {loss}"

    @invariant()
    def the_laws_of_every_moment(self) -> None:
        if not hasattr(self, "groups"):
            return
        self.note()
        for one, other in combinations([group.frontier for group in self.groups], 2):
            assert not one.shards.keys() & other.shards.keys(), "two groups read the same shard"
        history = self.delivered()
        assert len(history) == len(set(history)), "a record came twice"
        for group in self.groups:
            by_shard: dict[str, int] = {}
            for shard, number in group.read.delivered:
                assert by_shard.get(shard, 0) < int(number), f"{shard} is out of order"
                by_shard[shard] = int(number)
        done = self.done()
        skipped = [place for place in self.written() if self._covers(place) and place not in done]
        assert not skipped, f"passed over unread: {skipped}"

    def _covers(self, place: Place) -> bool:
        shard, number = place
        for group in self.groups:
            reading, finished = group.frontier.shards.get(shard), group.frontier.finished.get(shard)
            if reading is not None:
                at = reading.position
                return isinstance(at, End) or (isinstance(at, After) and int(at.sequence_number) >= number)
            if finished is not None and finished.children is not None:
                return True
        return False

    def teardown(self) -> None:
        if not hasattr(self, "groups"):
            return
        self.service.faults = Faults()
        for _ in range(10):
            self.poll(60.0)
        self.the_laws_of_every_moment()
        history, asked = set(self.delivered()), set(self.written())
        assert history <= asked, "a record from before the start"
        missing = asked - history
        assert missing <= self.trimmed, f"lost though never trimmed unread: {missing - self.trimmed}"
        reported = {loss.shard_id for group in self.groups for loss in group.read.losses}
        unsaid = {shard for shard, _ in missing & self.owed} - reported
        assert not unsaid, f"a loss was not reported: {unsaid}"
        lost_roots = {root for shard, _ in missing for root in self.roots(shard)} & self.owed_roots
        said = {root for shard in reported for root in self.roots(shard)}
        assert not lost_roots or lost_roots & said, f"nothing was reported of a lineage that lost records: {lost_roots}"


KinesisLifeCycle.TestCase.settings = settings(
    max_examples=4_000 if NIGHTLY else 40,
    stateful_step_count=30,
    derandomize=not NIGHTLY,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.reuse, Phase.generate, Phase.shrink],
)
TestKinesisLifeCycle = KinesisLifeCycle.TestCase
