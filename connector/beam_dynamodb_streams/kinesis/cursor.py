"""The shard iterators that consumers are given. Each carries its shard and its position, so nobody stores it. Pure.

So an iterator stays good when the server is started again, two consumers at one position share a page, and an error
names the shard and the sequence number.
"""

from __future__ import annotations

import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as BadBase64
from dataclasses import dataclass
from typing import Final, TypeAlias

from beam_dynamodb_streams.kinesis.faults import invalid_argument

#: How long an iterator can be used after it was returned. Those of Kinesis live five minutes; DynamoDB's live 15.
ITERATOR_SECONDS: Final = 15 * 60


@dataclass(frozen=True, slots=True)
class Oldest:
    """The oldest record that the stream still has (TRIM_HORIZON)."""

    def __str__(self) -> str:
        return "TRIM_HORIZON"


@dataclass(frozen=True, slots=True)
class Since:
    """The first record created at or after a moment, in epoch milliseconds.

    `latest` is 0, or a number of its own for each LATEST: two consumers that ask for it at one moment may not share a
    position, because a record may have been written between the two.
    """

    milliseconds: int
    latest: int = 0

    def __str__(self) -> str:
        return f"{'LATEST' if self.latest else 'AT_TIMESTAMP'} {self.milliseconds / 1000:.3f}"


@dataclass(frozen=True, slots=True)
class At:
    """The record with this sequence number, and those behind it."""

    number: int

    def __str__(self) -> str:
        return f"AT_SEQUENCE_NUMBER {self.number}"


@dataclass(frozen=True, slots=True)
class After:
    """What is behind the record with this sequence number."""

    number: int

    def __str__(self) -> str:
        return f"AFTER_SEQUENCE_NUMBER {self.number}"


Position: TypeAlias = Oldest | Since | At | After


@dataclass(frozen=True, slots=True)
class Cursor:
    """What an iterator says. `stream` identifies the stream, and `issued` is in epoch seconds."""

    stream: str
    shard: str
    position: Position
    issued: int


def encode_cursor(cursor: Cursor) -> str:
    """Return the iterator, of at most 512 characters."""
    match cursor.position:
        case Oldest():
            kind, number = "o", 0
        case Since(milliseconds, latest):
            kind, number = f"s{latest}", milliseconds
        case At(number):
            kind = "t"
        case After(number):
            kind = "f"
    text = f"{cursor.stream} {cursor.issued} {kind} {number} {cursor.shard}".encode()
    return urlsafe_b64encode(zlib.crc32(text).to_bytes(4, "big") + text).decode().rstrip("=")


def decode_cursor(iterator: str) -> Cursor:
    """Return what an iterator says.

    Raises:
      KinesisFault: it is not an iterator of this interface.
    """
    try:
        content = urlsafe_b64decode(iterator + "=" * (-len(iterator) % 4))
        text = content[4:] if zlib.crc32(content[4:]).to_bytes(4, "big") == content[:4] else b""
        stream, issued, kind, digits, shard = text.decode().split(" ", 4)
        return Cursor(stream, shard, _position(kind, int(digits)), int(issued))
    except (ValueError, BadBase64):
        raise invalid_argument(
            "Invalid ShardIterator: it is not an iterator of this interface; get one with GetShardIterator"
        ) from None


def _position(kind: str, number: int) -> Position:
    match kind:
        case "o":
            return Oldest()
        case "t":
            return At(number)
        case "f":
            return After(number)
    return Since(number, int(kind.removeprefix("s")))
