"""What a table wrote, what the reads of its stream delivered, and the laws between the two.

A group is one restriction: its history is what a sink that commits with the runner's checkpoints would have seen, so a
restart cuts it back to the checkpoint. The laws hold for that history, always: exactly once and in order.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import combinations, count

from beam_dynamodb_streams.shards.frontier import EARLIEST, Frontier
from beam_dynamodb_streams.shards.loss import Loss
from beam_dynamodb_streams.shards.position import After, End
from beam_dynamodb_streams.testing import Clock, Table
from tests.inline import DrivenRead

DAY = 24 * 3600
Place = tuple[str, int]  # a shard and a sequence number


@dataclass
class Checkpoint:
    """What a runner stored of a group, and how much it had delivered by then."""

    stored: bytes
    delivered: int
    losses: int
    watermark: int


@dataclass
class Group:
    """One restriction and whoever reads it now."""

    read: DrivenRead
    checkpoint: Checkpoint
    watermark: int = EARLIEST

    @classmethod
    def of(cls, read: DrivenRead, watermark: int = EARLIEST) -> Group:
        return cls(read, Checkpoint(read.stored(), 0, 0, watermark), watermark)

    @property
    def frontier(self) -> Frontier:
        return self.read.frontier

    def store(self) -> None:
        self.checkpoint = Checkpoint(
            self.read.stored(), len(self.read.delivered), len(self.read.losses), self.watermark
        )

    def forget(self) -> None:
        """Drop what was delivered since the checkpoint."""
        del self.read.delivered[self.checkpoint.delivered :]
        del self.read.losses[self.checkpoint.losses :]
        self.watermark = self.checkpoint.watermark


@dataclass
class Ledger:
    """What the laws remember.

    `lied`: a listing left out a shard, or pages hid records, so that a record may be late.
    """

    table: Table
    clock: Clock
    start: int | None
    lied: bool = False
    trimmed: set[Place] = field(default_factory=set)
    aged: set[Place] = field(default_factory=set)  # of these: by age
    owed: set[Place] = field(default_factory=set)  # lost where the reader stood: to be reported, by shard
    owed_roots: set[str] = field(default_factory=set)  # lost by age below what had begun: to be reported, by lineage
    claims: dict[Place, int] = field(default_factory=dict)
    after_child: set[str] = field(default_factory=set)  # began late, since no listing showed them or their children
    _numbers: Iterable[int] = field(default_factory=count)
    _written: list[tuple[Place, str, int]] = field(default_factory=list)
    _seen: int = 0

    # What happens

    def follow(self, group: Group, seconds: float) -> None:
        """Read for that many seconds, and check the laws of a step at each step."""
        numbers = iter(self._numbers)
        for claim in group.read.each_claim(seconds):
            for record in claim.records:
                self.claims[claim.shard, int(record.sequence_number)] = next(numbers)
                created = int(record.creation_time * 1_000_000)
                assert self.lied or created >= group.watermark, f"{claim.shard} is late: {created} < {group.watermark}"
            for shard in claim.opened:
                if any(shard in self.ancestors(child) for child in claim.frontier.unlinked):
                    self.after_child.add(shard)
            for loss in claim.losses:
                self.assert_unserved(loss)
            group.watermark = max(group.watermark, claim.watermark)

    def written(self) -> list[tuple[Place, str, int]]:
        """Each change that is asked for: its place, its key and its second, in the order in which it was written."""
        for change in self.table.changes[self._seen :]:
            self._seen += 1
            record = change.record["dynamodb"]
            second = int(record["ApproximateCreationDateTime"])
            if self.start is None or second >= self.start:
                place = change.shard_id, int(change.sequence_number)
                self._written.append((place, record["Keys"]["id"]["S"], second))
        return self._written

    def served(self) -> set[Place]:
        """The places of all changes that the service still has."""
        now = self.clock()
        streams = [stream for stream in self.table.streams if not stream.is_gone(now)]
        found = [stream.find(name, now) for stream in streams for name in stream.shards.by_id]
        shards = [shard for shard in found if shard is not None]
        return {(shard.shard_id, number) for shard in shards for number in shard.sequence[shard.trimmed :]}

    def note(self, groups: list[Group], *, restored: bool = False) -> None:
        """Record what can never be read any more, and the losses owed for it.

        `restored`: a group went back to a checkpoint.
        """
        if restored:
            self.owed, self.owed_roots, self.trimmed = set(), set(), set()
        delivered = {(shard, int(number)) for group in groups for shard, number in group.read.delivered}
        served = self.served()
        for place, _, second in self.written():
            if place in served or place in delivered or place in self.trimmed:
                continue
            if not restored and second + DAY <= self.clock():
                self.aged.add(place)
            self.trimmed.add(place)
            if self._stands_before(groups, place):
                self.owed.add(place)
            elif place in self.aged and self._begun(groups, place[0], second):
                self.owed_roots.add(self.root(place[0]))

    def _stands_before(self, groups: list[Group], place: Place) -> bool:
        """Whether a group has a position in the shard that the service denies when it is asked for."""
        for group in groups:
            reading = group.frontier.shards.get(place[0])
            if reading is not None and isinstance(reading.position, After):
                return int(reading.position.sequence_number) < place[1]
        return False

    def _begun(self, groups: list[Group], shard: str, second: int) -> bool:
        """Whether a group reads the shard or an ancestor of it, and had come to a moment before the change's."""
        family = [shard, *self.ancestors(shard)]
        readings = [group.frontier.shards.get(name) for group in groups for name in family]
        return any(reading is not None and EARLIEST < reading.watermark <= second * 1_000_000 for reading in readings)

    def ancestors(self, shard: str) -> list[str]:
        """Return those that the stream had; the trimmed parent of a first shard is not one of them (trap 23)."""
        lineage, found = dict[str, str | None](), list[str]()
        for stream in self.table.streams:
            lineage |= {name: each.parent_shard_id for name, each in stream.shards.by_id.items()}
        while (parent := lineage.get(shard)) is not None and parent in lineage:
            found.append(parent)
            shard = parent
        return found

    def root(self, shard: str) -> str:
        return [shard, *self.ancestors(shard)][-1]

    # The laws

    def assert_unserved(self, loss: Loss) -> None:
        """No loss is reported for a position that the service still serves; a certain one lost a change for certain."""
        now = self.clock()
        stream = next(stream for stream in self.table.streams if stream.arn == loss.stream_arn)
        if not loss.shard_id:
            assert stream.disabled is not None, f"a loss between two streams, and the first is enabled: {loss}"
            return
        shard = None if stream.is_gone(now) else stream.find(loss.shard_id, now)
        old = loss.since is not None and loss.since.timestamp() < now - DAY
        number = int(last) if (last := loss.last_position.rpartition(" ")[2]).isdecimal() else None
        if shard is not None and not old:
            trimmed = shard.is_trimmed(number) if number is not None else shard.trimmed > 0
            assert trimmed, f"a loss where the service serves all: {loss}"
        if loss.certain:
            of_shard = stream.shards.by_id[loss.shard_id]
            kept = len(of_shard.sequence) if shard is None else shard.trimmed
            unread = of_shard.after_number(number) if number is not None else 0
            assert unread < kept, f"nothing was lost for certain: {loss}"

    def assert_step(self, groups: list[Group]) -> None:
        """Between any two rules: each shard has one reader at most, and what a position covers was delivered.

        At most one group follows to the table's next stream.
        """
        assert sum(group.frontier.adopts for group in groups) == 1, "two groups would read the next stream, or none"
        for one, other in combinations([group.frontier for group in groups], 2):
            assert not one.shards.keys() & other.shards.keys(), "two groups read the same shard"
        for group in groups:
            assert not group.frontier.shards.keys() & group.frontier.finished.keys()
            assert all(fetcher.most <= 1 for fetcher in group.read.fetchers), "a shard was asked twice at once"
        done = {(shard, int(number)) for group in groups for shard, number in group.read.delivered} | self.trimmed
        skipped = [place for place, _, _ in self.written() if self._covers(groups, place) and place not in done]
        assert not skipped, f"passed over unread: {skipped}"

    def _covers(self, groups: list[Group], place: Place) -> bool:
        shard, number = place
        for group in groups:
            reading, finished = group.frontier.shards.get(shard), group.frontier.finished.get(shard)
            if reading is not None:
                position = reading.position
                return isinstance(position, End) or (
                    isinstance(position, After) and int(position.sequence_number) >= number
                )
            if finished is not None and finished.children is not None:
                return True
        return False

    def assert_end(self, groups: list[Group]) -> None:
        """At the end, all is there, once, in each key's order, and every loss was reported.

        A shard that was listed only after its child began as a root is read after it.
        """
        assert all(group.frontier.closed for group in groups), f"the read never ends: {[g.frontier for g in groups]}"
        history = [(shard, int(number)) for group in groups for shard, number in group.read.delivered]
        assert len(history) == len(set(history)), "a change came twice"
        written = self.written()
        asked = {place for place, _, _ in written}
        assert set(history) <= asked, "a change from before the start"
        missing = asked - set(history)
        assert missing <= self.trimmed, f"lost though never trimmed unread: {missing - self.trimmed}"
        reported = {loss.shard_id for group in groups for loss in group.read.losses}
        unsaid = {shard for shard, _ in missing & self.owed} - reported
        assert not unsaid, f"a loss was not reported: {unsaid}"
        lost_roots = {self.root(shard) for shard, _ in missing} & self.owed_roots
        unsaid = lost_roots - {self.root(shard) for shard in reported}
        assert not unsaid, f"nothing was reported of a lineage that lost changes: {unsaid}"
        streams = {name: stream.arn for stream in self.table.streams for name in stream.shards.by_id}
        latest: dict[tuple[str, str], int] = defaultdict(lambda: -1)
        for place, name, _ in written:
            # One group reads the next stream, and does not know when the others have read the old one to its end.
            key = name, streams[place[0]] if len(groups) > 1 else ""
            if place in self.claims and place not in missing and place[0] not in self.after_child:
                assert self.claims[place] > latest[key], f"{name} came out of order: {place}"
                latest[key] = self.claims[place]
