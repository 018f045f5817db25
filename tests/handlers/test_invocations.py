"""A state machine of attempts: whatever a handler answers, each change is handled or is in an on-failure record."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_dynamodb_streams.errors import HandlerError
from beam_dynamodb_streams.handlers.attempts import RetryPolicy
from beam_dynamodb_streams.handlers.invoker import Clock, Invoker, Report
from beam_dynamodb_streams.handlers.lambda_event import event_record
from tests.handlers.made import BEGAN, change, numbers_of

ARN = "arn:aws:dynamodb:eu-central-1:123456789012:table/orders/stream/2026-01-31T12:00:00.000"


@dataclass
class Service:
    """A handler that fails as it is told, beside a model of what the service counts."""

    behaviours: list[Any]
    policy: RetryPolicy
    time: float = BEGAN.timestamp() + 100
    calls: list[list[int]] = field(default_factory=list)
    handled: list[int] = field(default_factory=list)
    whole_failures: list[tuple[int, ...]] = field(default_factory=list)

    def handler(self, event: Any, context: Any) -> Any:  # noqa: ARG002
        numbers = numbers_of(event)
        self.calls.append(numbers)
        event["Records"].clear()  # the next attempt has an event of its own
        behaviour = self.behaviours.pop(0) if self.behaviours else "success"
        if behaviour == "success":
            self.handled += numbers
            return None
        if behaviour == "raise":
            raise ValueError("no")
        if behaviour == "bad":
            return {"batchItemFailures": [{"itemIdentifier": ""}]}
        failed = sorted({place % len(numbers) for place in behaviour})
        self.handled += numbers[: failed[0]]
        return {
            "batchItemFailures": [
                {"itemIdentifier": str(100_000_000_000_000_000_000 + numbers[place])} for place in reversed(failed)
            ]
        }

    def clock(self) -> Clock:
        return Clock(lambda: self.time, lambda: self.time, self._sleep, lambda: 1.0)

    def _sleep(self, seconds: float) -> None:
        self.time += seconds

    def run(self, count: int) -> Report:
        invoker = Invoker(self.handler, self.policy, clock=self.clock())
        return invoker.run([event_record(change(number), ARN) for number in range(count)], "shardId-0001", ARN)


behaviours = st.one_of(
    st.sampled_from(["success", "raise", "raise", "bad"]), st.lists(st.integers(0, 8), min_size=1, max_size=3)
)


@settings(max_examples=300)
@given(
    st.lists(behaviours, max_size=30),
    st.integers(1, 9),
    st.integers(0, 4),
    st.booleans(),
)
def test_no_change_is_skipped_and_none_is_invoked_out_of_order(
    answers: list[Any], count: int, retries: int, bisects: bool
) -> None:
    service = Service(list(answers), RetryPolicy(retries, None, bisects, reports_failures=True))
    report = service.run(count)
    discarded = [number for _, made in report.on_failure for number in numbers_of(made["payload"])]
    # Each change is handled or in an on-failure record. One that was handled behind a failed one may be in both.
    assert sorted({*service.handled, *discarded}) == list(range(count))
    assert report.discarded == len(discarded) == len(set(discarded))
    assert report.invocations == len(service.calls)
    done: set[int] = set()
    for place, numbers in enumerate(service.calls):
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        # What comes before the first change of a call was handled before it, or was discarded.
        assert set(range(numbers[0])) <= done | set(discarded)
        later = {number for other in service.calls[place + 1 :] for number in other}
        done |= set(numbers) - later
    for _, made in report.on_failure:
        info, context = made["DDBStreamBatchInfo"], made["requestContext"]
        numbers = numbers_of(made["payload"])
        assert info["batchSize"] == len(numbers)
        assert context["condition"] == "RetryAttemptsExhausted"
        assert context["approximateInvokeCount"] == retries + 1
        if bisects:
            assert len(numbers) == 1, "only a single change is given up"


@given(st.integers(0, 6), st.integers(1, 5))
def test_a_batch_that_always_fails_is_invoked_once_more_than_it_is_retried(retries: int, count: int) -> None:
    service = Service(["raise"] * 20, RetryPolicy(retries))
    (_, made) = service.run(count).on_failure[0]
    assert service.calls == [list(range(count))] * (retries + 1)
    assert made["requestContext"]["approximateInvokeCount"] == retries + 1


def test_three_retries_make_an_invoke_count_of_four() -> None:
    service = Service([[1]] + [[0]] * 10, RetryPolicy(3, reports_failures=True))
    report = service.run(3)
    assert service.calls == [[0, 1, 2], [1, 2], [1, 2], [1, 2]]
    ((place, made),) = report.on_failure
    assert place == 1
    assert made["requestContext"]["approximateInvokeCount"] == 4


def test_bisecting_finds_the_one_bad_change_and_handles_all_others() -> None:
    def handler(event: Any, context: Any) -> None:
        numbers = numbers_of(event)
        calls.append(numbers)
        if 5 in numbers:
            raise ValueError("five")

    calls: list[list[int]] = []
    service = Service([], RetryPolicy(1, bisects=True))
    invoker = Invoker(handler, service.policy, clock=service.clock())
    report = invoker.run([event_record(change(number), ARN) for number in range(8)], "s", ARN)
    assert calls == [[*range(8)], [0, 1, 2, 3], [4, 5, 6, 7], [4, 5], [4], [5], [5], [6, 7]]
    ((_, made),) = report.on_failure
    assert numbers_of(made["payload"]) == [5]
    assert made["requestContext"]["approximateInvokeCount"] == 2
    assert report.bisections == 3


def test_the_batch_is_cut_at_the_reported_change_with_bisecting() -> None:
    service = Service([[2], [0], [0]], RetryPolicy(0, bisects=True, reports_failures=True))
    report = service.run(4)
    assert service.calls == [[0, 1, 2, 3], [2, 3], [2], [3]]
    assert [numbers_of(made["payload"]) for _, made in report.on_failure] == [[2]]


def test_a_change_that_is_too_old_is_discarded_before_it_is_invoked() -> None:
    service = Service([], RetryPolicy(record_age=99))
    report = service.run(3)
    assert service.calls == [[1, 2]]
    ((_, made),) = report.on_failure
    assert made["requestContext"]["condition"] == "RecordAgeExceeded"
    assert made["requestContext"]["approximateInvokeCount"] == 0
    assert "responseContext" not in made


def test_a_batch_is_retried_until_it_is_too_old() -> None:
    service = Service(["raise"] * 1000, RetryPolicy(record_age=150))
    report = service.run(2)
    assert [made["requestContext"]["condition"] for _, made in report.on_failure] == ["RecordAgeExceeded"]
    assert service.time > BEGAN.timestamp() + 150
    assert {made["responseContext"]["functionError"] for _, made in report.on_failure} == {"Unhandled"}


def test_endless_retries_are_left_to_the_runner_after_some_attempts() -> None:
    service = Service(["raise"] * 1000, RetryPolicy())
    with pytest.raises(HandlerError, match="the handler failed 6 times with the same 2 changes") as raised:
        service.run(2)
    assert raised.value.shard == "shardId-0001"
    assert isinstance(raised.value.__cause__, ValueError)
    assert len(service.calls) == 6


def test_progress_restores_the_patience_of_endless_retries() -> None:
    service = Service((["raise"] * 5 + [[1]]) * 8, RetryPolicy(reports_failures=True))
    service.run(9)
    assert sorted(set(service.handled)) == list(range(9))


def test_exiting_is_a_failure_too() -> None:
    def handler(event: Any, context: Any) -> None:
        raise SystemExit(1)

    service = Service([], RetryPolicy(0))
    invoker = Invoker(handler, service.policy, clock=service.clock())
    report = invoker.run([event_record(change(1), ARN)], "s", ARN)
    assert report.on_failure[0][1]["responseContext"]["functionError"] == "Unhandled"


def test_the_on_failure_record_is_the_services() -> None:
    service = Service(["raise"], RetryPolicy(0))
    ((_, made),) = service.run(2).on_failure
    assert made.pop("payload") == {"Records": [_event(number) for number in range(2)]}
    assert made["requestContext"].pop("requestId").count("-") == 4
    assert made == {
        "requestContext": {
            "functionArn": "arn:aws:lambda:eu-central-1:123456789012:function:handler",
            "condition": "RetryAttemptsExhausted",
            "approximateInvokeCount": 1,
        },
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
        "version": "1.0",
        "timestamp": "2026-01-31T12:01:40.000Z",
        "DDBStreamBatchInfo": {
            "shardId": "shardId-0001",
            "startSequenceNumber": "100000000000000000000",
            "endSequenceNumber": "100000000000000000001",
            "approximateArrivalOfFirstRecord": "2026-01-31T12:00:00Z",
            "approximateArrivalOfLastRecord": "2026-01-31T12:00:01Z",
            "batchSize": 2,
            "streamArn": ARN,
        },
    }


def _event(number: int) -> dict[str, Any]:
    return {
        "eventID": f"event-{number}",
        "eventName": "INSERT",
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "eu-central-1",
        "dynamodb": {
            "ApproximateCreationDateTime": int(BEGAN.timestamp()) + number,
            "Keys": {"id": {"S": "a"}},
            "NewImage": {"id": {"S": "a"}, "number": {"N": str(number)}},
            "SequenceNumber": str(100_000_000_000_000_000_000 + number),
            "SizeBytes": 40,
            "StreamViewType": "NEW_AND_OLD_IMAGES",
        },
        "eventSourceARN": ARN,
    }


def test_a_bad_answer_has_no_function_error() -> None:
    service = Service(["bad"], RetryPolicy(0, reports_failures=True))
    ((_, made),) = service.run(1).on_failure
    assert made["responseContext"]["functionError"] is None
