"""Serves the interface on one port, for HTTP/1.1 and for HTTP/2 without TLS: the first bytes of a connection decide.

KCL 2 and 3 and the SDK for JavaScript speak HTTP/2 alone; KCL 1, boto3 and most others speak HTTP/1.1.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Final, Literal, cast

from typing_extensions import Self

from beam_dynamodb_streams.errors import InvalidOptionError
from beam_dynamodb_streams.kinesis.http1 import Http1
from beam_dynamodb_streams.kinesis.http2 import PREFACE, Http2
from beam_dynamodb_streams.kinesis.http_calls import HttpCalls, Request, Response
from beam_dynamodb_streams.kinesis.interface import Interface

HOST: Final = "127.0.0.1"

#: A page fits in, or asyncio would copy what is left of it.
SEND_BUFFER: Final = 4 * 1024 * 1024

#: Requests that are answered at once: as many as a client of DynamoDB Streams has connections.
THREADS: Final = 32


class KinesisServer:
    """A server for `interface`. It serves between `start` and `stop`, in a thread of its own.

    Args:
      interface: what answers.
      port: 0 for any free port.
      host: the address to listen on.
    """

    def __init__(self, interface: Interface, *, port: int = 0, host: str = HOST) -> None:
        self._calls = HttpCalls(interface)
        self._host = host
        self.port = port
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="kinesis-call")
        self._loop = asyncio.new_event_loop()
        self._started: Future[None] = Future()
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="kinesis-server", daemon=True)

    @property
    def endpoint_url(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self.port}"

    def start(self) -> None:
        """Start, and return once the port accepts connections. Raises OSError if the port is taken."""
        self._thread.start()
        self._started.result()

    def stop(self) -> None:
        """Close the port and every connection. Idempotent."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Literal[False]:
        self.stop()
        return False

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        connections: set[asyncio.Transport] = set()
        try:
            server = await self._loop.create_server(
                lambda: _Connection(self._respond, connections), self._host, self.port, backlog=1024
            )
        except OSError as error:
            self._started.set_exception(error)
            return
        self.port = server.sockets[0].getsockname()[1]
        self._started.set_result(None)
        await self._stopping.wait()
        server.close()
        for transport in list(connections):
            transport.abort()

    def _respond(self, request: Request, answer: Callable[[Response], None]) -> None:
        """Have a thread answer the request, since the answer may wait for the service."""
        task = self._loop.run_in_executor(self._pool, self._calls.respond, request)
        task.add_done_callback(lambda done: None if done.cancelled() else answer(done.result()))


class _Connection(asyncio.Protocol):
    """A connection until its first bytes have shown the version of HTTP, and then a handler of that version."""

    def __init__(
        self,
        respond: Callable[[Request, Callable[[Response], None]], None],
        connections: set[asyncio.Transport],
    ) -> None:
        self._respond = respond
        self._connections = connections
        self._first = b""
        self._http: Http1 | Http2 | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        self._connections.add(self._transport)

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - the signature of a protocol
        self._connections.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        if self._http is None:
            self._first += data
            if PREFACE.startswith(self._first) and len(self._first) < len(PREFACE):
                return
            self._http = (Http2 if self._first.startswith(PREFACE) else Http1)(self._transport, self._respond)
            data = self._first
        self._http.data_received(data)

    def eof_received(self) -> None:
        if self._http is not None:
            self._http.eof_received()


def check_host(host: str, *, allow_remote: bool) -> None:
    """Raise InvalidOptionError for an address that others can reach, unless `allow_remote`."""
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback and not allow_remote:
        raise InvalidOptionError(
            f"host={host!r} can be reached from other machines, and nobody is asked for credentials: everybody there "
            "could read the table's changes with yours. Use 127.0.0.1, or allow_remote=True behind a firewall"
        )
