"""Lease tables as the three generations of the Kinesis Client Library leave them behind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

GENERATIONS = ("kcl1", "kcl2", "kcl3", "kcl3-multi-stream")

Items = list[dict[str, dict[str, Any]]]


def lease_items(
    generation: str, checkpoints: Mapping[str, str], parents: Mapping[str, str], *, stream_arn: str
) -> Items:
    """The items of a table whose workers have stopped; each shard's checkpoint is a number or a word."""
    items: Items = []
    for shard, checkpoint in checkpoints.items():
        item: dict[str, dict[str, Any]] = {
            "leaseKey": {"S": shard},
            "checkpoint": {"S": checkpoint},
            "checkpointSubSequenceNumber": {"N": "0"},
            "leaseCounter": {"N": "42"},
            "ownerSwitchesSinceCheckpoint": {"N": "0"},
        }
        if checkpoint != "SHARD_END":
            item["leaseOwner"] = {"S": f"{generation}-worker:6d2a9f0e"}
        if shard in parents:
            item["parentShardId"] = {"SS": [parents[shard]]}
        if generation != "kcl1":
            item["startingHashKey"] = {"S": "0"}
            item["endingHashKey"] = {"S": "1"}
            if children := [child for child, parent in parents.items() if parent == shard]:
                item["childShardIds"] = {"SS": children}
            if checkpoint.isdecimal():  # announced, and never made
                item["pendingCheckpoint"] = {"S": str(int(checkpoint) + 10**9)}
                item["pendingCheckpointSubSequenceNumber"] = {"N": "0"}
        if generation.startswith("kcl3"):
            item["throughputKBps"] = {"N": "12.5"}
            item["checkpointOwner"] = {"S": "kcl3-worker:0b1c"}
            item["checkpointOwnerTimeoutTimestampMillis"] = {"N": "1769860800000"}
            item["entityType"] = {"S": "LEASE"}
        items.append(item)
    if generation == "kcl3-multi-stream":
        items = [item for stream in (stream_arn, other_stream(stream_arn)) for item in _of_stream(items, stream)]
    if generation.startswith("kcl3"):  # from 3.5 on the other entities live here too
        items.append(
            {"leaseKey": {"S": "Migration3.0"}, "entityType": {"S": "CLIENT_VERSION_MIGRATION"}, "cv": {"S": "3"}}
        )
        items.append({"leaseKey": {"S": "Leader"}, "entityType": {"S": "LEADER"}, "checkpoint": {"S": "none"}})
        items.append({"leaseKey": {"S": "kcl3-worker"}, "entityType": {"S": "WORKER_METRIC_STATS"}})
    return items


def _of_stream(items: Items, stream_arn: str) -> Items:
    name = adapter_name(stream_arn)
    return [
        {
            **item,
            "leaseKey": {"S": f"{name}:{item['leaseKey']['S']}"},
            "streamName": {"S": name},
            "shardId": item["leaseKey"],
        }
        for item in items
    ]


def adapter_name(stream_arn: str) -> str:
    _, _, _, region, account, rest = stream_arn.split(":", 5)
    _, table, _, label = rest.split("/")
    return f"{account}:{region}${account}${table}${label.replace(':', '_')}:1"


def other_stream(stream_arn: str) -> str:
    """The stream that the table had before: the same table, another label."""
    return stream_arn.rpartition("/")[0] + "/2020-01-31T12:00:00.000"


def make_table(tables: Any, name: str, items: Items) -> None:
    tables.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "leaseKey", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "leaseKey", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    for item in items:
        tables.put_item(TableName=name, Item=item)


each_generation = pytest.mark.parametrize("generation", GENERATIONS)
