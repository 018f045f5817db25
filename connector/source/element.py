"""The element of the source: one stream to read, all moments fixed. Runners store it, so its form is a promise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

from connector.errors import ConnectorError
from connector.shards.position import TRIM_HORIZON, Position, StartPosition
from connector.shards.stream_position import StreamPosition

VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class StreamRead:
    """``run`` names the read since its pipeline started: two reads of one stream in one process stay apart.

    ``stop`` is the last second to deliver, ``records`` how many changes; None where there is no such end.
    """

    run: str
    stream_arn: str
    start: StartPosition = TRIM_HORIZON
    saved: Mapping[str, Position] = field(default_factory=dict)
    stop: int | None = None
    records: int | None = None


class _Stored(msgspec.Struct):
    version: int
    run: str
    position: str
    stop: int | None
    records: int | None


_encoder: Final = msgspec.json.Encoder(order="sorted")
_decoder: Final = msgspec.json.Decoder(_Stored)


def encode_stream_read(element: StreamRead) -> bytes:
    """JSON text; where the read starts is a saved position's own text."""
    position = StreamPosition(element.stream_arn, element.start, element.saved)
    return _encoder.encode(_Stored(VERSION, element.run, position.to_json(), element.stop, element.records))


def decode_stream_read(data: bytes) -> StreamRead:
    try:
        stored = _decoder.decode(data)
    except msgspec.DecodeError as error:
        raise ConnectorError(f"stored stream element is damaged: {error}") from error
    if stored.version != VERSION:
        raise ConnectorError(
            f"stored stream element has version {stored.version}, this release reads {VERSION}: "
            "resume with the release that wrote it, or newer"
        )
    position = StreamPosition.from_json(stored.position)
    return StreamRead(
        stored.run, position.stream_arn or "", position.start, position.shards, stored.stop, stored.records
    )
