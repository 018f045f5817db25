"""What an endpoint's own GetRecords returns to boto3, without our code: the expectation of the contract."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import dropwhile
from typing import Any

import boto3

from beam_dynamodb_streams import ChangeRecord

EMPTY_PAGES = 5  # in a row: an open shard never says that it has no more (trap 5)


@dataclass(frozen=True)
class Seen:
    """A change, either as boto3 shows it or as our source does: the two are compared by `==`."""

    shard_id: str
    sequence_number: str
    event_id: str
    event_name: str
    keys: dict[str, object]
    new_image: dict[str, object] | None
    old_image: dict[str, object] | None
    created: datetime
    size_bytes: int | None
    view_type: str

    @property
    def key(self) -> str:
        return str(self.keys["id"])


def seen(record: ChangeRecord) -> Seen:
    return Seen(
        record.shard_id,
        record.sequence_number,
        record.event_id,
        record.event_name,
        record.keys,
        record.new_image,
        record.old_image,
        record.approximate_creation_time,
        record.size_bytes,
        record.stream_view_type,
    )


def latest_stream(url: str, table: str) -> str:
    with closing(boto3.client("dynamodb", endpoint_url=url)) as tables:
        return str(tables.describe_table(TableName=table)["Table"]["LatestStreamArn"])


def raw_changes(url: str, table: str) -> list[Seen]:
    """All changes of a table from TRIM_HORIZON: shard after shard, each in its order."""
    stream = latest_stream(url, table)
    with closing(boto3.client("dynamodbstreams", endpoint_url=url)) as streams:
        described = streams.describe_stream(StreamArn=stream)["StreamDescription"]
        assert "LastEvaluatedShardId" not in described, "the tables of these tests have few shards"
        return [
            _seen(shard["ShardId"], entry)
            for shard in described["Shards"]
            for entry in _entries(streams, stream, shard["ShardId"])
        ]


def from_second(changes: Iterable[Seen], second: datetime) -> list[Seen]:
    """Return, for each shard, the first change created at or after `second` and all after it, as AT_TIMESTAMP does."""
    kept: list[Seen] = []
    for in_order in by_shard(changes).values():
        kept += dropwhile(lambda change: change.created < second, in_order)
    return kept


def by_shard(changes: Iterable[Seen]) -> dict[str, list[Seen]]:
    shards: dict[str, list[Seen]] = {}
    for change in changes:
        shards.setdefault(change.shard_id, []).append(change)
    return shards


def by_key(changes: Iterable[Seen]) -> dict[str, list[Seen]]:
    """Each item's changes in their order."""
    keys: dict[str, list[Seen]] = {}
    for change in changes:
        keys.setdefault(change.key, []).append(change)
    return keys


def _entries(streams: Any, stream: str, shard: str) -> list[dict[str, Any]]:
    iterator: str | None = streams.get_shard_iterator(
        StreamArn=stream, ShardId=shard, ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    entries: list[dict[str, Any]] = []
    empty = 0
    while iterator and empty < EMPTY_PAGES:
        page = streams.get_records(ShardIterator=iterator)
        entries += page["Records"]
        empty = 0 if page["Records"] else empty + 1
        iterator = page.get("NextShardIterator")
    return entries


def _seen(shard: str, entry: dict[str, Any]) -> Seen:
    change = entry["dynamodb"]
    return Seen(
        shard,
        change["SequenceNumber"],
        entry["eventID"],
        entry["eventName"],
        _image(change["Keys"]),
        _image(change["NewImage"]) if "NewImage" in change else None,
        _image(change["OldImage"]) if "OldImage" in change else None,
        change["ApproximateCreationDateTime"],
        change.get("SizeBytes"),
        change["StreamViewType"],
    )


def _image(raw: dict[str, Any]) -> dict[str, object]:
    return {name: _value(value) for name, value in raw.items()}


def _value(raw: dict[str, Any]) -> object:
    """boto3's own TypeDeserializer raises on legal numbers (trap 16)."""
    [(tag, value)] = raw.items()
    match tag:
        case "N":
            return Decimal(value)
        case "NS":
            return {Decimal(text) for text in value}
        case "SS" | "BS":
            return set(value)
        case "NULL":
            return None
        case "L":
            return [_value(entry) for entry in value]
        case "M":
            return _image(value)
        case _:
            return value
