"""What may happen to the groups that read a stream, whatever kind of stream it is."""

from __future__ import annotations

from hypothesis import event
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule
from life_cycle_laws import Group

from beam_dynamodb_streams.shards.encoding import encode_frontier
from tests.inline import DrivenRead

which = st.integers(0, 20)  # of the shards or groups that there are when the rule is applied


class GroupRules(RuleBasedStateMachine):
    """The groups of a stream: stored, thrown away, resumed and split at any moment."""

    groups: list[Group]

    def reading(self) -> DrivenRead:
        """Return a read of the stream that has not begun."""
        raise NotImplementedError

    def follow(self, group: Group, seconds: float) -> None:
        """Let a group read for that many seconds, and check the laws of a step."""
        raise NotImplementedError

    def went_back(self) -> None:
        """Called after a group fell back to its checkpoint."""
        raise NotImplementedError

    def group(self, which: int) -> Group:
        return self.groups[which % len(self.groups)]

    def poll(self, seconds: float) -> None:
        for group in self.groups:
            self.follow(group, seconds)

    @rule(which=which, seconds=st.sampled_from([0.3, 3.0, 20.0]))
    def poll_one_group(self, which: int, seconds: float) -> None:
        event("poll one group")
        self.follow(self.group(which), seconds)

    @rule(which=which)
    def store(self, which: int) -> None:
        event("checkpoint")
        self.group(which).store()

    @rule(which=which)
    def resume_where_it_stands(self, which: int) -> None:
        event("resume in a new worker")
        read = self.group(which).read
        read.restore(read.stored())

    @rule(which=which, survived=st.booleans())
    def fall_back_to_the_checkpoint(self, which: int, survived: bool) -> None:
        """A failure, which the worker may have survived: later deliveries repeat, if the changes still exist."""
        event("fall back to the checkpoint")
        group = self.group(which)
        group.forget()
        back = group.read.go_back if survived else group.read.restore
        back(group.checkpoint.stored)
        self.went_back()

    @rule(which=which)
    def refuse_a_claim(self, which: int) -> None:
        """The runner takes its checkpoint between the poll and the claim."""
        event("refuse a claim")
        read = self.group(which).read
        read.refuse(2.0)
        read.go_back(read.stored())

    def split_group(self, group: Group, keep: set[int], second: int) -> None:
        """Split a group in two: the shards whose indexes are in `keep`, and the others."""
        event("split the restriction")
        mine = [shard for index, shard in enumerate(group.frontier.shards) if index in keep]
        kept, given = group.frontier.split(mine, second=second)
        group.read.go_back(encode_frontier(kept))
        group.store()
        other = self.reading()
        other.restore(encode_frontier(given))
        self.groups.append(Group.of(other, group.watermark))
