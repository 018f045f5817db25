"""The stored form of a frontier: a version byte, then MessagePack. A promise: golden bytes are in `tests/compat`.

Shard ids in the service's form and sequence numbers are stored as numbers. So an open shard, with the finished
ancestors that stay listed beside it, takes less than 200 bytes. A shard iterator longer than `LONGEST_STORED_HINT` is
left out: it is only a hint, and costs one call to replace.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from beam_dynamodb_streams.errors import ConnectorError
from beam_dynamodb_streams.shards.frontier import EARLIEST, Finished, Frontier, Hint, Reading
from beam_dynamodb_streams.shards.position import (
    TRIM_HORIZON,
    After,
    AtTime,
    End,
    Horizon,
    Position,
    ScanPlaces,
    StartPosition,
)
from beam_dynamodb_streams.shards.segments import TableScan, without_marks

VERSION: Final = 1
FOLLOWED_VERSION: Final = 2  # of a frontier that has left shards, or a stream, behind its watermark
SCANNED_VERSION: Final = 3  # with the scan of a table: a release that does not know it would never deliver the rows
LONGEST_STORED_HINT: Final = 512  # characters

_SHARD_ID: Final = re.compile(r"shardId-([0-9]{20})-([0-9a-f]{8})")
_NUMBER: Final = re.compile(r"0|[1-9][0-9]*")

# A name (shard id or sequence number) is its text, or a zero byte and its number where it has the service's form.
# A position is -1 for TRIM_HORIZON, a second for a moment, a name for a sequence number; an end is its children's start
# in a list.
_Name = bytes
_StoredPosition = int | bytes | list[int]
_NUMERIC: Final = b"\0"


class _Reading(msgspec.Struct, array_like=True):
    shard: _Name
    position: _StoredPosition
    watermark: int
    iterator: str | None
    second: int


class _Finished(msgspec.Struct, array_like=True):
    shard: _Name
    second: int
    children: int | None


class _Saved(msgspec.Struct, array_like=True):
    shard: _Name
    position: _StoredPosition


class _Awaited(msgspec.Struct, array_like=True):
    shard: _Name
    parent: _Name


class _Frontier(msgspec.Struct, array_like=True):
    stream_arn: str
    start: int
    shards: list[_Reading]
    finished: list[_Finished]
    saved: list[_Saved]
    remaining: int | None
    adopts: bool
    closed: bool
    awaited: list[_Awaited]
    unconfirmed: list[_Name]
    unlinked: list[_Name]


class _Followed(_Frontier, array_like=True):
    floor: int
    read_to: int


class _Scan(msgspec.Struct, array_like=True):
    table: str
    keys: tuple[str, ...]
    epoch: int
    total: int
    begun: int
    places: list[tuple[int, bytes]]
    rows: int
    replaced: int
    estimate: int
    consistent_since: int


class _Scanned(_Followed, array_like=True):
    scan: _Scan


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(_Frontier)
_followed_decoder: Final = msgspec.msgpack.Decoder(_Followed)
_scanned_decoder: Final = msgspec.msgpack.Decoder(_Scanned)
_scan_decoder: Final = msgspec.msgpack.Decoder(_Scan)


def encode_frontier(frontier: Frontier) -> bytes:
    """Return the stored form. Deterministic: equal frontiers with equal hints give equal bytes.

    Raises:
        ConnectorError: A shard id begins with NUL, which marks a number here.
    """
    fields = (
        frontier.stream_arn,
        _pack_start(frontier.start),
        [_pack_reading(shard, frontier.shards[shard]) for shard in sorted(frontier.shards)],
        [
            _Finished(_pack_shard(shard), done.second, None if done.children is None else _pack_start(done.children))
            for shard, done in sorted(frontier.finished.items(), key=lambda item: item[0])
        ],
        [_Saved(_pack_shard(shard), _pack_position(frontier.saved[shard])) for shard in sorted(frontier.saved)],
        frontier.remaining,
        frontier.adopts,
        frontier.closed,
        [_Awaited(_pack_shard(shard), _pack_shard(frontier.awaited[shard])) for shard in sorted(frontier.awaited)],
        [_pack_shard(shard) for shard in sorted(frontier.unconfirmed)],
        [_pack_shard(shard) for shard in sorted(frontier.unlinked)],
    )
    if frontier.scan is not None:
        scanned = _Scanned(*fields, frontier.floor, frontier.read_to, _pack_scan(frontier.scan))
        return bytes([SCANNED_VERSION]) + _encoder.encode(scanned)
    if frontier.floor == frontier.read_to == EARLIEST:
        return bytes([VERSION]) + _encoder.encode(_Frontier(*fields))
    return bytes([FOLLOWED_VERSION]) + _encoder.encode(_Followed(*fields, frontier.floor, frontier.read_to))


def encode_scan(scan: TableScan) -> bytes:
    """Return the stored form of a scan alone, as an element has it before its frontier exists."""
    return _encoder.encode(_pack_scan(scan))


def decode_scan(data: bytes) -> TableScan:
    """Return the scan that `encode_scan` stored. Raises `ConnectorError` for damaged bytes."""
    try:
        return _scan(_scan_decoder.decode(data))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConnectorError(f"stored scan is damaged ({error}): start the job without its checkpoint") from error


def scan_places(scan: TableScan, watermark: int) -> ScanPlaces:
    """Return what progress keeps of a scan. Two of them compare by when they were delivered.

    Args:
        scan: The scan, with the places up to which its rows are delivered.
        watermark: The watermark of their delivery. It moves although a filter may pass no row of a page.
    """
    ended = scan.begun - len(scan.places)
    return ScanPlaces(max(0, watermark) + scan.rows + scan.replaced + scan.begun + ended, encode_scan(scan))


def saved_scan(saved: Mapping[str, Position]) -> TableScan | None:
    """Return the latest scan among saved positions, unless that snapshot is complete; None if there is none."""
    scans = [decode_scan(position.scan) for position in saved.values() if isinstance(position, ScanPlaces)]
    latest = max(scans, key=lambda scan: scan.epoch, default=None)
    return None if latest is None or latest.epoch <= without_marks(saved)[1] else latest


def decode_frontier(data: bytes) -> Frontier:
    """Return the frontier that `encode_frontier` stored.

    Raises:
        ConnectorError: The bytes are of a later version, or are not a frontier.
    """
    version = data[0] if data else None
    if version not in (VERSION, FOLLOWED_VERSION, SCANNED_VERSION):
        raise ConnectorError(
            f"stored frontier has version {version}, this release reads {VERSION} to {SCANNED_VERSION}: "
            "resume with the release that wrote it, or newer"
        )
    try:
        body = memoryview(data)[1:]
        scanned = _scanned_decoder.decode(body) if version == SCANNED_VERSION else None
        followed = _followed_decoder.decode(body) if version == FOLLOWED_VERSION else scanned
        stored = followed or _decoder.decode(body)
        return Frontier(
            stream_arn=stored.stream_arn,
            start=_start(stored.start),
            shards={
                _shard(entry.shard): Reading(
                    _position(entry.position),
                    entry.watermark,
                    None if entry.iterator is None else Hint(entry.iterator, entry.second),
                )
                for entry in stored.shards
            },
            finished={
                _shard(entry.shard): Finished(entry.second, None if entry.children is None else _start(entry.children))
                for entry in stored.finished
            },
            saved={_shard(entry.shard): _position(entry.position) for entry in stored.saved},
            remaining=stored.remaining,
            adopts=stored.adopts,
            closed=stored.closed,
            awaited={_shard(entry.shard): _shard(entry.parent) for entry in stored.awaited},
            unconfirmed=frozenset(map(_shard, stored.unconfirmed)),
            unlinked=frozenset(map(_shard, stored.unlinked)),
            floor=EARLIEST if followed is None else followed.floor,
            read_to=EARLIEST if followed is None else followed.read_to,
            scan=None if scanned is None else _scan(scanned.scan),
        )
    except (msgspec.DecodeError, UnicodeDecodeError, IndexError) as error:
        raise ConnectorError(
            f"stored frontier is damaged ({error}): start the job without its checkpoint or savepoint"
        ) from error


def _pack_scan(scan: TableScan) -> _Scan:
    return _Scan(
        scan.table,
        scan.keys,
        scan.epoch,
        scan.total,
        scan.begun,
        sorted(scan.places.items()),
        scan.rows,
        scan.replaced,
        scan.estimate,
        scan.consistent_since,
    )


def _scan(stored: _Scan) -> TableScan:
    return TableScan(
        stored.table,
        stored.keys,
        stored.epoch,
        stored.total,
        stored.begun,
        dict(stored.places),
        stored.rows,
        stored.replaced,
        stored.estimate,
        stored.consistent_since,
    )


def _pack_reading(shard: str, reading: Reading) -> _Reading:
    hint = reading.hint
    if hint is not None and len(hint.iterator) > LONGEST_STORED_HINT:
        hint = None
    return _Reading(
        _pack_shard(shard),
        _pack_position(reading.position),
        reading.watermark,
        hint.iterator if hint else None,
        hint.second if hint else 0,
    )


def _pack_shard(shard: str) -> _Name:
    match = _SHARD_ID.fullmatch(shard)
    if shard.startswith("\0"):
        raise ConnectorError(
            f"the shard id {shard!r} has a NUL character: no service gives such ids; check the endpoint"
        )
    if match is None or (number := int(match[1])) >= 1 << 64:
        return shard.encode()
    return _NUMERIC + number.to_bytes(8, "big") + bytes.fromhex(match[2])


def _shard(name: _Name) -> str:
    if not name.startswith(_NUMERIC):
        return name.decode()
    return f"shardId-{int.from_bytes(name[1:9], 'big'):020d}-{name[9:].hex()}"


def _pack_position(position: Position) -> _StoredPosition:
    match position:
        case After(sequence_number):
            if _NUMBER.fullmatch(sequence_number) is None:
                return sequence_number.encode()
            number = int(sequence_number)
            return _NUMERIC + number.to_bytes((number.bit_length() + 7) // 8, "big")
        case End(children):
            return [_pack_start(children)]
        case ScanPlaces():
            raise ValueError("the places of a scan are not the position of a shard")
        case start:
            return _pack_start(start)


def _position(stored: _StoredPosition) -> Position:
    if isinstance(stored, int):
        return _start(stored)
    if isinstance(stored, list):
        return End(_start(stored[0]))
    return After(str(int.from_bytes(stored[1:], "big")) if stored.startswith(_NUMERIC) else stored.decode())


def _pack_start(start: StartPosition) -> int:
    return -1 if isinstance(start, Horizon) else start.second


def _start(second: int) -> StartPosition:
    return TRIM_HORIZON if second < 0 else AtTime(second)
