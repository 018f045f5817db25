"""`snapshot="scan"`: what goes with it, what is refused, and how it begins."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from math import floor
from typing import Any

import pytest

from beam_dynamodb_streams import ReadFromDynamoDBStreams, StreamPosition, sample
from beam_dynamodb_streams.errors import InvalidOptionError
from beam_dynamodb_streams.records.versions import row_version
from beam_dynamodb_streams.shards.position import AtTime
from beam_dynamodb_streams.shards.segments import snapshot_mark
from beam_dynamodb_streams.source.start import begin_read
from beam_dynamodb_streams.source.stream_read import decode_stream_read, encode_stream_read
from beam_dynamodb_streams.source.worker_cache import client
from beam_dynamodb_streams.testing import LocalStreams

ARN = "arn:aws:dynamodb:us-east-1:000000000000:table/orders/stream/2026-01-31T12:00:00.000"


@pytest.fixture
def service() -> Iterator[LocalStreams]:
    with LocalStreams() as service:
        yield service


def read(**options: Any) -> ReadFromDynamoDBStreams:
    return ReadFromDynamoDBStreams(**{"table": "orders", "snapshot": "scan", **options})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"snapshot": "full"}, "snapshot='full' is not a snapshot"),
        ({"table": None, "stream_arn": ARN}, "Use table="),
        ({"shard_groups": 2}, "one worker must read all of them"),
        ({"start": "LATEST"}, "Leave start out"),
        ({"start": datetime(2026, 1, 1, tzinfo=timezone.utc)}, "Leave start out"),
        ({"start": "kcl://leases"}, "Leave start out"),
        ({"event_names": ["INSERT"]}, 'add "READ"'),
        ({"scan_segments": 0}, "scan_segments=0 is not a number of segments"),
        ({"scan_segments": True}, "scan_segments=True"),
        ({"scan_segments": 1_000_001}, "from 1 to 1,000,000"),
        ({"scan_read_units": 0}, "scan_read_units=0 is not a number of read units"),
        ({"scan_read_units": "100"}, "scan_read_units='100'"),
        ({"snapshot": None, "scan_read_units": 5}, 'use it with snapshot="scan"'),
        ({"snapshot": None, "scan_segments": 5}, 'use it with snapshot="scan"'),
    ],
)
def test_options_that_do_not_go_with_a_scan_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidOptionError) as caught:
        read(**options)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"scan_segments": 64, "scan_read_units": 0.5},
        {"shard_groups": 1},
        {"start": "TRIM_HORIZON"},
        {"start": StreamPosition(ARN)},
        {"event_names": ["READ", "INSERT", "MODIFY"]},
        {"table": "arn:aws:dynamodb:us-east-1:000000000000:table/orders"},
    ],
)
def test_options_that_go_with_a_scan_are_taken(options: dict[str, Any]) -> None:
    read(**options)


def begun(service: LocalStreams, **options: Any) -> Any:
    asked = read(endpoint_url=service.endpoint_url, region_name=service.region_name, **options)._options
    return begin_read(client(asked.connection), asked)


@pytest.mark.parametrize("view", ["KEYS_ONLY", "OLD_IMAGE"])
def test_a_stream_without_new_images_is_refused(service: LocalStreams, view: Any) -> None:
    service.create_table("orders", keys={"id": "S"}, view_type=view)
    with pytest.raises(InvalidOptionError, match=f"has the view {view}: the rows would never be brought up to date"):
        begun(service)


def test_the_stream_is_read_from_before_the_scan_begins(service: LocalStreams) -> None:
    service.create_table("orders", keys={"id": "S", "line": "N"}).put({"id": "o-1", "line": 1})
    began = begun(service, watermark_slack=timedelta(seconds=3), scan_segments=9)
    assert began.scan is not None
    assert (began.scan.keys, began.scan.total, began.scan.estimate) == (("id", "line"), 9, 1)
    assert began.epoch == began.scan.epoch
    assert isinstance(began.start, AtTime)
    assert 3 <= began.epoch / 1000 - began.start.second <= 5.01
    assert decode_stream_read(encode_stream_read(began)) == began
    assert began.first_frontier().scan == began.scan


def test_a_position_with_a_complete_snapshot_continues_without_a_scan(service: LocalStreams) -> None:
    service.create_table("orders", keys={"id": "S"})
    position = StreamPosition(shards={snapshot_mark(1_769_860_800_123): AtTime(1_769_860_900)})
    began = begun(service, start=StreamPosition.from_json(position.to_json()))
    assert (began.scan, began.epoch, began.saved) == (None, 1_769_860_800_123, {})


def test_a_sample_may_begin_with_the_table(service: LocalStreams) -> None:
    orders = service.create_table("orders", keys={"id": "S"}, shards=2)
    orders.put_many({"id": f"o-{n}", "n": n} for n in range(30))
    time.sleep(3.1)  # what was written just before the scan arrives as changes, in place of rows
    place = {"endpoint_url": service.endpoint_url, "region_name": service.region_name}
    found = sample("orders", snapshot="scan", seconds=30, **place)
    rows = [record for record in found if record.event_name == "READ"]
    others = {record.keys["id"] for record in found if record.event_name != "READ"}
    assert {row.keys["id"] for row in rows} | others == {f"o-{n}" for n in range(30)}
    assert found.complete
    for row in rows:
        assert row.new_image is not None
        assert row.new_image["id"] == row.keys["id"]
        assert (row.old_image, row.sequence_number) == (None, "")
        assert row.version == row_version(int(row.version[:13]))
        assert row.approximate_creation_time.microsecond == 0
        assert row.approximate_creation_time.timestamp() <= floor(service.clock()) + 1
        assert type(row)(**row.to_dict()) == row
        assert type(row).from_json(row.to_json()) == row
    assert max(row.version for row in rows) < min((r.version for r in found if r not in rows), default="9")
    limited = sample("orders", snapshot="scan", limit=5, seconds=30, **place)
    assert limited.limited
    assert len(limited) == 5
