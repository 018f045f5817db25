"""Tumbling windows: the state goes from call to call of a shard, and a last call closes the window."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms.window import TimestampedValue

from beam_dynamodb_streams import ChangeRecord, InvokeHandler
from beam_dynamodb_streams.handlers.attempts import RetryPolicy
from beam_dynamodb_streams.handlers.invoker import Invoker
from beam_dynamodb_streams.handlers.lambda_event import event_record
from beam_dynamodb_streams.handlers.tumbling_window import TumblingWindow
from tests.handlers.made import BEGAN, Recorded, change, numbers_of, record
from tests.handlers.test_invocations import ARN


@pytest.fixture(autouse=True)
def calls() -> Iterator[list[tuple[Any, Any]]]:
    Recorded.calls.clear()
    yield Recorded.calls
    Recorded.calls.clear()


def count(event: Any, context: Any) -> dict[str, Any]:
    record(event, context)
    state = event["state"]
    state["count"] = state.get("count", 0) + len(event["Records"])
    return {"state": state}


@beam.typehints.with_output_types(ChangeRecord)
def at_its_time(each: ChangeRecord) -> TimestampedValue:
    return TimestampedValue(each, each.creation_micros / 1e6)


def run(changes: list[ChangeRecord], step: InvokeHandler) -> None:
    with beam.Pipeline("FnApiRunner") as pipeline:
        outputs = pipeline | beam.Create(changes) | beam.Map(at_its_time) | step
        handled = outputs.handled | beam.Map(lambda each: each.sequence_number)
        assert_that(handled, equal_to([each.sequence_number for each in changes]))


def test_the_state_goes_from_call_to_call_and_a_last_call_closes_each_window(calls: list[tuple[Any, Any]]) -> None:
    run([change(number) for number in (12, 3, 1, 2, 11)], InvokeHandler(count, batch_size=2, tumbling_window=10))
    events = [event for event, _ in calls]
    assert [numbers_of(event) for event in events] == [[1, 2], [3], [], [11, 12], []]
    assert [event["isFinalInvokeForWindow"] for event in events] == [False, False, True, False, True]
    assert not any(event["isWindowTerminatedEarly"] for event in events)
    first, *_, last = events
    assert first["window"] == {"start": "2026-01-31T12:00:00Z", "end": "2026-01-31T12:00:10Z"}
    assert last["window"] == {"start": "2026-01-31T12:00:10Z", "end": "2026-01-31T12:00:20Z"}
    assert first["shardId"] == "shardId-0001"
    assert first["eventSourceARN"] == first["Records"][0]["eventSourceARN"]
    assert last["state"] == {"count": 2}  # a window begins with an empty state


def test_each_shard_has_a_state_of_its_own(calls: list[tuple[Any, Any]]) -> None:
    changes = [change(1), change(2, shard="shardId-0002"), change(3)]
    run(changes, InvokeHandler(count, tumbling_window=10))
    final = {event["shardId"]: event["state"] for event, _ in calls if event["isFinalInvokeForWindow"]}
    assert final == {"shardId-0001": {"count": 2}, "shardId-0002": {"count": 1}}


def window(handler: Any, policy: RetryPolicy = RetryPolicy(1), **options: Any) -> TumblingWindow:
    start = int(BEGAN.timestamp())
    return TumblingWindow(Invoker(handler, policy), "shardId-0001", ARN, start, start + 10, **options)


def test_an_answer_without_a_state_is_a_failure() -> None:
    def without_state(event: Any, context: Any) -> Any:
        return {"count": len(event["Records"])}

    report = window(without_state, RetryPolicy(0)).invoke([event_record(change(1), ARN)])
    ((_, made),) = report.on_failure
    assert made["responseContext"]["functionError"] is None


def test_a_failed_call_does_not_change_the_state(calls: list[tuple[Any, Any]]) -> None:
    def fail_once(event: Any, context: Any) -> Any:
        answer = count(event, context)
        if len(calls) == 2:
            raise ValueError("no")
        return answer

    tumbling = window(fail_once)
    tumbling.invoke([event_record(change(1), ARN)])
    tumbling.invoke([event_record(change(2), ARN), event_record(change(3), ARN)])
    tumbling.close()
    assert [event["state"]["count"] for event, _ in calls] == [1, 3, 3, 3]  # as the handler has left each event


def test_a_state_that_is_too_large_terminates_the_window_early(calls: list[tuple[Any, Any]]) -> None:
    def grow(event: Any, context: Any) -> Any:
        seen = dict(event["state"])
        calls.append((event, seen))
        return {"state": {**seen, **{str(number): "x" * 30 for number in numbers_of(event)}}}

    tumbling = window(grow, largest=100)
    for number in range(1, 5):
        tumbling.invoke([event_record(change(number), ARN)])
    tumbling.close()
    assert [sorted(seen) for _, seen in calls] == [[], ["1"], ["1", "2"], ["1", "2", "3"], [], ["4"]]
    assert [event["isWindowTerminatedEarly"] for event, _ in calls] == [False, False, False, True, False, False]
    assert [event["isFinalInvokeForWindow"] for event, _ in calls] == [False] * 5 + [True]


def test_a_last_call_that_fails_is_given_up_after_its_retries() -> None:
    def fail_at_the_end(event: Any, context: Any) -> Any:
        if event["isFinalInvokeForWindow"]:
            raise ValueError("no")
        return {"state": {}}

    tumbling = window(fail_at_the_end)
    tumbling.invoke([event_record(change(1), ARN)])
    report = tumbling.close()
    assert report.invocations == 2
    assert report.on_failure == []
