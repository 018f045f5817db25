"""HTTP/2 without TLS on one connection, whose client knows that beforehand. h2 has the rules of the protocol."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from typing import Final

from beam_dynamodb_streams.kinesis.http1 import MOST_BODY
from beam_dynamodb_streams.kinesis.http_calls import Request, Response, refused
from beam_dynamodb_streams.kinesis.libraries import h2

#: What a client of HTTP/2 sends first.
PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

_FRAME_HEAD: Final = 9
_MOST_FRAME: Final = _FRAME_HEAD + 16_384  # what a client may send; h2 refuses a longer one
_DATA: Final = 0x0
_GOAWAY: Final = 0x7


class Http2:
    """One connection, with many requests at once. See `http1.Http1` for the arguments."""

    def __init__(
        self, transport: asyncio.Transport, respond: Callable[[Request, Callable[[Response], None]], None]
    ) -> None:
        self._transport = transport
        self._respond = respond
        config = h2.config.H2Configuration(client_side=False, header_encoding="utf-8", validate_inbound_headers=False)
        self._connection = h2.connection.H2Connection(config)
        self._connection.initiate_connection()
        self._arrived = bytearray()
        self._preface_left = len(PREFACE)
        self._leaving = False
        self._answering: set[int] = set()
        self._requests: dict[int, tuple[dict[str, str], bytearray]] = {}
        self._unsent: dict[int, memoryview] = {}  # what the client's windows have no room for yet
        self._flush()

    def data_received(self, data: bytes) -> None:
        try:
            for event in self._connection.receive_data(self._frames(data)):
                self._take(event)
        except h2.exceptions.ProtocolError:
            self._flush()
            self._transport.close()
            return
        self._flush()
        self._leave()

    def eof_received(self) -> None:
        self._transport.close()

    def _take(self, event: object) -> None:
        match event:
            case h2.events.RequestReceived(stream_id=stream, headers=headers):
                self._requests[stream] = ({str(name).lower(): str(value) for name, value in headers}, bytearray())
            case h2.events.DataReceived(stream_id=stream, data=data, flow_controlled_length=length):
                self._connection.acknowledge_received_data(length, stream)
                if stream in self._requests:
                    self._requests[stream][1].extend(data)
                    if len(self._requests[stream][1]) > MOST_BODY:
                        del self._requests[stream]
                        self._answer(stream, refused(413, "the request is too large\n"))
            case h2.events.StreamEnded(stream_id=stream) if stream in self._requests:
                named, body = self._requests.pop(stream)
                request = Request(named.get(":method", ""), named, bytes(body))
                self._answering.add(stream)
                self._respond(request, lambda response: self._answer(stream, response))
            case h2.events.StreamReset(stream_id=stream):
                self._requests.pop(stream, None)
                self._unsent.pop(stream, None)
            case h2.events.WindowUpdated() | h2.events.RemoteSettingsChanged():
                for stream in list(self._unsent):
                    self._send(stream)

    def _frames(self, data: bytes) -> bytes:
        """Return the whole frames that have arrived, without GOAWAY.

        Node's client says GOAWAY when it has sent its last request, and reads the response after that. h2 would take
        every later frame for an error.
        """
        self._arrived += data
        begin = min(self._preface_left, len(self._arrived))
        self._preface_left -= begin
        frames = [bytes(self._arrived[:begin])]
        while len(self._arrived) >= begin + _FRAME_HEAD:
            end = begin + _FRAME_HEAD + int.from_bytes(self._arrived[begin : begin + 3], "big")
            if len(self._arrived) < end and end - begin <= _MOST_FRAME:
                break
            if self._arrived[begin + 3] == _GOAWAY:
                self._leaving = True
            else:
                frames.append(bytes(self._arrived[begin:end]))
            begin = min(end, len(self._arrived))
        del self._arrived[:begin]
        return b"".join(frames)

    def _leave(self) -> None:
        """Close the connection of a client that is leaving, once all of its requests are answered."""
        if self._leaving and not self._requests and not self._unsent and not self._answering:
            self._transport.close()

    def _answer(self, stream: int, response: Response) -> None:
        self._answering.discard(stream)
        if self._transport.is_closing():
            return
        headers = [(":status", str(response.status)), *response.headers, ("content-length", str(len(response.body)))]
        try:
            self._connection.send_headers(stream, headers)
        except h2.exceptions.StreamClosedError:  # the client has given up
            return
        self._unsent[stream] = memoryview(response.body)
        self._send(stream)
        self._flush()
        self._leave()

    def _send(self, stream: int) -> None:
        """Send as much of a response as the client's windows take.

        The frames are written here: for a body of 1 MB, those of h2 cost more than all the rest of the answer. h2 keeps
        the windows, and the state of the stream.
        """
        body = self._unsent[stream]
        try:
            room = self._connection.local_flow_control_window(stream)
        except h2.exceptions.StreamClosedError:
            del self._unsent[stream]
            return
        now, later = body[:room], body[room:]
        frame = self._connection.max_outbound_frame_size
        parts: list[bytes | memoryview] = []
        for begin in range(0, len(now), frame):
            part = now[begin : begin + frame]
            parts += (struct.pack(">HBBBI", len(part) >> 8, len(part) & 0xFF, _DATA, 0, stream), part)
        self._connection.outbound_flow_control_window -= len(now)
        self._connection.streams[stream].outbound_flow_control_window -= len(now)
        self._flush()
        if parts and not self._transport.is_closing():
            self._transport.write(b"".join(parts))
        if len(later):
            self._unsent[stream] = later
        else:
            del self._unsent[stream]
            self._connection.end_stream(stream)
            self._flush()

    def _flush(self) -> None:
        if (data := self._connection.data_to_send()) and not self._transport.is_closing():
            self._transport.write(data)
