"""The scan of a table joined with its stream: pages, their release, restores, the budget and a bounded read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from math import floor

import pytest

from beam_dynamodb_streams import metrics
from beam_dynamodb_streams.errors import InvalidRequestError, ServiceError
from beam_dynamodb_streams.reader.items import RowsPage
from beam_dynamodb_streams.reader.page import Rules
from beam_dynamodb_streams.reader.requests import Scan
from beam_dynamodb_streams.shards.position import AtTime
from beam_dynamodb_streams.shards.segments import TableScan
from beam_dynamodb_streams.source.scanned_table import ScannedTable
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
