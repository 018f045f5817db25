"""Error answers of a table: each becomes an error that names what to do, or is waited for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from beam_dynamodb_streams.errors import AccessDeniedError, ConnectorError, ServiceError, ThrottledError
from beam_dynamodb_streams.progress.address import Progress, TableAddress
from beam_dynamodb_streams.progress.lease import Lease
from beam_dynamodb_streams.progress.store import LeaseRecord
from beam_dynamodb_streams.progress.table_store import TableStore
from beam_dynamodb_streams.shards.position import TRIM_HORIZON, After
from beam_dynamodb_streams.shards.stream_position import StreamPosition
from beam_dynamodb_streams.wire import DynamoDB
from tests.progress.conftest import Hand
from tests.wire.scripted_endpoint import ScriptedEndpoint, Turn

ARN = "arn:aws:dynamodb:us-east-1:000000000000:table/orders/stream/2026-01-31T12:00:00.000"
LEASE = LeaseRecord("one", ARN, 1.0)


class Answers:
    """A table that answers each call from a script, in turn. `slept` is how long the store waited between calls."""

    def __init__(self) -> None:
        self.endpoint, self.slept = ScriptedEndpoint(), list[float]()
        self.client = DynamoDB(region_name="us-east-1", endpoint_url=self.endpoint.url)
        self.store = TableStore(self.client, TableAddress("progress", "orders"), self.slept.append)
        self.calls: list[str] = []
        self.endpoint.script = self.script = []

    def fails(self, call: str, code: str, message: str = "", **fields: Any) -> None:
        self._add(call, Turn({"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": message, **fields}, 400))

    def cancels(self, *reasons: str) -> None:
        given = [{"Code": reason} for reason in reasons]
        self.fails("TransactWriteItems", "TransactionCanceledException", CancellationReasons=given)

    def answers(self, call: str, **answer: Any) -> None:
        self._add(call, Turn(answer))

    def assert_all_called(self) -> None:
        assert [received.target.partition(".")[2] for received in self.endpoint.received] == self.calls

    def _add(self, call: str, turn: Turn) -> None:
        self.calls.append(call)
        self.script.append(turn)


@pytest.fixture
def table() -> Iterator[Answers]:
    table = Answers()
    yield table
    table.client.close()
    table.endpoint.close()
    table.assert_all_called()


def test_a_transaction_that_is_denied_names_the_permissions_that_it_needs(table: Answers) -> None:
    """No permission has the name of the call: each write in it is allowed, or denied, by itself."""
    table.fails("TransactWriteItems", "AccessDeniedException")
    with pytest.raises(AccessDeniedError) as denied:
        table.store.advance("one", ARN, {"a": After("5")}, 1)
    assert "TransactWriteItems on table 'progress'" in str(denied.value)
    for action in ("dynamodb:ConditionCheckItem", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"):
        assert action in str(denied.value)
    assert "dynamodb:TransactWriteItems" not in str(denied.value)


def test_a_denied_create_or_describe_table_is_reported_with_the_permission(table: Answers) -> None:
    table.fails("PutItem", "ResourceNotFoundException")
    table.fails("CreateTable", "AccessDeniedException")
    with pytest.raises(AccessDeniedError, match="allow dynamodb:CreateTable on table 'progress'"):
        table.store.swap_lease(None, LEASE)
    for call in ("PutItem", "Query"):
        table.fails(call, "ValidationException")
        table.fails("DescribeTable", "AccessDeniedException")
        with pytest.raises(AccessDeniedError, match="allow dynamodb:DescribeTable on table 'progress'"):
            table.store.swap_lease(None, LEASE) if call == "PutItem" else table.store.read()


def test_a_table_that_another_run_is_just_making_is_waited_for(table: Answers) -> None:
    table.fails("PutItem", "ResourceNotFoundException")
    table.fails("CreateTable", "ResourceInUseException")
    table.answers("DescribeTable", Table={"TableName": "progress", "TableStatus": "CREATING"})
    table.answers("DescribeTable", Table={"TableName": "progress", "TableStatus": "ACTIVE"})
    table.answers("PutItem")
    assert table.store.swap_lease(None, LEASE)
    assert table.slept == [0.5]


def test_all_pages_of_an_application_are_read(table: Answers) -> None:
    table.answers(
        "Query",
        Items=[{"item": {"S": f"{ARN}|"}, "start": {"S": "TRIM_HORIZON"}, "version": {"N": "1"}}],
        LastEvaluatedKey={"item": {"S": f"{ARN}|"}},
    )
    table.answers("Query", Items=[{"item": {"S": f"{ARN}|a"}, "position": {"S": "5"}, "moved_at": {"N": "1"}}])
    kept = table.store.read().streams[ARN].position(ARN)
    assert kept == StreamPosition(ARN, TRIM_HORIZON, {"a": After("5")})


@pytest.mark.parametrize("reason", ["TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"])
def test_a_conflicting_transaction_is_retried_a_little_later_each_time(table: Answers, reason: str) -> None:
    for _ in range(3):
        table.cancels("None", reason)
    table.answers("TransactWriteItems")
    table.store.advance("one", ARN, {"a": After("5")}, 1)
    assert table.slept == sorted(table.slept)
    assert len(table.slept) == 3


def test_a_transaction_that_never_gets_through_is_a_delay(table: Answers) -> None:
    for _ in range(5):
        table.cancels("None", "TransactionConflict")
    with pytest.raises(ThrottledError, match="could not be written"):
        table.store.advance("one", ARN, {"a": After("5")}, 1)
    table.assert_all_called()
    assert sum(table.slept) < 5, "within the time in which the run counts as alive"


def test_a_transaction_that_is_cancelled_for_a_reason_of_its_own_is_an_error_of_ours(table: Answers) -> None:
    table.cancels("None", "ItemCollectionSizeLimitExceeded")
    with pytest.raises(ConnectorError, match="cannot be written"):
        table.store.advance("one", ARN, {"a": After("5")}, 1)


def test_an_unexpected_answer_is_reported_by_the_next_renewal_too(table: Answers, hand: Hand) -> None:
    """Nobody sees what a finalizer raises."""
    table.answers("Query", Items=[])
    table.answers("PutItem")
    table.fails("TransactWriteItems", "KMSAccessDeniedException", "the key is disabled")
    run = Lease(table.store, "one", ARN, Progress("dynamodb://progress/orders"), hand.time)
    run.renew()
    run.bundle_finalized({"a": After("5")})
    with pytest.raises(ServiceError, match=r"KMSAccessDeniedException, .*\): the key is disabled") as raised:
        run.renew()
    assert raised.value.code == "KMSAccessDeniedException"


def test_a_failure_to_write_progress_is_reported_once_and_retried(table: Answers, hand: Hand) -> None:
    """A worker that a runner restarts in the same process does not fail for what was mended."""
    table.answers("Query", Items=[])
    table.answers("PutItem")
    table.fails("TransactWriteItems", "AccessDeniedException")
    run = Lease(table.store, "one", ARN, Progress("dynamodb://progress/orders"), hand.time)
    run.renew()
    run.bundle_finalized({"a": After("5")})
    with pytest.raises(AccessDeniedError):
        run.renew()
    table.answers("TransactWriteItems")
    run.renew()
    run.bundle_finalized({})
    table.assert_all_called()
