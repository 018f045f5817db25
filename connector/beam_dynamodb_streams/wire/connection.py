"""One HTTP connection of a pool: a request in one write, and a whole answer, or an error, in time.

urllib3 makes the connection, with its TLS and through its proxy. The usual answer is HTTP/1.1, with a Content-Length
and each header once. It is parsed here, in a tenth of the time of http.client, which parses all others.
"""

from __future__ import annotations

import http.client
import io
import re
import socket
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, Protocol

#: An answer may take longer than the read time-out only while it arrives at this many bytes a second or more: a page of
#: 1 MB on a slow line is progress, and an answer that trickles is a fault.
_LEAST_RATE: Final = 8_192
#: Seconds that no answer may take.
_LONGEST_ANSWER: Final = 180.0
_HEAD_BYTES: Final = 16 << 10  # read at once: a head, and the whole of most answers
_HEAD_END: Final = b"\r\n\r\n"
_USUAL_STATUS: Final = re.compile(r"HTTP/1\.1 ((?!204|304)[2-5][0-9]{2})(?: .*)?")  # these two have no body
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")
_LENGTH: Final = re.compile(r"[0-9]{1,12}")
_UNUSUAL: Final = frozenset({"transfer-encoding", "trailer", "upgrade"})
_LINE_END: Final = re.compile(r"[\r\n]")


class WholeAnswer:
    """An answer that has arrived. The names of its headers have small letters; it fits where urllib3 has its own."""

    version_string = "HTTP/1.1"
    length_remaining = 0

    def __init__(self, status: int, headers: Mapping[str, str], data: bytes) -> None:
        self.status = status
        self.headers = headers
        self.data = data


class _Socket(Protocol):
    def settimeout(self, value: float | None, /) -> None: ...

    def recv(self, at_most: int, /) -> bytes: ...

    def recv_into(self, buffer: Any, /) -> int: ...


class TimedReader(io.RawIOBase):
    """Reads a socket until a deadline. Each byte that arrives moves it, up to `_LONGEST_ANSWER` after the start.

    `before` has bytes that were read already, and come first.
    """

    def __init__(self, sock: _Socket, seconds: float, clock: Callable[[], float]) -> None:
        began = clock()
        self._socket = sock
        self._clock = clock
        self._seconds = seconds
        self._deadline = began + seconds
        self._last_deadline = began + max(seconds, _LONGEST_ANSWER)
        self.before = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        if self.before:
            count = min(len(buffer), len(self.before))
            buffer[:count] = self.before[:count]
            self.before = self.before[count:]
            return count
        self._wait_until_deadline()
        count = self._socket.recv_into(buffer)
        self._move_deadline(count)
        return count

    def read_some(self, at_most: int) -> bytes:
        """Return what arrives first; nothing at the end."""
        self._wait_until_deadline()
        found = self._socket.recv(at_most)
        self._move_deadline(len(found))
        return found

    def read_whole(self, length: int) -> bytes:
        """Return this many bytes, which are copied nowhere.

        Raises:
          http.client.IncompleteRead: the connection ended before.
        """
        # A buffer of one byte: a larger one would also read what follows.
        found = io.BufferedReader(self, 1).read(length)
        if len(found) < length:
            raise http.client.IncompleteRead(found, length - len(found))
        return found

    def _move_deadline(self, count: int) -> None:
        self._deadline += count / _LEAST_RATE

    def _wait_until_deadline(self) -> None:
        left = min(self._deadline, self._last_deadline) - self._clock()
        if left <= 0:
            raise TimeoutError("the answer trickles")
        self._socket.settimeout(min(left, self._seconds))


