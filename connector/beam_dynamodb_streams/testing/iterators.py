"""Shard iterators: opaque, signed text in AWS's form, `<stream ARN>|1|<base64>`."""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from dataclasses import dataclass

MAX_LENGTH = 2048
_FIELDS = struct.Struct(">QQ")
_SEAL = 22  # the least characters of the seal: 128 bits


@dataclass(frozen=True, slots=True)
class IteratorContent:
    """The content of an iterator: a position in a shard, and when it was issued, in epoch milliseconds."""

    stream_arn: str
    shard_id: str
    position: int
    issued: int


@dataclass(frozen=True, slots=True)
class Iterators:
    """Writes and reads the iterators of one service. The same content always has the same text.

    `length` is the length of every iterator, or more where the content needs more. AWS returns iterators of about 300
    characters, and may return up to 2,048.
    """

    secret: bytes
    length: int = 300

    def write(self, content: IteratorContent) -> str:
        packed = base64.b64encode(_FIELDS.pack(content.position, content.issued) + content.shard_id.encode()).decode()
        head = f"{content.stream_arn}|1|{len(packed):03d}{packed}"
        missing = max(_SEAL, self.length - len(head))
        seal = hashlib.shake_128(self.secret + head.encode()).digest((missing * 3 + 3) // 4)
        return head + base64.b64encode(seal).decode()[:missing]

    def read(self, text: str) -> IteratorContent | None:
        """Return the content, or None for a text that this service did not write."""
        stream_arn, mark, rest = text.partition("|1|")
        try:
            packed = base64.b64decode(rest[3 : 3 + int(rest[:3])], validate=True)
            position, issued = _FIELDS.unpack_from(packed)
            content = IteratorContent(stream_arn, packed[_FIELDS.size :].decode(), position, issued)
        except (ValueError, binascii.Error, struct.error):
            return None
        return content if mark and self.write(content) == text else None
