"""What the service's refusals become."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
from scripted_endpoint import ScriptedEndpoint, Turn, refusal

from beam_dynamodb_streams.errors import (
    AccessDeniedError,
    ExpiredIteratorError,
    InvalidRequestError,
    IteratorTypeError,
    NotFoundError,
    ServiceError,
    ShardFilterError,
    TrimmedDataError,
    UnavailableError,
    UnknownCodeError,
)
from beam_dynamodb_streams.wire import Capabilities, Client, Support

ARN = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders/stream/2026-01-01T00:00:00.000"
MakeClient = Callable[..., Client]


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("ExpiredIteratorException", ExpiredIteratorError),  # trap 9
        ("TrimmedDataAccessException", TrimmedDataError),  # trap 10
        ("ResourceNotFoundException", NotFoundError),  # trap 11
    ],
)
def test_a_known_code_is_an_error_that_names_stream_shard_and_position(
    code: str, kind: type[ServiceError], endpoint: ScriptedEndpoint, make_client: MakeClient
) -> None:
    endpoint.script = [refusal(code, "in its own words")]
    with pytest.raises(kind, match="in its own words") as raised:
        make_client().get_shard_iterator(ARN, "shard", "AT_SEQUENCE_NUMBER", sequence_number="123")
    error = raised.value
    assert (error.code, error.stream, error.shard, error.position) == (code, ARN, "shard", "123")
    assert str(copy.deepcopy(error)) == str(error)


@pytest.mark.parametrize(
    "turn",
    [
        refusal("TrimmedDataAccessException"),
        Turn({"__type": "TrimmedDataAccessException"}, 400),
        Turn({"code": "TrimmedDataAccessException:http://internal.amazon.com/coral/"}, 400),
        Turn({}, 400, headers={"x-amzn-errortype": "TrimmedDataAccessException:"}),
    ],
    ids=["name space", "bare", "code", "header"],
)
def test_a_code_is_found_wherever_it_is_put(turn: Turn, endpoint: ScriptedEndpoint, make_client: MakeClient) -> None:
    endpoint.script = [turn]
    with pytest.raises(TrimmedDataError):
        make_client().get_records("iterator")


def test_denied_access_names_the_missing_permission_and_the_resource(
    endpoint: ScriptedEndpoint, make_client: MakeClient
) -> None:
    endpoint.script = [refusal("AccessDeniedException", "no identity-based policy allows it")]
    client = make_client()
    with pytest.raises(AccessDeniedError, match=rf"allow dynamodb:GetRecords on {ARN} .*no identity-based"):
        client.get_records("iterator", stream_arn=ARN)
    with pytest.raises(AccessDeniedError, match="allow dynamodb:DescribeTable on table 'orders'"):
        client.describe_table("orders")
    with pytest.raises(AccessDeniedError, match="allow dynamodb:GetShardIterator on arn:"):
        client.get_shard_iterator(ARN, "shard", "LATEST")


def test_an_unknown_code_is_an_error_that_carries_the_code_and_the_services_words(
    endpoint: ScriptedEndpoint, make_client: MakeClient
) -> None:
    endpoint.script = [refusal("KMSDisabledException", "the key is disabled")]
    with pytest.raises(UnknownCodeError) as raised:
        make_client().get_records("iterator")
    assert raised.value.code == "KMSDisabledException"
    assert (
        str(raised.value) == "GetRecords failed (KMSDisabledException, HTTP 400, request REQUEST): the key is disabled"
    )


def test_a_proxys_page_is_an_unknown_code_that_is_its_status(
    endpoint: ScriptedEndpoint, make_client: MakeClient
) -> None:
    endpoint.script = [Turn(b"<html>forbidden</html>", 403)]
    with pytest.raises(UnknownCodeError, match=r"\(403,"):
        make_client().get_records("iterator")


def test_an_answer_that_is_json_but_not_a_listing_is_not_a_delay(
    endpoint: ScriptedEndpoint, make_client: MakeClient
) -> None:
    endpoint.script = [Turn({"StreamDescription": {"Shards": "none"}})]
    with pytest.raises(ServiceError, match="DescribeStream is not what the service documents"):
        make_client().describe_stream(ARN)
    assert len(endpoint.received) == 1


OLDER = (
    "1 validation error detected: Value 'AT_TIMESTAMP' at 'shardIteratorType' failed to satisfy constraint: "
    "Member must satisfy enum value set: [AFTER_SEQUENCE_NUMBER, LATEST, AT_SEQUENCE_NUMBER, TRIM_HORIZON]"
)


@pytest.mark.parametrize(
    "turn",
    [
        refusal("ValidationException", OLDER),
        refusal("ValidationException", "Invalid ShardIteratorType"),
        refusal("SerializationException"),
        refusal("InvalidParameterValue", "unknown iterator type"),
    ],
)
def test_an_endpoint_that_does_not_know_at_timestamp_says_so_by_one_error(
    turn: Turn, endpoint: ScriptedEndpoint, make_client: MakeClient
) -> None:
    endpoint.script = [turn]
    client = make_client()
    with pytest.raises(IteratorTypeError) as raised:
        client.get_shard_iterator(ARN, "shard", "AT_TIMESTAMP", timestamp=1_700_000_000)
    assert client.capabilities == Capabilities(at_timestamp=Support.NO)
    assert (raised.value.stream, raised.value.shard) == (ARN, "shard")
    assert len(endpoint.received) == 1


def test_a_time_in_the_future_is_not_taken_for_an_unknown_iterator_type(
    endpoint: ScriptedEndpoint, make_client: MakeClient
) -> None:
    now = 1_700_000_000.0
    endpoint.script = [refusal("ValidationException", "Timestamp is out of range", date=now)]
    client = make_client(clock=lambda: now)
    with pytest.raises(InvalidRequestError, match="out of range"):
        client.get_shard_iterator(ARN, "shard", "AT_TIMESTAMP", timestamp=now + 60)
    endpoint.script = [refusal("ValidationException", "The timestamp is in the future", date=now)]
    with pytest.raises(InvalidRequestError, match="in the future"):
        client.get_shard_iterator(ARN, "shard", "AT_TIMESTAMP", timestamp=now - 60)


@pytest.mark.parametrize(
    "message",
    ["Timestamp must not be in the future", "timestampInMillis cannot be greater than the currentTimestampInMillis"],
)
def test_a_host_whose_clock_is_three_seconds_behind_is_a_delay(
    message: str, endpoint: ScriptedEndpoint, make_client: MakeClient
) -> None:
    """Trap 26. LATEST is resolved with one host's clock, and another host calls that moment the future."""
    now = 1_700_000_000.0
    behind = refusal("ValidationException", message, date=now - 3)
    endpoint.script = [behind, behind, Turn({"ShardIterator": "i"}, date=now)]
    client = make_client(clock=lambda: now)
    assert client.get_shard_iterator(ARN, "shard", "AT_TIMESTAMP", timestamp=now) == "i"
    endpoint.received.clear()
    endpoint.script = [behind]
    with pytest.raises(UnavailableError, match="behind that of another host"):
        client.get_shard_iterator(ARN, "shard", "AT_TIMESTAMP", timestamp=now)
    assert {received.target.partition(".")[2] for received in endpoint.received} == {"GetShardIterator"}
    assert client.capabilities.at_timestamp is not Support.NO


