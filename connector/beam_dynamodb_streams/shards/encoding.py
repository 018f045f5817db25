"""The stored form of a frontier: a version byte, then MessagePack. A promise: golden bytes are in ``tests/compat``.

Shard ids of the service's form and sequence numbers are packed to their numbers, so that an open shard with the
finished ancestors that stay listed beside it takes less than 200 bytes. A shard iterator longer than
:data:`LONGEST_STORED_HINT` is left out: it is only a hint, and costs one call to replace.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

import msgspec

from beam_dynamodb_streams.errors import ConnectorError
from beam_dynamodb_streams.shards.frontier import Finished, Frontier, Hint, Reading
from beam_dynamodb_streams.shards.position import TRIM_HORIZON, After, AtTime, End, Horizon, Position, StartPosition

VERSION: Final = 1
SHARED_VERSION: Final = 2  # with awaited shards: a release that knew none would leave them unread
ADOPTING_VERSION: Final = 3  # with unconfirmed shards, likewise
VERSIONS: Final = (VERSION, SHARED_VERSION, ADOPTING_VERSION)
LONGEST_STORED_HINT: Final = 512  # characters

_SHARD_ID: Final = re.compile(r"shardId-([0-9]{20})-([0-9a-f]{8})")
_NUMBER: Final = re.compile(r"0|[1-9][0-9]*")

# A name (shard id or sequence number) is its text, or a zero byte and its number where it has the service's form.
# A place is -1 for TRIM_HORIZON, a second for a moment, a name for a sequence number; an end is its children's start
# in a list.
_Name = bytes
_Place = int | bytes | list[int]
_NUMERIC: Final = b"\0"


class _Reading(msgspec.Struct, array_like=True):
    shard: _Name
    position: _Place
    watermark: int
    iterator: str | None
    second: int


class _Finished(msgspec.Struct, array_like=True):
    shard: _Name
    second: int
    children: int | None


class _Saved(msgspec.Struct, array_like=True):
    shard: _Name
    position: _Place


class _Frontier(msgspec.Struct, array_like=True):
    start: int
    shards: list[_Reading]
    finished: list[_Finished]
    saved: list[_Saved]
    remaining: int | None
    adopts: bool
    closed: bool


class _Awaited(msgspec.Struct, array_like=True):
    shard: _Name
    parent: _Name


class _SharedFrontier(msgspec.Struct, array_like=True):
    frontier: _Frontier
    awaited: list[_Awaited]


class _AdoptingFrontier(msgspec.Struct, array_like=True):
    frontier: _Frontier
    unconfirmed: list[_Name]


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(_Frontier)
_shared_decoder: Final = msgspec.msgpack.Decoder(_SharedFrontier)
_adopting_decoder: Final = msgspec.msgpack.Decoder(_AdoptingFrontier)


def encode_frontier(frontier: Frontier) -> bytes:
    """Deterministic: equal frontiers with equal hints give equal bytes."""
    stored = _Frontier(
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
    )
    if frontier.unconfirmed:  # of one that adopts, and only one that does not has awaited ones
        unconfirmed = [_pack_shard(shard) for shard in sorted(frontier.unconfirmed)]
        return bytes([ADOPTING_VERSION]) + _encoder.encode(_AdoptingFrontier(stored, unconfirmed))
    if not frontier.awaited:
        return bytes([VERSION]) + _encoder.encode(stored)
    awaited = [_Awaited(_pack_shard(shard), _pack_shard(frontier.awaited[shard])) for shard in sorted(frontier.awaited)]
    return bytes([SHARED_VERSION]) + _encoder.encode(_SharedFrontier(stored, awaited))


def decode_frontier(data: bytes) -> Frontier:
    """The inverse of :func:`encode_frontier`. Raises :class:`ConnectorError` for bytes that are not a frontier."""
    version = data[0] if data else None
    if version not in VERSIONS:
        raise ConnectorError(
            f"stored frontier has version {version}, this release reads {VERSION} to {VERSIONS[-1]}: "
            "resume with the release that wrote it, or newer"
        )
    body = memoryview(data)[1:]
    try:
        if version == VERSION:
            return _unpack(_decoder.decode(body))
        if version == ADOPTING_VERSION:
            adopting = _adopting_decoder.decode(body)
            return replace(_unpack(adopting.frontier), unconfirmed=frozenset(map(_shard, adopting.unconfirmed)))
        shared = _shared_decoder.decode(body)
        awaited = {_shard(entry.shard): _shard(entry.parent) for entry in shared.awaited}
        return replace(_unpack(shared.frontier), awaited=awaited)
    except (msgspec.DecodeError, UnicodeDecodeError, IndexError) as error:
        raise ConnectorError(f"stored frontier is damaged: {error}") from error


def _unpack(stored: _Frontier) -> Frontier:
    return Frontier(
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
    if match is None or (number := int(match[1])) >= 1 << 64:
        return shard.encode()
    return _NUMERIC + number.to_bytes(8, "big") + bytes.fromhex(match[2])


def _shard(name: _Name) -> str:
    if not name.startswith(_NUMERIC):
        return name.decode()
    return f"shardId-{int.from_bytes(name[1:9], 'big'):020d}-{name[9:].hex()}"


def _pack_position(position: Position) -> _Place:
    match position:
        case After(sequence_number):
            if _NUMBER.fullmatch(sequence_number) is None:
                return sequence_number.encode()
            number = int(sequence_number)
            return _NUMERIC + number.to_bytes((number.bit_length() + 7) // 8, "big")
        case End(children):
            return [_pack_start(children)]
        case start:
            return _pack_start(start)


def _position(place: _Place) -> Position:
    if isinstance(place, int):
        return _start(place)
    if isinstance(place, list):
        return End(_start(place[0]))
    return After(str(int.from_bytes(place[1:], "big")) if place.startswith(_NUMERIC) else place.decode())


def _pack_start(start: StartPosition) -> int:
    return -1 if isinstance(start, Horizon) else start.second


def _start(second: int) -> StartPosition:
    return TRIM_HORIZON if second < 0 else AtTime(second)