def usual_answer(reader: TimedReader) -> WholeAnswer | None:
    """Return the answer, or None if it is not a usual one. Then `reader.before` has all that was read of it.

    Raises:
      http.client.IncompleteRead: the connection ended inside the body.
    """
    read = b""
    while (end := read.find(_HEAD_END)) < 0:
        more = reader.read_some(_HEAD_BYTES)
        read += more
        ended = _HEAD_END not in read and (b"\n\n" in read or b"\n\r\n" in read)  # line feeds alone are allowed
        if not more or ended or len(read) > _HEAD_BYTES:
            reader.before = read
            return None
    head = parse_usual_head(read[:end])
    if head is None:
        reader.before = read
        return None
    status, length, headers = head
    begin = end + len(_HEAD_END)
    if len(read) - begin >= length:
        reader.before = read[begin + length :]
        return WholeAnswer(status, headers, read[begin : begin + length])
    reader.before = read[begin:]
    return WholeAnswer(status, headers, reader.read_whole(length))


def parse_usual_head(head: bytes) -> tuple[int, int, dict[str, str]] | None:
    """Return the status, the length of the body and the headers of a usual answer; None if this head is not one's."""
    first, *lines = head.decode("latin-1").split("\r\n")
    status = _USUAL_STATUS.fullmatch(first)
    if status is None or head.count(b"\n") != len(lines) or head.count(b"\r") != len(lines):
        return None
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        name = name.lower()
        if not colon or not _NAME.fullmatch(name) or name in headers or name in _UNUSUAL:
            return None
        headers[name] = value.strip(" \t")
    length = headers.get("content-length", "")
    if not _LENGTH.fullmatch(length):
        return None
    return int(status[1]), int(length), headers


class _TimedResponse(http.client.HTTPResponse):
    def __init__(
        self, sock: socket.socket, *args: Any, seconds: float, reader: TimedReader | None = None, **options: Any
    ) -> None:
        super().__init__(sock, *args, **options)
        self.fp.close()
        self.fp = io.BufferedReader(reader or TimedReader(sock, seconds, time.monotonic))


def timed(connection: Any, seconds: float, host: str) -> type:
    """Return a class of connections whose answers have a deadline, those of a proxy to CONNECT too.

    A socket's own time-out is for each of its reads, so an answer that trickles never meets it.

    Args:
      connection: urllib3's class of connections to the endpoint.
      seconds: the time-out of an answer.
      host: the header Host, as it is signed.
    """

    class TimedConnection(connection):
        def connect(self) -> None:
            self.response_class = partial(_TimedResponse, seconds=seconds)
            super().connect()

        def request(self, method: str, url: str, body: bytes, headers: Mapping[str, str], **_: Any) -> None:
            lines = [
                f"{method} {url} HTTP/1.1",
                f"Host: {host}",
                "Accept-Encoding: identity",
                f"Content-Length: {len(body)}",
                *(f"{name}: {value}" for name, value in headers.items()),
            ]
            if any(map(_LINE_END.search, lines)):
                raise ValueError("a header has a line end")
            head = "\r\n".join([*lines, "", ""]).encode("latin-1")
            if self.sock is None:
                self.connect()
            self.sock.settimeout(self.timeout)
            self.sock.sendall(head + body)

        def getresponse(self) -> WholeAnswer:
            reader = TimedReader(self.sock, seconds, time.monotonic)
            answer = usual_answer(reader)
            if answer is None:
                answer = self._any_answer(reader)
            elif reader.before or "close" in answer.headers.get("connection", "").lower():
                self.close()
            return answer

        def _any_answer(self, reader: TimedReader) -> WholeAnswer:
            response = _TimedResponse(self.sock, method="POST", seconds=seconds, reader=reader)
            with response:
                response.begin()
                headers: dict[str, str] = {}
                for name, value in response.headers.items():
                    known = headers.get(name.lower())
                    headers[name.lower()] = value if known is None else f"{known}, {value}"
                data = response.read()
                if response.will_close:
                    self.close()
            return WholeAnswer(response.status, headers, data)

    TimedConnection.__name__ = connection.__name__  # which errors show
    return TimedConnection
