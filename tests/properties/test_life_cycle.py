"""The laws of delivery under any life cycle: whatever shards and faults do, nothing is lost, doubled or out of order.

The machine is small and its clock is ours, so that thousands of hours of a stream's life pass in a minute.
"""

from __future__ import annotations

from collections import Counter, defaultdict

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from connector.shards.position import After
from connector.testing import Clock, Faults, LocalStreams
from tests.inline import DrivenRead

KEYS = [f"k-{number}" for number in range(12)]


class LifeCycle(RuleBasedStateMachine):
    """A table, its stream, and one read of it that is checkpointed, thrown away and resumed."""

    @initialize(shards=st.integers(1, 3))
    def start(self, shards: int) -> None:
        self.clock = Clock()
        self.service = LocalStreams(clock=self.clock)
        self.service.start()
        self.table = self.service.create_table("orders", keys={"id": "S"}, shards=shards)
        self.read = DrivenRead(self.service, self.clock, self.table.stream_arn)
        self.checkpoint = self.read.stored()
        self.checkpoint_delivered = 0
        self.went_back = False
        self.trimmed: set[tuple[str, str]] = set()
        self.must_be_reported: set[tuple[str, str]] = set()
        self.touched: set[str] = set()
        self.number = 0
        self.disabled = False

    # What the table does

    @precondition(lambda self: not self.disabled)
    @rule(keys=st.lists(st.sampled_from(KEYS), min_size=1, max_size=30))
    def put(self, keys: list[str]) -> None:
        for key in keys:
            self.number += 1
            self.table.put({"id": key, "n": self.number})

    @precondition(lambda self: not self.disabled)
    @rule(key=st.sampled_from(KEYS))
    def delete(self, key: str) -> None:
        self.table.delete({"id": key})

    # What the shards do

    @precondition(lambda self: not self.disabled)
    @rule(data=st.data())
    def roll(self, data: st.DataObject) -> None:
        self.table.roll(data.draw(st.sampled_from(self.table.open_shard_ids)))

    @precondition(lambda self: not self.disabled and len(self.table.open_shard_ids) < 6)
    @rule(data=st.data())
    def split(self, data: st.DataObject) -> None:
        self.table.split(data.draw(st.sampled_from(self.table.open_shard_ids)))

    @rule(data=st.data())
    def hide(self, data: st.DataObject) -> None:
        if self.table.shard_ids:
            self.table.hide(data.draw(st.sampled_from(self.table.shard_ids)))

    @rule()
    def reveal_all(self) -> None:
        for shard in self.table.shard_ids:
            self.table.reveal(shard)

    @rule(keep=st.integers(0, 5), data=st.data())
    def trim(self, keep: int, data: st.DataObject) -> None:
        if not self.table.shard_ids:
            return
        shard = data.draw(st.sampled_from(self.table.shard_ids))
        records = [(c.shard_id, c.sequence_number) for c in self.table.changes if c.shard_id == shard]
        unread = set(records[: max(0, len(records) - keep)]) - set(self.read.delivered)
        self.table.trim(shard, keep=keep)
        self.trimmed |= unread
        reading = self.read.frontier.shards.get(shard)
        if reading is not None and isinstance(reading.position, After):
            self.must_be_reported |= unread  # else there was no position yet to lose
        self.touched.add(shard)

    @precondition(lambda self: not self.disabled)
    @rule()
    def disable(self) -> None:
        self.table.disable_stream()
        self.disabled = True

    # What the service does

    @rule(
        throttle=st.sampled_from([0.0, 0.3]),
        drop=st.sampled_from([0.0, 0.2]),
        empty=st.sampled_from([0.0, 0.5]),
        holes=st.sampled_from([0.0, 0.3]),
        delay=st.sampled_from([0.0, 3.0]),
        expire=st.sampled_from([0.0, 0.3]),
    )
    def misbehave(self, throttle: float, drop: float, empty: float, holes: float, delay: float, expire: float) -> None:
        self.service.faults = Faults(
            throttle=throttle, drop=drop, empty_page=empty, list_holes=holes, list_delay=delay, expire=expire
        )

    @rule()
    def let_iterators_expire(self) -> None:
        self.clock.advance(16 * 60)

    # What the read does

    @rule(seconds=st.sampled_from([0.3, 2.0, 20.0]))
    def poll(self, seconds: float) -> None:
        self.read.run(seconds)

    @rule()
    def store(self) -> None:
        self.checkpoint = self.read.stored()
        self.checkpoint_delivered = len(self.read.delivered)

    @rule()
    def resume_where_it_stands(self) -> None:
        self.read.restore(self.read.stored())

    @rule()
    def fall_back_to_the_checkpoint(self) -> None:
        """A failure: what was delivered since comes again, if the service still has it."""
        again = set(self.read.delivered[self.checkpoint_delivered :])
        self.went_back |= bool(again)
        self.read.restore(self.checkpoint)

    # The laws

    @invariant()
    def a_shard_is_read_or_finished_never_both(self) -> None:
        assert not self.read.frontier.shards.keys() & self.read.frontier.finished.keys()

    def teardown(self) -> None:
        if not hasattr(self, "read"):
            return
        try:
            self.service.faults = Faults()
            self.reveal_all()
            if not self.disabled:
                self.table.disable_stream()
            self.read.run(4000)
            self.assert_the_laws()
        finally:
            self.service.stop()

    def assert_the_laws(self) -> None:
        delivered = Counter(self.read.delivered)
        written = [(change.shard_id, change.sequence_number) for change in self.table.changes]
        assert self.read.frontier.closed, f"the read never ends: {self.read.frontier}"
        missing = set(written) - set(delivered)
        assert missing <= self.trimmed, f"lost though never trimmed unread: {missing - self.trimmed}"
        reported = {loss.shard_id for loss in self.read.losses}
        assert {shard for shard, _ in missing & self.must_be_reported} <= reported, "a loss was not reported"
        assert reported <= self.touched, f"a loss was reported where none was possible: {reported - self.touched}"
        if not self.went_back:
            assert max(delivered.values(), default=1) == 1, "a change came twice though nothing was repeated"
            self.assert_key_order()

    def assert_key_order(self) -> None:
        place = {(change.shard_id, change.sequence_number): change for change in self.table.changes}
        order = {where: index for index, where in enumerate(place)}
        latest: dict[str, int] = defaultdict(lambda: -1)
        for where in self.read.delivered:
            key = str(place[where].keys["id"])
            assert order[where] > latest[key], f"{key} came out of order"
            latest[key] = order[where]


LifeCycle.TestCase.settings = settings(
    max_examples=40,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=True,
)
TestLifeCycle = LifeCycle.TestCase
