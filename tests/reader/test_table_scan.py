"""The scan of a table joined with its stream: pages, their release, restores, the budget and a bounded read.

Traps 37, 38 and 41.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import floor
from typing import Any

import pytest

from beam_dynamodb_streams import metrics
from beam_dynamodb_streams.errors import InvalidRequestError, ServiceError
from beam_dynamodb_streams.reader.items import Row, RowsPage
from beam_dynamodb_streams.reader.page import Rules
from beam_dynamodb_streams.reader.requests import PageScanned, Scan
from beam_dynamodb_streams.reader.table_scan import TableScanner
from beam_dynamodb_streams.shards.position import AtTime
from beam_dynamodb_streams.shards.segments import TableScan
from beam_dynamodb_streams.source.scanned_table import ScannedTable
from beam_dynamodb_streams.source.snapshot import ScanSnapshot
from beam_dynamodb_streams.testing import Clock, Faults, LocalStreams, Table
from tests.inline import DrivenRead

SLACK = 1.0


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def service(clock: Clock) -> Iterator[LocalStreams]:
    with LocalStreams(clock=clock) as service:
        yield service


@pytest.fixture
def orders(service: LocalStreams, clock: Clock) -> Table:
    table = service.create_table("orders", keys={"id": "S"}, shards=2)
    table.put_many({"id": f"o-{n}", "n": n} for n in range(40))
    clock.advance(60)
    return table


def scanning(service: LocalStreams, clock: Clock, *, segments: int = 3, **options: object) -> DrivenRead:
    table = service.table("orders")
    scan = TableScan(table.arn, tuple(table.keys), int(clock() * 1000), segments, estimate=table.item_count)
    rules = options.pop("rules", Rules(slack=SLACK))
    start = AtTime(floor(clock() - SLACK) - 1)
    return DrivenRead(service, clock, table.stream_arn, start=start, rules=rules, scan=scan, **options)


def ids(read: DrivenRead) -> list[str]:
    return [json.loads(bytes(row.change.keys))["id"]["S"] for row in read.rows]


def test_every_item_is_a_row_once(service: LocalStreams, clock: Clock, orders: Table) -> None:
    read = scanning(service, clock)
    read.go(60)
    assert sorted(ids(read)) == sorted(item["id"] for item in orders.items())
    scan = read.frontier.scan
    assert scan is not None
    assert scan.complete
    assert scan.rows == 40
    assert scan.replaced == 0
    assert {row.event_name for row in read.rows} == {"READ"}
    assert {row.change.sequence_number for row in read.rows} == {""}
    assert len({row.event_id for row in read.rows}) == 40
    assert not read.delivered, "the changes from before the scan are in the rows"
    read.close()


def test_rows_are_not_late_and_wait_for_the_watermark(service: LocalStreams, clock: Clock, orders: Table) -> None:
    read = scanning(service, clock)
    began = clock()
    for claim in read.each_claim(60):
        if claim.scanned:
            assert claim.watermark / 1e6 >= began + SLACK, "the watermark has passed the answer"
            before = max(read.watermarks[:-1], default=0)
            assert all(row.creation_time * 1e6 >= before for row in claim.records)
    assert clock() - began > 10
    scan = read.frontier.scan
    assert scan is not None
    assert scan.consistent_since / 1e6 >= began
    read.close()


def test_a_row_is_dropped_because_of_a_change(service: LocalStreams, clock: Clock, orders: Table) -> None:
    read = scanning(service, clock)
    read.run(1.0)
    assert any(isinstance(request, Scan) for request in read.requests)
    assert not read.rows
    orders.put({"id": "o-1", "n": 100})
    orders.delete({"id": "o-2"})
    read.go(60)
    assert sorted(ids(read)) == sorted(f"o-{n}" for n in range(40) if n not in (1, 2))
    assert len(read.delivered) == 2
    assert read.frontier.scan is not None
    assert read.frontier.scan.replaced == 2
    read.close()


def test_a_row_has_every_write_that_was_completed_before_its_page_was_requested(
    service: LocalStreams, clock: Clock, orders: Table
) -> None:
    """An eventual read of this service may miss the writes of the last ten seconds."""
    service.faults = Faults(stale_reads=10.0)
    orders.put_many({"id": f"o-{n}", "n": 100 + n} for n in range(40))
    clock.advance(5)
    read = scanning(service, clock)
    read.go(60)
    images = [json.loads(bytes(row.change.new_image)) for row in read.rows]
    assert sorted(int(image["n"]["N"]) for image in images) == list(range(100, 140))
    read.close()


@dataclass
class Named:
    """A table whose changes are their own keys."""

    def scan(self, segment: int, total: int, place: bytes, limit: int | None) -> RowsPage:
        raise NotImplementedError

    def key_of(self, entry: Any) -> Any:
        return entry

    def entries(self, rows: Sequence[Row], scan: TableScan, micros: int) -> Sequence[Any]:  # noqa: ARG002
        return [row.key for row in rows]


@pytest.mark.parametrize("change", ["before", "during", "after"])
def test_a_change_since_the_request_for_a_page_drops_its_row(change: str) -> None:
    """One that was delivered before the request is in the row."""
    scanner = TableScanner(Named(), slack=SLACK)
    scanner.resume(TableScan("orders", ("id",), 1, 1))
    asked: list[Scan] = []
    if change == "before":
        scanner.touch(["a"])  # type: ignore[list-item]
    scanner.ask(0.0, 1, asked.append)
    if change == "during":
        scanner.touch(["a"])  # type: ignore[list-item]
    scanner.take(PageScanned(asked[0], RowsPage([Row("a", b"", b""), Row("b", b"", b"")], None, 1.0, 9), 100.0))
    assert scanner.release(100.0) is None
    if change == "after":
        scanner.touch(["a"])  # type: ignore[list-item]
    released = scanner.release(103.1)
    assert released is not None
    assert [row.key for row in released.rows] == (["a", "b"] if change == "before" else ["b"])
    assert released.replaced == (change != "before")


def test_a_page_that_is_not_released_is_in_no_frontier(service: LocalStreams, clock: Clock, orders: Table) -> None:
    read = scanning(service, clock)
    begun = read.stored()
    read.run(2.0)
    assert read.frontier.scan is not None
    assert read.frontier.scan.begun == 0
    read.restore(begun)
    before = len(read.requests)
    orders.put({"id": "o-3", "n": 9})
    read.go(60)
    again = [request for request in read.requests[before:] if isinstance(request, Scan)]
    assert {request.segment for request in again} == {0, 1, 2}, "the pages are requested again"
    assert len(ids(read)) == len(set(ids(read)))
    assert set(ids(read)) | {"o-3"} == {f"o-{n}" for n in range(40)}
    read.close()


def test_a_restored_scan_continues_after_the_rows_that_were_delivered(
    service: LocalStreams, clock: Clock, orders: Table
) -> None:
    read = scanning(service, clock, scan_units=4, restarts=True)
    read.go(600)
    assert read.frontier.scan is not None
    assert read.frontier.scan.complete
    assert sorted(ids(read)) == sorted(f"o-{n}" for n in range(40)), "each row once, over a restart after every claim"
    read.close()


def test_the_budget_holds_on_average(service: LocalStreams, clock: Clock) -> None:
    table = service.create_table("orders", keys={"id": "S"})
    table.put_many({"id": f"o-{n}", "big": "x" * 4000} for n in range(200))
    clock.advance(60)
    read = scanning(service, clock, scan_units=5.0)
    began = clock()
    read.go(600)
    assert read.frontier.scan is not None
    assert read.frontier.scan.complete
    assert len(read.rows) == 200
    last = max(row.creation_time for row in read.rows)
    assert read.tally[metrics.SNAPSHOT_UNITS] >= 198
    assert 30 <= last - began <= 70, "200 units at 5 a second"
    read.close()


def test_throttles_are_delays(service: LocalStreams, clock: Clock, orders: Table) -> None:
    service.faults = Faults(throttle={"Scan": 0.6}, cut_body={"Scan": 0.1})
    read = scanning(service, clock, segments=10)
    read.go(200)
    assert read.tally[metrics.DELAYS] > 0
    assert sorted(ids(read)) == sorted(f"o-{n}" for n in range(40))
    read.close()


def test_a_bounded_read_has_all_rows_and_the_changes_until_the_stop(
    service: LocalStreams, clock: Clock, orders: Table
) -> None:
    orders.put({"id": "before", "n": 1})
    rules = Rules(stop=floor(clock()), slack=SLACK)
    read = scanning(service, clock, rules=rules, scan_units=2.0)
    read.run(5.0)
    clock.advance(30)
    orders.put({"id": "after", "n": 1})
    orders.put({"id": "o-1", "n": 1})
    read.go(600)
    assert read.frontier.closed
    delivered = set(ids(read)) | {"before"}
    assert {f"o-{n}" for n in range(40)} <= delivered, "a change past the stop drops no row"
    read.close()


def test_many_segments_need_no_place_of_their_own(service: LocalStreams, clock: Clock, orders: Table) -> None:
    read = scanning(service, clock, segments=500)
    longest = 0
    for claim in read.each_claim(400):
        if claim.frontier.scan is not None:
            longest = max(longest, len(claim.frontier.scan.places))
    assert read.frontier.scan is not None
    assert read.frontier.scan.complete
    assert sorted(ids(read)) == sorted(f"o-{n}" for n in range(40))
    assert longest <= 64
    read.close()


def test_rows_count_for_a_stop_that_is_a_number(service: LocalStreams, clock: Clock, orders: Table) -> None:
    read = scanning(service, clock)
    read.frontier = replace(read.frontier, remaining=7)
    read.restart()
    read.go(60)
    assert read.frontier.closed
    assert len(read.rows) == 7
    scan = read.frontier.scan
    read.frontier = replace(read.frontier, scan=scan, remaining=None, closed=False)
    read.restart()
    read.go(60)
    assert sorted(ids(read)) == sorted(f"o-{n}" for n in range(40)), "a page that was cut continues after its last row"
    read.close()


def test_a_change_that_the_filter_leaves_out_drops_a_row_too(
    service: LocalStreams, clock: Clock, orders: Table
) -> None:
    def rows_alone(entries: Sequence[Any], shard: str) -> tuple[Sequence[Any], list[Any]]:
        return (entries if shard.startswith("segment-") else []), []

    read = scanning(service, clock, rules=Rules(slack=SLACK, filter=rows_alone))
    read.run(1.0)
    orders.put({"id": "o-1", "n": 100})
    read.go(60)
    assert sorted(ids(read)) == sorted(f"o-{n}" for n in range(40) if n != 1)
    assert not read.delivered
    read.close()


class WithEmptyPages(ScannedTable):
    """A segment whose first page has no rows and is not its last one, as a filter or a large partition makes it."""

    def scan(self, segment: int, total: int, place: bytes, limit: int | None) -> RowsPage:
        if not place:
            return RowsPage([], b"{}", 1.0, 0)
        return super().scan(segment, total, b"" if place == b"{}" else place, limit)


def test_a_page_without_rows_does_not_end_its_segment(service: LocalStreams, clock: Clock, orders: Table) -> None:
    read = scanning(service, clock, scanned_table=lambda client, scan: WithEmptyPages(client, scan.table, scan.keys))
    read.go(60)
    assert sorted(ids(read)) == sorted(f"o-{n}" for n in range(40))
    read.close()


def test_of_a_table_that_was_created_again_twice_the_last_one_is_read(
    service: LocalStreams, clock: Clock, orders: Table
) -> None:
    read = scanning(service, clock, on_new_stream="follow", table_id=orders.table_id, snapshot=ScanSnapshot(2))
    read.go(60)
    first = read.frontier.scan
    for number in range(2):
        orders.put({"id": f"left-{number}"})
        orders.delete_table()
        clock.advance(60)
        orders = service.create_table("orders", keys={"id": "S"})
    orders.put({"id": "new"})
    clock.advance(20)
    before = len(read.ids)
    read.go(60)
    assert read.frontier.stream_arn == orders.stream_arn
    assert (first is not None, read.frontier.scan is not None) == (True, True)
    assert read.frontier.scan.epoch > first.epoch  # type: ignore[union-attr]  # checked above
    assert read.frontier.scan.complete  # type: ignore[union-attr]
    assert len(read.ids) - before == 2, "left-0 and new: the table in between says nothing about this one"
    assert not read.losses
    read.close()


def test_a_place_of_another_number_of_segments_is_an_error(service: LocalStreams, clock: Clock, orders: Table) -> None:
    read = scanning(service, clock, segments=4)
    key = next(
        json.dumps({"id": {"S": item["id"]}}).encode()
        for item in orders.items()
        if orders.contents.segment_of(b'{"id":{"S":"%b"}}' % str(item["id"]).encode(), 4) != 2
    )
    scan = read.frontier.scan
    assert scan is not None
    read.frontier = replace(read.frontier, scan=replace(scan, begun=4, places={2: key}))
    read.restart()
    with pytest.raises(InvalidRequestError, match=r"correct Segment. TotalSegments: 4 Segment: 2"):
        read.go(60)
    read.close()


class Repeating(ScannedTable):
    """An endpoint that returns the start key as the last one."""

    def scan(self, segment: int, total: int, place: bytes, limit: int | None) -> RowsPage:  # noqa: ARG002
        page = super().scan(segment, total, place, 1)
        return replace(page, last=place or page.last)


def test_a_page_that_does_not_move_is_an_error(service: LocalStreams, clock: Clock, orders: Table) -> None:
    read = scanning(service, clock, scanned_table=lambda client, scan: Repeating(client, scan.table, scan.keys))
    with pytest.raises(ServiceError, match="from the same key again"):
        read.go(60)
    read.close()
