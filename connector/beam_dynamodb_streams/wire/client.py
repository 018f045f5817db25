"""The four calls of the reader, and nothing else of AWS."""

from __future__ import annotations

import math
import random as random_module
import threading
import time
from collections.abc import Callable, Iterator

import botocore.session

from beam_dynamodb_streams.errors import (
    InvalidOptionError,
    IteratorTypeError,
    ServiceError,
    ShardFilterError,
    UnavailableError,
)
from beam_dynamodb_streams.wire.calls import Caller, CallPlace
from beam_dynamodb_streams.wire.decode import decode_iterator, decode_records, decode_stream, decode_table
from beam_dynamodb_streams.wire.error_codes import Fault
from beam_dynamodb_streams.wire.pages import RecordsPage, StreamPage, Table
from beam_dynamodb_streams.wire.retry import Backoff

# Unproven AT_TIMESTAMP iterators to remember: more than any stream's open shards at a start.
_UNPROVEN_LIMIT = 100_000


class Client:
    """DynamoDB Streams through one endpoint. Thread-safe: make one per process and endpoint.

    Region, credentials and address come from botocore's default chain (environment, profile, SSO, role)
    unless given; ``endpoint_url`` serves both DynamoDB and DynamoDB Streams. ``max_connections``
    connections are kept open: as many as threads call at once. Time-outs are seconds.

    Every call is repeated with jittered exponential back-off after a throttle, a 5xx answer, a dropped
    connection, a time-out and a cut-off body (fact 15): ``max_attempts`` requests at most, then the
    DelayError of the last one is raised and the caller comes again later. Expired credentials are refreshed
    and a skewed clock is corrected once a call. What else may be raised: AccessDeniedError,
    CredentialsError, CertificateError, NotFoundError, InvalidRequestError, ClosedError, and UnknownCodeError for a
    code that the connector does not know.

    ``clock`` is epoch seconds; ``random`` is in [0, 1); without ``sleep`` the waits end when the client is
    closed.
    """

    def __init__(
        self,
        *,
        region_name: str | None = None,
        endpoint_url: str | None = None,
        session: botocore.session.Session | None = None,
        max_connections: int = 32,
        max_attempts: int = 4,
        connect_timeout: float = 5.0,
        read_timeout: float = 10.0,
        backoff: Backoff | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], object] | None = None,
        random: Callable[[], float] = random_module.random,
    ) -> None:
        for name, value in (("max_connections", max_connections), ("max_attempts", max_attempts)):
            if value < 1:
                raise InvalidOptionError(f"{name}={value!r}: use 1 or more")
        for name, seconds in (("connect_timeout", connect_timeout), ("read_timeout", read_timeout)):
            if not seconds > 0:
                raise InvalidOptionError(f"{name}={seconds!r}: use more than 0 seconds")
        self._caller = Caller(
            session or botocore.session.Session(),
            region_name=region_name,
            endpoint_url=endpoint_url,
            max_connections=max_connections,
            max_attempts=max_attempts,
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
            backoff=backoff or Backoff(),
            clock=clock,
            sleep=sleep,
            random=random,
        )
        self.region_name = self._caller.region_name
        self.calls = self._caller.counts
        self._lock = threading.Lock()
        self._timestamps_proven = False
        self._unproven: dict[str, CallPlace] = {}

    def describe_table(self, table: str) -> Table:
        """The table's latest stream, if it has one. NotFoundError for an unknown table."""
        return self._caller.call(
            "DescribeTable",
            {"TableName": table},
            decode_table,
            CallPlace(resource=f"table {table}"),
            service="dynamodb",
        )

    def describe_stream(
        self,
        stream_arn: str,
        *,
        limit: int | None = None,
        exclusive_start_shard_id: str | None = None,
        children_of: str | None = None,
    ) -> StreamPage:
        """One page of the stream's shards (100 at most), or of ``children_of``'s children only.

        Ten calls a second is the service's limit. The listing is not the truth (fact 6). Raises
        ShardFilterError when the endpoint refuses the filter, or answers as if there were none, as moto
        does.
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

        def refused_filter(_: Fault) -> ServiceError:
            return ShardFilterError(
                "the endpoint does not know ShardFilter CHILD_SHARDS", stream=stream_arn, shard=children_of
            )

        page = self._caller.call("DescribeStream", parameters, decode_stream, place, unknown_parameter=refused_filter)
        if any(shard.parent_shard_id != children_of for shard in page.shards):
            raise ShardFilterError(
                "the endpoint ignores ShardFilter CHILD_SHARDS", stream=stream_arn, shard=children_of
            )
        return page

    def listing(self, stream_arn: str) -> Iterator[StreamPage]:
        """The pages of one whole listing, asked for as they are taken; in a circle of pages (fact 6) each comes once.

        It may leave shards out (fact 6). Raises what :meth:`describe_stream` does.
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
        """An iterator, valid for 15 minutes, up to 2,048 characters.

        ``iterator_type`` is TRIM_HORIZON, LATEST, AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER (with
        ``sequence_number``) or AT_TIMESTAMP (with ``timestamp``, epoch seconds, sent in whole milliseconds
        rounded down; the first record created at or after it, the trim horizon when it is older).

        Raises TrimmedDataError for a sequence number past the trim horizon (fact 10), NotFoundError for a
        shard that is gone (fact 11), IteratorTypeError for AT_TIMESTAMP on an endpoint that does not know
        it; some endpoints show that only when the iterator is read, so ``get_records`` raises it too.
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

        def refused_type(fault: Fault) -> ServiceError | None:
            # A time in the future is refused with the same code by an endpoint that does know AT_TIMESTAMP.
            if "shardIteratorType" in fault.message or "AT_TIMESTAMP" in fault.message:
                return _unknown_type(place)
            future = "future" in fault.message.lower() or timestamp > self.service_time()
            return None if future else _unknown_type(place)

        try:
            iterator = self._caller.call(
                "GetShardIterator", parameters, decode_iterator, place, unknown_parameter=refused_type
            )
        except UnavailableError as error:
            # DynamoDB Local answers HTTP 500.
            if error.code is not None and not self._timestamps_proven and self._reads_horizon(place, get=False):
                raise _unknown_type(place) from error
            raise
        with self._lock:
            if not self._timestamps_proven and len(self._unproven) < _UNPROVEN_LIMIT:
                self._unproven[iterator] = place
        return iterator

    def get_records(self, iterator: str, *, limit: int = 1000, stream_arn: str = "", shard_id: str = "") -> RecordsPage:
        """One page: at most ``limit`` (1,000) records or 1 MB, in the shard's order; billed, empty or not.

        A repeat of the call with the same iterator brings the same records again. Raises
        ExpiredIteratorError (fact 9), TrimmedDataError (fact 10), NotFoundError (fact 11), and
        IteratorTypeError for an AT_TIMESTAMP iterator that the endpoint gave without knowing the type.
        ``stream_arn`` and ``shard_id`` name the place in errors.
        """
        place = CallPlace(stream_arn or None, shard_id or None, None, stream_arn or None)
        parameters = {"ShardIterator": iterator, "Limit": limit}
        unproven = self._unproven.get(iterator)
        try:
            page = self._caller.call("GetRecords", parameters, decode_records, place)
        except UnavailableError as error:
            # moto gives the iterator and answers HTTP 500 to whoever reads it.
            if unproven is not None and error.code is not None and self._reads_horizon(unproven, get=True):
                raise _unknown_type(unproven) from error
            raise
        if unproven is not None:
            with self._lock:
                self._timestamps_proven = True
                self._unproven.clear()
        return page

    def service_time(self) -> float:
        """Epoch seconds by the service's clock: never ahead of it, at most a second and a round trip behind.

        Known from any answer's ``Date`` header; the local clock before the first answer.
        """
        return self._caller.clock.now()

    def close(self) -> None:
        """Cut the pooled connections and end waits; later calls raise ClosedError. Idempotent.

        A request in flight ends with its answer or time-out, and is not repeated.
        """
        self._caller.close()

    def _reads_horizon(self, place: CallPlace, *, get: bool) -> bool:
        """Does the same call work with a TRIM_HORIZON iterator? Then the fault is AT_TIMESTAMP's."""
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


def _milliseconds(timestamp: float) -> int | float:
    milliseconds = math.floor(timestamp * 1000)
    return milliseconds // 1000 if milliseconds % 1000 == 0 else milliseconds / 1000


def _unknown_type(place: CallPlace) -> IteratorTypeError:
    return IteratorTypeError("the endpoint does not know AT_TIMESTAMP", stream=place.stream, shard=place.shard)
