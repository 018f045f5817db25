"""The element of the source: one stream to read, all moments resolved. Runners store it, so its form is a promise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec
from apache_beam import coders

from beam_dynamodb_streams.beam.coders import OwnCoder
from beam_dynamodb_streams.errors import ConnectorError
from beam_dynamodb_streams.shards.encoding import decode_frontier, decode_scan, encode_frontier, encode_scan
from beam_dynamodb_streams.shards.frontier import Frontier, begin
from beam_dynamodb_streams.shards.position import TRIM_HORIZON, Position, StartPosition
from beam_dynamodb_streams.shards.segments import TableScan
from beam_dynamodb_streams.shards.stream_position import StreamPosition

VERSION: Final = 1
SHARED_VERSION: Final = 2  # with a frontier or a scan: a release that does not support them would read something else


@dataclass(frozen=True, slots=True)
class StreamRead:
    """One stream to read.

    Attributes:
        run: The name of this read since its pipeline started. It keeps two reads of one stream in one process apart.
        stream_arn: The stream.
        start: Where it starts.
        saved: The positions of an earlier run, as in `StreamPosition`.
        stop: The last second to deliver; None without such an end.
        records: How many changes to deliver; None without such an end.
        frontier: The first frontier if several elements share the stream; None if this one reads all shards.
        until: The second up to which an earlier run had read everything, as in `StreamPosition`.
        epoch: The epoch of the snapshot that the changes follow, in milliseconds; 0 without one (`records.versions`).
        table_id: The id of the table when the read began; "" if it is not known.
        later: The positions of an earlier run in streams of the table that follow this one.
        scan: The scan of the table that is joined with the stream, as it begins; None without one.
    """

    run: str
    stream_arn: str
    start: StartPosition = TRIM_HORIZON
    saved: Mapping[str, Position] = field(default_factory=dict)
    stop: int | None = None
    records: int | None = None
    frontier: Frontier | None = None
    until: int | None = None
    epoch: int = 0
    table_id: str = ""
    later: tuple[StreamPosition, ...] = ()
    scan: TableScan | None = None

    def begin(self) -> Frontier:
        """Return the frontier with which the read begins, before it is shared."""
        return begin(self.start, stream_arn=self.stream_arn, saved=self.saved, remaining=self.records, scan=self.scan)

    def first_frontier(self) -> Frontier:
        """Return where this element begins: the whole read, or the element's own part of it."""
        return self.begin() if self.frontier is None else self.frontier

    def epoch_in(self, frontier: Frontier) -> int:
        """Return the epoch of what is delivered from this frontier: a read may begin a new snapshot."""
        return self.epoch if frontier.scan is None else frontier.scan.epoch

    def saved_in(self, stream_arn: str) -> Mapping[str, Position] | None:
        """Return the positions that an earlier run had in a stream that follows this one; None if it had none."""
        return next((each.shards for each in self.later if each.stream_arn == stream_arn), None)


class _Stored(msgspec.Struct, omit_defaults=True):
    version: int
    run: str
    position: str
    stop: int | None
    records: int | None
    frontier: bytes | None = None
    epoch: int = 0
    table_id: str = ""
    later: list[str] = []
    scan: bytes | None = None


_encoder: Final = msgspec.json.Encoder(order="sorted")
_decoder: Final = msgspec.json.Decoder(_Stored)


def encode_stream_read(element: StreamRead) -> bytes:
    """Return JSON text. The start has the text form of a saved position, the frontier its own stored form."""
    position = StreamPosition(element.stream_arn, element.start, element.saved, element.until).to_json()
    frontier = None if element.frontier is None else encode_frontier(element.frontier)
    scan = None if element.scan is None else encode_scan(element.scan)
    version = VERSION if frontier is None and scan is None else SHARED_VERSION
    later = [each.to_json() for each in element.later]
    return _encoder.encode(
        _Stored(
            version,
            element.run,
            position,
            element.stop,
            element.records,
            frontier,
            element.epoch,
            element.table_id,
            later,
            scan,
        )
    )


def decode_stream_read(data: bytes) -> StreamRead:
    try:
        stored = _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConnectorError(
            f"stored stream element is damaged ({error}): start the job without its checkpoint or savepoint"
        ) from error
    if stored.version not in (VERSION, SHARED_VERSION):
        raise ConnectorError(
            f"stored stream element has version {stored.version}, this release reads {VERSION} and {SHARED_VERSION}: "
            "resume with the release that wrote it, or newer"
        )
    position = StreamPosition.from_json(stored.position)
    return StreamRead(
        stored.run,
        position.stream_arn or "",
        position.start,
        position.shards,
        stored.stop,
        stored.records,
        None if stored.frontier is None else decode_frontier(stored.frontier),
        position.until,
        stored.epoch,
        stored.table_id,
        tuple(map(StreamPosition.from_json, stored.later)),
        None if stored.scan is None else decode_scan(stored.scan),
    )


class StreamReadCoder(OwnCoder):
    hint = StreamRead
    name = "stream_read:v1"

    def encode(self, value: StreamRead) -> bytes:
        return encode_stream_read(value)

    def decode(self, encoded: bytes) -> StreamRead:
        return decode_stream_read(encoded)


class StreamPositionCoder(OwnCoder):
    """A saved position's own JSON text."""

    hint = StreamPosition
    name = "stream_position:v1"

    def encode(self, value: StreamPosition) -> bytes:
        return value.to_json().encode()

    def decode(self, encoded: bytes) -> StreamPosition:
        return StreamPosition.from_json(encoded.decode(errors="replace"))


def register_coders() -> None:
    """Make Beam choose these coders by type. Idempotent."""
    coders.registry.register_coder(StreamRead, StreamReadCoder)
    coders.registry.register_coder(StreamPosition, StreamPositionCoder)
