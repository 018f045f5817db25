"""A request of HTTP becomes a response, whatever the version of HTTP. Pure, but for the call of the interface."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from beam_dynamodb_streams.kinesis.answers import Answer
from beam_dynamodb_streams.kinesis.bodies import Protocol, protocol_of
from beam_dynamodb_streams.kinesis.faults import KinesisFault
from beam_dynamodb_streams.kinesis.interface import Interface
from beam_dynamodb_streams.wire.kinesis_model import TARGET

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Request:
    """A request, with the names of its headers in lower case."""

    method: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class HttpCalls:
    """Answers requests. Thread-safe."""

    def __init__(self, interface: Interface) -> None:
        self._interface = interface

    def respond(self, request: Request) -> Response:
        """Return the response to a request. Errors are in the protocol of the request, or their type is lost."""
        protocol = protocol_of(request.headers.get("content-type", ""))
        try:
            return _response(protocol, 200, protocol.encode(self._answer(request, protocol)))
        except KinesisFault as found:
            fault = found
        except Exception as error:  # noqa: BLE001 - a consumer must get an answer, whatever the fault is here
            _log.exception("a request failed")
            fault = KinesisFault("InternalFailureException", f"{type(error).__name__}: {error}", 500)
        body = protocol.encode({"__type": fault.code, "message": fault.message})
        return _response(protocol, fault.status, body, fault.code)

    def _answer(self, request: Request, protocol: Protocol) -> Answer:
        service, _, operation = request.headers.get("x-amz-target", "").partition(".")
        if request.method != "POST" or service != TARGET:
            raise KinesisFault(
                "UnknownOperationException", f"this is the interface of Kinesis: POST with X-Amz-Target {TARGET}.…"
            )
        return self._interface.answer(operation, protocol.decode(request.body))


def refused(status: int, message: str) -> Response:
    """Return the response to what is not a request of Kinesis, or is too large."""
    return Response(status, (("content-type", "text/plain"),), message.encode())


def _response(protocol: Protocol, status: int, body: bytes, code: str = "") -> Response:
    headers = [("content-type", protocol.content_type), ("x-amzn-requestid", secrets.token_hex(16))]
    if code:
        headers.append(("x-amzn-errortype", code))
    return Response(status, tuple(headers), body)
