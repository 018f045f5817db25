"""Beam's coders for whatever a runner stores of a read: thin covers of pure functions with versioned bytes."""

from __future__ import annotations

from typing import Final

from apache_beam import coders

from beam_dynamodb_streams.errors import ConnectorError
from beam_dynamodb_streams.records.beam_coders import OwnCoder
from beam_dynamodb_streams.shards.encoding import decode_frontier, encode_frontier
from beam_dynamodb_streams.shards.frontier import Frontier
from beam_dynamodb_streams.shards.stream_position import StreamPosition
from beam_dynamodb_streams.source.stream_read import StreamRead, decode_stream_read, encode_stream_read

WATERMARK_VERSION: Final = 1


class FrontierCoder(OwnCoder):
    hint = Frontier

    def encode(self, value: Frontier) -> bytes:
        return encode_frontier(value)

    def decode(self, encoded: bytes) -> Frontier:
        return decode_frontier(encoded)


class StreamReadCoder(OwnCoder):
    hint = StreamRead

    def encode(self, value: StreamRead) -> bytes:
        return encode_stream_read(value)

    def decode(self, encoded: bytes) -> StreamRead:
        return decode_stream_read(encoded)


class WatermarkCoder(OwnCoder):
    """Microseconds since the epoch: a version byte, then eight bytes, big end first, signed."""

    hint = int

    def encode(self, value: int) -> bytes:
        return bytes([WATERMARK_VERSION]) + value.to_bytes(8, "big", signed=True)

    def decode(self, encoded: bytes) -> int:
        if len(encoded) != 9 or encoded[0] != WATERMARK_VERSION:
            raise ConnectorError(
                f"stored watermark {encoded.hex()} is not of version {WATERMARK_VERSION}: "
                "resume with the release that wrote it, or newer"
            )
        return int.from_bytes(encoded[1:], "big", signed=True)


class StreamPositionCoder(OwnCoder):
    """A saved position's own JSON text."""

    hint = StreamPosition

    def encode(self, value: StreamPosition) -> bytes:
        return value.to_json().encode()

    def decode(self, encoded: bytes) -> StreamPosition:
        return StreamPosition.from_json(encoded.decode())


def register_coders() -> None:
    """Makes Beam pick these coders by type. Idempotent."""
    coders.registry.register_coder(StreamRead, StreamReadCoder)
    coders.registry.register_coder(StreamPosition, StreamPositionCoder)
