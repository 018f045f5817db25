"""The kit's Kinesis Data Streams through boto3: what its clients meet in the service."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import boto3
import msgspec
import pytest
from botocore.exceptions import ClientError

from beam_dynamodb_streams.testing import Clock, Faults, KinesisStream, LocalKinesis, LocalStreams


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def kinesis(clock: Clock) -> Iterator[LocalKinesis]:
    with LocalKinesis(clock=clock) as service:
        yield service


@pytest.fixture
def client(kinesis: LocalKinesis) -> Any:
    return boto3.client("kinesis", **kinesis.client_options)


def iterator(client: Any, stream: KinesisStream, shard: str, kind: str = "TRIM_HORIZON", **more: object) -> str:
    return client.get_shard_iterator(StreamARN=stream.arn, ShardId=shard, ShardIteratorType=kind, **more)[
        "ShardIterator"
    ]


def test_a_merge_names_both_parents_and_ends_each_with_the_child(kinesis: LocalKinesis, client: Any) -> None:
    stream = kinesis.create_stream("copy", shards=2)
    left, right = stream.open_shard_ids
    child = stream.merge(left, right)
    listed = client.list_shards(StreamName="copy")["Shards"]
    assert [(shard.get("ParentShardId"), shard.get("AdjacentParentShardId")) for shard in listed] == [
        (None, None),
        (None, None),
        (left, right),
    ]
    page = client.get_records(ShardIterator=iterator(client, stream, left))
    assert "NextShardIterator" not in page
    assert [(each["ShardId"], each["ParentShards"]) for each in page["ChildShards"]] == [(child, [left, right])]


def test_a_listing_has_pages_whose_token_excludes_the_name(kinesis: LocalKinesis, client: Any) -> None:
    kinesis.create_stream("copy", shards=5)
    first = client.list_shards(StreamName="copy", MaxResults=3)
    rest = client.list_shards(NextToken=first["NextToken"])
    assert len(first["Shards"]) == 3
    assert len(rest["Shards"]) == 2
    with pytest.raises(ClientError, match="InvalidArgument"):
        client.list_shards(NextToken=first["NextToken"], StreamName="copy")


def test_a_number_below_the_horizon_becomes_the_horizon_in_silence(
    clock: Clock, kinesis: LocalKinesis, client: Any
) -> None:
    stream = kinesis.create_stream("copy", retention=timedelta(hours=48))
    old = stream.put(b"old", "k")
    clock.advance(49 * 3600)
    new = stream.put(b"new", "k")
    (shard,) = stream.open_shard_ids
    at = iterator(client, stream, shard, "AT_SEQUENCE_NUMBER", StartingSequenceNumber=old)
    assert [each["SequenceNumber"] for each in client.get_records(ShardIterator=at)["Records"]] == [new]
    summary = client.describe_stream_summary(StreamName="copy")["StreamDescriptionSummary"]
    assert summary["RetentionPeriodHours"] == 48


def test_a_sixth_call_in_a_second_is_throttled(clock: Clock, kinesis: LocalKinesis, client: Any) -> None:
    stream = kinesis.create_stream("copy")
    found = iterator(client, stream, *stream.open_shard_ids)
    for _ in range(5):
        client.get_records(ShardIterator=found)
    config = boto3.session.Config(retries={"total_max_attempts": 1})
    once = boto3.client("kinesis", **kinesis.client_options, config=config)
    with pytest.raises(ClientError, match="ProvisionedThroughputExceeded"):
        once.get_records(ShardIterator=found)
    clock.advance(1.0)
    once.get_records(ShardIterator=found)


def test_an_iterator_lives_five_minutes(clock: Clock, kinesis: LocalKinesis, client: Any) -> None:
    stream = kinesis.create_stream("copy")
    found = iterator(client, stream, *stream.open_shard_ids)
    clock.advance(300)
    client.get_records(ShardIterator=found)
    clock.advance(1)
    with pytest.raises(ClientError, match="ExpiredIterator"):
        client.get_records(ShardIterator=found)


def test_how_far_a_page_is_behind_is_the_age_of_the_next_record(
    clock: Clock, kinesis: LocalKinesis, client: Any
) -> None:
    stream = kinesis.create_stream("copy")
    stream.put(b"one", "k")
    clock.advance(5)
    stream.put(b"two", "k")
    clock.advance(2)
    found = iterator(client, stream, *stream.open_shard_ids)
    first = client.get_records(ShardIterator=found, Limit=1)
    assert first["MillisBehindLatest"] == 2000
    assert client.get_records(ShardIterator=first["NextShardIterator"])["MillisBehindLatest"] == 0
    kinesis.faults = Faults(empty_page=1.0)
    empty = client.get_records(ShardIterator=found)
    assert (empty["Records"], empty["MillisBehindLatest"]) == ([], 7000)


@pytest.mark.parametrize(("precision", "unit"), [("MICROSECOND", 10**6), ("MILLISECOND", 10**3), (None, 10**3)])
def test_changes_have_the_form_of_kinesis_data_streams_for_dynamodb(
    clock: Clock, kinesis: LocalKinesis, precision: Any, unit: int
) -> None:
    stream = kinesis.create_stream("copy")
    with LocalStreams(clock=clock) as service:
        orders = service.create_table("orders", keys={"id": "S"})
        changes = [orders.put({"id": "a", "n": 1}), orders.delete({"id": "a"}, by="ttl")]
        stream.put_changes([change for change in changes if change], precision=precision)
    put, removed = (msgspec.json.decode(each.data) for each in stream.records(*stream.shard_ids))
    assert set(put) == {
        *("awsRegion", "eventID", "eventName", "userIdentity", "recordFormat", "tableName", "dynamodb", "eventSource")
    }
    assert put["userIdentity"] is None
    assert removed["userIdentity"] == {"principalId": "dynamodb.amazonaws.com", "type": "Service"}
    assert put["dynamodb"]["ApproximateCreationDateTime"] == int(clock()) * unit
    assert put["dynamodb"].get("ApproximateCreationDateTimePrecision") == precision
    assert not {"SequenceNumber", "StreamViewType"} & put["dynamodb"].keys()
