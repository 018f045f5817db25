"""Where a read with a snapshot begins if the table was created again since its position was saved (trap 41)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from beam_dynamodb_streams import StreamPosition
from beam_dynamodb_streams.errors import NewStreamError
from beam_dynamodb_streams.progress.acquire import store_of
from beam_dynamodb_streams.progress.address import Progress
from beam_dynamodb_streams.shards.encoding import scan_places
from beam_dynamodb_streams.shards.position import TRIM_HORIZON, AtTime
from beam_dynamodb_streams.shards.segments import TableScan, scan_name, snapshot_mark
from beam_dynamodb_streams.source.start import begin_read
from beam_dynamodb_streams.source.stream_read import StreamRead
from beam_dynamodb_streams.source.worker_cache import client
from beam_dynamodb_streams.testing import Clock, LocalStreams, Table
from tests.source.options_of import options_of


class Orders:
    """A table that can be deleted and created again, on a clock that only the test moves."""

    def __init__(self, service: LocalStreams, clock: Clock) -> None:
        self.service, self.clock = service, clock
        self.table: Table = service.create_table("orders", keys={"id": "S"})

    def create_again(self) -> None:
        self.table.delete_table()
        self.clock.advance(60)
        self.table = self.service.create_table("orders", keys={"id": "S"})
        self.clock.advance(5)

    def begin(self, **options: Any) -> StreamRead:
        parsed = options_of(self.service, **{"table": "orders", "snapshot": "scan", **options})
        return begin_read(client(parsed.connection), parsed)

    @property
    def epoch(self) -> int:
        return int(self.clock() * 1000)


@pytest.fixture
def orders() -> Iterator[Orders]:
    clock = Clock()
    with LocalStreams(clock=clock) as service:
        yield Orders(service, clock)


def test_the_rest_of_the_old_stream_is_read_first_in_its_own_epoch(orders: Orders) -> None:
    change = orders.table.put({"id": "o-1"})
    old = StreamPosition(orders.table.stream_arn).after(change)
    old = old.merge(StreamPosition(shards={snapshot_mark(orders.epoch): AtTime(1)}))
    epoch = orders.epoch
    orders.create_again()
    read = orders.begin(start=old)
    assert (read.stream_arn, read.scan, read.epoch) == (old.stream_arn, None, epoch)
    assert read.table_id == "", "that of the table as it was is not known"
    with pytest.raises(NewStreamError, match='or set snapshot="scan"'):
        orders.begin(start=old, snapshot=None)


def test_a_new_snapshot_begins_at_once_if_the_old_stream_is_gone(
    orders: Orders, caplog: pytest.LogCaptureFixture
) -> None:
    table, _, _ = orders.table.stream_arn.partition("/stream/")
    gone = StreamPosition(f"{table}/stream/2020-01-31T12:00:00.000")
    read = orders.begin(start=gone)
    assert (read.stream_arn, read.start) == (orders.table.stream_arn, AtTime(int(orders.clock()) - 6))
    assert read.scan is not None
    assert read.epoch == read.scan.epoch
    assert abs(read.epoch - orders.epoch) < 1000
    assert "its stream is gone: a new snapshot begins" in caplog.text


def test_an_output_in_both_streams_continues_in_the_new_one(orders: Orders) -> None:
    """A mark of the old snapshot says nothing about the new table. One of the new snapshot says that it is complete."""
    marks = {snapshot_mark(orders.epoch): AtTime(1)}
    old = orders.table.stream_arn
    orders.create_again()
    change = orders.table.put({"id": "o-1"})
    here = StreamPosition(orders.table.stream_arn).after(change)
    read = orders.begin(start=StreamPosition(old, shards=marks, following=(here,)))
    assert (read.stream_arn, read.saved, read.later) == (orders.table.stream_arn, here.shards, ())
    assert read.scan is not None
    done = {**marks, snapshot_mark(orders.epoch): AtTime(1)}
    read = orders.begin(start=StreamPosition(old, shards=done, following=(here,)))
    assert (read.scan, read.epoch, read.saved) == (None, orders.epoch, here.shards)


def test_a_scan_continues_at_its_saved_places_and_never_in_another_table(orders: Orders) -> None:
    scan = TableScan("orders", ("id",), orders.epoch, 7, begun=2, places={1: b'{"id":{"S":"a"}}'}, rows=10)
    stood = StreamPosition(orders.table.stream_arn, shards={scan_name(scan.epoch): scan_places(scan, 0)})
    stood = StreamPosition.from_json(stood.to_json())
    read = orders.begin(start=stood, scan_segments=3)
    assert (read.scan, read.epoch, read.saved) == (scan, scan.epoch, {})
    without = orders.begin(start=stood, snapshot=None)
    assert (without.scan, without.epoch) == (None, scan.epoch), "its changes are not older than the rows"
    complete = stood.merge(StreamPosition(shards={snapshot_mark(scan.epoch): AtTime(5)}))
    assert orders.begin(start=complete).scan is None
    orders.create_again()
    assert orders.begin(start=stood).scan is None, "the rest of the old stream"
    here = StreamPosition(orders.table.stream_arn)
    begun = orders.begin(start=StreamPosition(stood.stream_arn, shards=stood.shards, following=(here,))).scan
    assert begun is not None
    assert begun.epoch > scan.epoch


@pytest.mark.parametrize("readable", [True, False])
def test_progress_in_the_old_stream_is_followed(orders: Orders, tmp_path: Path, readable: bool) -> None:
    progress = Progress(f"file:{tmp_path / 'app'}")
    first = orders.begin(progress=progress)
    store_of(progress).release(first.run)
    orders.create_again()
    if not readable:
        orders.clock.advance(26 * 3600)
    read = orders.begin(progress=progress)
    if readable:
        assert (read.stream_arn, read.scan) == (first.stream_arn, None)
    else:
        assert read.stream_arn == orders.table.stream_arn
        assert abs(read.epoch - orders.epoch) < 1000
        assert read.scan is not None
        assert read.start != TRIM_HORIZON
        assert orders.table.stream_arn in store_of(progress).read().streams
