"""Handlers as people write them, with Powertools for AWS Lambda, and the shapes of events that vendors publish."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

import pytest
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes import DynamoDBStreamEvent, event_source
from aws_lambda_powertools.utilities.data_classes.dynamo_db_stream_event import (
    DynamoDBRecord,
    DynamoDBRecordEventName,
    StreamViewType,
)

from beam_dynamodb_streams import InvokeHandler
from beam_dynamodb_streams.handlers.lambda_event import event_of, event_record
from tests.handlers.made import Recorded, change, numbers_of, run
from tests.handlers.test_invocations import ARN

processor = BatchProcessor(event_type=EventType.DynamoDBStreams)


@pytest.fixture(autouse=True)
def calls() -> Iterator[list[tuple[Any, Any]]]:
    Recorded.calls.clear()
    yield Recorded.calls
    Recorded.calls.clear()


def handle_one(record: DynamoDBRecord) -> None:
    assert record.dynamodb is not None
    if int(record.dynamodb.new_image["number"]) == 2:
        raise ValueError("two")


def batch_handler(event: Any, context: Any) -> Any:
    Recorded.calls.append((event, context))
    return process_partial_response(event=event, record_handler=handle_one, processor=processor, context=context)


def test_a_batch_processor_of_powertools_reports_what_failed(calls: list[tuple[Any, Any]]) -> None:
    def check(found: list[Any]) -> None:
        assert [numbers_of(made["payload"]) for made in found] == [[2]]

    step = InvokeHandler(batch_handler, maximum_retry_attempts=1, bisect_on_error=True, report_batch_item_failures=True)
    run([change(number) for number in range(5)], step, on_failure=check)
    assert [numbers_of(event) for event, _ in calls] == [[0, 1, 2, 3, 4], [2, 3, 4], [2], [2], [3, 4]]


def test_a_batch_of_which_all_failed_is_an_exception_of_powertools(calls: list[tuple[Any, Any]]) -> None:
    def check(found: list[Any]) -> None:
        (made,) = found
        assert made["responseContext"]["functionError"] == "Unhandled"

    step = InvokeHandler(batch_handler, maximum_retry_attempts=2, report_batch_item_failures=True)
    run([change(2)], step, on_failure=check)
    assert len(calls) == 3


@event_source(data_class=DynamoDBStreamEvent)  # type: ignore[untyped-decorator]
def typed_handler(event: DynamoDBStreamEvent, context: Any) -> None:
    for each in event.records:
        assert each.event_name is DynamoDBRecordEventName.MODIFY
        assert each.event_source_arn is not None
        assert each.aws_region == "us-east-1"
        stream = each.dynamodb
        assert stream is not None
        assert stream.keys == {"id": "a"}
        assert stream.new_image["number"] == 7
        assert stream.old_image == {"id": "a", "data": "AA=="}  # as Powertools leaves a B
        assert stream.stream_view_type is StreamViewType.NEW_AND_OLD_IMAGES
        assert stream.approximate_creation_date_time == 1769860807
        assert stream.size_bytes == 40
    Recorded.calls.append((event.raw_event, context))


def test_the_typed_event_source_of_powertools_reads_each_field(calls: list[tuple[Any, Any]]) -> None:
    modified = change(7, event_name="MODIFY", old_image={"id": "a", "data": b"\x00"})
    run([modified], InvokeHandler(typed_handler, maximum_retry_attempts=0))
    assert len(calls) == 1


#: What each vendor's test events have, as read there: the members of a record, and those of its part "dynamodb".
VENDORS = {
    "aws-lambda-go": (
        "eventID eventName eventVersion eventSource awsRegion userIdentity dynamodb eventSourceARN",
        "ApproximateCreationDateTime Keys NewImage SequenceNumber SizeBytes StreamViewType",
    ),
    "powertools-lambda-python": (
        "eventID eventVersion dynamodb awsRegion eventName eventSourceARN eventSource",
        "ApproximateCreationDateTime Keys NewImage OldImage StreamViewType SequenceNumber SizeBytes",
    ),
    "aws-lambda-java-libs": (
        "eventID eventName eventVersion eventSource awsRegion dynamodb eventSourceARN",
        "ApproximateCreationDateTime Keys NewImage OldImage SequenceNumber SizeBytes StreamViewType",
    ),
}
KINDS = {
    **dict.fromkeys(("eventID", "eventName", "eventVersion", "eventSource", "awsRegion", "eventSourceARN"), str),
    **dict.fromkeys(("dynamodb", "userIdentity", "Keys", "NewImage", "OldImage"), dict),
    **dict.fromkeys(("SequenceNumber", "StreamViewType"), str),
    "ApproximateCreationDateTime": (int, float),
    "SizeBytes": int,
}
SOMETIMES = {"userIdentity", "NewImage", "OldImage", "ApproximateCreationDateTime"}


@pytest.mark.parametrize("vendor", VENDORS)
def test_an_event_has_the_shape_of_the_vendors_own_test_events(vendor: str) -> None:
    whole = change(7, old_image={"id": "a"}, user_identity={"Type": "Service", "PrincipalId": "dynamodb.amazonaws.com"})
    (made,) = event_of([event_record(whole, ARN)])["Records"]
    for members, expected in zip((made, made["dynamodb"]), map(str.split, VENDORS[vendor]), strict=True):
        assert members.keys() >= set(expected)
        assert members.keys() - SOMETIMES <= set(expected)
        assert all(isinstance(value, KINDS[name]) for name, value in members.items())
    assert made["userIdentity"] == {"type": "Service", "principalId": "dynamodb.amazonaws.com"}


def test_what_a_change_does_not_have_is_absent() -> None:
    bare = change(7, new_image=None, size_bytes=None)
    (made,) = event_of([event_record(bare, ARN)])["Records"]
    assert not made.keys() & {"userIdentity"}
    assert not made["dynamodb"].keys() & {"NewImage", "OldImage", "SizeBytes"}


@pytest.mark.parametrize(
    ("micros", "expected"), [(1693997155_000_000, 1693997155), (1693997155_250_000, 1693997155.25)]
)
def test_the_creation_time_is_a_number_of_seconds(micros: int, expected: float) -> None:
    moment = datetime.fromtimestamp(micros / 1e6, timezone.utc)
    (made,) = event_of([event_record(change(7, approximate_creation_time=moment), ARN)])["Records"]
    assert made["dynamodb"]["ApproximateCreationDateTime"] == expected
