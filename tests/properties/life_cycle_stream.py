"""What a stream goes through: rules for its table, its shards and its service, for machines that read it."""

from __future__ import annotations

from dataclasses import replace
from math import floor

from group_rules import which
from hypothesis import event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from life_cycle_laws import Ledger

from beam_dynamodb_streams.shards.position import TRIM_HORIZON, AtTime, StartPosition
from beam_dynamodb_streams.testing import Clock, Faults, LocalStreams
from tests.inline import Network

KEYS = [f"k-{number}" for number in range(12)]
MOST_OPEN = 6
changes = st.integers(0, 30)

NIGHTLY = settings.get_current_profile_name() == "nightly"
SOCKETS = not NIGHTLY  # half the time of an example goes through them


class StreamRules(RuleBasedStateMachine):
    """A table and its stream, and everything that may happen to them; who reads it is the subclass's."""

    @initialize(
        shards=st.integers(1, 3),
        older_than_a_day=st.booleans(),
        history=st.lists(st.tuples(st.sampled_from(["put", "roll", "split", "hide"]), which), max_size=6),
        from_now=st.booleans(),
        at_timestamp=st.booleans(),
        shard_filter=st.sampled_from(["supported", "ignored", "rejected"]),
        ends_listed_for_open=st.booleans(),
        listing_page=st.sampled_from([None, 1, 2]),
    )
    def start(
        self,
        shards: int,
        older_than_a_day: bool,
        history: list[tuple[str, int]],
        from_now: bool,
        at_timestamp: bool,
        shard_filter: str,
        ends_listed_for_open: bool,
        listing_page: int | None,
    ) -> None:
        self.clock = Clock()
        self.service = LocalStreams(
            clock=self.clock,
            at_timestamp=at_timestamp,
            shard_filter=shard_filter,
            ends_listed_for_open=ends_listed_for_open,
        )
        if SOCKETS:
            self.service.start()
        self.table = self.service.create_table(
            "orders", keys={"id": "S"}, shards=shards, older_than_a_day=older_than_a_day
        )
        self.number = 0
        self.disabled = False
        self.enabled_again = False
        for what, number in history:
            if what == "put":
                self.write(number + 1)
            elif what == "hide":
                self.table.hide(self.open_shard(number))
            elif len(self.table.open_shard_ids) < MOST_OPEN:
                {"roll": self.table.roll, "split": self.table.split}[what](self.open_shard(number))
            self.clock.advance(1.1)
        self.clock.advance(1.1)
        self.network = Network(listing_page=listing_page)
        lied = any(what == "hide" for what, _ in history)
        self.ledger = Ledger(self.table, self.clock, floor(self.clock()) if from_now else None, lied)
        self.begin_reading(AtTime(floor(self.clock())) if from_now else TRIM_HORIZON)

    def begin_reading(self, start: StartPosition) -> None:
        raise NotImplementedError

    def before_loss(self) -> None:
        """Called before something is gone at once that a service would take a day for."""
        raise NotImplementedError

    def write(self, changes: int) -> None:
        """Write that many changes, to one key after the other."""
        if not self.disabled:
            for _ in range(changes):
                self.number += 1
                self.table.put({"id": KEYS[self.number * 5 % len(KEYS)], "n": self.number})

    def shard(self, which: int) -> str | None:
        found = self.table.shard_ids
        return found[which % len(found)] if found else None

    def open_shard(self, which: int) -> str:
        return self.table.open_shard_ids[which % len(self.table.open_shard_ids)]

    # What the table does

    @precondition(lambda self: not self.disabled)
    @rule(changes=st.integers(1, 60))
    def put(self, changes: int) -> None:
        event("put")
        self.write(changes)

    @precondition(lambda self: not self.disabled)
    @rule(key=st.sampled_from(KEYS))
    def delete(self, key: str) -> None:
        event("delete")
        self.table.delete({"id": key})

    # What the shards do

    @precondition(lambda self: not self.disabled)
    @rule(which=which, changes=changes)
    def roll(self, which: int, changes: int) -> None:
        event("roll")
        self.table.roll(self.open_shard(which))
        self.write(changes)

    @precondition(lambda self: not self.disabled and len(self.table.open_shard_ids) < MOST_OPEN)
    @rule(which=which, changes=changes)
    def split(self, which: int, changes: int) -> None:
        event("split a shard")
        self.table.split(self.open_shard(which))
        self.write(changes)

    @precondition(lambda self: not self.disabled)
    @rule(which=which)
    def hide(self, which: int) -> None:
        if (shard := self.shard(which)) is not None:
            event("hide")
            self.table.hide(shard)
            self.ledger.lied = True

    @rule()
    def reveal(self) -> None:
        event("reveal all")
        self.reveal_all()

    @rule(changes=changes, keep=st.integers(0, 5), which=which)
    def trim(self, changes: int, keep: int, which: int) -> None:
        """Trim a shard. Trimmed records are older than kept ones, so nothing is left of the shard's ancestors."""
        if (shard := self.shard(which)) is not None:
            event("trim")
            self.write(changes)
            self.before_loss()
            self.table.trim(shard, keep=keep)
            for older in self.ledger.ancestors(shard):
                self.table.trim(older)
            self.ledger.lied = True

    @rule(changes=changes, which=which, listed=st.booleans())
    def vanish(self, changes: int, which: int, listed: bool) -> None:
        """A shard is rolled, and is gone with all its ancestors: what is younger never goes first."""
        if not self.disabled:
            event("vanish")
            shard = self.open_shard(which)
            self.write(changes)
            self.table.roll(shard)
            self.before_loss()
            for gone in [shard, *self.ledger.ancestors(shard)]:
                self.table.drop(gone, listed=listed)
            self.ledger.lied = True

    @precondition(lambda self: not self.disabled)
    @rule(sure=st.integers(0, 5))
    def disable(self, sure: int) -> None:
        if sure == 5:  # seldom: there is little to see after it
            event("disable")
            self.end_the_stream()

    @precondition(lambda self: not self.disabled)
    @rule(changes=changes, seconds=st.sampled_from([0.0, 2.0, 100.0, 4000.0]), shards=st.integers(1, 3))
    def enable_again(self, changes: int, seconds: float, shards: int) -> None:
        """The stream is disabled, and after a while the table has another one."""
        event("enable again")
        self.write(changes)
        self.end_the_stream()
        self.clock.advance(seconds)
        self.table.enable_stream(shards=shards)
        self.disabled, self.enabled_again = False, True
        self.write(changes)

    # What the service does

    @rule(
        throttle=st.sampled_from([0.0, 0.3]),
        error=st.sampled_from([0.0, 0.1]),
        empty=st.sampled_from([0.0, 0.5]),
        empty_run=st.sampled_from([1, 6]),
        expire=st.sampled_from([0.0, 0.3]),
        late_end=st.sampled_from([0.0, 0.5]),
    )
    def serve_badly(
        self, throttle: float, error: float, empty: float, empty_run: int, expire: float, late_end: float
    ) -> None:
        event("serve badly")
        self.ledger.lied |= bool(empty)  # runs of empty pages may follow one another until they look like quiet
        self.faults(
            throttle=throttle, error=error, empty_page=empty, empty_run=empty_run, expire=expire, late_end=late_end
        )

    @rule(
        holes=st.sampled_from([0.0, 0.2]),
        delay=st.sampled_from([0.0, 3.0]),
        stale=st.sampled_from([0.0, 3.0]),
        repeat=st.sampled_from([0.0, 0.3]),
    )
    def list_badly(self, holes: float, delay: float, stale: float, repeat: float) -> None:
        event("list badly")
        self.ledger.lied |= bool(holes)
        holes = 0.0 if self.disabled or self.enabled_again else holes
        self.faults(list_holes=holes, list_delay=delay, list_stale=stale, repeat_listing=repeat)

    @rule(drop=st.sampled_from([0.0, 0.2]), cut=st.sampled_from([0.0, 0.1]), crc=st.sampled_from([0.0, 0.1]))
    def drop_connections(self, drop: float, cut: float, crc: float) -> None:
        event("drop connections")
        self.faults(drop=drop, cut_body=cut, bad_crc=crc)

    def faults(self, **changed: float) -> None:
        self.service.faults = replace(self.service.faults, **changed)

    @rule(
        reads=st.sampled_from([0.0, 0.05, 4.0]),
        listings=st.sampled_from([0.0, 0.05, 20.0]),
        hang=st.booleans(),
    )
    def answer_slowly(self, reads: float, listings: float, hang: bool) -> None:
        event("answer slowly, or let listings hang")
        self.network.reads, self.network.listings, self.network.listings_hang = reads, listings, hang

    @rule()
    def let_iterators_expire(self) -> None:
        event("let iterators expire")
        self.clock.advance(16 * 60)

    @rule(hours=st.sampled_from([12, 23, 26]), changes=changes)
    def stop_for_hours(self, hours: int, changes: int) -> None:
        """Nobody reads, and the service trims by age."""
        event(f"stop for {hours} hours")
        self.write(changes)
        self.before_loss()
        self.ledger.lied = True
        self.clock.advance(hours * 3600)

    def end_the_stream(self) -> None:
        """Disabled, a stream is at its end when the listings settled: from then on they have no holes."""
        self.reveal_all()
        self.faults(list_holes=0.0)
        self.table.disable_stream()
        self.disabled = True

    def behave(self) -> None:
        """No faults any more."""
        self.service.faults = Faults()
        self.network.reads, self.network.listings, self.network.listings_hang = 0.0, 0.0, False
        self.reveal_all()

    def reveal_all(self) -> None:
        for shard in self.table.shard_ids:
            self.table.reveal(shard)
