"""Shard iterators: opaque, signed text in AWS's form, ``<stream ARN>|1|<base64>``."""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from dataclasses import dataclass

MAX_LENGTH = 2048
_FIELDS = struct.Struct(">QQ")
_SEAL = 22  # characters of seal at least: 128 bits


@dataclass(frozen=True, slots=True)
class Place:
    """What an iterator says: a position in a shard, and when it was issued in epoch milliseconds."""

    stream_arn: str
    shard_id: str
    position: int
    issued: int


@dataclass(frozen=True, slots=True)
class Iterators:
    """Writes and reads the iterators of one service; the text of a place is always the same.

    ``length`` is what every iterator has, or what its content needs where that is more; about 300 is what the
    service hands out, 2,048 the most that it may.
    """

    secret: bytes
    length: int = 300

    def write(self, place: Place) -> str:
        content = base64.b64encode(_FIELDS.pack(place.position, place.issued) + place.shard_id.encode()).decode()
        head = f"{place.stream_arn}|1|{len(content):03d}{content}"
        missing = max(_SEAL, self.length - len(head))
        seal = hashlib.shake_128(self.secret + head.encode()).digest((missing * 3 + 3) // 4)
        return head + base64.b64encode(seal).decode()[:missing]

    def read(self, text: str) -> Place | None:
        """The place; None for a text that this service did not write."""
        stream_arn, mark, rest = text.partition("|1|")
        try:
            content = base64.b64decode(rest[3 : 3 + int(rest[:3])], validate=True)
            position, issued = _FIELDS.unpack_from(content)
            place = Place(stream_arn, content[_FIELDS.size :].decode(), position, issued)
        except (ValueError, binascii.Error, struct.error):
            return None
        return place if mark and self.write(place) == text else None
