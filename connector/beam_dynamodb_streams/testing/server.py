"""HTTP/1.1 on loopback: one event loop in one thread, and one answer at a time on each connection."""

from __future__ import annotations

import asyncio
import socket
import threading
import zlib
from collections.abc import Callable
from email.utils import formatdate
from typing import cast

from beam_dynamodb_streams.testing.answers import Answer, Request
from beam_dynamodb_streams.testing.calls import Call, Calls, NoAnswer

HOST = "127.0.0.1"
_MAX_HEAD = 65_536
_MAX_BODY = 4 * 1024 * 1024
_SEND_BUFFER = 4 * 1024 * 1024
_REASONS = {200: "OK", 400: "Bad Request", 500: "Internal Server Error", 503: "Service Unavailable"}


class Server:
    """Serves calls until it is stopped. With `port` 0 it takes any free port."""

    def __init__(self, calls: Calls, port: int) -> None:
        self._calls = calls
        self.port = port
        self._ready = threading.Event()
        self._failure: OSError | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name="local-streams", daemon=True)

    def start(self) -> None:
        """Start, and return when the port accepts connections. Raises OSError if the port is taken."""
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Close the port and every connection, and wait for the thread to end."""
        if self._loop is not None and self._stop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        connections: set[Connection] = set()
        try:
            listening = await self._loop.create_server(
                lambda: Connection(self._calls, connections), HOST, self.port, backlog=512
            )
            self.port = listening.sockets[0].getsockname()[1]
        except OSError as failure:
            self._failure = failure
            return
        finally:
            self._ready.set()
        async with listening:
            await self._stop.wait()
            for connection in list(connections):
                connection.abort()
        await asyncio.sleep(0)  # a transport closes its socket one turn after it was aborted


class Connection(asyncio.Protocol):
    """One client's connection."""

    def __init__(self, calls: Calls, connections: set[Connection]) -> None:
        self._calls = calls
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None
        self._call: Call | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._served = 0

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._connections.add(self)
        # A page fits into the buffer, so that it is sent in few system calls.
        peer = transport.get_extra_info("socket")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._connections.discard(self)
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()
        self._end()

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._call is None:
            self._next()

    def _next(self) -> None:
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            if len(self._received) > _MAX_HEAD:
                self.abort()
            return
        first, _, rest = bytes(self._received[:end]).partition(b"\r\n")
        headers = _headers(rest)
        method = first.partition(b" ")[0]
        size = headers.get(b"content-length", b"0")
        if method not in (b"POST", b"GET") or not size.isdigit() or int(size) > _MAX_BODY:
            self.abort()
            return
        total = end + 4 + int(size)
        if len(self._received) < total:
            return
        body = bytes(self._received[end + 4 : total])
        del self._received[:total]
        if method == b"GET":
            self._write(Answer(200, b"healthy: " + headers.get(b"host", b"localhost")), "text/plain")
            return
        target = headers.get(b"x-amz-target", b"").decode("latin-1")
        authorization = headers.get(b"authorization", b"").decode("latin-1")
        date = headers.get(b"x-amz-date", b"").decode("latin-1")
        request = Request(target, target.rpartition(".")[2], body, authorization, date)
        self._call = self._calls.begin(request)
        delay = self._calls.delay(self._call)
        if delay > 0:
            self._timer = self._loop.call_later(delay, self._answer)
        else:
            # Not at once, so that calls which arrived on other connections meanwhile count as simultaneous.
            self._loop.call_soon(self._answer)

    def _answer(self) -> None:
        self._timer = None
        if self._call is None or self._transport is None:
            return
        answer = self._calls.answer(self._call)
        if isinstance(answer, NoAnswer):
            self._timer = self._loop.call_later(answer.seconds, self.abort)
            return
        self._write(answer, "application/x-amz-json-1.0")
        self._end()
        if self._received and not self._transport.is_closing():
            self._next()

    def _end(self) -> None:
        if self._call is not None:
            self._calls.end(self._call)
            self._call = None

    def _write(self, answer: Answer, content_type: str) -> None:
        if self._transport is None:
            return
        self._served += 1
        body = answer.body
        crc = zlib.crc32(body) ^ answer.false_crc
        head = (
            f"HTTP/1.1 {answer.status} {_REASONS[answer.status]}\r\n"
            "Server: Server\r\n"
            f"Date: {_date(self._calls.clock)}\r\n"
            f"Content-Type: {content_type}\r\n"
            f"Content-Length: {len(body)}\r\n"
            "Connection: keep-alive\r\n"
            f"x-amzn-RequestId: {id(self):016X}{self._served:036X}\r\n"
            f"x-amz-crc32: {crc}\r\n\r\n"
        ).encode()
        if answer.cut:
            self._transport.write(head + body[: len(body) // 2])
            self._transport.close()
        elif len(body) < _MAX_HEAD:
            self._transport.write(head + body)
        else:
            self._transport.write(head)
            self._transport.write(body)


def _headers(lines: bytes) -> dict[bytes, bytes]:
    found = {}
    for line in lines.split(b"\r\n"):
        name, _, value = line.partition(b":")
        found[name.lower()] = value.strip()
    return found


def _date(clock: Callable[[], float]) -> str:
    return formatdate(int(clock()), usegmt=True)
