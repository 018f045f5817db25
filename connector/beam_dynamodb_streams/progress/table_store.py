"""Progress in a DynamoDB table. Every write is conditional, so a run that lost its lease can move nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, Final

from beam_dynamodb_streams.errors import (
    ConditionFailedError,
    ConnectorError,
    InvalidOptionError,
    InvalidRequestError,
    NotFoundError,
    ResourceInUseError,
    ThrottledError,
    TransactionCanceledError,
    UnavailableError,
)
from beam_dynamodb_streams.progress.address import TableAddress
from beam_dynamodb_streams.progress.store import Application, LeaseRecord, SavedProgress, fenced_error
from beam_dynamodb_streams.progress.table_items import LEASE, application_of, lease_item, number, shard_item, start_item
from beam_dynamodb_streams.shards.position import Position
from beam_dynamodb_streams.shards.stream_position import StreamPosition
from beam_dynamodb_streams.wire import DynamoDB, Item

_IN_TRANSACTION: Final = 99  # the limit of the service is 100 items, and one of them checks the lease
_ATTEMPTS: Final = 5
_KEYS: Final = {"application": "S", "item": "S"}


class TableStore:
    """A `progress.store.Store`. The first write creates the table, with on-demand billing.

    It needs DescribeTable, CreateTable, Query, PutItem, UpdateItem, DeleteItem and ConditionCheckItem.
    """

    def __init__(self, client: DynamoDB, address: TableAddress, sleep: Callable[[float], object]) -> None:
        self._client, self._table, self._application, self._sleep = client, address.table, address.application, sleep
        self.name = f"dynamodb://{address.table}/{address.application}"

    def read(self) -> Application:
        try:
            return application_of(self._items())
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
            self._client.put_item(self._table, item, ExpressionAttributeNames=names, **condition)

        try:
            self._on_demand(put)
        except ConditionFailedError:
            return False
        return True

    def renew(self, owner: str, moment: float) -> None:
        try:
            self._client.update_item(
                self._table,
                self._key(LEASE),
                UpdateExpression="SET #renewed_at = :renewed_at",
                ConditionExpression="#owner = :owner",
                ExpressionAttributeNames={"#owner": "owner", "#renewed_at": "renewed_at"},
                ExpressionAttributeValues={":owner": {"S": owner}, ":renewed_at": number(moment)},
            )
        except ConditionFailedError as error:
            raise fenced_error(self.name, owner, self.read().lease) from error

    def release(self, owner: str) -> None:
        self.renew(owner, 0.0)

    def begin(self, owner: str, position: StreamPosition, second: int) -> None:
        arn = position.stream_arn or ""
        names = [item["item"]["S"] for item in self._items()]
        left = [name for name in names if name.startswith(f"{arn}|")]  # of an interrupted call
        self._transact(owner, [self._delete(name) for name in left])
        self.advance(owner, arn, position.shards, second)
        start = {**self._key(f"{arn}|"), **start_item(position)}
        self._transact(
            owner, [{"Put": {"TableName": self._table, "Item": start}}]
        )  # only now does the stream have progress

    def advance(self, owner: str, stream_arn: str, shards: Mapping[str, Position], second: int) -> None:
        self._transact(owner, [self._move(stream_arn, shard, shards[shard], second) for shard in sorted(shards)])

    def forget(self, owner: str, stream_arn: str, shards: list[str] | None) -> None:
        names = shards
        if names is None:
            saved = self.read().streams.get(stream_arn, SavedProgress())
            names = [*saved.shards, ""]  # the start last: without it the stream has no progress
        self._transact(owner, [self._delete(f"{stream_arn}|{shard}") for shard in names])

    def _items(self) -> list[Item]:
        try:
            return list(
                self._client.query(
                    self._table,
                    KeyConditionExpression="#application = :application",
                    ExpressionAttributeNames={"#application": "application"},
                    ExpressionAttributeValues={":application": {"S": self._application}},
                )
            )
        except InvalidRequestError as error:
            raise self._foreign_table() or error from error

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
        """Apply the writes, up to 99 in a transaction, while `owner` holds the lease; else raise FencedError.

        Writes that do not move forward are left out.
        """
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
        """Return None once all is written, else the reason of each write that prevented it ("None" for most)."""
        try:
            self._client.transact_write_items(self._table, writes)
        except TransactionCanceledError as error:
            if not set(error.reasons) <= _REASONS:
                raise ConnectorError(f"progress in {self.name} cannot be written: {error}") from error
            return list(error.reasons)
        return None

    def _on_demand(self, write: Callable[[], None]) -> None:
        """Apply the first write, and create the table for it. Refuse a table of another kind."""
        try:
            write()
        except InvalidRequestError as error:
            raise self._foreign_table() or error from error
        except NotFoundError:
            self._create_table()
            write()

    def _create_table(self) -> None:
        with suppress(ResourceInUseError):  # another run is creating it
            self._client.create_table(self._table, _KEYS)
        for _ in range(120):
            if self._client.describe_table(self._table).status == "ACTIVE":
                return
            self._sleep(0.5)
        raise UnavailableError(f"table {self._table!r} was created and did not become active within a minute")

    def _foreign_table(self) -> InvalidOptionError | None:
        keys = self._client.describe_table(self._table).key_types
        if list(keys) == list(_KEYS):
            return None
        return InvalidOptionError(
            f"table {self._table!r} has the keys {', '.join(keys)} and is not a table of progress: use a table of its "
            "own, which is created when it is first used"
        )

    def _key(self, item: str) -> dict[str, Any]:
        return {"application": {"S": self._application}, "item": {"S": item}}


_REASONS: Final = frozenset(
    {"None", "ConditionalCheckFailed", "TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"}
)
