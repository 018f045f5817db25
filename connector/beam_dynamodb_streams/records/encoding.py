"""The stored bytes of a change record: what runners shuffle and store, and what pickles hold.

The bytes are a promise; tests/compat holds them. They are one version byte, then a msgpack array of the
`RecordFields` in their order: nil for None, JSON as it was received. Nothing is decoded. The same record always has the
same bytes. Two equal records differ in bytes if they were received with their JSON in another order.
"""

from __future__ import annotations

import msgspec

from beam_dynamodb_streams.errors import MalformedRecordError
from beam_dynamodb_streams.records.fields import RecordFields

VERSION = 2

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(RecordFields).decode
_PREFIX = bytes([VERSION])


def encode_fields(fields: RecordFields) -> bytes:
    """Return the stored bytes of a record with these fields."""
    return _PREFIX + _encode(fields)


def decode_fields(stored: bytes) -> RecordFields:
    """Return the fields of a stored record.

    Raises:
        MalformedRecordError: The bytes have another version, or are not a record.
    """
    if stored[:1] != _PREFIX:
        raise _refused(
            f"a stored change record has version {stored[0]}, and this release reads version {VERSION}: "
            f"read it with the release that wrote it"
            if stored
            else "a stored change record is empty",
            stored,
        )
    try:
        fields: RecordFields = _decode(memoryview(stored)[1:])
    except (msgspec.DecodeError, UnicodeDecodeError) as fault:
        raise _refused(f"a stored change record cannot be read: {fault}", stored) from None
    return fields


def _refused(reason: str, stored: bytes) -> MalformedRecordError:
    error = MalformedRecordError(reason)
    error.payload = stored
    return error
