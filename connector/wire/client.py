"""The four calls of the reader, and nothing else of AWS."""

from __future__ import annotations

import math
import random as random_module
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import botocore.session
import msgspec
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import ClientError

from connector.errors import (
    ClosedError,
    DelayError,
    InvalidOptionError,
    IteratorTypeError,
    ServiceError,
    ShardFilterError,
    ThrottledError,
    UnavailableError,
)
from connector.wire import pages
from connector.wire.codes import RENEWABLE, UNKNOWN_PARAMETER, Fault, read_fault, to_error
from connector.wire.counts import CallCounts
from connector.wire.endpoint import Endpoint, resolve
from connector.wire.retry import Backoff, ServiceClock
from connector.wire.signing import Signer
from connector.wire.transport import Answer, Transport

_T = TypeVar("_T")
_encode = msgspec.json.Encoder().encode
_TARGETS = {"dynamodbstreams": "DynamoDBStreams_20120810", "dynamodb": "DynamoDB_20120810"}
# Unproven AT_TIMESTAMP iterators to remember: more than any stream's open shards at a start.
_UNPROVEN_LIMIT = 100_000


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a call reads, for its errors."""

    stream: str | None = None
    shard: str | None = None
    position: str | None = None
    resource: str | None = None


class Client:
    """DynamoDB Streams through one endpoint. Thread-safe: make one per process and endpoint.

    Region, credentials and address come from botocore's default chain (environment, profile, SSO, role)
    unless given; ``endpoint_url`` serves both DynamoDB and DynamoDB Streams. ``max_connections``
    connections are kept open: as many as threads call at once. Time-outs are seconds.

    Every call is repeated with jittered exponential back-off after a throttle, a 5xx answer, a dropped
    connection, a time-out and a cut-off body (fact 15): ``max_attempts`` requests at most, then the
    DelayError of the last one is raised and the caller comes again later. Expired credentials are refreshed
    and a skewed clock is corrected once a call. What else may be raised: AccessDeniedError,
    CredentialsError, NotFoundError, and botocore's ``ClientError`` untouched for a code that the reader
    does not know.

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
        self._session = session or botocore.session.Session()
        endpoint = resolve(self._session, "dynamodbstreams", region_name, endpoint_url)
        self.region_name = endpoint.region_name
        self.calls = CallCounts()
        self._endpoint_url = endpoint_url
        self._max_connections = max_connections
        self._max_attempts = max_attempts
        self._timeouts = (connect_timeout, read_timeout)
        self._backoff = backoff or Backoff()
        self._random = random
        self._closed = threading.Event()
        self._sleep = sleep or self._closed.wait
        self._clock = ServiceClock(clock)
        self._signer = Signer(self._session, endpoint.region_name, self._clock.signing)
        self._user_agent = endpoint.user_agent
        self._lock = threading.Lock()
        self._transports = {"dynamodbstreams": self._open(endpoint)}
        self._timestamps_proven = False
        self._unproven: dict[str, _Place] = {}

    def describe_table(self, table: str) -> pages.Table:
        """The table's latest stream, if it has one. NotFoundError for an unknown table."""
        return self._call(
            "DescribeTable",
            {"TableName": table},
            pages.decode_table,
            _Place(resource=f"table {table}"),
            service="dynamodb",
        )

    def describe_stream(
        self,
        stream_arn: str,
        *,
        limit: int | None = None,
        exclusive_start_shard_id: str | None = None,
        children_of: str | None = None,
    ) -> pages.StreamPage:
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
        place = _Place(stream=stream_arn, resource=stream_arn)
        if children_of is None:
            return self._call("DescribeStream", parameters, pages.decode_stream, place)
        parameters["ShardFilter"] = {"Type": "CHILD_SHARDS", "ShardId": children_of}

        def refused_filter(_: Fault) -> ServiceError:
            return ShardFilterError(
                "the endpoint does not know ShardFilter CHILD_SHARDS", stream=stream_arn, shard=children_of
            )

        page = self._call(
            "DescribeStream", parameters, pages.decode_stream, place, unknown_parameter=refused_filter
        )
        if any(shard.parent_shard_id != children_of for shard in page.shards):
            raise ShardFilterError(
                "the endpoint ignores ShardFilter CHILD_SHARDS", stream=stream_arn, shard=children_of
            )
        return page

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
        place = _Place(stream_arn, shard_id, sequence_number, stream_arn)
        if iterator_type != "AT_TIMESTAMP" or timestamp is None:
            return self._call("GetShardIterator", parameters, pages.decode_iterator, place)
        parameters["Timestamp"] = _milliseconds(timestamp)

        def refused_type(fault: Fault) -> ServiceError | None:
            # A time in the future is refused with the same code by an endpoint that does know AT_TIMESTAMP.
            if "shardIteratorType" in fault.message or "AT_TIMESTAMP" in fault.message:
                return _unknown_type(place)
            future = "future" in fault.message.lower() or timestamp > self.service_time()
            return None if future else _unknown_type(place)

        try:
            iterator = self._call(
                "GetShardIterator", parameters, pages.decode_iterator, place, unknown_parameter=refused_type
            )
        except UnavailableError as error:
            # DynamoDB Local answers HTTP 500.
            if (
                error.code is not None
                and not self._timestamps_proven
                and self._reads_horizon(place, get=False)
            ):
                raise _unknown_type(place) from error
            raise
        with self._lock:
            if not self._timestamps_proven and len(self._unproven) < _UNPROVEN_LIMIT:
                self._unproven[iterator] = place
        return iterator

    def get_records(
        self, iterator: str, *, limit: int = 1000, stream_arn: str = "", shard_id: str = ""
    ) -> pages.RecordsPage:
        """One page: up to ``limit`` (1,000 at most) records or 1 MB in the shard's order; billed, also when empty.

        A repeat of the call with the same iterator brings the same records again. Raises
        ExpiredIteratorError (fact 9), TrimmedDataError (fact 10), NotFoundError (fact 11), and
        IteratorTypeError for an AT_TIMESTAMP iterator that the endpoint gave without knowing the type.
        ``stream_arn`` and ``shard_id`` name the place in errors.
        """
        place = _Place(stream_arn or None, shard_id or None, None, stream_arn or None)
        parameters = {"ShardIterator": iterator, "Limit": limit}
        unproven = self._unproven.get(iterator)
        try:
            page = self._call("GetRecords", parameters, pages.decode_records, place)
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
        return self._clock.now()

    def close(self) -> None:
        """Cut the pooled connections and end waits; later calls raise ClosedError. Idempotent.

        A request in flight ends with its answer or time-out, and is not repeated.
        """
        self._closed.set()
        with self._lock:
            transports = list(self._transports.values())
        for transport in transports:
            transport.close()

    def _reads_horizon(self, place: _Place, *, get: bool) -> bool:
        """Does the same call work with a TRIM_HORIZON iterator? Then the fault is AT_TIMESTAMP's."""
        parameters: dict[str, object] = {
            "StreamArn": place.stream,
            "ShardId": place.shard,
            "ShardIteratorType": "TRIM_HORIZON",
        }
        try:
            iterator = self._call("GetShardIterator", parameters, pages.decode_iterator, place, attempts=1)
            if get:
                self._call(
                    "GetRecords",
                    {"ShardIterator": iterator, "Limit": 1},
                    pages.decode_records,
                    place,
                    attempts=1,
                )
        except ServiceError:
            return False
        return True

    def _call(
        self,
        operation: str,
        parameters: dict[str, object],
        decode: Callable[[bytes], _T],
        place: _Place,
        *,
        service: str = "dynamodbstreams",
        attempts: int | None = None,
        unknown_parameter: Callable[[Fault], ServiceError | None] | None = None,
    ) -> _T:
        body = _encode(parameters)
        failures = 0
        renewed = corrected = False
        while True:
            if self._closed.is_set():
                raise ClosedError(
                    f"{operation}: the client is closed", stream=place.stream, shard=place.shard
                )
            try:
                credentials = self._signer.credentials()
                answer = self._send(service, operation, body, credentials)
                if answer.status == 200:
                    return decode(answer.body)
                fault = read_fault(answer.status, answer.error_type, answer.request_id, answer.body)
                if fault.skewed and not corrected and self._clock.correct_signing():
                    corrected = True
                elif fault.code in RENEWABLE and not renewed and self._signer.renew(credentials):
                    renewed = True
                else:
                    raise _error(fault, operation, place, unknown_parameter)
            except DelayError as error:
                error.stream, error.shard, error.position = place.stream, place.shard, place.position
                if isinstance(error, ThrottledError):
                    self.calls.throttled(operation)
                failures += 1
                if failures >= (attempts or self._max_attempts) or self._closed.is_set():
                    raise
                self._sleep(self._backoff.delay(failures - 1, self._random))
            self.calls.retried(operation)

    def _send(self, service: str, operation: str, body: bytes, credentials: ReadOnlyCredentials) -> Answer:
        transport = self._transport(service)
        headers = {
            "X-Amz-Target": f"{_TARGETS[service]}.{operation}",
            "Content-Type": "application/x-amz-json-1.0",
            "User-Agent": self._user_agent,
        }
        self._signer.sign(transport.url, headers, body, credentials)
        self.calls.called(operation)
        answer = transport.post(headers, body)
        self._clock.observe(answer.date)
        return answer

    def _transport(self, service: str) -> Transport:
        transport = self._transports.get(service)
        if transport is None:
            with self._lock:
                transport = self._transports.get(service)
                if transport is None:
                    endpoint = resolve(self._session, service, self.region_name, self._endpoint_url)
                    transport = self._transports[service] = self._open(endpoint)
        return transport

    def _open(self, endpoint: Endpoint) -> Transport:
        connect_timeout, read_timeout = self._timeouts
        return Transport(
            endpoint,
            max_connections=self._max_connections,
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
        )


def _milliseconds(timestamp: float) -> int | float:
    milliseconds = math.floor(timestamp * 1000)
    return milliseconds // 1000 if milliseconds % 1000 == 0 else milliseconds / 1000


def _unknown_type(place: _Place) -> IteratorTypeError:
    return IteratorTypeError(
        "the endpoint does not know AT_TIMESTAMP", stream=place.stream, shard=place.shard
    )


def _error(
    fault: Fault,
    operation: str,
    place: _Place,
    unknown_parameter: Callable[[Fault], ServiceError | None] | None,
) -> ServiceError | ClientError:
    if unknown_parameter is not None and fault.code in UNKNOWN_PARAMETER:
        error = unknown_parameter(fault)
        if error is not None:
            error.code = fault.code
            return error
    return to_error(
        fault,
        operation,
        stream=place.stream,
        shard=place.shard,
        position=place.position,
        resource=place.resource,
    )
