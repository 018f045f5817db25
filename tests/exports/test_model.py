"""Exports, the stream and losses against a model of the table: a sink that keeps the greatest version equals it.

Traps 40 and 42.

Deliveries are in any order and may repeat. The wrong designs at the end show that the law can fail.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_dynamodb_streams import ChangeRecord
from beam_dynamodb_streams.exports.folder import blocks_of_lines, read_data, read_export
from beam_dynamodb_streams.exports.rows import FileContext, RowDecoder, records_of_rows
from beam_dynamodb_streams.exports.summary import check_chain
from beam_dynamodb_streams.records.envelope import change_records
from beam_dynamodb_streams.records.versions import version_base
from beam_dynamodb_streams.testing import Change, Clock, LocalStreams, Table
from beam_dynamodb_streams.wire import RawRecord
from tests.exports.test_joined import items_of, mirror_of

START = datetime(2026, 1, 31, 12, tzinfo=timezone.utc)
OVERLAP = 300


class World:
    """A table that lives for some hours: writes, deletes, rolls, splits, and a stream that is enabled again."""

    def __init__(self, seed: int) -> None:
        self.random = random = Random(seed)
        self.clock = Clock(START)
        self.service = LocalStreams(clock=self.clock, seed=seed)
        self.table: Table = self.service.create_table("orders", keys={"id": "S"}, shards=2)
        for number in range(60):
            self.clock.advance(random.choice([0, 0.4, 1, 30, 400]))
            key = {"id": f"o-{random.randrange(8)}"}
            self.table.delete(key) if random.random() < 0.3 else self.table.put({**key, "n": number})
            if random.random() < 0.05:
                self.table.roll(random.choice(self.table.open_shard_ids))
            if random.random() < 0.02:
                self.table.disable_stream()
                self.table.enable_stream()
        self.clock.advance(60)

    def moment(self) -> datetime:
        """Any moment of the table's life, to the millisecond."""
        length = self.clock() - START.timestamp()
        return START + timedelta(milliseconds=self.random.randrange(int(length * 1000)))


def records_of(changes: Sequence[Change], epoch: int) -> list[ChangeRecord]:
    found: list[ChangeRecord] = []
    for change in changes:
        entry = msgspec.json.decode(change.body, type=RawRecord)
        found += change_records([entry], change.shard_id, version_base(change.stream_arn, epoch))
    return found


def rows_of(paths: Sequence[str], *, epoch: int | None = None) -> tuple[list[ChangeRecord], int, float]:
    """Return the rows of exports as a read with them delivers them, the epoch, and the moment of the last one."""
    found = [read_export(path.rstrip("/")) for path in paths]
    exports = [export for export, _ in found]
    check_chain(exports)
    last = exports[-1]
    epoch = last.epoch if epoch is None else epoch
    records: list[ChangeRecord] = []
    for export, files in found:
        incremental = export.since is not None
        for file in files:
            context = FileContext(
                file.key, export.table_id, epoch, export.moment, "NEW_AND_OLD_IMAGES", incremental, ("id",)
            )
            decoder = RowDecoder(context)
            for block in blocks_of_lines(read_data(export.path, file), file.key):
                records += records_of_rows(decoder.rows(block), file.key)
    return records, epoch, last.moment / 1e6


def since(changes: Sequence[Change], moment: float) -> list[Change]:
    return [
        change
        for change in changes
        if change.record["dynamodb"]["ApproximateCreationDateTime"] >= int(moment) - OVERLAP
    ]


def delivered(world: World, records: Sequence[ChangeRecord]) -> list[ChangeRecord]:
    """In any order, some of them twice."""
    again = world.random.sample(list(records), len(records) // 3)
    return world.random.sample([*records, *again], len(records) + len(again))


def as_snapshot(world: World, root: Path) -> dict[str, Any]:
    at = world.moment()
    moments = sorted([at, *(world.moment() for _ in range(world.random.randrange(3)))])
    paths = [world.table.export_full(root, at=moments[0], files=3)]
    paths += [world.table.export_incremental(root, one, other) for one, other in pairwise(moments) if one < other]
    rows, epoch, moment = rows_of(paths)
    return mirror_of(delivered(world, [*rows, *records_of(since(world.table.changes, moment), epoch)]))


def with_a_loss(world: World, root: Path, *, epoch: int | None = None, again: bool = True, deletes: bool = True) -> Any:
    """A loss of any run of changes, repaired. The keywords are what wrong designs do."""
    changes = world.table.changes
    first = world.random.randrange(len(changes))
    lost = changes[first : first + world.random.randrange(1, 20)]
    before = records_of([change for change in changes if change not in lost], 0)
    began, ended = (
        datetime.fromtimestamp(each.record["dynamodb"]["ApproximateCreationDateTime"], timezone.utc)
        for each in (lost[0], lost[-1])
    )
    end = max(ended + timedelta(seconds=2), world.moment())
    middle = began + (end - began) / 2
    windows = [(began - timedelta(minutes=1), middle), (middle, end)]
    paths = [world.table.export_incremental(root, *window) for window in windows]
    rows, found, moment = rows_of(paths, epoch=epoch)
    rows = [row for row in rows if deletes or row.event_name != "REMOVE"]
    after = records_of(since(changes, moment), found) if again else []
    return mirror_of(delivered(world, [*before, *rows, *after]))


@given(st.integers(0, 10**9))
@settings(max_examples=150)
def test_an_export_and_the_stream_in_any_order_are_the_table(seed: int) -> None:
    world = World(seed)
    with TemporaryDirectory() as root:
        assert as_snapshot(world, Path(root)) == items_of(world.table)


@given(st.integers(0, 10**9))
@settings(max_examples=150)
def test_any_loss_that_is_repaired_leaves_the_table(seed: int) -> None:
    world = World(seed)
    with TemporaryDirectory() as root:
        assert with_a_loss(world, Path(root)) == items_of(world.table)


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param({"epoch": 0}, id="net changes in the epoch of the read that had the loss"),
        pytest.param({"again": False}, id="the changes since keep their old versions"),
        pytest.param({"deletes": False}, id="deletes are left out"),
    ],
)
def test_a_wrong_repair_is_found_out(wrong: dict[str, Any]) -> None:
    for seed in range(100):
        world = World(seed)
        with TemporaryDirectory() as root:
            if with_a_loss(world, Path(root), **wrong) != items_of(world.table):
                return
    pytest.fail("the law cannot fail")
