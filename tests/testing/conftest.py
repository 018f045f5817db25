"""A boto3 client as an independent witness of what the local service says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from beam_dynamodb_streams.testing import Clock, LocalStreams

# One attempt, so that a fault is seen; no validation, so that the service's own is.
_CONFIG = Config(retries={"total_max_attempts": 1}, parameter_validation=False, read_timeout=10)


class Reader:
    """boto3 clients of one service."""

    def __init__(self, service: LocalStreams) -> None:
        self.streams = boto3.client("dynamodbstreams", config=_CONFIG, **service.client_options)
        self.tables = boto3.client("dynamodb", config=_CONFIG, **service.client_options)

    def close(self) -> None:
        self.streams.close()
        self.tables.close()

    def describe(self, stream_arn: str, **members: Any) -> dict[str, Any]:
        """One page of a listing."""
        return self.streams.describe_stream(StreamArn=stream_arn, **members)["StreamDescription"]

    def listed(self, stream_arn: str, **members: Any) -> dict[str, dict[str, Any]]:
        """All pages of a listing, shards by id."""
        shards: dict[str, dict[str, Any]] = {}
        after: dict[str, str] = {}
        while True:
            page = self.describe(stream_arn, **members, **after)
            shards |= {shard["ShardId"]: shard for shard in page["Shards"]}
            if "LastEvaluatedShardId" not in page:
                return shards
            after = {"ExclusiveStartShardId": page["LastEvaluatedShardId"]}

    def iterator(self, stream_arn: str, shard_id: str, kind: str = "TRIM_HORIZON", **members: Any) -> str:
        members |= {"StreamArn": stream_arn, "ShardId": shard_id, "ShardIteratorType": kind}
        return self.streams.get_shard_iterator(**members)["ShardIterator"]

    def page(self, iterator: str, **members: Any) -> tuple[list[dict[str, Any]], str | None]:
        """The records and the next iterator."""
        answer = self.streams.get_records(ShardIterator=iterator, **members)
        return answer["Records"], answer.get("NextShardIterator")

    def read(self, stream_arn: str, shard_id: str, kind: str = "TRIM_HORIZON", **members: Any) -> list[str]:
        """The sequence numbers from there to the shard's end, or to the first empty page."""
        numbers: list[str] = []
        iterator: str | None = self.iterator(stream_arn, shard_id, kind, **members)
        while iterator is not None:
            records, iterator = self.page(iterator)
            numbers += [record["dynamodb"]["SequenceNumber"] for record in records]
            if not records:
                break
        return numbers

    def refusal(self, operation: str, **members: Any) -> tuple[str, str]:
        """The code and the text with which a call is refused."""
        client = self.tables if operation in ("describe_table", "list_tables") else self.streams
        with pytest.raises(ClientError) as caught:
            getattr(client, operation)(**members)
        error = caught.value.response["Error"]
        return error["Code"], error["Message"]

    def iterator_refusal(self, stream_arn: str, shard_id: str, kind: str, **members: Any) -> str:
        """The code with which an iterator is refused."""
        members |= {"StreamArn": stream_arn, "ShardId": shard_id, "ShardIteratorType": kind}
        return self.refusal("get_shard_iterator", **members)[0]

    def page_refusal(self, iterator: str) -> str:
        """The code with which a page is refused."""
        return self.refusal("get_records", ShardIterator=iterator)[0]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def start(clock: Clock) -> Iterator[Callable[..., LocalStreams]]:
    """Starts services with options; the test's clock is theirs unless another is given."""
    with ExitStack() as stack:

        def _start(**options: Any) -> LocalStreams:
            return stack.enter_context(LocalStreams(**{"clock": clock, **options}))

        yield _start


@pytest.fixture
def connect() -> Iterator[Callable[[LocalStreams], Reader]]:
    with ExitStack() as stack:

        def _connect(service: LocalStreams) -> Reader:
            reader = Reader(service)
            stack.callback(reader.close)
            return reader

        yield _connect


@pytest.fixture
def service(start: Callable[..., LocalStreams]) -> LocalStreams:
    return start()


@pytest.fixture
def reader(service: LocalStreams, connect: Callable[[LocalStreams], Reader]) -> Reader:
    return connect(service)
