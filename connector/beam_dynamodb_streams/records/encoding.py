"""A record as stored bytes: what runners shuffle and keep, and what pickles hold. A promise: see
tests/compat.

The layout is one version byte, then a msgpack array: event id, event name, sequence number, shard id,
creation time in microseconds, size or nil, view type, then the JSON of keys, new image, old image and user
identity as they were received, or nil. Nothing is decoded on the way. The same bytes come from the same
record every time; two records that are equal but were received with their JSON in another order differ in
bytes.
"""

from __future__ import annotations

import msgspec

from beam_dynamodb_streams.errors import MalformedRecordError
from beam_dynamodb_streams.records.record import ChangeRecord, make_record

VERSION = 1


class _Stored(msgspec.Struct, array_like=True, forbid_unknown_fields=True, gc=False):
    event_id: str
    event_name: str
    sequence_number: str
    shard_id: str
    creation_micros: int
    size_bytes: int | None
    stream_view_type: str
    keys: bytes
    new_image: bytes | None
    old_image: bytes | None
    user_identity: bytes | None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Stored).decode
_PREFIX = bytes([VERSION])


def encode_record(record: ChangeRecord) -> bytes:
    return _PREFIX + _encode(
        (
            record.event_id,
            record.event_name,
            record.sequence_number,
            record.shard_id,
            record.creation_micros,
            record.size_bytes,
            record.stream_view_type,
            record.keys_json,
            record.new_image_json,
            record.old_image_json,
            record.user_identity_json,
        )
    )


def decode_record(stored: bytes) -> ChangeRecord:
    """Raises `MalformedRecordError` on bytes of another version, or that are no record."""
    if stored[:1] != _PREFIX:
        raise _refused(
            f"a stored change record has version {stored[0]}, and this release reads version {VERSION}: "
            f"read it with the release that wrote it"
            if stored
            else "a stored change record is empty",
            stored,
        )
    try:
        fields = _decode(memoryview(stored)[1:])
    except msgspec.DecodeError as fault:
        raise _refused(f"a stored change record cannot be read: {fault}", stored) from None
    return make_record(
        fields.event_id,
        fields.event_name,
        fields.sequence_number,
        fields.shard_id,
        fields.creation_micros,
        fields.size_bytes,
        fields.stream_view_type,
        fields.keys,
        fields.new_image,
        fields.old_image,
        fields.user_identity,
    )


def _refused(reason: str, stored: bytes) -> MalformedRecordError:
    error = MalformedRecordError(reason)
    error.payload = stored
    return error
