"""Stored records are a promise: bytes of every released version are read, the newest is written.

A golden file is never changed. A new version adds files, and its reader keeps the old ones passing.
"""

from __future__ import annotations

from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path

import pytest

from beam_dynamodb_streams.records import ChangeRecord, ChangeRecordCoder

HERE = Path(__file__).parent
SHARD = "shardId-00000001763000000000-a1b2c3d4"
RECORDS = {
    "modify": ChangeRecord(
        event_id="0f9a3c5d7e1b2a4c6d8e0f1a2b3c4d5e",
        event_name="MODIFY",
        keys={"order_id": "o-1", "line": 7},
        new_image={
            "order_id": "o-1",
            "line": 7,
            "text": "é ✓",
            "total": Decimal("-12.50"),
            "blob": b"\x00\xff",
            "paid": True,
            "coupon": None,
            "address": {"lines": ["a", Decimal("1E-130")]},
            "tags": {"a", "b"},
            "sizes": {Decimal("1"), Decimal("2.5")},
            "hashes": {b"", b"\x01"},
        },
        old_image={"order_id": "o-1", "line": 7},
        sequence_number="421584500000000017450439091",
        version=f"1769860800123-20260131120000123000-{'421584500000000017450439091':0>40}",
        shard_id=SHARD,
        approximate_creation_time=datetime(2026, 1, 31, 12, 30, 5, tzinfo=timezone.utc),
        size_bytes=159,
    ),
    "ttl_delete": ChangeRecord(
        event_id="e",
        event_name="REMOVE",
        keys={"order_id": "o-2"},
        sequence_number="4" * 40,
        shard_id=SHARD,
        approximate_creation_time=datetime(2026, 1, 31, 12, 30, 5, 123_456, tzinfo=timezone.utc),
        stream_view_type="KEYS_ONLY",
        user_identity={"Type": "Service", "PrincipalId": "dynamodb.amazonaws.com"},
    ),
    "row": ChangeRecord(
        event_id="r",
        event_name="READ",
        keys={"order_id": "o-3"},
        new_image={"order_id": "o-3", "total": 5},
        version=f"1769860800123-{0:020}-{0:040}",
        shard_id="data/abc.json.gz",
        approximate_creation_time=datetime(2026, 1, 31, 12, 0, 0, 123_000, tzinfo=timezone.utc),
        stream_view_type="NEW_IMAGE",
    ),
}


@pytest.mark.parametrize("name", RECORDS)
def test_bytes_of_version_2_are_read_and_written(name: str):
    golden = (HERE / f"record_v2_{name}.bin").read_bytes()
    assert ChangeRecordCoder().decode(golden) == RECORDS[name]
    assert ChangeRecordCoder().encode(RECORDS[name]) == golden


@pytest.mark.parametrize("name", RECORDS)
def test_json_lines_are_read_and_written(name: str):
    golden = (HERE / f"record_{name}.json").read_text(encoding="utf-8").removesuffix("\n")
    assert ChangeRecord.from_json(golden) == RECORDS[name]
    assert RECORDS[name].to_json() == golden
