"""The laws of delivery under any life cycle: whatever shards and faults do, nothing is lost, doubled or out of order.

The machine is small and its clock is ours, so that years of a stream's life pass in a minute. What happens to the
stream is in `life_cycle_stream.py`, the laws are in `life_cycle_laws.py`. `make nightly` runs a hundred times as many
examples, new ones each time.
"""

from __future__ import annotations

from group_rules import GroupRules, which
from hypothesis import HealthCheck, Phase, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule
from life_cycle_laws import Group
from life_cycle_stream import MOST_OPEN, NIGHTLY, SOCKETS, StreamRules

from beam_dynamodb_streams.reader.page import Rules
from beam_dynamodb_streams.reader.schedule import Pace
from beam_dynamodb_streams.shards.position import StartPosition
from beam_dynamodb_streams.shards.quiet import QuietRule
from tests.inline import DrivenRead

MOST_GROUPS = 4


class LifeCycle(GroupRules, StreamRules):
    """A table's stream, and the groups that read it."""

    def begin_reading(self, start: StartPosition) -> None:
        self.begin = start
        self.groups = [Group.of(self.reading())]

    def reading(self) -> DrivenRead:
        return DrivenRead(
            self.service,
            self.clock,
            self.table.stream_arn,
            start=self.begin,
            rules=Rules(slack=1.0, quiet=QuietRule(8, 2.0)),
            pace=Pace(page=20, idle=10.0),
            network=self.network,
            sockets=SOCKETS,
            on_new_stream="follow",
            table_id=self.table.table_id,
        )

    def before_loss(self) -> None:
        """Trimming takes a day, here it takes no time. So what is on its way arrives first, and several groups, which
        know what is whose only if each sees and stores every shard before it is gone, see a true listing."""
        self.network.reads_fail = True
        if len(self.groups) > 1:
            self.behave()
        self.poll(400.0 if len(self.groups) > 1 else 5.0)
        self.network.reads_fail = False
        if len(self.groups) > 1:
            for group in self.groups:
                group.store()

    # What the reads do

    def follow(self, group: Group, seconds: float) -> None:
        self.ledger.follow(group, seconds)

    def went_back(self) -> None:
        self.ledger.note(self.groups, restored=True)

    @rule(seconds=st.sampled_from([0.3, 1.0, 3.0]))
    def poll_a_little(self, seconds: float) -> None:
        event("poll a little")
        self.poll(seconds)

    @rule(seconds=st.sampled_from([10.0, 20.0]))
    def poll_for_a_while(self, seconds: float) -> None:
        event("poll for a while")
        self.poll(seconds)

    @rule()
    def poll_for_long(self) -> None:
        event("poll for long")
        self.poll(100.0)

    @precondition(lambda self: len(self.groups) < MOST_GROUPS)
    @rule(which=which, keep=st.sets(st.integers(0, MOST_OPEN), max_size=4))
    def split_the_restriction(self, which: int, keep: set[int]) -> None:
        group = self.group(which)
        if group.frontier.closed or not set(self.table.shard_ids).issuperset(group.frontier.shards):
            return  # dealt out is what a listing has just shown: what descends from a lost shard has no known owner
        self.split_group(group, keep, int(self.clock()))

    # The laws

    @invariant()
    def the_laws_of_every_moment(self) -> None:
        if hasattr(self, "groups"):
            self.ledger.note(self.groups)
            self.ledger.assert_step(self.groups)

    def teardown(self) -> None:
        if not hasattr(self, "groups"):
            return
        try:
            self.behave()
            self.end_the_stream()
            for _ in range(20):
                for group in self.groups:
                    self.ledger.follow(group, 400)
            for group in self.groups:
                group.read.finish()
                self.ledger.follow(group, 400)
            self.ledger.note(self.groups)
            self.ledger.assert_step(self.groups)
            self.ledger.assert_end(self.groups)
        finally:
            for group in self.groups:
                group.read.close()
            self.service.stop()


LifeCycle.TestCase.settings = settings(
    max_examples=10_000 if NIGHTLY else 100,
    stateful_step_count=30,
    derandomize=not NIGHTLY,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.reuse, Phase.generate, Phase.shrink],
)
TestLifeCycle = LifeCycle.TestCase
