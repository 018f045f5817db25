"""An endpoint on loopback that plays a script: one turn for each request, in order, the last one for ever."""

from __future__ import annotations

import json
import ssl
import threading
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ACCESS_KEY = "AKIDEXAMPLE"
SECRET_KEY = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
SESSION_TOKEN = "SessionTokenExample"


@dataclass(frozen=True)
class Turn:
    """One answer.

    `cut` leaves out the last bytes, `drop` everything; `hold` waits for `released`; `meanwhile` is called between the
    request and the answer.
    """

    body: Any = field(default_factory=dict)
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    date: float | None = None
    cut: int = 0
    drop: bool = False
    hold: bool = False
    meanwhile: Callable[[], object] | None = None

    @property
    def content(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


def refusal(code: str, message: str = "", status: int = 400, **more: Any) -> Turn:
    return Turn({"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": message}, status, **more)


@dataclass(frozen=True)
class Received:
    target: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int

    @property
    def parameters(self) -> dict[str, Any]:
        return json.loads(self.body)


class ScriptedEndpoint:
    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.script: Sequence[Turn] = [Turn()]
        self.received: list[Received] = []
        self.released = threading.Event()
        self._lock = threading.Lock()
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                turn = endpoint._next(self, body)
                if turn.meanwhile:
                    turn.meanwhile()
                if turn.hold:
                    endpoint.released.wait(30)
                if turn.drop:
                    self.close_connection = True
                    return
                content = turn.content
                headers = {
                    "Date": formatdate(turn.date, usegmt=True),
                    "Content-Type": "application/x-amz-json-1.0",
                    "Content-Length": str(len(content)),
                    "x-amz-crc32": str(zlib.crc32(content)),
                    "x-amzn-RequestId": "REQUEST",
                } | turn.headers
                head = f"HTTP/1.1 {turn.status} Said\r\n" + "".join(
                    f"{name}: {value}\r\n" for name, value in headers.items() if value
                )
                self.wfile.write(head.encode() + b"\r\n" + content[: len(content) - turn.cut])
                if turn.cut or headers.get("Connection") == "close":
                    self.close_connection = True

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        if context is not None:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"{'https' if context else 'http'}://127.0.0.1:{self.server.server_port}"
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def _next(self, handler: BaseHTTPRequestHandler, body: bytes) -> Turn:
        with self._lock:
            turn = self.script[min(len(self.received), len(self.script) - 1)]
            self.received.append(
                Received(
                    handler.headers.get("X-Amz-Target", ""),
                    handler.path,
                    dict(handler.headers.items()),
                    body,
                    handler.client_address[1],
                )
            )
        return turn

    def close(self) -> None:
        self.released.set()
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()
