"""Progress in a DynamoDB table: every write is conditional, so a fenced run can move nothing, wherever it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from botocore.exceptions import ClientError

from beam_dynamodb_streams.errors import (
    ConnectorError,
    InvalidOptionError,
    NotFoundError,
    ThrottledError,
    UnavailableError,
)
from beam_dynamodb_streams.progress.address import TableAddress
from beam_dynamodb_streams.progress.store import Application, LeaseRecord, SavedProgress, fenced_error
from beam_dynamodb_streams.progress.table_items import LEASE, application_of, lease_item, number, shard_item, start_item
from beam_dynamodb_streams.progress.tables import Item, code_of, told
from beam_dynamodb_streams.shards.position import Position
from beam_dynamodb_streams.shards.stream_position import StreamPosition

_IN_TRANSACTION: Final = 99  # the service's limit is 100 items, of which one says whose progress it is
_ATTEMPTS: Final = 5
_KEYS: Final = [
    {"AttributeName": "application", "KeyType": "HASH"},
    {"AttributeName": "item", "KeyType": "RANGE"},
]


class TableStore:
    """See :class:`progress.store.Store`. The table is created by the first write, with on-demand billing.

    It needs DescribeTable, CreateTable, Query, PutItem, UpdateItem, DeleteItem and ConditionCheckItem.
    """

    def __init__(self, client: Any, address: TableAddress, sleep: Callable[[float], object]) -> None:
        self._client, self._table, self._application, self._sleep = client, address.table, address.application, sleep
        self.name = f"dynamodb://{address.table}/{address.application}"

    def read(self) -> Application:
        try:
            return application_of(list(self._items()))
        except NotFoundError:
            return Application()

    def swap_lease(self, known: LeaseRecord | None, lease: LeaseRecord) -> bool:
        condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(#item)"}
        names = {"#item": "item"}
        if known is not None:
            condition = {
                "ConditionExpression": "#owner = :owner AND #renewed_at = :renewed_at",
                "ExpressionAttributeValues": {":owner": {"S": known.owner}, ":renewed_at": number(known.renewed_at)},
            }
            names = {"#owner": "owner", "#renewed_at": "renewed_at"}
        item = {**self._key(LEASE), **lease_item(lease)}

        def put() -> None:
            self._client.put_item(TableName=self._table, Item=item, ExpressionAttributeNames=names, **condition)

        try:
            with told("PutItem", self._table):
                self._on_demand(put)
        except ClientError as error:
            if code_of(error) != "ConditionalCheckFailedException":
                raise
            return False
        return True

    def renew(self, owner: str, moment: float) -> None:
        try:
            with told("UpdateItem", self._table):
                self._client.update_item(
                    TableName=self._table,
                    Key=self._key(LEASE),
                    UpdateExpression="SET #renewed_at = :renewed_at",
                    ConditionExpression="#owner = :owner",
                    ExpressionAttributeNames={"#owner": "owner", "#renewed_at": "renewed_at"},
                    ExpressionAttributeValues={":owner": {"S": owner}, ":renewed_at": number(moment)},
                )
        except ClientError as error:
            if code_of(error) != "ConditionalCheckFailedException":
                raise
            raise fenced_error(self.name, owner, self.read().lease) from error

    def release(self, owner: str) -> None:
        self.renew(owner, 0.0)

    def begin(self, owner: str, position: StreamPosition, second: int) -> None:
        arn = position.stream_arn or ""
        names = [item["item"]["S"] for item in self._items()]
        left = [
            name for name in names if name.startswith(f"{arn}|")
        ]  # of a beginning, or a forgetting, that was cut off
        self._transact(owner, [self._delete(name) for name in left])
        self.advance(owner, arn, position.shards, second)
        start = {**self._key(f"{arn}|"), **start_item(position)}
        self._transact(owner, [{"Put": {"TableName": self._table, "Item": start}}])  # now all of it counts

    def advance(self, owner: str, stream_arn: str, shards: Mapping[str, Position], second: int) -> None:
        self._transact(owner, [self._move(stream_arn, shard, shards[shard], second) for shard in sorted(shards)])

    def forget(self, owner: str, stream_arn: str, shards: list[str] | None) -> None:
        names = shards
        if names is None:
            kept = self.read().streams.get(stream_arn, SavedProgress())
            names = [*kept.shards, ""]  # the start last: without it nothing of the stream counts
        self._transact(owner, [self._delete(f"{stream_arn}|{shard}") for shard in names])

    def _items(self) -> Iterator[Item]:
        start: dict[str, Any] = {}
        while True:
            with told("Query", self._table):
                page = self._query(start)
            yield from page["Items"]
            if "LastEvaluatedKey" not in page:
                return
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    def _query(self, start: Mapping[str, Any]) -> Any:
        try:
            return self._client.query(
                TableName=self._table,
                ConsistentRead=True,
                KeyConditionExpression="#application = :application",
                ExpressionAttributeNames={"#application": "application"},
                ExpressionAttributeValues={":application": {"S": self._application}},
                **start,
            )
        except ClientError as error:
            raise self._foreign_table(error) or error from error

    def _delete(self, item: str) -> dict[str, Any]:
        return {"Delete": {"TableName": self._table, "Key": self._key(item)}}

    def _move(self, stream_arn: str, shard: str, position: Position, second: int) -> dict[str, Any]:
        return {
            "Update": {
                "TableName": self._table,
                "Key": self._key(f"{stream_arn}|{shard}"),
                "UpdateExpression": "SET #position = :position, #rank = :rank, #moved_at = :moved_at",
                "ConditionExpression": "attribute_not_exists(#rank) OR #rank < :rank",
                "ExpressionAttributeNames": {"#position": "position", "#rank": "rank", "#moved_at": "moved_at"},
                "ExpressionAttributeValues": shard_item(position, second),
            }
        }

    def _transact(self, owner: str, writes: Sequence[dict[str, Any]]) -> None:
        """The writes, some in one step, each only while ``owner`` holds the application. What does not move forward is
        left out."""
        mine = {
            "ConditionCheck": {
                "TableName": self._table,
                "Key": self._key(LEASE),
                "ConditionExpression": "#owner = :owner",
                "ExpressionAttributeNames": {"#owner": "owner"},
                "ExpressionAttributeValues": {":owner": {"S": owner}},
            }
        }
        rest = iter(writes)
        while step := list(islice(rest, _IN_TRANSACTION)):
            attempt = 1
            while step:
                reasons = self._try([mine, *step])
                if reasons is None:
                    break
                if reasons[0] == "ConditionalCheckFailed":
                    raise fenced_error(self.name, owner, self.read().lease)
                step = [
                    write for write, reason in zip(step, reasons[1:], strict=True) if reason != "ConditionalCheckFailed"
                ]
                if not set(reasons) <= {"None", "ConditionalCheckFailed"}:
                    if attempt == _ATTEMPTS:
                        raise ThrottledError(f"progress in {self.name} could not be written: {sorted(set(reasons))}")
                    self._sleep(0.05 * 2**attempt)
                    attempt += 1

    def _try(self, writes: list[dict[str, Any]]) -> list[str] | None:
        """None once all is written, else the reason of each write that kept the whole from it ("None" for most)."""
        try:
            with told("TransactWriteItems", self._table):
                self._client.transact_write_items(TransactItems=writes)
        except ClientError as error:
            if code_of(error) != "TransactionCanceledException":
                raise
            reasons = [str(reason.get("Code", "None")) for reason in error.response["CancellationReasons"]]
            if not set(reasons) <= _REASONS:
                raise ConnectorError(f"progress in {self.name} cannot be written: {error}") from error
            return reasons
        return None

    def _on_demand(self, write: Callable[[], None]) -> None:
        """The first write makes the table. A table of another kind is refused."""
        try:
            write()
        except ClientError as error:
            if (foreign := self._foreign_table(error)) is not None:
                raise foreign from error
            if code_of(error) != "ResourceNotFoundException":
                raise
            self._create_table()
            write()

    def _create_table(self) -> None:
        try:
            with told("CreateTable", self._table):
                self._client.create_table(
                    TableName=self._table,
                    KeySchema=_KEYS,
                    AttributeDefinitions=[{"AttributeName": k["AttributeName"], "AttributeType": "S"} for k in _KEYS],
                    BillingMode="PAY_PER_REQUEST",
                )
        except ClientError as error:
            if code_of(error) != "ResourceInUseException":  # another run creates it just now
                raise
        for _ in range(120):
            if self._described()["TableStatus"] == "ACTIVE":
                return
            self._sleep(0.5)
        raise UnavailableError(f"table {self._table!r} was created and did not become active within a minute")

    def _described(self) -> Any:
        with told("DescribeTable", self._table):
            return self._client.describe_table(TableName=self._table)["Table"]

    def _foreign_table(self, error: ClientError) -> InvalidOptionError | None:
        if code_of(error) != "ValidationException":
            return None
        keys = self._described()["KeySchema"]
        if keys == _KEYS:
            return None
        have = ", ".join(key["AttributeName"] for key in keys)
        return InvalidOptionError(
            f"table {self._table!r} has the keys {have} and is no table of progress: give one of its own, "
            "which is created when it is first used"
        )

    def _key(self, item: str) -> dict[str, Any]:
        return {"application": {"S": self._application}, "item": {"S": item}}


_REASONS: Final = frozenset(
    {"None", "ConditionalCheckFailed", "TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"}
)
