"""botocore's model is the oracle: the same requests, and the same values from the same answers."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from typing import Any

import botocore.session
import pytest
from botocore.client import BaseClient
from scripted_endpoint import ScriptedEndpoint, Turn

from beam_dynamodb_streams.wire import Client
from beam_dynamodb_streams.wire.error_codes import ERRORS

ARN = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders/stream/2026-01-01T00:00:00.000"
SHARD = "shardId-00000001541626099285-f35f62ef"
MakeClient = Callable[..., Client]

STREAM = {
    "StreamDescription": {
        "StreamArn": ARN,
        "StreamLabel": "2026-01-01T00:00:00.000",
        "StreamStatus": "ENABLED",
        "StreamViewType": "NEW_AND_OLD_IMAGES",
        "CreationRequestDateTime": 1.7e9,
        "TableName": "orders",
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "Shards": [
            {
                "ShardId": SHARD,
                "SequenceNumberRange": {
                    "StartingSequenceNumber": "100000000003498069978",
                    "EndingSequenceNumber": "100000000003498070000",
                },
            },
            {
                "ShardId": SHARD + "x",
                "ParentShardId": SHARD,
                "SequenceNumberRange": {"StartingSequenceNumber": "100000000003498070001"},
            },
        ],
        "LastEvaluatedShardId": SHARD + "x",
    }
}
TABLE = {
    "Table": {
        "TableName": "orders",
        "TableStatus": "ACTIVE",
        "KeySchema": [{"AttributeName": "line", "KeyType": "RANGE"}, {"AttributeName": "id", "KeyType": "HASH"}],
        "AttributeDefinitions": [
            {"AttributeName": "by_index", "AttributeType": "B"},
            {"AttributeName": "line", "AttributeType": "N"},
            {"AttributeName": "id", "AttributeType": "S"},
        ],
        "LatestStreamArn": ARN,
        "StreamSpecification": {"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"},
    }
}
RECORDS = {
    "Records": [
        {
            "eventID": "c4ca4238a0b923820dcc509a6f75849b",
            "eventName": "REMOVE",
            "eventVersion": "1.1",
            "eventSource": "aws:dynamodb",
            "awsRegion": "eu-west-1",
            "userIdentity": {"PrincipalId": "dynamodb.amazonaws.com", "Type": "Service"},
            "dynamodb": {
                "ApproximateCreationDateTime": 1700000000,
                "Keys": {"id": {"S": "größe"}},
                "OldImage": {"id": {"S": "größe"}, "n": {"N": "1E+2"}},
                "SequenceNumber": "100000000003498069978",
                "SizeBytes": 59,
                "StreamViewType": "NEW_AND_OLD_IMAGES",
            },
        }
    ],
    "NextShardIterator": "next",
}


@pytest.fixture
def make_boto() -> Callable[[str, str], BaseClient]:
    return lambda service, url: botocore.session.Session().create_client(service, endpoint_url=url)


CALLS: list[tuple[str, dict[str, Any], Callable[[Client], object]]] = [
    ("describe_stream", {"StreamArn": ARN}, lambda client: client.describe_stream(ARN)),
    (
        "describe_stream",
        {"StreamArn": ARN, "Limit": 10, "ExclusiveStartShardId": SHARD},
        lambda client: client.describe_stream(ARN, limit=10, exclusive_start_shard_id=SHARD),
    ),
    (
        "describe_stream",
        {"StreamArn": ARN, "ShardFilter": {"Type": "CHILD_SHARDS", "ShardId": SHARD}},
        lambda client: client.describe_stream(ARN, children_of=SHARD),
    ),
    (
        "get_shard_iterator",
        {"StreamArn": ARN, "ShardId": SHARD, "ShardIteratorType": "TRIM_HORIZON"},
        lambda client: client.get_shard_iterator(ARN, SHARD, "TRIM_HORIZON"),
    ),
    (
        "get_shard_iterator",
        {
            "StreamArn": ARN,
            "ShardId": SHARD,
            "ShardIteratorType": "AFTER_SEQUENCE_NUMBER",
            "SequenceNumber": "100000000003498069978",
        },
        lambda client: client.get_shard_iterator(
            ARN, SHARD, "AFTER_SEQUENCE_NUMBER", sequence_number="100000000003498069978"
        ),
    ),
    (
        "get_shard_iterator",
        {
            "StreamArn": ARN,
            "ShardId": SHARD,
            "ShardIteratorType": "AT_TIMESTAMP",
            "Timestamp": datetime.datetime.fromtimestamp(1_700_000_000, datetime.timezone.utc),
        },
        lambda client: client.get_shard_iterator(ARN, SHARD, "AT_TIMESTAMP", timestamp=1_700_000_000.0),
    ),
    (
        "get_records",
        {"ShardIterator": "i" * 400, "Limit": 1000},
        lambda client: client.get_records("i" * 400),
    ),
]


@pytest.mark.parametrize(("operation", "arguments", "call"), CALLS)
def test_a_request_is_what_boto3_sends(
    operation: str,
    arguments: dict[str, Any],
    call: Callable[[Client], object],
    endpoint: ScriptedEndpoint,
    make_client: MakeClient,
    make_boto: Callable[[str, str], BaseClient],
) -> None:
    children = {"StreamDescription": {"StreamArn": ARN, "Shards": [{"ShardId": "c", "ParentShardId": SHARD}]}}
    endpoint.script = [Turn({"ShardIterator": "i", "Records": []} | children)]
    getattr(make_boto("dynamodbstreams", endpoint.url), operation)(**arguments)
    call(make_client())
    theirs, ours = endpoint.received
    assert (ours.target, ours.path, ours.parameters) == (theirs.target, theirs.path, theirs.parameters)
    for header in ("Content-Type", "Host", "Accept-Encoding", "X-Amz-Security-Token"):
        assert ours.headers[header] == theirs.headers[header]
    assert ours.headers["User-Agent"].startswith("Botocore/")
    assert "beam-dynamodb-streams" in ours.headers["User-Agent"]


def test_describe_table_is_what_boto3_sends_to_the_same_endpoint(
    endpoint: ScriptedEndpoint, make_client: MakeClient, make_boto: Callable[[str, str], BaseClient]
) -> None:
    endpoint.script = [Turn(TABLE)]
    theirs = make_boto("dynamodb", endpoint.url).describe_table(TableName="orders")["Table"]
    ours = make_client().describe_table("orders")
    assert endpoint.received[0].target == endpoint.received[1].target == "DynamoDB_20120810.DescribeTable"
    assert endpoint.received[0].body == endpoint.received[1].body.replace(b":", b": ")
    assert (ours.name, ours.latest_stream_arn) == (theirs["TableName"], theirs["LatestStreamArn"])
    assert (ours.stream_enabled, ours.stream_view_type) == (True, "KEYS_ONLY")
    assert list(ours.key_types.items()) == [("id", "S"), ("line", "N")]


def test_a_table_without_a_stream_has_none(endpoint: ScriptedEndpoint, make_client: MakeClient) -> None:
    endpoint.script = [Turn({"Table": {"TableName": "orders"}})]
    table = make_client().describe_table("orders")
    assert (table.latest_stream_arn, table.stream_enabled, table.stream_view_type) == (None, False, None)


def test_a_listing_reads_as_boto3_reads_it(
    endpoint: ScriptedEndpoint, make_client: MakeClient, make_boto: Callable[[str, str], BaseClient]
) -> None:
    endpoint.script = [Turn(STREAM)]
    theirs = make_boto("dynamodbstreams", endpoint.url).describe_stream(StreamArn=ARN)["StreamDescription"]
    ours = make_client().describe_stream(ARN)
    assert (ours.stream_arn, ours.table_name) == (theirs["StreamArn"], theirs["TableName"])
    assert (ours.status, ours.view_type) == (theirs["StreamStatus"], theirs["StreamViewType"])
    assert ours.last_evaluated_shard_id == theirs["LastEvaluatedShardId"]
    assert [
        (
            shard.shard_id,
            shard.parents,
            shard.starting_sequence_number,
            shard.ending_sequence_number,
        )
        for shard in ours.shards
    ] == [
        (
            shard["ShardId"],
            (shard["ParentShardId"],) if "ParentShardId" in shard else (),
            shard["SequenceNumberRange"].get("StartingSequenceNumber"),
            shard["SequenceNumberRange"].get("EndingSequenceNumber"),
        )
        for shard in theirs["Shards"]
    ]


def test_a_page_reads_as_boto3_reads_it(
    endpoint: ScriptedEndpoint, make_client: MakeClient, make_boto: Callable[[str, str], BaseClient]
) -> None:
    endpoint.script = [Turn(RECORDS)]
    theirs = make_boto("dynamodbstreams", endpoint.url).get_records(ShardIterator="i")
    ours = make_client().get_records("i")
    assert ours.next_iterator == theirs["NextShardIterator"]
    for record, their_record in zip(ours.records, theirs["Records"], strict=True):
        for name, theirs_name in (
            ("event_id", "eventID"),
            ("event_name", "eventName"),
            ("event_version", "eventVersion"),
            ("event_source", "eventSource"),
            ("aws_region", "awsRegion"),
        ):
            assert getattr(record, name) == their_record[theirs_name]
        change = their_record["dynamodb"]
        created = datetime.datetime.fromtimestamp(record.creation_time, datetime.timezone.utc)
        assert created == change["ApproximateCreationDateTime"]
        assert record.sequence_number == change["SequenceNumber"]
        assert record.change.size_bytes == change["SizeBytes"]
        assert record.change.stream_view_type == change["StreamViewType"]
        assert json.loads(bytes(record.change.keys)) == change["Keys"]
        assert json.loads(bytes(record.change.old_image or b"")) == change["OldImage"]
        assert json.loads(bytes(record.user_identity or b"")) == their_record["userIdentity"]
        assert record.change.new_image is None
        assert "NewImage" not in change


def test_every_error_of_the_model_that_a_reader_can_meet_is_in_the_table() -> None:
    model = botocore.session.Session().get_service_model("dynamodbstreams")
    for operation in ("DescribeStream", "GetShardIterator", "GetRecords"):
        for shape in model.operation_model(operation).error_shapes:
            assert shape.name in ERRORS


def test_timestamps_are_rounded_down_to_milliseconds_so_that_nothing_is_lost(
    endpoint: ScriptedEndpoint, make_client: MakeClient
) -> None:
    endpoint.script = [Turn({"ShardIterator": "i"})]
    client = make_client()
    for timestamp, sent in (
        (1_700_000_000.0, "1700000000"),
        (1_700_000_000.9996, "1700000000.999"),
        (0, "0"),
    ):
        client.get_shard_iterator(ARN, SHARD, "AT_TIMESTAMP", timestamp=timestamp)
        assert endpoint.received[-1].body.endswith(f'"Timestamp":{sent}}}'.encode())
