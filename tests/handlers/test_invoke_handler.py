"""`InvokeHandler` behind a read: the event, the context, batches in order, filters, and what is refused."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.metrics.metric import MetricsFilter
from apache_beam.testing.util import assert_that, equal_to

from beam_dynamodb_streams import (
    ChangeRecord,
    InvokeHandler,
    ReadFromDynamoDBStreams,
    metrics,
)
from beam_dynamodb_streams.errors import ElementTypeError, HandlerError, InvalidOptionError, RunnerError
from beam_dynamodb_streams.testing import LocalStreams, Table
from tests.handlers.made import Recorded, change, numbers_of, record, run

ARN = "arn:aws:dynamodb:eu-central-1:123456789012:table/orders/stream/2026-01-31T12:00:00.000"


@pytest.fixture(autouse=True)
def calls() -> Iterator[list[tuple[Any, Any]]]:
    Recorded.calls.clear()
    yield Recorded.calls
    Recorded.calls.clear()


def reading(service: LocalStreams, **options: Any) -> ReadFromDynamoDBStreams:
    given: dict[str, Any] = {
        "table": "orders",
        "stop": "NOW",
        "endpoint_url": service.endpoint_url,
        "region_name": service.region_name,
        "quiet_pages": 5,
        "quiet_time": timedelta(seconds=0.5),
        "watermark_slack": timedelta(seconds=1),
    }
    return ReadFromDynamoDBStreams(**{**given, **options})


def filled(service: LocalStreams, *, items: int = 30, shards: int = 2) -> Table:
    orders = service.create_table("orders", keys={"id": "S"}, shards=shards)
    for number in range(items):
        orders.put({"id": f"o-{number % 7}", "number": number, "data": b"\x00\x01", "tags": {b"x", b"y"}})
    return orders


def test_the_event_is_what_lambda_sends(service: LocalStreams, calls: list[tuple[Any, Any]]) -> None:
    orders = service.create_table("orders", keys={"id": "S"})
    orders.put({"id": "o-1", "total": 12, "data": b"\x00\x01", "set": {b"a"}})
    orders.update({"id": "o-1"}, {"total": 7})
    orders.delete({"id": "o-1"}, by="ttl")
    with beam.Pipeline("FnApiRunner") as pipeline:
        _ = pipeline | reading(service, stop=3) | InvokeHandler(record)
    records = [each for event, _ in calls for each in event["Records"]]
    assert [each["eventName"] for each in records] == ["INSERT", "MODIFY", "REMOVE"]
    inserted, modified, removed = records
    written = list(orders.changes)
    assert inserted == {
        "eventID": inserted["eventID"],
        "eventName": "INSERT",
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "us-east-1",
        "dynamodb": {
            "ApproximateCreationDateTime": inserted["dynamodb"]["ApproximateCreationDateTime"],
            "Keys": {"id": {"S": "o-1"}},
            "NewImage": {"id": {"S": "o-1"}, "total": {"N": "12"}, "data": {"B": "AAE="}, "set": {"BS": ["YQ=="]}},
            "SequenceNumber": written[0].sequence_number,
            "SizeBytes": inserted["dynamodb"]["SizeBytes"],
            "StreamViewType": "NEW_AND_OLD_IMAGES",
        },
        "eventSourceARN": orders.stream_arn,
    }
    assert isinstance(inserted["dynamodb"]["ApproximateCreationDateTime"], int | float)
    assert modified["dynamodb"]["OldImage"]["total"] == {"N": "12"}
    assert removed["userIdentity"] == {"type": "Service", "principalId": "dynamodb.amazonaws.com"}
    assert "NewImage" not in removed["dynamodb"]
    assert all(json.loads(json.dumps(event)) == event for event, _ in calls)


def test_the_changes_of_a_key_arrive_in_order_in_batches_of_at_most_the_size(
    service: LocalStreams, calls: list[tuple[Any, Any]]
) -> None:
    orders = filled(service, items=60, shards=3)
    for shard in orders.shard_ids:
        orders.roll(shard)
    for number in range(60, 90):
        orders.put({"id": f"o-{number % 7}", "number": number})
    with beam.Pipeline("FnApiRunner") as pipeline:
        _ = pipeline | reading(service, stop=90) | InvokeHandler(record, batch_size=7)
    assert max(len(event["Records"]) for event, _ in calls) == 7
    came: dict[str, list[int]] = defaultdict(list)
    for event, _ in calls:
        for each in event["Records"]:
            came[each["dynamodb"]["Keys"]["id"]["S"]].append(int(each["dynamodb"]["NewImage"]["number"]["N"]))
    assert sum(map(len, came.values())) == 90
    assert all(numbers == sorted(numbers) for numbers in came.values())


def test_lanes_side_by_side_keep_the_order_of_a_key(service: LocalStreams, calls: list[tuple[Any, Any]]) -> None:
    filled(service, items=100, shards=1)
    with beam.Pipeline("FnApiRunner") as pipeline:
        _ = pipeline | reading(service, stop=100) | InvokeHandler(record, batch_size=5, parallelization_factor=4)
    came: dict[str, list[int]] = defaultdict(list)
    for event, _ in calls:
        for each in event["Records"]:
            came[each["dynamodb"]["Keys"]["id"]["S"]].append(int(each["dynamodb"]["NewImage"]["number"]["N"]))
    assert sum(map(len, came.values())) == 100
    assert all(numbers == sorted(numbers) for numbers in came.values())
    assert max(len(event["Records"]) for event, _ in calls) <= 5


def fail_and_spoil(event: Any, context: Any) -> None:
    record(json.loads(json.dumps(event)), context)
    event["Records"][0]["dynamodb"].clear()
    if len(Recorded.calls) == 1:
        raise ValueError("the first time")


def test_each_attempt_has_an_event_and_a_context_of_its_own(calls: list[tuple[Any, Any]]) -> None:
    step = InvokeHandler(fail_and_spoil, context={"function_name": "orders", "memory_limit_in_mb": 256, "timeout": 30})
    run([change(1)], step)
    (first, one), (second, other) = calls
    assert first == second
    assert one.aws_request_id != other.aws_request_id
    assert one.function_name == "orders"
    assert one.function_version == "$LATEST"
    assert one.invoked_function_arn == "arn:aws:lambda:us-east-1:000000000000:function:orders"
    assert one.memory_limit_in_mb == "256"
    assert one.log_group_name == "/aws/lambda/orders"
    assert "[$LATEST]" in one.log_stream_name
    assert 0 < one.get_remaining_time_in_millis() <= 30_000


def own_context() -> object:
    return {"made": "by the user"}


def test_a_context_may_be_the_users_own(calls: list[tuple[Any, Any]]) -> None:
    run([change(1)], InvokeHandler(record, context=own_context))
    assert calls[0][1] == {"made": "by the user"}


def test_a_handler_may_be_named(calls: list[tuple[Any, Any]]) -> None:
    for name in ("tests.handlers.made:record", "tests.handlers.made.record", "tests/handlers/made.record"):
        run([change(1)], InvokeHandler(name))
    assert len(calls) == 3


@pytest.mark.parametrize(
    "name", ["nowhere:handler", "tests.handlers.made:nothing", "handler", "tests.handlers.made:BEGAN", 7]
)
def test_a_handler_that_cannot_be_found_is_refused(name: Any) -> None:
    with pytest.raises(InvalidOptionError, match="handler="):
        InvokeHandler(name)


@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 0},
        {"batch_size": 10_001},
        {"batching_window": 301},
        {"batching_window": "5"},
        {"parallelization_factor": 11},
        {"parallelization_factor": True},
        {"maximum_retry_attempts": -2},
        {"maximum_retry_attempts": 10_001},
        {"maximum_record_age": 59},
        {"maximum_record_age": 604_801},
        {"bisect_on_error": "yes"},
        {"report_batch_item_failures": ["ReportBatchItemFailures"]},
        {"tumbling_window": 901},
        {"tumbling_window": 10, "parallelization_factor": 2},
        {"filter_criteria": "{}"},
        {"filter_criteria": {"Filters": [{"Pattern": '{"a": 1}'}]}},
        {"filter_criteria": ['{"a": ["b"]}'] * 6},
        {"context": {"name": "orders"}},
        {"context": {"timeout": 0}},
        {"event_source_arn": "orders"},
    ],
    ids=str,
)
def test_an_option_outside_of_the_services_limits_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidOptionError):
        InvokeHandler(record, **options)


def reject_threes(event: Any, context: Any) -> dict[str, Any]:
    record(event, context)
    failed = [
        {"itemIdentifier": each["dynamodb"]["SequenceNumber"]}
        for each in event["Records"]
        if int(each["dynamodb"]["NewImage"]["number"]["N"]) == 3
    ]
    return {"batchItemFailures": failed}


def test_what_is_discarded_is_an_output_with_its_payload(calls: list[tuple[Any, Any]]) -> None:
    step = InvokeHandler(
        reject_threes,
        batch_size=10,
        maximum_retry_attempts=1,
        bisect_on_error=True,
        report_batch_item_failures=True,
        event_source_arn=ARN,
    )
    with beam.Pipeline("FnApiRunner") as pipeline:
        outputs = pipeline | beam.Create([change(number) for number in range(6)]) | step
        discarded = outputs.on_failure | beam.Map(
            lambda each: (each["DDBStreamBatchInfo"]["streamArn"], numbers_of(each["payload"]))
        )
        handled = outputs.handled | beam.Map(lambda each: int(each.sequence_number) % 1000)
        assert_that(discarded, equal_to([(ARN, [3])]), "discarded")
        assert_that(handled, equal_to(list(range(6))), "handled")
    assert [numbers_of(event) for event, _ in calls] == [[0, 1, 2, 3, 4, 5], [3, 4, 5], [3], [3], [4, 5]]


def test_every_metric_of_a_handler_counts_what_it_says() -> None:
    pipeline = beam.Pipeline("FnApiRunner")
    step = InvokeHandler(
        reject_threes,
        maximum_retry_attempts=0,
        bisect_on_error=True,
        report_batch_item_failures=True,
        filter_criteria=['{"dynamodb": {"NewImage": {"number": {"N": [{"anything-but": "5"}]}}}}'],
    )
    _ = pipeline | beam.Create([change(number) for number in range(6)]) | step
    result = pipeline.run()
    result.wait_until_finish()
    found = result.metrics().query(MetricsFilter().with_namespace(metrics.NAMESPACE))
    assert {each.key.metric.name: each.committed for each in found["counters"]} == {
        metrics.HANDLER_INVOCATIONS: 4,  # all, from 3 on, 3 alone, 4 alone
        metrics.HANDLER_FAILURES: 3,
        metrics.HANDLER_BISECTIONS: 2,
        metrics.HANDLER_DISCARDED: 1,
        metrics.HANDLER_FILTERED: 1,
    }
    (millis,) = found["distributions"]
    assert millis.key.metric.name == metrics.HANDLER_MILLIS
    assert millis.committed.count == 1


def always_fail(event: Any, context: Any) -> None:
    raise ValueError("always")


def test_endless_retries_fail_the_bundle_loudly() -> None:
    with pytest.raises(HandlerError, match="the runner repeats the bundle"):
        run([change(1)], InvokeHandler(always_fail))


def test_changes_without_a_read_are_sorted_within_their_bundle(calls: list[tuple[Any, Any]]) -> None:
    run([change(number) for number in (3, 1, 2)], InvokeHandler(record))
    assert [numbers_of(event) for event, _ in calls] == [[1, 2, 3]]
    assert calls[0][0]["Records"][0]["eventSourceARN"].startswith("arn:aws:dynamodb:us-east-1:000000000000:table/")


def test_a_pattern_leaves_changes_out_and_they_count_as_handled(calls: list[tuple[Any, Any]]) -> None:
    pattern = {"dynamodb": {"NewImage": {"number": {"N": [{"anything-but": "2"}]}}}, "eventName": ["INSERT"]}
    step = InvokeHandler(record, filter_criteria={"Filters": [{"Pattern": json.dumps(pattern)}]})
    pipeline = beam.Pipeline("FnApiRunner")
    outputs = pipeline | beam.Create([change(number) for number in (1, 2, 3)]) | step
    handled = outputs.handled | beam.Map(lambda each: int(each.sequence_number) % 1000)
    assert_that(handled, equal_to([1, 2, 3]))
    result = pipeline.run()
    result.wait_until_finish()
    assert [numbers_of(event) for event, _ in calls] == [[1, 3]]
    counters = result.metrics().query(MetricsFilter().with_namespace(metrics.NAMESPACE))["counters"]
    counted = {each.key.metric.name: each.committed for each in counters}
    assert counted[metrics.HANDLER_FILTERED] == 1
    assert counted[metrics.HANDLER_INVOCATIONS] == 1
    assert counted[metrics.HANDLER_FAILURES] == 0


def test_the_read_itself_filters_by_patterns(service: LocalStreams, calls: list[tuple[Any, Any]]) -> None:
    orders = filled(service, items=10)
    orders.delete({"id": "o-3"}, by="ttl")
    criteria = [
        {"userIdentity": {"principalId": ["dynamodb.amazonaws.com"]}},
        {"dynamodb": {"NewImage": {"number": {"N": ["4", "5"]}}}, "eventSourceARN": [orders.stream_arn]},
    ]
    with beam.Pipeline("FnApiRunner") as pipeline:
        changes = pipeline | reading(service, filter_criteria=criteria, stop=3)
        named = changes | beam.Map(lambda each: (each.event_name, each.keys["id"]))
        assert_that(named, equal_to([("REMOVE", "o-3"), ("INSERT", "o-4"), ("INSERT", "o-5")]))


def test_a_bad_pattern_of_the_read_is_refused_where_it_is_written() -> None:
    with pytest.raises(InvalidOptionError, match="Invalid filter pattern definition"):
        ReadFromDynamoDBStreams(table="orders", filter_criteria=['{"eventName": "INSERT"}'])


def test_a_shuffle_between_the_read_and_the_handler_is_refused() -> None:
    pipeline = beam.Pipeline("FnApiRunner")
    changes = pipeline | "Read" >> ReadFromDynamoDBStreams(table="orders", stop="NOW")
    shuffled = changes | "Spread" >> beam.Reshuffle()
    with pytest.raises(RunnerError, match=r"'Spread/.*apply Handle right behind the read"):
        _ = shuffled | "Handle" >> InvokeHandler(record)
    other = pipeline | "Other" >> ReadFromDynamoDBStreams(table="others", stop="NOW")
    with pytest.raises(RunnerError, match="Together"):
        _ = (changes, other) | "Together" >> beam.Flatten() | "Two" >> InvokeHandler(record)
    kept = changes | "Keep" >> beam.Filter(lambda change: change.event_name == "INSERT")
    _ = kept | "After a filter" >> InvokeHandler(record)


def test_the_changes_are_still_there_for_other_steps(service: LocalStreams, calls: list[tuple[Any, Any]]) -> None:
    filled(service, items=12)
    with beam.Pipeline("FnApiRunner") as pipeline:
        changes = pipeline | reading(service, stop=12)
        _ = changes | InvokeHandler(record)
        assert_that(changes | beam.combiners.Count.Globally(), equal_to([12]))
    assert sum(len(event["Records"]) for event, _ in calls) == 12


def test_other_elements_are_refused() -> None:
    with pytest.raises(ElementTypeError, match="leave out the rows of a snapshot"):
        run([change(0, event_name="READ", sequence_number="")], InvokeHandler(record))


def test_windows_do_not_hinder_a_handler(calls: list[tuple[Any, Any]]) -> None:
    with beam.Pipeline("FnApiRunner") as pipeline:
        outputs = (
            pipeline
            | beam.Create([change(number) for number in range(3)])
            | beam.Map(lambda each: beam.window.TimestampedValue(each, each.creation_micros / 1e6)).with_output_types(
                ChangeRecord
            )
            | beam.WindowInto(beam.window.FixedWindows(60))
            | InvokeHandler(record)
        )
        assert_that(outputs.handled | beam.combiners.Count.Globally().without_defaults(), equal_to([3]))
    assert len(calls) == 1
