"""How an endpoint differs from the service, observed by boto3 without our code."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timedelta, timezone
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.contract.endpoints import Endpoint
from tests.contract.raw import latest_stream, raw_changes

AT_TIMESTAMP = "AT_TIMESTAMP"
SHARD_FILTER = "ShardFilter"
OPEN_ENDS = "open shards listed without an end"
UNKNOWN_SHARDS = "ResourceNotFoundException for a shard that is not there"
DISABLED_STREAMS = "a disabled stream that can still be read"
SILENT_PUTS = "no change for a put that changes nothing"
ONE_CHANGE = "one change for one write"

KNOWN: dict[str, set[str]] = {
    "local": set(),
    "moto": {AT_TIMESTAMP, SHARD_FILTER, UNKNOWN_SHARDS, DISABLED_STREAMS, SILENT_PUTS, ONE_CHANGE},
    "dynoxide": {AT_TIMESTAMP, SHARD_FILTER, OPEN_ENDS, UNKNOWN_SHARDS, DISABLED_STREAMS, SILENT_PUTS},
}


def lacks(endpoint: Endpoint) -> set[str]:
    """The names above of what `endpoint` does not do."""
    table = endpoint.create_table()
    table.put({"id": "o-1", "n": 1})
    table.put({"id": "o-1", "n": 1})
    table.update({"id": "o-2"}, {"n": 1})
    changes = [(change.key, change.event_name) for change in raw_changes(endpoint.url, table.name)]
    stream = latest_stream(endpoint.url, table.name)
    once = Config(retries={"total_max_attempts": 1})
    with closing(boto3.client("dynamodbstreams", endpoint_url=endpoint.url, config=once)) as streams:
        shards = streams.describe_stream(StreamArn=stream)["StreamDescription"]["Shards"]
        shard = shards[0]["ShardId"]

        def reads(**kind: Any) -> bool:
            iterator = streams.get_shard_iterator(StreamArn=stream, ShardId=shard, **kind)["ShardIterator"]
            return "Records" in streams.get_records(ShardIterator=iterator)

        def filters() -> bool:
            wanted = {"Type": "CHILD_SHARDS", "ShardId": shard}
            return not streams.describe_stream(StreamArn=stream, ShardFilter=wanted)["StreamDescription"]["Shards"]

        def denies() -> bool:
            try:
                unknown = f"shardId-{'0' * 20}-{'0' * 8}"
                streams.get_shard_iterator(StreamArn=stream, ShardId=unknown, ShardIteratorType="TRIM_HORIZON")
            except ClientError as error:
                return error.response["Error"]["Code"] == "ResourceNotFoundException"
            return False

        def keeps() -> bool:
            table.disable_stream()
            status = streams.describe_stream(StreamArn=stream)["StreamDescription"]["StreamStatus"]
            return status in ("DISABLING", "DISABLED") and reads(ShardIteratorType="TRIM_HORIZON")

        before = datetime.now(timezone.utc) - timedelta(minutes=5)
        found = {
            AT_TIMESTAMP: _holds(lambda: reads(ShardIteratorType="AT_TIMESTAMP", Timestamp=before)),
            SHARD_FILTER: _holds(filters),
            OPEN_ENDS: not any("EndingSequenceNumber" in each["SequenceNumberRange"] for each in shards),
            UNKNOWN_SHARDS: denies(),
            SILENT_PUTS: ("o-1", "MODIFY") not in changes,
            ONE_CHANGE: [key for key, _ in changes].count("o-2") == 1,
            DISABLED_STREAMS: _holds(keeps),
        }
    return {name for name, holds in found.items() if not holds}


def _holds(question: Callable[[], bool]) -> bool:
    """An endpoint may refuse what it does not know, or answer with HTTP 500."""
    try:
        return question()
    except ClientError:
        return False
