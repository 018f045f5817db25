"""DynamoDB Streams: the calls that a read makes."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from botocore.client import BaseClient
from typing_extensions import Unpack

from beam_dynamodb_streams.errors import IteratorTypeError, ServiceError, ShardFilterError, UnavailableError
from beam_dynamodb_streams.wire import dynamodb
from beam_dynamodb_streams.wire.calls import Caller, CallerOptions, CallPlace
from beam_dynamodb_streams.wire.capabilities import Capabilities, Support
from beam_dynamodb_streams.wire.decode import decode_iterator, decode_records, decode_stream, decode_streams
from beam_dynamodb_streams.wire.endpoint import AwsService
from beam_dynamodb_streams.wire.error_codes import Refusal
from beam_dynamodb_streams.wire.pages import RecordsPage, StreamPage


def _ask_endpoint(client: BaseClient, account: str) -> object:
    if not account:
        return client.list_streams()
    return client.describe_stream(StreamArn=f"{account}:table/name/stream/label")


DYNAMODB_STREAMS: Final = AwsService(
    name="dynamodbstreams", target="DynamoDBStreams_20120810", signing_name="dynamodb", ask=_ask_endpoint
)

# AT_TIMESTAMP iterators that are remembered until one was read: more than any stream has open shards at a start.
_UNPROVEN_LIMIT = 100_000

#: DynamoDB Streams keeps a record for 24 hours.
RETENTION_SECONDS: Final = 24 * 3600

#: How far the clocks of two hosts of the service may be apart. A moment that was "now" on one of them is in the future
#: on the other, and that passes by waiting.
_HOSTS_APART_SECONDS: Final = 30.0


class Client:
    """DynamoDB Streams through one endpoint. Thread-safe: make one for each process and endpoint.

    Region, credentials, address, retries and `close` are those of `calls.Caller`. `endpoint_url` serves DynamoDB too.

    Every method may raise AccessDeniedError, CredentialsError, CertificateError, InvalidRequestError, UnknownCodeError,
    ClosedError, and after its last attempt a DelayError: call again later.

    Args:
      options: those of `calls.Caller`.
    """

    def __init__(self, **options: Unpack[CallerOptions]) -> None:
        self._caller = Caller(DYNAMODB_STREAMS, **options)
        self.region_name = self._caller.region_name
        self.calls = self._caller.counts
        self._lock = threading.Lock()
        self.capabilities = Capabilities()
        self._unproven: dict[str, CallPlace] = {}

    def describe_table(self, table: str) -> dynamodb.Table:
        """Return the table, with its latest stream if it has one.

        Raises:
          NotFoundError: the table does not exist.
        """
        return dynamodb.describe_table(self._caller, table)

    def list_streams(self, table_name: str) -> list[str]:
        """Return the ARNs of the table's streams that can be read: of the present one, and of earlier ones for a day.

        Only tables of the caller's own account and region are listed, by name. Raises what `describe_stream` does.
        """
        found: dict[str, None] = {}
        after: str | None = None
        while True:
            parameters: dict[str, object] = {"TableName": table_name}
            if after is not None:
                parameters["ExclusiveStartStreamArn"] = after
            page = self._caller.call("ListStreams", parameters, decode_streams, CallPlace(resource=table_name))
            new = [arn for arn in page.stream_arns if arn not in found]
            found |= dict.fromkeys(new)
            after = page.last_evaluated_stream_arn
            if after is None or not new:  # a cursor that repeats would never end
                return list(found)

    def scan_page(
        self, table: str, *, segment: int, total: int, start: bytes | None, limit: int | None
    ) -> dynamodb.ScanPage:
        """Return one page of a segment of a table; see `dynamodb.scan_page`."""
        return dynamodb.scan_page(self._caller, table, segment=segment, total=total, start=start, limit=limit)

    def describe_stream(
        self,
        stream_arn: str,
        *,
        limit: int | None = None,
        exclusive_start_shard_id: str | None = None,
        children_of: str | None = None,
    ) -> StreamPage:
        """Return one page of at most 100 of the stream's shards, or of the children of `children_of` alone.

        The service allows ten calls a second. A listing may leave shards out (trap 6).

        Args:
          stream_arn: the stream.
          limit: shards in the page.
          exclusive_start_shard_id: the last shard of the page before.
          children_of: the parent whose children are listed.

        Raises:
          NotFoundError: the stream does not exist.
          ShardFilterError: the endpoint refuses the filter, or ignores it, as moto does.
        """
        parameters: dict[str, object] = {"StreamArn": stream_arn}
        if limit is not None:
            parameters["Limit"] = limit
        if exclusive_start_shard_id is not None:
            parameters["ExclusiveStartShardId"] = exclusive_start_shard_id
        place = CallPlace(stream=stream_arn, resource=stream_arn)
        if children_of is None:
            return self._caller.call("DescribeStream", parameters, decode_stream, place)
        parameters["ShardFilter"] = {"Type": "CHILD_SHARDS", "ShardId": children_of}

        def refused_filter(_: Refusal) -> ServiceError:
            return self._lacks_shard_filter(stream_arn, children_of, "does not support")

        page = self._caller.call("DescribeStream", parameters, decode_stream, place, on_invalid_request=refused_filter)
        if any(children_of not in shard.parents for shard in page.shards):
            raise self._lacks_shard_filter(stream_arn, children_of, "ignores")
        if page.shards and self.capabilities.shard_filter is Support.UNKNOWN:
            with self._lock:
                self.capabilities = replace(self.capabilities, shard_filter=Support.YES)
        return page

    def listing(self, stream_arn: str) -> Iterator[StreamPage]:
        """Yield the pages of one whole listing. Each is requested when it is needed.

        Pages that follow each other in a circle are yielded once, and a listing may leave shards out (trap 6). Raises
        what `describe_stream` does.
        """
        after: list[str | None] = [None]
        while True:
            page = self.describe_stream(stream_arn, exclusive_start_shard_id=after[-1])
            yield page
            if page.last_evaluated_shard_id is None or page.last_evaluated_shard_id in after:
                return
            after.append(page.last_evaluated_shard_id)

    def get_shard_iterator(
        self,
        stream_arn: str,
        shard_id: str,
        iterator_type: str,
        *,
        sequence_number: str | None = None,
        timestamp: float | None = None,
    ) -> str:
        """Return a shard iterator of at most 2,048 characters, which is valid for 15 minutes.

        Args:
          stream_arn: the stream.
          shard_id: the shard.
          iterator_type: TRIM_HORIZON, LATEST, AT_SEQUENCE_NUMBER, AFTER_SEQUENCE_NUMBER or AT_TIMESTAMP.
          sequence_number: of the types with a sequence number.
          timestamp: of AT_TIMESTAMP, epoch seconds, sent in whole milliseconds rounded down. Reading begins at the
            first record that was created at or after it, or at the trim horizon if it is older.

        Raises:
          TrimmedDataError: the sequence number is past the trim horizon (trap 10).
          NotFoundError: the shard is gone (trap 11).
          IteratorTypeError: the endpoint does not support AT_TIMESTAMP. With some endpoints only the use of the
            iterator shows that, so `get_records` raises it too.
        """
        parameters: dict[str, object] = {
            "StreamArn": stream_arn,
            "ShardId": shard_id,
            "ShardIteratorType": iterator_type,
        }
        if sequence_number is not None:
            parameters["SequenceNumber"] = sequence_number
        place = CallPlace(stream_arn, shard_id, sequence_number, stream_arn)
        if iterator_type != "AT_TIMESTAMP" or timestamp is None:
            return self._caller.call("GetShardIterator", parameters, decode_iterator, place)
        parameters["Timestamp"] = _milliseconds(timestamp)
        behind = False

        def refused_type(refusal: Refusal) -> ServiceError | None:
            # An endpoint that supports AT_TIMESTAMP refuses a time in the future with the same code.
            nonlocal behind
            if "shardIteratorType" in refusal.message or "AT_TIMESTAMP" in refusal.message:
                return self._lacks_at_timestamp(place)
            now = self.service_time()
            if not _says_future(refusal.message) and timestamp <= now:
                return self._lacks_at_timestamp(place)
            behind = abs(timestamp - now) <= _HOSTS_APART_SECONDS
            return _behind(timestamp, refusal) if behind else None

        try:
            iterator = self._caller.call(
                "GetShardIterator",
                parameters,
                decode_iterator,
                place,
                on_invalid_request=refused_type,
            )
        except UnavailableError as error:
            # DynamoDB Local answers HTTP 500.
            if (
                not behind
                and error.code is not None
                and self.capabilities.at_timestamp is not Support.YES
                and self._reads_horizon(place, get=False)
            ):
                raise self._lacks_at_timestamp(place) from error
            raise
        with self._lock:
            if self.capabilities.at_timestamp is Support.UNKNOWN and len(self._unproven) < _UNPROVEN_LIMIT:
                self._unproven[iterator] = place
        return iterator

    def get_records(self, iterator: str, *, limit: int = 1000, stream_arn: str = "", shard_id: str = "") -> RecordsPage:
        """Return one page of at most `limit` records or 1 MB, in the shard's order. It is billed even if it is empty.

        The same iterator returns the same records again.

        Args:
          iterator: a shard iterator.
          limit: at most 1,000.
          stream_arn: the stream, for errors.
          shard_id: the shard, for errors.

        Raises:
          ExpiredIteratorError: the iterator is older than 15 minutes (trap 9).
          TrimmedDataError: the iterator's record is trimmed (trap 10).
          NotFoundError: the shard is gone (trap 11).
          IteratorTypeError: it is an AT_TIMESTAMP iterator of an endpoint that does not support the type.
        """
        place = CallPlace(stream_arn or None, shard_id or None, None, stream_arn or None)
        parameters = {"ShardIterator": iterator, "Limit": limit}
        unproven = self._unproven.get(iterator)
        try:
            page = self._caller.call("GetRecords", parameters, decode_records, place)
        except UnavailableError as error:
            # moto returns the iterator, and answers HTTP 500 when it is used.
            if unproven is not None and error.code is not None and self._reads_horizon(unproven, get=True):
                raise self._lacks_at_timestamp(unproven) from error
            raise
        if unproven is not None:
            with self._lock:
                self.capabilities = replace(self.capabilities, at_timestamp=Support.YES)
                self._unproven.clear()
        return page

    def retention_seconds(self, stream_arn: str) -> int:  # noqa: ARG002 - it is the same for every stream
        """Return how long a stream keeps its records."""
        return RETENTION_SECONDS

    def service_time(self) -> float:
        """Return epoch seconds by the service's clock: never ahead of it, at most a second and a round trip behind.

        It is learned from the `Date` header of every answer. Before the first one it is the local clock.
        """
        return self._caller.clock.now()

    def close(self) -> None:
        """Cut the pooled connections and end waits. Later calls raise ClosedError. Idempotent.

        A request that is under way ends with its answer or its time-out, and is not retried.
        """
        self._caller.close()

    def _lacks_at_timestamp(self, place: CallPlace) -> IteratorTypeError:
        """Remember that the endpoint does not support AT_TIMESTAMP, and return the error to raise."""
        with self._lock:
            self.capabilities = replace(self.capabilities, at_timestamp=Support.NO)
        return IteratorTypeError("the endpoint does not support AT_TIMESTAMP", stream=place.stream, shard=place.shard)

    def _lacks_shard_filter(self, stream_arn: str, parent: str, fault: str) -> ShardFilterError:
        """Remember that the endpoint does not support ShardFilter, and return the error to raise."""
        with self._lock:
            self.capabilities = replace(self.capabilities, shard_filter=Support.NO)
        return ShardFilterError(f"the endpoint {fault} ShardFilter CHILD_SHARDS", stream=stream_arn, shard=parent)

    def _reads_horizon(self, place: CallPlace, *, get: bool) -> bool:
        """Return whether the same call works with a TRIM_HORIZON iterator: then AT_TIMESTAMP is the fault."""
        parameters: dict[str, object] = {
            "StreamArn": place.stream,
            "ShardId": place.shard,
            "ShardIteratorType": "TRIM_HORIZON",
        }
        try:
            iterator = self._caller.call("GetShardIterator", parameters, decode_iterator, place, attempts=1)
            if get:
                self._caller.call(
                    "GetRecords",
                    {"ShardIterator": iterator, "Limit": 1},
                    decode_records,
                    place,
                    attempts=1,
                )
        except ServiceError:
            return False
        return True


def _says_future(message: str) -> bool:
    return "future" in message.lower() or "greater than the current" in message.lower()


def _behind(timestamp: float, refusal: Refusal) -> UnavailableError:
    return UnavailableError(
        f"GetShardIterator at {timestamp:.3f} was refused as a time in the future ({refusal.message or refusal.code}): "
        "the clock of the host that answered is behind that of another host; the call is repeated until it is not"
    )


def _milliseconds(timestamp: float) -> int | float:
    milliseconds = math.floor(timestamp * 1000)
    return milliseconds // 1000 if milliseconds % 1000 == 0 else milliseconds / 1000
