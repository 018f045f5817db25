"""One call: sign, send, decode, and retry what passes by waiting. Every client of a service makes its calls here."""

from __future__ import annotations

import random as random_module
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypedDict, TypeVar

import botocore.session
import msgspec
from botocore.credentials import ReadOnlyCredentials

from beam_dynamodb_streams.errors import (
    ClosedError,
    DelayError,
    InvalidOptionError,
    InvalidRequestError,
    ServiceError,
    ThrottledError,
    UnavailableError,
)
from beam_dynamodb_streams.wire.clock import ServiceClock, steady_clock
from beam_dynamodb_streams.wire.counts import CallCounts
from beam_dynamodb_streams.wire.decode import IncompleteAnswerError
from beam_dynamodb_streams.wire.endpoint import AwsService, Endpoint, Endpoints, account_of
from beam_dynamodb_streams.wire.error_codes import Refusal, error_of, read_refusal
from beam_dynamodb_streams.wire.retry import Backoff
from beam_dynamodb_streams.wire.signing import Signer, from_source
from beam_dynamodb_streams.wire.transport import Answer, Transport

_T = TypeVar("_T")
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class CallPlace:
    """What a call is about, for its errors. `resource` is what a permission is needed on."""

    stream: str | None = None
    shard: str | None = None
    position: str | None = None
    resource: str | None = None


class CallerOptions(TypedDict, total=False):
    """The options of `Caller`, which the clients of both kinds of stream take too."""

    region_name: str | None
    endpoint_url: str | None
    session: botocore.session.Session | None
    max_connections: int
    max_attempts: int
    connect_timeout: float
    read_timeout: float
    backoff: Backoff | None
    clock: Callable[[], float] | None
    sleep: Callable[[float], object] | None
    random: Callable[[], float]


