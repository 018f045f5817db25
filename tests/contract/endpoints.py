"""Endpoints that speak the service's API, a table on each, and how it is written."""

from __future__ import annotations

import socket
import subprocess
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import boto3
from boto3.dynamodb.types import TypeSerializer

from beam_dynamodb_streams.testing import LocalStreams, Table

Item = Mapping[str, object]


class Written(Protocol):
    """A table and the five ways in which it is written. Items and keys are Python values; the key is `id`, a text."""

    name: str

    def put(self, item: Item) -> None: ...
    def update(self, keys: Item, changes: Item) -> None: ...
    def delete(self, keys: Item) -> None: ...
    def batch(self, puts: Iterable[Item], deletes: Iterable[Item]) -> None: ...
    def transact(self, puts: Iterable[Item], deletes: Iterable[Item]) -> None: ...
    def disable_stream(self) -> None: ...


class Endpoint(Protocol):
    """`name` is a name in `tests.contract.lacks.KNOWN`, or the URL."""

    name: str
    url: str

    def create_table(self, *, stream: bool = True) -> Written: ...


def new_name() -> str:
    """A name of 28 characters at least: some emulators make shard ids of it that boto3 finds too short otherwise."""
    return f"connector-contract-orders-{uuid.uuid4().hex[:8]}"


class LocalTable:
    """A table of the local service, which is written from Python only."""

    def __init__(self, table: Table) -> None:
        self.name = table.name
        self._table = table

    def put(self, item: Item) -> None:
        self._table.put(item)

    def update(self, keys: Item, changes: Item) -> None:
        self._table.update(keys, changes)

    def delete(self, keys: Item) -> None:
        self._table.delete(keys)

    def batch(self, puts: Iterable[Item], deletes: Iterable[Item]) -> None:
        self._table.put_many(puts)
        for keys in deletes:
            self._table.delete(keys)

    def transact(self, puts: Iterable[Item], deletes: Iterable[Item]) -> None:
        self.batch(puts, deletes)

    def disable_stream(self) -> None:
        self._table.disable_stream()


@dataclass
class LocalEndpoint:
    """A table here has two shards, which no other endpoint offers."""

    service: LocalStreams
    name: str = "local"

    @property
    def url(self) -> str:
        return self.service.endpoint_url

    def create_table(self, *, stream: bool = True) -> LocalTable:
        view_type = "NEW_AND_OLD_IMAGES" if stream else None
        return LocalTable(self.service.create_table(new_name(), keys={"id": "S"}, view_type=view_type, shards=2))


def attributes(item: Item) -> dict[str, Any]:
    return {name: TypeSerializer().serialize(value) for name, value in item.items()}


class BotoTable:
    """A table that is written by boto3's calls."""

    def __init__(self, tables: Any, name: str) -> None:
        self.name = name
        self._tables = tables

    def put(self, item: Item) -> None:
        self._tables.put_item(TableName=self.name, Item=attributes(item))

    def update(self, keys: Item, changes: Item) -> None:
        self._tables.update_item(
            TableName=self.name,
            Key=attributes(keys),
            UpdateExpression="SET " + ", ".join(f"#{n} = :{n}" for n in changes),
            ExpressionAttributeNames={f"#{n}": n for n in changes},
            ExpressionAttributeValues={f":{n}": value for n, value in attributes(changes).items()},
        )

    def delete(self, keys: Item) -> None:
        self._tables.delete_item(TableName=self.name, Key=attributes(keys))

    def batch(self, puts: Iterable[Item], deletes: Iterable[Item]) -> None:
        requests: list[Any] = [{"PutRequest": {"Item": attributes(item)}} for item in puts]
        requests += [{"DeleteRequest": {"Key": attributes(keys)}} for keys in deletes]
        while requests:
            answer = self._tables.batch_write_item(RequestItems={self.name: requests[:25]})
            requests = requests[25:] + answer.get("UnprocessedItems", {}).get(self.name, [])

    def transact(self, puts: Iterable[Item], deletes: Iterable[Item]) -> None:
        writes = [{"Put": {"TableName": self.name, "Item": attributes(item)}} for item in puts]
        writes += [{"Delete": {"TableName": self.name, "Key": attributes(keys)}} for keys in deletes]
        self._tables.transact_write_items(TransactItems=writes)

    def disable_stream(self) -> None:
        self._tables.update_table(TableName=self.name, StreamSpecification={"StreamEnabled": False})


class BotoEndpoint:
    """Whatever listens at `url`; credentials and region are the environment's. Tables go when the tests are over."""

    def __init__(self, url: str, name: str) -> None:
        self.url, self.name = url, name
        self._tables = boto3.client("dynamodb", endpoint_url=url)
        self._made: list[str] = []

    def create_table(self, *, stream: bool = True) -> BotoTable:
        enabled = {"StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}}
        name = new_name()
        self._tables.create_table(
            TableName=name,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
            **(enabled if stream else {}),
        )
        self._made.append(name)
        self._tables.get_waiter("table_exists").wait(TableName=name)
        return BotoTable(self._tables, name)

    def close(self) -> None:
        for name in self._made:
            self._tables.delete_table(TableName=name)
        self._tables.close()


@contextmanager
def boto_endpoint(url: str, name: str = "") -> Iterator[BotoEndpoint]:
    endpoint = BotoEndpoint(url, name or url)
    try:
        yield endpoint
    finally:
        endpoint.close()


@contextmanager
def dynoxide(binary: str) -> Iterator[str]:
    """A server of its own in memory; gives its URL. Its standard port may be another's, so it gets a free one."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen([binary, "--port", str(port), "--log", "quiet"])
    try:
        for _ in range(100):
            with socket.socket() as trial:
                if trial.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert server.poll() is None, f"{binary} ended with {server.returncode}"
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()
