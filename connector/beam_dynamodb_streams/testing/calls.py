"""One call from its request to its answer: authentication, faults and counts."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Protocol

from beam_dynamodb_streams.testing.answers import Answer, Refusal, Request, parameters
from beam_dynamodb_streams.testing.faults import FaultRules, rate

Members = dict[str, object]

_MAX_SKEW = 300.0
_THROTTLES = {
    "LimitExceededException": "Too many operations for a given subscriber.",
    "ProvisionedThroughputExceededException": "The table's provisioned throughput was exceeded.",
    "ThrottlingException": "Rate exceeded",
}


@dataclass(frozen=True, slots=True)
class Counts:
    """What the service has done since it started, or since `LocalStreams.reset_counts`.

    Attributes:
        calls: Calls by operation. A call that met a fault counts too.
        faults: Faults that struck, by their name in `Faults`.
        refusals: Error answers, by error code.
        readers: The highest number of simultaneous GetRecords calls, by shard. The service allows two.
        pages: Answers to GetRecords.
        empty_pages: Answers to GetRecords without a record.
        page_bytes: Bytes of all answers to GetRecords.
    """

    calls: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    readers: Counter[str] = field(default_factory=Counter)
    pages: int = 0
    empty_pages: int = 0
    page_bytes: int = 0


@dataclass(slots=True, eq=False)
class Call:
    """A call under way. `resource` is the shard, stream or table that it names."""

    request: Request
    members: Members | Refusal
    resource: str
    crowded: bool = False


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """No answer: the connection closes after that many real seconds."""

    seconds: float = 0.0


class Operations(Protocol):
    """The operations of one API, or of several at one address."""

    def by_target(self) -> dict[str, Callable[[Members], bytes]]:
        """Return each operation by its X-Amz-Target."""

    def resource(self, members: Members) -> str:
        """Return what a call names, such as a shard, for faults and counts."""


class Calls:
    """Answers the requests of the HTTP server, and counts them."""

    def __init__(
        self,
        operations: Operations,
        rules: FaultRules,
        lock: threading.RLock,
        *,
        max_readers: int | None,
        checks_date: bool,
    ) -> None:
        self._operations = operations
        self._known = operations.by_target()
        self._rules = rules
        self.lock = lock
        self._max_readers = max_readers
        self._checks_date = checks_date
        self._reading: Counter[str] = Counter()
        self.clock = rules.clock
        self.reset()

    def reset(self) -> None:
        with self.lock:
            self._calls: Counter[str] = Counter()
            self._faults: Counter[str] = Counter()
            self._refusals: Counter[str] = Counter()
            self._readers: Counter[str] = Counter()
            self._pages = self._empty_pages = self._page_bytes = 0

    def counts(self) -> Counts:
        with self.lock:
            return Counts(
                Counter(self._calls),
                Counter(self._faults),
                Counter(self._refusals),
                Counter(self._readers),
                self._pages,
                self._empty_pages,
                self._page_bytes,
            )

    def begin(self, request: Request) -> Call:
        """Register a request that has arrived. It counts as under way until `end`."""
        members: Members | Refusal
        try:
            members = parameters(request.body)
            resource = self._operations.resource(members)
        except Refusal as refusal:
            members, resource = refusal, ""
        with self.lock:
            self._calls[request.operation] += 1
            crowded = False
            if request.operation == "GetRecords" and resource:
                self._reading[resource] += 1
                self._readers[resource] = max(self._readers[resource], self._reading[resource])
                crowded = self._max_readers is not None and self._reading[resource] > self._max_readers
        return Call(request, members, resource, crowded)

    def end(self, call: Call) -> None:
        """Unregister a call whose answer is sent, or whose connection is gone."""
        if call.request.operation == "GetRecords" and call.resource:
            with self.lock:
                self._reading[call.resource] -= 1

    def delay(self, call: Call) -> float:
        """Return the real seconds to wait before the answer."""
        return rate(self._rules.faults.latency, call.request.operation)

    def answer(self, call: Call) -> Answer | NoAnswer:
        with self.lock:
            if self._strikes("drop", call):
                return NoAnswer()
            if self._strikes("hang", call):
                return NoAnswer(self._rules.faults.hang_seconds)
            try:
                body = self._body(call)
            except Refusal as refusal:
                self._refusals[refusal.code] += 1
                return Answer(refusal.status, refusal.body())
            if call.request.operation == "GetRecords":
                self._pages += 1
                self._page_bytes += len(body)
                self._empty_pages += body.startswith(b'{"Records":[]')
            cut, false_crc = self._strikes("cut_body", call), self._strikes("bad_crc", call)
            return Answer(200, body, cut=cut, false_crc=false_crc)

    def _body(self, call: Call) -> bytes:
        operation = self._known.get(call.request.target)
        if operation is None:
            raise Refusal("UnknownOperationException", "")
        if not call.request.authorization:
            raise Refusal("MissingAuthenticationTokenException", "Request is missing Authentication Token")
        if self._checks_date:
            _check_date(call.request.date, self.clock())
        self._refuse(call)
        if isinstance(call.members, Refusal):
            raise call.members
        return operation(call.members)

    def _refuse(self, call: Call) -> None:
        name, resource = call.request.operation, call.resource
        if call.request.access_key in self._rules.expired_keys or self._strikes("expired_credentials", call):
            raise Refusal("ExpiredTokenException", "The security token included in the request is expired")
        if self._strikes("access_denied", call):
            service = "kinesis" if call.request.target.startswith("Kinesis") else "dynamodb"
            raise Refusal(
                "AccessDeniedException",
                "User: arn:aws:iam::000000000000:user/local is not authorized to perform: "
                f"{service}:{name} on resource: {resource or '*'} because no identity-based policy allows the "
                f"{service}:{name} action",
            )
        if call.crowded:
            raise Refusal("LimitExceededException", _THROTTLES["LimitExceededException"])
        if self._strikes("throttle", call):
            code = self._rules.dice("throttle_code", name, resource).choice(list(_THROTTLES))
            raise Refusal(code, _THROTTLES[code])
        if self._strikes("error", call):
            if self._rules.dice("error_code", name, resource).random() < 0.5:
                raise Refusal("InternalServerError", "The server encountered an internal error.", 500)
            raise Refusal("ServiceUnavailable", "The service is temporarily unavailable.", 503)

    def _strikes(self, fault: str, call: Call) -> bool:
        struck = self._rules.strikes(fault, call.request.operation, call.resource)
        if struck:
            self._faults[fault] += 1
        return struck


def _check_date(date: str, now: float) -> None:
    """Raise `Refusal` for a signature that is more than five minutes away from the service's clock."""
    try:
        signed = datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc).timestamp()
    except ValueError:
        raise Refusal("IncompleteSignatureException", f"Date must be in ISO-8601 basic format: {date!r}") from None
    if abs(signed - now) > _MAX_SKEW:
        age = "expired" if signed < now else "not yet current"
        theirs = datetime.fromtimestamp(now, timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        raise Refusal("InvalidSignatureException", f"Signature {age}: {date} is too far from {theirs}")