class Caller:
    """Calls services of AWS with one set of credentials, one clock and one retry rule. Thread-safe.

    Region, credentials and address come from botocore's default chain (environment, profile, SSO, role) unless they are
    given. A call is retried with jittered exponential back-off after a throttle, a 5xx answer, a dropped connection, a
    time-out and a cut-off body (trap 15). After `max_attempts` requests the DelayError of the last one is raised.
    Expired credentials are refreshed once a call, and so is a skewed clock corrected.

    Args:
      service: the service whose region and address are checked now; others are looked up at their first call.
      region_name: as in boto3.
      endpoint_url: serves every service that is called.
      session: the source of credentials and settings; by default a new one.
      max_connections: connections to each service that are kept open: as many as threads that call at once.
      max_attempts: requests in one call, the first included.
      connect_timeout: seconds.
      read_timeout: seconds.
      backoff: how long to wait between two requests of a call.
      clock: epoch seconds whose differences are durations; by default `wire.clock.steady_clock()`.
      sleep: waits for seconds; by default a wait that ends when the caller is closed.
      random: returns a number in [0, 1).
    """

    def __init__(
        self,
        service: AwsService,
        *,
        region_name: str | None = None,
        endpoint_url: str | None = None,
        session: botocore.session.Session | None = None,
        max_connections: int = 32,
        max_attempts: int = 4,
        connect_timeout: float = 5.0,
        read_timeout: float = 10.0,
        backoff: Backoff | None = None,
        clock: Callable[[], float] | None = None,
        sleep: Callable[[float], object] | None = None,
        random: Callable[[], float] = random_module.random,
    ) -> None:
        for name, value in (("max_connections", max_connections), ("max_attempts", max_attempts)):
            if value < 1:
                raise InvalidOptionError(f"{name}={value!r}: use 1 or more")
        for name, seconds in (("connect_timeout", connect_timeout), ("read_timeout", read_timeout)):
            if not seconds > 0:
                raise InvalidOptionError(f"{name}={seconds!r}: use more than 0 seconds")
        self._service = service
        self._session = session or botocore.session.Session()
        self._endpoint_url = endpoint_url
        self._max_connections = max_connections
        self._max_attempts = max_attempts
        self._timeouts = (connect_timeout, read_timeout)
        self._backoff = backoff or Backoff()
        self._random = random
        clock = clock or steady_clock()
        self._local_time = clock
        self._closed = threading.Event()
        self._sleep = sleep or self._closed.wait
        self._lock = threading.Lock()
        self.counts = CallCounts()
        self.clock = ServiceClock(clock)
        # Before the endpoints: botocore reads the credentials for them too, and fails with errors of another kind.
        self._signer = Signer(self._session, self.clock.signing)
        self._endpoints = Endpoints(self._session, service, region_name, endpoint_url)
        self.region_name = self._endpoints.region_name
        self.url = self._endpoints.default.url
        # Opened now, so that an address, a proxy or a CA bundle of no use is reported now.
        self._by_url: dict[str, Transport] = {self.url: self._open(self._endpoints.default)}
        self._transports: dict[tuple[str, str], tuple[Transport, str]] = {}

    def call(
        self,
        operation: str,
        parameters: dict[str, object],
        decode: Callable[[bytes], _T],
        place: CallPlace,
        *,
        service: AwsService | None = None,
        attempts: int | None = None,
        on_invalid_request: Callable[[Refusal], ServiceError | None] | None = None,
    ) -> _T:
        """Return the decoded answer, after at most `attempts` requests (by default `max_attempts`).

        `service` is by default the one that the caller was made for.

        `on_invalid_request` may return another error for a request that the endpoint refuses as invalid, which shows
        what the endpoint does not support. None keeps the InvalidRequestError.

        Raises:
          ServiceError: the class that `error_codes` has for the code, or what `decode` raises. An answer with status
            200 that `decode` finds incomplete, and that has a known error code, is that error.
          ClosedError: the caller was closed.
        """
        service = service or self._service
        body = _encode(parameters)
        account = account_of(parameters)
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
                answer = self._send(service, account, operation, body, credentials, place)
                incomplete = None
                if answer.status == 200:
                    try:
                        return decode(answer.body)
                    except IncompleteAnswerError as error:
                        incomplete = error
                refusal = read_refusal(answer.status, answer.error_type, answer.request_id, answer.body)
                if incomplete is not None and not refusal.known:
                    raise incomplete
                if refusal.skewed and not corrected and self.clock.correct_signing():
                    corrected = True
                elif refusal.renewable and not renewed and self._signer.renew(credentials):
                    renewed = True
                else:
                    raise _to_error(refusal, service, operation, place, on_invalid_request)
            except DelayError as error:
                error.operation = operation
                error.stream, error.shard, error.position = place.stream, place.shard, place.position
                if isinstance(error, ThrottledError):
                    self.counts.throttled(operation)
                failures += 1
                if failures >= (attempts or self._max_attempts):
                    raise
                self._sleep(self._backoff.delay(failures - 1, self._random))

    def close(self) -> None:
        """End waits and cut idle connections. Later calls raise ClosedError. Idempotent."""
        self._closed.set()
        with self._lock:
            transports = list(self._by_url.values())
        for transport in transports:
            transport.close()

    def _send(
        self,
        service: AwsService,
        account: str,
        operation: str,
        body: bytes,
        credentials: ReadOnlyCredentials,
        place: CallPlace,
    ) -> Answer:
        transport, region = self._transport(service, account)
        headers = {
            "X-Amz-Target": f"{service.target}.{operation}",
            "Content-Type": f"application/x-amz-json-{service.json_version}",
            "User-Agent": transport.user_agent,
        }
        self._signer.sign(service.signing_name, region, transport.url, headers, body, credentials)
        self.counts.called(operation)
        sent = self._local_time()
        try:
            answer = transport.post(headers, body)
        except UnavailableError as error:
            error.message = f"{_name(operation, place)}: {error.message}"
            raise
        self.clock.observe(answer.date, sent)
        return answer

    def _transport(self, service: AwsService, account: str) -> tuple[Transport, str]:
        """Return the connections for calls on resources of the account, and the region in their signatures."""
        found = self._transports.get((service.name, account))
        if found is None:
            # Outside the lock: botocore may have to refresh the credentials to learn their account.
            endpoint = from_source(lambda: self._endpoints.resolve(service, account))
            with self._lock:
                transport = self._by_url.get(endpoint.url) or self._open(endpoint)
                self._by_url[endpoint.url] = transport
                found = self._transports[service.name, account] = (transport, endpoint.signing_region)
        return found

    def _open(self, endpoint: Endpoint) -> Transport:
        connect_timeout, read_timeout = self._timeouts
        return Transport(
            endpoint,
            max_connections=self._max_connections,
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
        )


def _to_error(
    refusal: Refusal,
    service: AwsService,
    operation: str,
    place: CallPlace,
    on_invalid_request: Callable[[Refusal], ServiceError | None] | None,
) -> ServiceError:
    if on_invalid_request is not None and refusal.kind is InvalidRequestError:
        error = on_invalid_request(refusal)
        if error is not None:
            error.code = refusal.code
            return error
    return error_of(
        refusal,
        _name(operation, place),
        f"{service.permission(operation)} on {place.resource or 'the stream'}",
        stream=place.stream,
        shard=place.shard,
        position=place.position,
    )


def _name(operation: str, place: CallPlace) -> str:
    """Return what the call is named in an error. A stream is named at the error's end instead."""
    return operation if place.resource is None or place.stream is not None else f"{operation} on {place.resource}"
