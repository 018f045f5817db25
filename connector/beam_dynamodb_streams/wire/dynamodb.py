"""DynamoDB: what a read must know of its table, and the items of tables of progress, of leases, and of a sample."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import msgspec

from beam_dynamodb_streams.wire.calls import Caller, CallPlace
from beam_dynamodb_streams.wire.decode import DECODE_FAULTS, IncompleteAnswerError, refuse
from beam_dynamodb_streams.wire.endpoint import AwsService

DYNAMODB: Final = AwsService(
    name="dynamodb",
    target="DynamoDB_20120810",
    signing_name="dynamodb",
    ask=lambda client, account: client.describe_table(TableName=f"{account}:table/name" if account else "name"),
    # A transaction has no permission of its own: each of its writes has one.
    permissions={
        "TransactWriteItems": "dynamodb:ConditionCheckItem, dynamodb:PutItem, dynamodb:UpdateItem and "
        "dynamodb:DeleteItem"
    },
)

#: An item in DynamoDB JSON: attribute names to values such as `{"S": "text"}`. Binary values are base64 text.
Item: TypeAlias = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Table:
    """A table, and its latest stream, which stays readable for 24 h after it was disabled.

    Attributes:
      name: the table's name.
      status: ACTIVE once it can be used; CREATING, UPDATING, DELETING and others.
      created: epoch seconds, None where the endpoint does not say.
      key_types: such as `{"order_id": "S", "line": "N"}`, the partition key first.
      latest_stream_arn: None for a table that never had a stream, or none in the last 24 h.
      stream_enabled: False for a stream that was disabled.
      stream_view_type: such as NEW_AND_OLD_IMAGES, None without a stream.
      table_id: the id, which another table of the same name does not have; "" where the endpoint does not say.
      item_count: as of up to 6 hours ago; 0 where the endpoint does not say.
    """

    name: str
    latest_stream_arn: str | None
    stream_enabled: bool
    stream_view_type: str | None
    key_types: dict[str, str]
    status: str = ""
    created: float | None = None
    table_id: str = ""
    item_count: int = 0


class _StreamSpecification(msgspec.Struct, rename="pascal"):
    stream_enabled: bool = False
    stream_view_type: str | None = None


class _Key(msgspec.Struct, rename="pascal"):
    attribute_name: str
    key_type: str


class _Attribute(msgspec.Struct, rename="pascal"):
    attribute_name: str
    attribute_type: str


class _TableDescription(msgspec.Struct, rename="pascal"):
    table_name: str
    table_status: str = ""
    table_id: str | None = None
    creation_date_time: float | None = None
    key_schema: list[_Key] = []
    attribute_definitions: list[_Attribute] = []
    latest_stream_arn: str | None = None
    item_count: int = 0
    stream_specification: _StreamSpecification | None = None


class _DescribedTable(msgspec.Struct, rename="pascal"):
    table: _TableDescription


class _ConsumedCapacity(msgspec.Struct, rename="pascal"):
    capacity_units: float | None = None


class _ItemsPage(msgspec.Struct, rename="pascal"):
    items: list[msgspec.Raw]
    last_evaluated_key: msgspec.Raw = msgspec.Raw()
    consumed_capacity: _ConsumedCapacity | None = None


@dataclass(frozen=True, slots=True)
class ScanPage:
    """A page of a scan.

    Attributes:
      items: each in DynamoDB JSON.
      last: the key after which the next page begins, in JSON; None only at the end of the segment.
      units: the read units that it consumed, None where the endpoint does not say.
      size: the bytes of the answer.
    """

    items: list[msgspec.Raw]
    last: bytes | None
    units: float | None
    size: int


_described_table = msgspec.json.Decoder(_DescribedTable)
_items_page = msgspec.json.Decoder(_ItemsPage)
_any_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_item = msgspec.json.Decoder(dict[str, dict[str, Any]])


def describe_table(caller: Caller, table: str) -> Table:
    """Return the table's description.

    Raises:
      NotFoundError: the table does not exist.
    """
    return caller.call("DescribeTable", {"TableName": table}, decode_table, _place(table), service=DYNAMODB)


def scan_page(
    caller: Caller, table: str, *, segment: int, total: int, start: bytes | None, limit: int | None
) -> ScanPage:
    """Return one page of a segment of a table, read consistently: it has every write that was completed before.

    Raises:
      NotFoundError: the table does not exist.
      InvalidRequestError: the start key is of another segment, or of another number of segments.
    """
    parameters: dict[str, object] = {
        "TableName": table,
        "ConsistentRead": True,
        "Segment": segment,
        "TotalSegments": total,
        "ReturnConsumedCapacity": "TOTAL",
    }
    if start is not None:
        parameters["ExclusiveStartKey"] = msgspec.Raw(start)
    if limit is not None:
        parameters["Limit"] = limit
    return caller.call("Scan", parameters, decode_scan_page, _place(table), service=DYNAMODB)


def decode_scan_page(body: bytes) -> ScanPage:
    """Return the page of an answer to Scan. Raises as `decode.decode_records` does."""
    try:
        page = _items_page.decode(body)
    except DECODE_FAULTS as error:
        refuse("Scan", error, body, "Items")
    consumed = page.consumed_capacity
    return ScanPage(page.items, _last_key(page), None if consumed is None else consumed.capacity_units, len(body))


def _last_key(page: _ItemsPage) -> bytes | None:
    """Return the key after which the next page begins. Some endpoints send an empty value in place of none."""
    last = bytes(page.last_evaluated_key)
    return None if last in (b"", b"null", b'""', b"{}") else last


def decode_table(body: bytes) -> Table:
    """Return the table that an answer to DescribeTable describes. Raises as `decode.decode_records` does."""
    try:
        table = _described_table.decode(body).table
    except DECODE_FAULTS as error:
        refuse("DescribeTable", error, body, "Table")
    specification = table.stream_specification or _StreamSpecification()
    types = {attribute.attribute_name: attribute.attribute_type for attribute in table.attribute_definitions}
    keys = sorted(table.key_schema, key=lambda key: key.key_type)  # HASH, RANGE
    return Table(
        name=table.table_name,
        latest_stream_arn=table.latest_stream_arn or None,
        stream_enabled=specification.stream_enabled,
        stream_view_type=specification.stream_view_type or None,
        key_types={key.attribute_name: types[key.attribute_name] for key in keys if key.attribute_name in types},
        status=table.table_status,
        created=table.creation_date_time,
        table_id=table.table_id or "",
        item_count=table.item_count,
    )


class DynamoDB:
    """Tables and their items through one endpoint. Thread-safe. Options and errors are those of `calls.Caller`.

    The time-outs are shorter than those of a stream's client: a lease that is renewed too late is lost.
    `expressions` of a write are the service's own parameters, such as `ConditionExpression`.

    Args:
      region_name: as in boto3.
      endpoint_url: of another service than AWS, such as a local one.
      max_connections: as many as threads that call at once.
      sleep: waits for seconds between two requests of a call; by default a wait that `close` ends.
      make_token: returns a text that no other transaction has.
    """

    def __init__(
        self,
        *,
        region_name: str | None = None,
        endpoint_url: str | None = None,
        max_connections: int = 4,
        sleep: Callable[[float], object] | None = None,
        make_token: Callable[[], object] = uuid.uuid4,
    ) -> None:
        self._caller = Caller(
            DYNAMODB,
            region_name=region_name,
            endpoint_url=endpoint_url,
            max_connections=max_connections,
            connect_timeout=3.0,
            read_timeout=5.0,
            sleep=sleep,
        )
        self._make_token = make_token
        self.region_name = self._caller.region_name
        self.url = self._caller.url

    def describe_table(self, table: str) -> Table:
        """Return the table's description; see `describe_table`."""
        return describe_table(self._caller, table)

    def create_table(self, table: str, key_types: Mapping[str, str]) -> None:
        """Create a table with on-demand billing. It can be used once its status is ACTIVE.

        Args:
          table: its name.
          key_types: such as `{"order_id": "S", "line": "N"}`, the partition key first.

        Raises:
          ResourceInUseError: it exists, or is being created or deleted.
        """
        kinds = ("HASH", "RANGE")
        parameters = {
            "KeySchema": [
                {"AttributeName": name, "KeyType": kind} for name, kind in zip(key_types, kinds, strict=False)
            ],
            "AttributeDefinitions": [
                {"AttributeName": name, "AttributeType": type_} for name, type_ in key_types.items()
            ],
            "BillingMode": "PAY_PER_REQUEST",
        }
        self._write("CreateTable", table, parameters)

    def put_item(self, table: str, item: Item, **expressions: object) -> None:
        """Write an item.

        Raises:
          ConditionFailedError: the condition did not hold.
          NotFoundError: the table does not exist.
          InvalidRequestError: the item does not have the table's keys, or an expression is not valid.
        """
        self._write("PutItem", table, {"Item": item, **expressions})

    def update_item(self, table: str, key: Item, **expressions: object) -> None:
        """Change some attributes of an item. Raises as `put_item` does."""
        self._write("UpdateItem", table, {"Key": key, **expressions})

    def transact_write_items(self, table: str, writes: Sequence[Mapping[str, object]]) -> None:
        """Apply all of at most 100 `writes` or none. A retry of the call applies them once.

        Args:
          table: the table in errors; each write names its own.
          writes: each `{"Put": …}`, `{"Update": …}`, `{"Delete": …}` or `{"ConditionCheck": …}`.

        Raises:
          TransactionCanceledError: none was applied; `reasons` says which stood in the way.
        """
        parameters: dict[str, object] = {"TransactItems": writes, "ClientRequestToken": str(self._make_token())}
        self._caller.call("TransactWriteItems", parameters, _check_written("TransactWriteItems"), _place(table))

    def query(self, table: str, **expressions: object) -> Iterator[Item]:
        """Yield the items that a query finds, page by page, read consistently.

        Raises:
          NotFoundError: the table does not exist.
          InvalidRequestError: the expressions do not fit the table's keys.
        """
        for item in self._pages("Query", table, {"ConsistentRead": True, **expressions}):
            yield _item.decode(item)

    def scan(self, table: str, *, consistent: bool = False) -> Iterator[bytes]:
        """Yield each item of a table as the bytes of its DynamoDB JSON, page by page, in no order of the writes."""
        return self._pages("Scan", table, {"ConsistentRead": consistent})

    def close(self) -> None:
        """Cut the connections and end waits. Later calls raise ClosedError. Idempotent."""
        self._caller.close()

    def _write(self, operation: str, table: str, parameters: Mapping[str, object]) -> None:
        self._caller.call(operation, {"TableName": table, **parameters}, _check_written(operation), _place(table))

    def _pages(self, operation: str, table: str, parameters: Mapping[str, object]) -> Iterator[bytes]:
        def decode(body: bytes) -> _ItemsPage:
            try:
                return _items_page.decode(body)
            except DECODE_FAULTS as error:
                refuse(operation, error, body, "Items")

        start: dict[str, object] = {}
        while True:
            sent = {"TableName": table, **parameters, **start}
            page = self._caller.call(operation, sent, decode, _place(table))
            yield from map(bytes, page.items)
            if (last := _last_key(page)) is None:
                return
            start = {"ExclusiveStartKey": msgspec.Raw(last)}


def _check_written(operation: str) -> Callable[[bytes], None]:
    """Return what checks the answer to a write. Nothing in it is needed: it must be an object, and not an error."""

    def check(body: bytes) -> None:
        try:
            answer = _any_object.decode(body or b"{}")
        except DECODE_FAULTS as error:
            refuse(operation, error, body, operation)
        if answer.keys() & {"__type", "message", "Message"}:
            raise IncompleteAnswerError(f"the answer to {operation} is an error in disguise, or is not the service's")

    return check


def _place(table: str) -> CallPlace:
    return CallPlace(resource=f"table {table!r}")