def test_a_fault_of_at_timestamp_alone_is_an_unknown_iterator_type(
    endpoint: ScriptedEndpoint, make_client: MakeClient
) -> None:
    # DynamoDB Local answers AT_TIMESTAMP so.
    endpoint.script = [*[refusal("InternalFailure", status=500)] * 4, Turn({"ShardIterator": "horizon"})]
    with pytest.raises(IteratorTypeError):
        make_client().get_shard_iterator(ARN, "shard", "AT_TIMESTAMP", timestamp=1_700_000_000)
    assert endpoint.received[-1].parameters["ShardIteratorType"] == "TRIM_HORIZON"


def test_a_fault_of_every_iterator_type_is_an_outage(endpoint: ScriptedEndpoint, make_client: MakeClient) -> None:
    endpoint.script = [refusal("InternalServerError", status=500)]
    with pytest.raises(UnavailableError):
        make_client().get_shard_iterator(ARN, "shard", "AT_TIMESTAMP", timestamp=1_700_000_000)


def test_once_an_at_timestamp_iterator_has_been_read_a_fault_is_an_outage(
    endpoint: ScriptedEndpoint, make_client: MakeClient
) -> None:
    fault = refusal("InternalServerError", status=500)
    endpoint.script = [
        Turn({"ShardIterator": "first"}),
        Turn({"Records": [], "NextShardIterator": "second"}),
        Turn({"ShardIterator": "third"}),
        *[fault] * 4,
    ]
    client = make_client()
    client.get_records(client.get_shard_iterator(ARN, "shard", "AT_TIMESTAMP", timestamp=1))
    third = client.get_shard_iterator(ARN, "shard", "AT_TIMESTAMP", timestamp=1)
    with pytest.raises(UnavailableError):
        client.get_records(third)
    assert len(endpoint.received) == 7


@pytest.mark.parametrize(
    "turn",
    [
        refusal("ValidationException", "unknown parameter"),
        refusal("SerializationException"),
        Turn({"StreamDescription": {"StreamArn": ARN, "Shards": [{"ShardId": "p"}, {"ShardId": "c"}]}}),
    ],
    ids=["refused", "not understood", "ignored"],
)
def test_an_endpoint_without_the_shard_filter_says_so_by_one_error(
    turn: Turn, endpoint: ScriptedEndpoint, make_client: MakeClient
) -> None:
    endpoint.script = [turn]
    client = make_client()
    with pytest.raises(ShardFilterError) as raised:
        client.describe_stream(ARN, children_of="p")
    assert client.capabilities == Capabilities(shard_filter=Support.NO)
    assert (raised.value.stream, raised.value.shard) == (ARN, "p")


def test_the_children_of_a_shard_are_one_filtered_listing(endpoint: ScriptedEndpoint, make_client: MakeClient) -> None:
    shards = [{"ShardId": "c", "ParentShardId": "p"}, {"ShardId": "d", "ParentShardId": "p"}]
    endpoint.script = [Turn({"StreamDescription": {"StreamArn": ARN, "Shards": shards}})]
    page = make_client().describe_stream(ARN, children_of="p")
    assert [shard.shard_id for shard in page.shards] == ["c", "d"]
    assert endpoint.received[0].parameters["ShardFilter"] == {"Type": "CHILD_SHARDS", "ShardId": "p"}
