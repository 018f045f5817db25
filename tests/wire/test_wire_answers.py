"""Answers in every form that HTTP allows: the usual one is parsed here, the others by http.client."""

from __future__ import annotations

import http.client
import io
import socket
import threading
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_dynamodb_streams.errors import UnavailableError
from beam_dynamodb_streams.wire import Client
from beam_dynamodb_streams.wire.connection import TimedReader, parse_usual_head, usual_answer

BODY = b'{"Records":[],"NextShardIterator":"next"}'
LENGTH = b"Content-Length: %d\r\n" % len(BODY)
CHUNKS = b"14\r\n" + BODY[:20] + b"\r\n" + b"%x\r\n" % len(BODY[20:]) + BODY[20:] + b"\r\n0\r\n\r\n"
KEPT = {
    "usual": b"HTTP/1.1 200 OK\r\n" + LENGTH + b"\r\n" + BODY,
    "without a reason": b"HTTP/1.1 200\r\n" + LENGTH + b"\r\n" + BODY,
    "odd names and spaces": b"HTTP/1.1 200 OK\r\ncOnTeNt-LeNgTh:%d\r\nX-Empty:\r\n\r\n" % len(BODY) + BODY,
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS,
    "after a 100": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n" + LENGTH + b"\r\n" + BODY,
    "a folded header": b"HTTP/1.1 200 OK\r\nX-Long: a\r\n b\r\n" + LENGTH + b"\r\n" + BODY,
    "a header twice": b"HTTP/1.1 200 OK\r\nVia: a\r\nVia: b\r\n" + LENGTH + b"\r\n" + BODY,
    "line feeds alone": b"HTTP/1.1 200 OK\n" + LENGTH.replace(b"\r", b"") + b"\n" + BODY,
    "a long head": b"HTTP/1.1 200 OK\r\nX-Long: " + b"a" * 40_000 + b"\r\n" + LENGTH + b"\r\n" + BODY,
}
CLOSED = {
    "to the end of the connection": b"HTTP/1.1 200 OK\r\n\r\n" + BODY,
    "of HTTP/1.0": b"HTTP/1.0 200 OK\r\n" + LENGTH + b"\r\n" + BODY,
    "with Connection: close": b"HTTP/1.1 200 OK\r\nConnection: close\r\n" + LENGTH + b"\r\n" + BODY,
    "with more behind it": KEPT["usual"] + b"HTTP/1.1 200 OK\r\n",
}
BROKEN = {
    "nothing": b"",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "half a body": KEPT["usual"][:-9],
    "half a chunk": KEPT["chunked"][:-19],
    "something else": b"SSH-2.0-OpenSSH_9.6\r\n",
}


class Raw:
    """A server that answers every request with the same bytes, in pieces of some length."""

    def __init__(self, answer: bytes, *, ends: bool, piece: int) -> None:
        self.connections = 0
        self._answer, self._ends, self._piece = answer, ends, piece
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection:
            while connection.recv(65536):
                for start in range(0, len(self._answer), self._piece):
                    connection.sendall(self._answer[start : start + self._piece])
                if self._ends:
                    return

    def close(self) -> None:
        self._server.close()


@pytest.fixture
def serve() -> Iterator[Callable[..., Raw]]:
    servers: list[Raw] = []

    def start(answer: bytes, *, ends: bool = False, piece: int = 1 << 20) -> Raw:
        servers.append(Raw(answer, ends=ends, piece=piece))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.mark.parametrize("piece", [1 << 20, 7])
@pytest.mark.parametrize("name", KEPT)
def test_an_answer_is_read_and_its_connection_kept(serve, make_client: Callable[..., Client], name: str, piece: int):
    server = serve(KEPT[name], piece=piece)
    client = make_client(endpoint_url=server.url, max_attempts=1)
    assert [client.get_records("i").next_iterator for _ in range(3)] == ["next"] * 3
    assert server.connections == 1


@pytest.mark.parametrize("name", CLOSED)
def test_an_answer_is_read_and_its_connection_is_not_used_again(serve, make_client: Callable[..., Client], name: str):
    server = serve(CLOSED[name], ends="end" in name)
    client = make_client(endpoint_url=server.url, max_attempts=1)
    assert [client.get_records("i").next_iterator for _ in range(3)] == ["next"] * 3
    assert server.connections == 3


@pytest.mark.parametrize("name", BROKEN)
def test_an_answer_that_breaks_off_is_a_fault_that_passes(serve, make_client: Callable[..., Client], name: str):
    client = make_client(endpoint_url=serve(BROKEN[name], ends=True).url, max_attempts=1)
    with pytest.raises(UnavailableError, match=r"did not answer|cut off or garbled"):
        client.get_records("i")


class Received:
    """A socket from which some bytes arrive."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def settimeout(self, value: float | None, /) -> None: ...

    def recv(self, at_most: int, /) -> bytes:
        return self._data.read(at_most)

    def recv_into(self, buffer: memoryview, /) -> int:
        return self._data.readinto(buffer)

    def makefile(self, _: str) -> io.BytesIO:
        return self._data


tokens = st.text("aZ09!#$%&'*+.^_`|~-", min_size=1, max_size=8)
parts = st.sampled_from([": ", ":", " ", "\t", "\r\n", "\n", "\r", "chunked", "Content-Length", "HTTP/1.1 200 OK", "é"])


@given(st.lists(tokens | parts, max_size=12), st.integers(0, 9))
def test_a_head_that_is_parsed_here_means_the_same_to_http_client(pieces: list[str], length: int):
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n{''.join(pieces)}".encode("latin-1")
    answer = usual_answer(TimedReader(Received(head + b"\r\n\r\n" + b"b" * 9), 10.0, lambda: 0.0))
    if answer is None:
        return
    oracle = http.client.HTTPResponse(Received(head + b"\r\n\r\n" + b"b" * 9), method="POST")  # type: ignore[arg-type]
    oracle.begin()
    assert (answer.status, answer.data) == (oracle.status, oracle.read())
    assert answer.headers == {name.lower(): value.strip(" \t") for name, value in oracle.headers.items()}


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 204 No Content\r\nContent-Length: 0",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5",
        b"HTTP/1.1 200 OK\r\nContent-Length : 5",
        b"HTTP/2 200 OK\r\nContent-Length: 5",
    ],
)
def test_an_unusual_head_is_left_to_http_client(head: bytes):
    assert parse_usual_head(head) is None
