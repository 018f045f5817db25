"""What a terminal shows of a snapshot while it is read."""

from __future__ import annotations

from dataclasses import replace

from beam_dynamodb_streams.commands.status_line import StatusText
from beam_dynamodb_streams.shards.frontier import Frontier
from beam_dynamodb_streams.shards.segments import TableScan, seconds_left
from beam_dynamodb_streams.source.live_status import LiveStatus
from beam_dynamodb_streams.source.stream_read import StreamRead

NOW = 1_769_860_800.0
SCAN = TableScan("orders", ("id",), int((NOW - 60) * 1000), 4, begun=2, places={0: b"{}"}, rows=200, estimate=800)


def shown(scan: TableScan) -> str:
    return StatusText().update([LiveStatus(StreamRead("run", "arn"), Frontier(scan=scan), NOW, records=200)], 0.0)


def test_the_line_shows_how_far_the_scan_is_and_how_long_it_takes() -> None:
    assert "200 records, snapshot 25% (about 3m left)" in shown(SCAN).replace(", nothing new", ",")


def test_the_line_shows_no_time_before_there_is_a_pace_and_nothing_once_it_is_complete() -> None:
    begun = replace(SCAN, begun=0, places={}, rows=0)
    assert "snapshot 0%," in shown(begun)
    assert seconds_left(begun, NOW) is None
    complete = replace(SCAN, begun=4, places={})
    assert "snapshot" not in shown(complete)
    assert seconds_left(complete, NOW) == 0.0
    assert complete.fraction == 1.0


def test_an_estimate_that_is_too_small_never_says_that_all_is_read() -> None:
    assert replace(SCAN, estimate=10).fraction == 0.99
    assert replace(SCAN, estimate=0).fraction == 0.25
