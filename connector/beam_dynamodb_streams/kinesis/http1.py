"""HTTP/1.1 on one connection: one request after the other. h11 has the rules of the protocol."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from beam_dynamodb_streams.kinesis.http_calls import Request, Response, refused
from beam_dynamodb_streams.kinesis.libraries import h11

#: Requests are far smaller: the longest member of one is an iterator.
MOST_BODY = 1024 * 1024


class Http1:
    """One connection.

    Args:
      transport: writes to the connection.
      respond: calls back with the response to a request, in the same thread, now or later.
    """

    def __init__(
        self, transport: asyncio.Transport, respond: Callable[[Request, Callable[[Response], None]], None]
    ) -> None:
        self._transport = transport
        self._respond = respond
        self._connection = h11.Connection(h11.SERVER)
        self._head: h11.Request | None = None
        self._body = bytearray()
        self._busy = False

    def data_received(self, data: bytes) -> None:
        self._connection.receive_data(data)
        self._proceed()

    def eof_received(self) -> None:
        self._connection.receive_data(b"")
        self._proceed()

    def _proceed(self) -> None:
        try:
            while not self._busy:
                event = self._connection.next_event()
                if event is h11.NEED_DATA or event is h11.PAUSED:
                    if self._connection.they_are_waiting_for_100_continue:
                        go_on = h11.InformationalResponse(status_code=100, headers=[])
                        self._write(self._connection.send(go_on))
                    return
                if isinstance(event, h11.ConnectionClosed):
                    self._transport.close()
                    return
                self._take(event)
        except h11.RemoteProtocolError as error:
            self._refuse(error.error_status_hint, f"this is not HTTP: {error}\n")

    def _take(self, event: object) -> None:
        if isinstance(event, h11.Request):
            self._head, self._body = event, bytearray()
        elif isinstance(event, h11.Data):
            self._body += event.data
            if len(self._body) > MOST_BODY:
                self._refuse(413, "the request is too large\n")
        elif isinstance(event, h11.EndOfMessage) and self._head is not None:
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in self._head.headers}
            self._busy = True
            self._respond(Request(self._head.method.decode("latin-1"), headers, bytes(self._body)), self._answer)

    def _answer(self, response: Response) -> None:
        if self._transport.is_closing():
            return
        headers = [*response.headers, ("content-length", str(len(response.body)))]
        self._write(self._connection.send(h11.Response(status_code=response.status, headers=headers)))
        # The body goes out beside h11, which would copy it.
        self._connection.send_with_data_passthrough(h11.Data(data=response.body))
        self._transport.write(response.body)
        self._write(self._connection.send(h11.EndOfMessage()))
        self._busy = False
        if self._connection.our_state is h11.MUST_CLOSE:
            self._transport.close()
            return
        self._connection.start_next_cycle()
        self._proceed()

    def _refuse(self, status: int, message: str) -> None:
        self._busy = True
        if self._connection.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            response = refused(status, message)
            headers = [*response.headers, ("content-length", str(len(response.body))), ("connection", "close")]
            self._write(self._connection.send(h11.Response(status_code=status, headers=headers)))
            self._write(self._connection.send(h11.Data(data=response.body)))
            self._write(self._connection.send(h11.EndOfMessage()))
        self._transport.close()

    def _write(self, data: bytes | None) -> None:
        if data:
            self._transport.write(data)
