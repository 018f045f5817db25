"""What a table answers that is no success: as our errors, each naming what to do, or waited for."""

from __future__ import annotations

from typing import Any

import botocore.session
import pytest
from botocore.stub import Stubber

from beam_dynamodb_streams.errors import AccessDeniedError, ConnectorError, ServiceError, ThrottledError
from beam_dynamodb_streams.progress.address import Progress, TableAddress
from beam_dynamodb_streams.progress.lease import Lease
from beam_dynamodb_streams.progress.store import LeaseRecord
from beam_dynamodb_streams.progress.table_store import TableStore
from beam_dynamodb_streams.shards.position import TRIM_HORIZON, After
from beam_dynamodb_streams.shards.stream_position import StreamPosition
from tests.progress.conftest import Hand

ARN = "arn:aws:dynamodb:us-east-1:000000000000:table/orders/stream/2026-01-31T12:00:00.000"
LEASE = LeaseRecord("one", ARN, 1.0)


class Answers:
    """A table that gives the answers that it was told to give, in turn; ``slept`` is how long it was waited for."""

    def __init__(self) -> None:
        client = botocore.session.Session().create_client(
            "dynamodb",
            region_name="us-east-1",
            endpoint_url="http://127.0.0.1:9",
            aws_access_key_id="none",
            aws_secret_access_key="none",
        )
        self.stub, self.slept = Stubber(client), list[float]()
        self.store = TableStore(client, TableAddress("progress", "orders"), self.slept.append)
        self.stub.activate()

    def fails(self, call: str, code: str, message: str = "", **fields: Any) -> None:
        self.stub.add_client_error(call, code, message, modeled_fields=fields)

    def cancels(self, *reasons: str) -> None:
        given = [{"Code": reason} for reason in reasons]
        self.fails("transact_write_items", "TransactionCanceledException", CancellationReasons=given)

    def gives(self, call: str, **answer: Any) -> None:
        self.stub.add_response(call, answer)


@pytest.fixture
def table() -> Answers:
    return Answers()


def test_a_transaction_that_is_denied_names_the_permissions_that_it_needs(table: Answers) -> None:
    """No permission has the name of the call: each write in it is allowed, or denied, by itself."""
    table.fails("transact_write_items", "AccessDeniedException")
    with pytest.raises(AccessDeniedError) as denied:
        table.store.advance("one", ARN, {"a": After("5")}, 1)
    assert "TransactWriteItems on table 'progress' failed" in str(denied.value)
    for action in ("dynamodb:ConditionCheckItem", "PutItem", "UpdateItem", "DeleteItem"):
        assert action in str(denied.value)
    assert "dynamodb:TransactWriteItems" not in str(denied.value)


def test_a_table_that_may_not_be_made_or_described_is_told_with_that_permission(table: Answers) -> None:
    table.fails("put_item", "ResourceNotFoundException")
    table.fails("create_table", "AccessDeniedException")
    with pytest.raises(AccessDeniedError, match=r"CreateTable on table 'progress'.*allow dynamodb:CreateTable on it"):
        table.store.swap_lease(None, LEASE)
    for call in ("put_item", "query"):
        table.fails(call, "ValidationException")
        table.fails("describe_table", "AccessDeniedException")
        with pytest.raises(AccessDeniedError, match=r"DescribeTable on table 'progress'.*allow dynamodb:DescribeTable"):
            table.store.swap_lease(None, LEASE) if call == "put_item" else table.store.read()


def test_a_table_that_another_run_is_just_making_is_waited_for(table: Answers) -> None:
    table.fails("put_item", "ResourceNotFoundException")
    table.fails("create_table", "ResourceInUseException")
    table.gives("describe_table", Table={"TableStatus": "CREATING"})
    table.gives("describe_table", Table={"TableStatus": "ACTIVE"})
    table.gives("put_item")
    assert table.store.swap_lease(None, LEASE)
    assert table.slept == [0.5]


def test_all_pages_of_an_application_are_read(table: Answers) -> None:
    table.gives(
        "query",
        Items=[{"item": {"S": f"{ARN}|"}, "start": {"S": "TRIM_HORIZON"}, "version": {"N": "1"}}],
        LastEvaluatedKey={"item": {"S": f"{ARN}|"}},
    )
    table.gives("query", Items=[{"item": {"S": f"{ARN}|a"}, "position": {"S": "5"}, "moved_at": {"N": "1"}}])
    kept = table.store.read().streams[ARN].position(ARN)
    assert kept == StreamPosition(ARN, TRIM_HORIZON, {"a": After("5")})


@pytest.mark.parametrize("reason", ["TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"])
def test_a_transaction_that_others_are_in_the_way_of_is_tried_again_a_little_later_each_time(
    table: Answers, reason: str
) -> None:
    for _ in range(3):
        table.cancels("None", reason)
    table.gives("transact_write_items")
    table.store.advance("one", ARN, {"a": After("5")}, 1)
    assert table.slept == sorted(table.slept)
    assert len(table.slept) == 3


def test_a_transaction_that_never_gets_through_is_a_delay(table: Answers) -> None:
    for _ in range(5):
        table.cancels("None", "TransactionConflict")
    with pytest.raises(ThrottledError, match="could not be written"):
        table.store.advance("one", ARN, {"a": After("5")}, 1)
    table.stub.assert_no_pending_responses()
    assert sum(table.slept) < 5, "within the time in which the run counts as alive"


def test_a_transaction_that_is_cancelled_for_a_reason_of_its_own_is_an_error_of_ours(table: Answers) -> None:
    table.cancels("None", "ItemCollectionSizeLimitExceeded")
    with pytest.raises(ConnectorError, match="cannot be written"):
        table.store.advance("one", ARN, {"a": After("5")}, 1)


def test_an_answer_that_nobody_expected_is_told_by_the_next_beat_too(table: Answers, hand: Hand) -> None:
    """What a finalizer raises, nobody hears."""
    table.gives("query", Items=[])
    table.gives("put_item")
    table.fails("transact_write_items", "KMSAccessDeniedException", "the key is disabled")
    run = Lease(table.store, "one", ARN, Progress("dynamodb://progress/orders"), hand.time)
    run.renew()
    run.bundle_finalized({"a": After("5")})
    with pytest.raises(ServiceError, match=r"KMSAccessDeniedException\): .*the key is disabled") as told:
        run.renew()
    assert told.value.code == "KMSAccessDeniedException"


def test_what_kept_progress_from_being_written_is_told_once_and_then_tried_again(table: Answers, hand: Hand) -> None:
    """A worker that a runner restarts in the same process does not fail for what was mended."""
    table.gives("query", Items=[])
    table.gives("put_item")
    table.fails("transact_write_items", "AccessDeniedException")
    run = Lease(table.store, "one", ARN, Progress("dynamodb://progress/orders"), hand.time)
    run.renew()
    run.bundle_finalized({"a": After("5")})
    with pytest.raises(AccessDeniedError):
        run.renew()
    table.gives("transact_write_items")
    run.renew()
    run.bundle_finalized({})
    table.stub.assert_no_pending_responses()
