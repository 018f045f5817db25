"""The Kinesis interface over streams of DynamoDB: an operation and its parameters become an answer or a fault.

Both users of it are thin: `client` is the object with boto3's methods, and `server` speaks HTTP.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from beam_dynamodb_streams.kinesis.answers import Answer
from beam_dynamodb_streams.kinesis.cursor import decode_cursor
from beam_dynamodb_streams.kinesis.faults import (
    FAN_OUT_REFUSED,
    KinesisFault,
    expired_token,
    invalid_argument,
    not_found,
)
from beam_dynamodb_streams.kinesis.losses import Losses, LostRecords, OnDataLoss
from beam_dynamodb_streams.kinesis.one_stream import OneStream
from beam_dynamodb_streams.kinesis.record_data import DataForm
from beam_dynamodb_streams.kinesis.record_page import CACHE_BYTES, PageCache
from beam_dynamodb_streams.kinesis.requests import checked
from beam_dynamodb_streams.wire import Client
from beam_dynamodb_streams.wire.kinesis_model import input_shape, operation_names

#: How long a NextToken can be used, in seconds, and how many are kept.
TOKEN_SECONDS: Final = 300.0
_MOST_TOKENS: Final = 1000

_FAN_OUT: Final = frozenset(
    {
        *("SubscribeToShard", "RegisterStreamConsumer", "DeregisterStreamConsumer"),
        *("DescribeStreamConsumer", "ListStreamConsumers"),
    }
)


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """The shards of an answer that has several pages, and when they were listed."""

    stream: OneStream
    shards: list[dict[str, Any]]
    taken: float


class Interface:
    """Answers the operations of Kinesis for some streams of one account and region. Thread-safe.

    Args:
      client: calls DynamoDB Streams.
      stream_arns: the streams, at least one.
      data: "adapter" or "kinesis-data-streams": the form of each record's Data.
      on_data_loss: "fail" answers an error for a position that was trimmed; "continue" goes to what is left.
      cache_bytes: how many bytes of records are kept for other consumers of the same shards.
      clock: returns seconds whose differences are durations.
    """

    def __init__(
        self,
        client: Client,
        stream_arns: Sequence[str],
        *,
        data: DataForm = "adapter",
        on_data_loss: OnDataLoss = "fail",
        cache_bytes: int = CACHE_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._losses = Losses(on_data_loss)
        cache = PageCache(cache_bytes)
        self._streams = [
            OneStream(client, arn, data=data, losses=self._losses, cache=cache, clock=clock) for arn in stream_arns
        ]
        self._clock = clock
        self._lock = threading.Lock()
        self._snapshots: OrderedDict[str, _Snapshot] = OrderedDict()
        self._operations: dict[str, Callable[[dict[str, Any]], Answer]] = {
            "DescribeStream": self._describe_stream,
            "DescribeStreamSummary": self._describe_stream_summary,
            "GetRecords": self._get_records,
            "GetShardIterator": self._get_shard_iterator,
            "ListShards": self._list_shards,
            "ListStreams": self._list_streams,
        }

    @property
    def streams(self) -> Sequence[OneStream]:
        return self._streams

    @property
    def losses(self) -> tuple[LostRecords, ...]:
        """What consumers were led past, with `on_data_loss="continue"`."""
        return self._losses.found

    def answer(self, operation: str, parameters: object) -> Answer:
        """Return the answer to a call.

        Raises:
          KinesisFault: the error to answer.
        """
        call = self._operations.get(operation)
        if call is not None:
            return call(checked(input_shape(operation), parameters))
        if operation in _FAN_OUT:
            raise invalid_argument(FAN_OUT_REFUSED)
        if operation in operation_names():
            raise invalid_argument(
                f"{operation} is not available: this is the stream of a DynamoDB table, which is only read here"
            )
        raise KinesisFault("UnknownOperationException", f"there is no operation {operation!r}")

    # The operations

    def _list_streams(self, given: dict[str, Any]) -> Answer:
        after = given.get("ExclusiveStartStreamName") or given.get("NextToken") or ""
        found = sorted((each for each in self._streams if each.names.name > after), key=lambda each: each.names.name)
        limit = given.get("Limit", 100)
        answer: dict[str, Any] = {
            "StreamNames": [each.names.name for each in found[:limit]],
            "HasMoreStreams": len(found) > limit,
            "StreamSummaries": [each.brief() for each in found[:limit]],
        }
        if len(found) > limit:
            answer["NextToken"] = found[limit - 1].names.name
        return answer

    def _describe_stream(self, given: dict[str, Any]) -> Answer:
        return self._stream(given).describe(given.get("ExclusiveStartShardId"), given.get("Limit", 100))

    def _describe_stream_summary(self, given: dict[str, Any]) -> Answer:
        return self._stream(given).summary()

    def _get_shard_iterator(self, given: dict[str, Any]) -> Answer:
        return self._stream(given).iterator(
            given["ShardId"], given["ShardIteratorType"], given.get("StartingSequenceNumber"), given.get("Timestamp")
        )

    def _get_records(self, given: dict[str, Any]) -> Answer:
        cursor = decode_cursor(given["ShardIterator"])
        for each in self._streams:
            if each.names.identity == cursor.stream:
                return each.records(cursor, given.get("Limit", 10_000))
        raise invalid_argument("Invalid ShardIterator: it is of a stream that is not served here")

    def _list_shards(self, given: dict[str, Any]) -> Answer:
        limit = given.get("MaxResults", 1000)
        if (token := given.get("NextToken")) is not None:
            key, _, place = token.partition(".")
            snapshot = self._snapshots.get(key)
            if snapshot is None or self._clock() - snapshot.taken > TOKEN_SECONDS or not place.isdigit():
                raise expired_token("the NextToken is not known, or older than 300 seconds: list from the beginning")
            if ("StreamName" in given or "StreamARN" in given) and self._stream(given) is not snapshot.stream:
                raise invalid_argument("the NextToken is of another stream")
            return self._shard_page(key, snapshot, int(place), limit)
        stream = self._stream(given)
        after = given.get("ExclusiveStartShardId")
        if after is not None and "ShardFilter" in given:
            raise invalid_argument("ExclusiveStartShardId and ShardFilter cannot be used together")
        snapshot = _Snapshot(stream, stream.shards(given.get("ShardFilter"), after), self._clock())
        return self._shard_page(secrets.token_hex(8), snapshot, 0, limit)

    def _shard_page(self, key: str, snapshot: _Snapshot, begin: int, limit: int) -> Answer:
        """Return a page of one listing: the hash ranges of all of its pages together tile the space."""
        end = begin + limit
        answer: dict[str, Any] = {"Shards": snapshot.shards[begin:end]}
        if end < len(snapshot.shards):
            answer["NextToken"] = f"{key}.{end}"
            with self._lock:
                self._snapshots[key] = snapshot
                while len(self._snapshots) > _MOST_TOKENS:
                    self._snapshots.popitem(last=False)
        return answer

    def _stream(self, given: dict[str, Any]) -> OneStream:
        names = [given[name] for name in ("StreamName", "StreamARN") if name in given]
        if not names:
            raise invalid_argument("Either StreamName or StreamARN should be provided")
        for each in self._streams:
            if all(each.names.has(name) for name in names):
                return each
        served = ", ".join(each.names.name for each in self._streams)
        raise not_found(f"Stream {names[0]} is not served here: use {served}")
