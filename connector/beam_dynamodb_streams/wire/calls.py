"""One call: sign, send, decode, and say it again when that is all it takes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

import msgspec
from botocore.credentials import ReadOnlyCredentials
from botocore.session import Session

from beam_dynamodb_streams.errors import ClosedError, DelayError, InvalidRequestError, ServiceError, ThrottledError
from beam_dynamodb_streams.wire.counts import CallCounts
from beam_dynamodb_streams.wire.endpoint import Endpoint, resolve
from beam_dynamodb_streams.wire.error_codes import RENEWABLE, Fault, read_fault, to_error
from beam_dynamodb_streams.wire.retry import Backoff, ServiceClock
from beam_dynamodb_streams.wire.signing import Signer
from beam_dynamodb_streams.wire.transport import Answer, Transport

_T = TypeVar("_T")
Service = Literal["dynamodb", "dynamodbstreams"]
_TARGETS: dict[Service, str] = {
    "dynamodb": "DynamoDB_20120810",
    "dynamodbstreams": "DynamoDBStreams_20120810",
}
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class CallPlace:
    """Where a call reads, for its errors; ``resource`` is what a permission is asked for."""

    stream: str | None = None
    shard: str | None = None
    position: str | None = None
    resource: str | None = None


class Caller:
    """Calls both services with one set of credentials, one clock and one retry rule. Thread-safe."""

    def __init__(
        self,
        session: Session,
        *,
        region_name: str | None,
        endpoint_url: str | None,
        max_connections: int,
        max_attempts: int,
        connect_timeout: float,
        read_timeout: float,
        backoff: Backoff,
        clock: Callable[[], float],
        sleep: Callable[[float], object] | None,
        random: Callable[[], float],
    ) -> None:
        self._session = session
        self._endpoint_url = endpoint_url
        self._max_connections = max_connections
        self._max_attempts = max_attempts
        self._timeouts = (connect_timeout, read_timeout)
        self._backoff = backoff
        self._random = random
        self._local_time = clock
        self._closed = threading.Event()
        self._sleep = sleep or self._closed.wait
        self._lock = threading.Lock()
        self.counts = CallCounts()
        self.clock = ServiceClock(clock)
        self._signer = Signer(session, self.clock.signing)
        streams = resolve(session, "dynamodbstreams", region_name, endpoint_url)
        self.region_name = streams.region_name
        self._user_agent = streams.user_agent
        self._transports: dict[Service, Transport] = {"dynamodbstreams": self._open(streams)}

    def call(
        self,
        operation: str,
        parameters: dict[str, object],
        decode: Callable[[bytes], _T],
        place: CallPlace,
        *,
        service: Service = "dynamodbstreams",
        attempts: int | None = None,
        unknown_parameter: Callable[[Fault], ServiceError | None] | None = None,
    ) -> _T:
        """The decoded answer, after ``attempts`` (``max_attempts``) requests at most.

        ``unknown_parameter`` may turn the refusal of a parameter that the endpoint does not know into an
        error of its own; None leaves the refusal as it is.
        """
        body = _encode(parameters)
        failures = 0
        renewed = corrected = repeated = False
        while True:
            if self._closed.is_set():
                raise ClosedError(f"{operation}: the client is closed", stream=place.stream, shard=place.shard)
            if repeated:
                self.counts.retried(operation)
            repeated = True
            try:
                credentials = self._signer.credentials()
                answer = self._send(service, operation, body, credentials)
                if answer.status == 200:
                    return decode(answer.body)
                fault = read_fault(answer.status, answer.error_type, answer.request_id, answer.body)
                if fault.skewed and not corrected and self.clock.correct_signing():
                    corrected = True
                elif fault.code in RENEWABLE and not renewed and self._signer.renew(credentials):
                    renewed = True
                else:
                    raise _to_error(fault, operation, place, unknown_parameter)
            except DelayError as error:
                error.stream, error.shard, error.position = place.stream, place.shard, place.position
                if isinstance(error, ThrottledError):
                    self.counts.throttled(operation)
                failures += 1
                if failures >= (attempts or self._max_attempts):
                    raise
                self._sleep(self._backoff.delay(failures - 1, self._random))

    def close(self) -> None:
        """End waits and cut idle connections; later calls raise ClosedError. Idempotent."""
        self._closed.set()
        with self._lock:
            transports = list(self._transports.values())
        for transport in transports:
            transport.close()

    def _send(self, service: Service, operation: str, body: bytes, credentials: ReadOnlyCredentials) -> Answer:
        transport = self._transport(service)
        headers = {
            "X-Amz-Target": f"{_TARGETS[service]}.{operation}",
            "Content-Type": "application/x-amz-json-1.0",
            "User-Agent": self._user_agent,
        }
        self._signer.sign(self.region_name, transport.url, headers, body, credentials)
        self.counts.called(operation)
        sent = self._local_time()
        answer = transport.post(headers, body)
        self.clock.observe(answer.date, sent)
        return answer

    def _transport(self, service: Service) -> Transport:
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


def _to_error(
    fault: Fault,
    operation: str,
    place: CallPlace,
    unknown_parameter: Callable[[Fault], ServiceError | None] | None,
) -> ServiceError:
    if unknown_parameter is not None and fault.kind is InvalidRequestError:
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
