"""A scan joined with its stream, against the table: an upserting sink ends equal to it, and no key goes back in time.

Designs that are known to be wrong are built here too, and each of them breaks a law (traps 37 and 41).

Random writes, deletes, rolls, splits, pages of a few items, slow answers, reads that are behind, creation times out of
order, checkpoints and restores at any moment, and streams and tables that are created again.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_dynamodb_streams.reader.claim import Claim
from beam_dynamodb_streams.reader.items import ItemTable, RowsPage
from beam_dynamodb_streams.reader.page import Rules
from beam_dynamodb_streams.reader.schedule import Pace
from beam_dynamodb_streams.reader.table_scan import Released, TableScanner
from beam_dynamodb_streams.shards.quiet import QuietRule
from beam_dynamodb_streams.shards.segments import TableScan
from beam_dynamodb_streams.source.scanned_table import ScannedTable
from beam_dynamodb_streams.source.snapshot import ScanSnapshot, scan_start
from beam_dynamodb_streams.testing import Clock, Faults, LocalStreams, Table
from beam_dynamodb_streams.wire import Client
from beam_dynamodb_streams.wire.calls import CallPlace
from beam_dynamodb_streams.wire.dynamodb import DYNAMODB, ScanPage, decode_scan_page
from tests.inline import DrivenRead, Network

SLACK = 2.0
NIGHTLY = settings.get_current_profile_name() == "nightly"


class SmallPages(ScannedTable):
    """Pages of a few items, so that a small table has many."""

    def scan(self, segment: int, total: int, place: bytes, limit: int | None) -> RowsPage:  # noqa: ARG002
        return super().scan(segment, total, place, 3)


@dataclass
class EventualReads:
    """The client of a design that reads eventually."""

    client: Client

    def scan_page(self, table: str, *, segment: int, total: int, start: bytes | None, limit: int | None) -> ScanPage:
        parameters: dict[str, object] = {"TableName": table, "Segment": segment, "TotalSegments": total}
        parameters["Limit"] = limit
        if start is not None:
            parameters["ExclusiveStartKey"] = json.loads(start)
        return self.client._caller.call("Scan", parameters, decode_scan_page, CallPlace(), service=DYNAMODB)


class AtOnce(TableScanner):
    """Rows are dropped because of changes, and released before the watermark has passed their answer."""

    def release(self, watermark: float) -> Released | None:  # noqa: ARG002
        return super().release(float("inf"))


class Untouched(TableScanner):
    """Rows wait for the watermark, and no change drops one."""

    def touch(self, entries: Any) -> None:
        """Drop nothing."""


class Plain(AtOnce, Untouched):
    """Rows and changes are upserted as they arrive."""


class SinceAnswer(TableScanner):
    """Only changes since the answer drop a row, and not those since the request for its page."""

    def touch(self, entries: Any) -> None:
        flying, self._in_flight = self._in_flight, {}
        super().touch(entries)
        self._in_flight = flying


def small_pages(client: Client, scan: TableScan) -> ItemTable:
    return SmallPages(client, scan.table, scan.keys)


def small_stale_pages(client: Client, scan: TableScan) -> ItemTable:
    return SmallPages(EventualReads(client), scan.table, scan.keys)


@dataclass(frozen=True)
class Design:
    scanner: type[TableScanner] = TableScanner
    table: Callable[[Client, TableScan], ItemTable] = small_pages
    skips_by_time: bool = False
    keeps_older: bool = False


RIGHT = Design()
WRONG = {
    "plain upserts": Design(Plain),
    "released at once": Design(AtOnce),
    "no row is dropped": Design(Untouched),
    "changes since the answer": Design(SinceAnswer),
    "eventual reads": Design(table=small_stale_pages),
    "changes are skipped by time": Design(Plain, skips_by_time=True),
}


@dataclass
class Sink:
    """Upserts in the order of delivery. `backwards`: the keys that went back in time, by the number of the write.

    A snapshot that is complete removes the keys that only an older one knows.
    """

    skips_by_time: bool = False
    keeps_older: bool = False
    items: dict[str, int] = field(default_factory=dict)
    epochs: dict[str, int] = field(default_factory=dict)
    newest: dict[str, float] = field(default_factory=dict)
    read_at: dict[str, float] = field(default_factory=dict)
    backwards: list[str] = field(default_factory=list)

    def deliver(self, claim: Claim, now: float) -> None:
        scan = claim.frontier.scan
        assert scan is not None
        for record in claim.records:
            change: Any = record.change  # type: ignore[attr-defined]
            key = json.loads(bytes(change.keys))["id"]["S"]
            if claim.scanned:
                self.read_at[key] = now
            elif self.skips_by_time and change.creation_time <= self.read_at.get(key, 0.0):
                continue
            new = None if change.new_image is None else int(json.loads(bytes(change.new_image))["n"]["N"])
            old = None if change.old_image is None else int(json.loads(bytes(change.old_image))["n"]["N"])
            number = float(new) if new is not None else (old or 0) + 0.5
            if number < self.newest.get(key, -1.0):
                self.backwards.append(f"{key}: {self.newest[key]} -> {number}")
            self.newest[key] = max(number, self.newest.get(key, -1.0))
            if new is None:
                self.items.pop(key, None)
            else:
                self.items[key], self.epochs[key] = new, scan.epoch
        if scan.complete and claim.scanned and not self.keeps_older:
            for key in [key for key in self.items if self.epochs[key] < scan.epoch]:
                del self.items[key]


class World:
    """A table, its stream, one read with a scan, and two sinks: one is restored with the read, and one is not.

    The second one is what a database is behind a runner that repeats changes: it may go back, and must end right.
    """

    def __init__(self, seed: int, design: Design = RIGHT, *, recreates: bool = True) -> None:
        self.random = random = Random(seed)
        self.clock = Clock()
        self.service = LocalStreams(clock=self.clock, seed=seed)
        self.service.faults = Faults(stale_reads=2.0, disorder=random.choice([0.0, 1.5]))
        self.table: Table = self.service.create_table("orders", keys={"id": "S"}, shards=random.randint(1, 3))
        self.keys = [f"o-{number}" for number in range(random.choice([6, 20, 60]))]
        self.number = 0
        self.recreates, self.tables = recreates, 1
        self.write(3 * len(self.keys))
        self.clock.advance(random.uniform(0, 3))
        now = self.clock()
        scan = TableScan(self.table.arn, ("id",), int(now * 1000), random.choice([1, 2, 5]), estimate=10)
        self.network = Network(reads=0.0, listings=0.0)
        self.read = DrivenRead(
            self.service,
            self.clock,
            self.table.stream_arn,
            start=scan_start(now, SLACK),
            rules=Rules(slack=SLACK, quiet=QuietRule(4, 1.0)),
            pace=Pace(page=15, idle=1.0),
            network=self.network,
            sockets=False,
            refuses_late_records=False,
            scan=scan,
            scan_units=random.choice([None, 2.0]),
            scanned_table=design.table,
            scanner=design.scanner,
            on_new_stream="follow",
            table_id=self.table.table_id,
            snapshot=ScanSnapshot(random.choice([1, 3])),
        )
        self.restored, self.kept = (Sink(design.skips_by_time, design.keeps_older) for _ in range(2))
        self.stored = (self.read.stored(), copy.deepcopy(self.restored))

    def write(self, count: int) -> None:
        for _ in range(count):
            self.number += 1
            key = {"id": self.random.choice(self.keys)}
            if self.random.random() < 0.25:
                self.table.delete(key)
            else:
                self.table.put({**key, "n": self.number})
            if self.random.random() < 0.3:
                self.clock.advance(self.random.uniform(0, 0.4))

    def poll(self, seconds: float) -> None:
        for claim in self.read.each_claim(seconds):
            for sink in (self.restored, self.kept):
                sink.deliver(claim, self.clock())
            if self.table.stream.disabled is None and self.random.random() < 0.2:
                self.write(self.random.randint(1, 3))

    def step(self) -> None:
        random, table = self.random, self.table
        match random.randrange(12):
            case 0 | 1 | 2:
                self.write(random.randint(1, 12))
            case 3 | 4 | 5 | 6:
                self.poll(random.uniform(0.1, 3.0))
            case 7:
                shard = random.choice(table.open_shard_ids)
                if random.random() < 0.5 and len(table.open_shard_ids) < 5:
                    table.split(shard)
                else:
                    table.roll(shard)
            case 8:
                self.network.reads, self.network.listings = random.choice([(0.0, 0.0), (0.7, 0.1), (0.1, 1.5)])
            case 9:
                self.stored = (self.read.stored(), copy.deepcopy(self.restored))
            case 10:
                stored, sink = self.stored
                (self.read.restore if random.random() < 0.5 else self.read.go_back)(stored)
                self.restored = copy.deepcopy(sink)
            case 11 if self.recreates and random.random() < 0.15:
                table.disable_stream()
                self.poll(random.choice([0.5, 30.0]))
                self.clock.advance(1.0)
                table.enable_stream(shards=random.randint(1, 2))
            case 11 if self.recreates and random.random() < 0.15:
                table.delete_table()
                self.poll(random.choice([0.5, 30.0]))
                self.clock.advance(2.0)
                self.table = self.service.create_table("orders", keys={"id": "S"}, shards=random.randint(1, 2))
                self.tables += 1
                self.write(random.randint(0, len(self.keys)))

    def run(self, steps: int) -> World:
        for _ in range(steps):
            self.step()
        self.network.reads = self.network.listings = 0.0
        self.recreates = False
        for _ in range(200):
            self.poll(5.0)
            scan = self.read.frontier.scan
            if scan is not None and scan.complete and self.read.frontier.stream_arn == self.table.stream_arn:
                break
        self.random = Random(0)
        for _ in range(4):
            for claim in self.read.each_claim(15.0):
                self.restored.deliver(claim, self.clock())
                self.kept.deliver(claim, self.clock())
        self.read.close()
        return self

    @property
    def expected(self) -> dict[str, int]:
        return {str(item["id"]): int(str(item["n"])) for item in self.table.items()}


@settings(max_examples=2000 if NIGHTLY else 60)
@given(seed=st.integers(0, 2**32))
def test_an_upserting_sink_ends_equal_to_the_table_and_no_key_goes_back(seed: int) -> None:
    world = World(seed).run(40)
    scan = world.read.frontier.scan
    assert scan is not None
    assert scan.complete
    assert world.restored.items == world.expected
    assert world.restored.backwards == []
    assert world.kept.items == world.expected, "a sink that a restore does not take back ends right too"


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_design_breaks_a_law(name: str) -> None:
    for seed in range(400):
        world = World(seed, WRONG[name], recreates=False).run(40)
        if world.restored.items != world.expected or world.restored.backwards:
            return
    raise AssertionError(f"the laws do not tell {name!r} from the right design")


def test_a_sink_that_keeps_the_keys_of_an_older_snapshot_is_wrong() -> None:
    for seed in range(400):
        world = World(seed, Design(keeps_older=True)).run(40)
        if world.tables > 1 and world.restored.items != world.expected:
            return
    raise AssertionError("no table that was created again had an item less")
