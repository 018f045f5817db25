"""What is kept of an application's progress is a promise: files and items of every released version are read.

A golden file is never changed. A new version adds files, and its reader keeps the old ones passing.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from beam_dynamodb_streams.errors import ConnectorError
from beam_dynamodb_streams.progress import file_store, table_items
from beam_dynamodb_streams.progress.store import Application, LeaseRecord, SavedProgress, SavedShard
from beam_dynamodb_streams.shards.position import SHARD_END, TRIM_HORIZON, After, AtTime
from beam_dynamodb_streams.shards.stream_position import StreamPosition

HERE = Path(__file__).parent
ARN = "arn:aws:dynamodb:us-east-1:000000000000:table/orders/stream/2026-01-31T12:00:00.000"
SECOND = 1_769_860_800
KEPT = Application(
    LeaseRecord("8f14e45fceea467f9d3b1c2a00000001", ARN, SECOND + 0.25),
    {
        ARN: SavedProgress(
            AtTime(SECOND),
            {
                "shardId-00000001769860800000-a1b2c3d4": SavedShard(After("421584500000000017450439091"), SECOND + 1),
                "shardId-00000001769875200000-0badf00d": SavedShard(SHARD_END, SECOND + 2),
                "shardId-00000001769875200001-0badf00d": SavedShard(TRIM_HORIZON, SECOND + 3),
            },
        ),
        ARN.replace("orders", "refunds"): SavedProgress(),
    },
)


def test_the_file_of_each_version_is_read_and_written() -> None:
    golden = (HERE / "progress_v1.json").read_text()
    assert file_store.application_of(golden, "golden") == KEPT
    assert file_store.application_text(KEPT) == golden.rstrip("\n")


SELDOM = replace(KEPT, lease=LeaseRecord("8f14e45fceea467f9d3b1c2a00000002", ARN, SECOND + 0.25, takeover_after=300.5))


def test_how_long_a_run_may_be_silent_is_kept_where_it_is_not_the_default() -> None:
    golden = (HERE / "progress_v1_takeover.json").read_text()
    assert file_store.application_of(golden, "golden") == SELDOM
    assert file_store.application_text(SELDOM) == golden.rstrip("\n")
    assert SELDOM.lease is not None
    item: dict[str, dict[str, Any]] = json.loads((HERE / "progress_lease_v1_takeover.json").read_text())
    assert {
        **table_items.lease_item(SELDOM.lease),
        "application": {"S": "orders-export"},
        "item": {"S": "lease"},
    } == item
    assert table_items.application_of([item]).lease == SELDOM.lease


def test_until_when_all_was_delivered_is_kept_where_it_is_known() -> None:
    known = Application(KEPT.lease, {ARN: SavedProgress(AtTime(SECOND), until=SECOND + 9)})
    golden = (HERE / "progress_v1_until.json").read_text()
    assert file_store.application_of(golden, "golden") == known
    assert file_store.application_text(known) == golden.rstrip("\n")
    item: dict[str, dict[str, Any]] = json.loads((HERE / "progress_start_v1_until.json").read_text())
    start = table_items.start_item(StreamPosition(ARN, AtTime(SECOND), until=SECOND + 9))
    assert {**start, "application": {"S": "orders-export"}, "item": {"S": f"{ARN}|"}} == item
    assert table_items.application_of([item]).streams == known.streams


def test_the_items_of_each_version_are_read() -> None:
    golden: list[dict[str, dict[str, Any]]] = json.loads((HERE / "progress_items_v1.json").read_text())
    assert table_items.application_of(golden) == KEPT
    assert KEPT.lease is not None
    (lease,) = [item for item in golden if item["item"] == {"S": "lease"}]
    assert {
        **table_items.lease_item(KEPT.lease),
        "application": {"S": "orders-export"},
        "item": {"S": "lease"},
    } == lease


def test_the_items_that_are_written_are_those_of_the_newest_version() -> None:
    golden: list[dict[str, dict[str, Any]]] = json.loads((HERE / "progress_items_v1.json").read_text())
    shards = KEPT.streams[ARN].shards
    for item in golden:
        if (mark := shards.get(item["item"]["S"].partition("|")[2])) is not None:
            written = table_items.shard_item(mark.position, mark.moved_at)
            assert {name: item[name.removeprefix(":")] for name in written} == written


def test_items_of_a_later_version_are_refused_with_the_release_that_reads_them() -> None:
    golden: list[dict[str, dict[str, Any]]] = json.loads((HERE / "progress_items_v1.json").read_text())
    for item in golden:
        if "version" in item:
            with pytest.raises(ConnectorError, match="version 9, this release reads 1: use the release that wrote it"):
                table_items.application_of([{**item, "version": {"N": "9"}}])
