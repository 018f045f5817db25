"""Answers with status 200 that are not the service's: what each must have, and what "" means."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from scripted_endpoint import ScriptedEndpoint, Turn

from beam_dynamodb_streams.errors import ExpiredIteratorError, ServiceError, ThrottledError, UnavailableError
from beam_dynamodb_streams.wire import Client
from beam_dynamodb_streams.wire.dynamodb import DynamoDB

ARN = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders/stream/2026-01-01T00:00:00.000"
MakeClient = Callable[..., Client]

CALLS: dict[str, Callable[[Client], object]] = {
    "GetRecords": lambda client: client.get_records("iterator"),
    "DescribeStream": lambda client: client.describe_stream(ARN),
    "GetShardIterator": lambda client: client.get_shard_iterator(ARN, "shard", "TRIM_HORIZON"),
    "DescribeTable": lambda client: client.describe_table("orders"),
}
ANSWERS: list[Any] = [
    {},
    {"message": "Endpoint request timed out"},
    {"__type": "NobodyKnowsException", "message": "?"},
    {"Records": None, "StreamDescription": {"Shards": None}, "ShardIterator": "", "Table": None},
    {"StreamDescription": None, "NextShardIterator": "next"},
    {"StreamDescription": {"StreamArn": ARN}},
    None,
    [],
    "text",
    5,
]


@pytest.mark.parametrize("operation", CALLS)
@pytest.mark.parametrize("answer", ANSWERS, ids=repr)
def test_an_answer_without_what_it_must_have_is_a_delay_that_says_so(
    endpoint: ScriptedEndpoint, make_client: MakeClient, operation: str, answer: object
) -> None:  # trap 22
    endpoint.script = [Turn(answer)]
    with pytest.raises(UnavailableError, match=f"the answer to {operation} has no ") as raised:
        CALLS[operation](make_client())
    assert raised.value.operation == operation
    assert len(endpoint.received) == 4


@pytest.mark.parametrize("operation", CALLS)
def test_an_error_object_with_status_200_is_that_error(
    endpoint: ScriptedEndpoint, make_client: MakeClient, operation: str
) -> None:  # trap 22
    endpoint.script = [Turn({"__type": "com.amazonaws.dynamodb.v20120810#ThrottlingException", "message": "slow"})]
    with pytest.raises(ThrottledError, match="slow"):
        CALLS[operation](make_client())
    endpoint.script = [Turn({"__type": "ExpiredIteratorException"})]
    with pytest.raises(ExpiredIteratorError):
        CALLS[operation](make_client())


@pytest.mark.parametrize("answer", [{"__type": "NobodyKnowsException"}, {"message": "?"}, None, b"<html></html>"])
def test_a_write_is_not_done_by_an_answer_that_is_not_the_services(endpoint: ScriptedEndpoint, answer: object) -> None:
    endpoint.script = [Turn(answer)]
    client = DynamoDB(endpoint_url=endpoint.url, sleep=lambda _: None)
    with pytest.raises(UnavailableError, match="PutItem"):
        client.put_item("orders", {"id": {"S": "1"}})
    client.close()


def test_an_empty_text_is_absent_in_every_answer(
    endpoint: ScriptedEndpoint, make_client: MakeClient
) -> None:  # trap 22
    listed = {"ShardId": "a", "ParentShardId": "", "SequenceNumberRange": dict.fromkeys(["EndingSequenceNumber"], "")}
    endpoint.script = [
        Turn({"Records": [], "NextShardIterator": ""}),
        Turn({"StreamDescription": {"Shards": [listed], "LastEvaluatedShardId": ""}}),
        Turn({"Table": {"TableName": "orders", "LatestStreamArn": ""}}),
    ]
    client = make_client()
    assert client.get_records("iterator").next_iterator is None
    page = client.describe_stream(ARN)
    assert page.last_evaluated_shard_id is None
    assert page.shards[0].parents == ()
    assert page.shards[0].ending_sequence_number is None
    assert client.describe_table("orders").latest_stream_arn is None


@pytest.mark.parametrize("shard_id", ["", "\0shard", "shard\0", "s" * 5000])
@pytest.mark.parametrize("member", ["ShardId", "ParentShardId"])
def test_a_shard_id_that_nothing_can_be_read_under_is_an_error_that_says_so(
    endpoint: ScriptedEndpoint, make_client: MakeClient, shard_id: str, member: str
) -> None:
    endpoint.script = [Turn({"StreamDescription": {"Shards": [{"ShardId": "a", member: shard_id}]}})]
    if (shard_id, member) == ("", "ParentShardId"):
        return
    with pytest.raises(ServiceError, match="DescribeStream is not what the service documents: the shard id") as raised:
        make_client().describe_stream(ARN)
    assert not isinstance(raised.value, UnavailableError)
    assert len(str(raised.value)) < 500
