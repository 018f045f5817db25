"""A change as one line of JSON: `ChangeRecord.to_json`, and the lines of files."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Literal

import msgspec

from beam_dynamodb_streams.errors import MalformedRecordError
from beam_dynamodb_streams.records.fields import EPOCH, MICROSECOND, RecordFields
from beam_dynamodb_streams.records.versions import VERSION_PATTERN, base_of, version_of


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    """A line of a change. The names and their order are a promise; images are DynamoDB JSON, null where absent.

    The last three are in lines of files alone. They are derived from the others, so they are not read.
    """

    event_id: str
    event_name: Literal["INSERT", "MODIFY", "REMOVE", "READ"]
    sequence_number: Annotated[str, msgspec.Meta(pattern=r"^[0-9]*\Z")]
    version: Annotated[str, msgspec.Meta(pattern=VERSION_PATTERN)]
    shard_id: str
    approximate_creation_time: Annotated[datetime, msgspec.Meta(tz=True)]
    size_bytes: int | None
    stream_view_type: str
    user_identity: msgspec.Raw
    keys: msgspec.Raw
    new_image: msgspec.Raw
    old_image: msgspec.Raw
    changed_attributes: list[str] | msgspec.UnsetType | None = msgspec.UNSET
    is_ttl_delete: bool | msgspec.UnsetType = msgspec.UNSET
    is_replication: bool | msgspec.UnsetType | None = msgspec.UNSET


_encoder = msgspec.json.Encoder()
_encode = _encoder.encode
_decode = msgspec.json.Decoder(_Line).decode


def encode_line(fields: RecordFields) -> str:
    """Return the line of a record with these fields, without its line end."""
    event_id, event_name, sequence_number, base, shard_id, micros, size_bytes, view_type = fields[:8]
    keys, new, old, identity = fields[8:]
    return _encode(
        _Line(
            event_id,
            event_name,  # type: ignore[arg-type]  # one of four, as it was read
            sequence_number,
            version_of(base, sequence_number),
            shard_id,
            EPOCH + timedelta(microseconds=micros),
            size_bytes,
            view_type,
            _one_line(identity),
            _one_line(keys),
            _one_line(new),
            _one_line(old),
        )
    ).decode()


def decode_line(line: str | bytes) -> RecordFields:
    """Return the fields of a line of a change. Keys and images are not checked until they are read.

    Raises:
        MalformedRecordError: The text is not such a line; the text is its payload.
    """
    try:
        parsed = _decode(line)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as fault:
        raise _malformed(str(fault), line) from None
    base = base_of(parsed.version, parsed.sequence_number)
    if base is None:
        raise _malformed("its version does not end with its sequence number", line)
    return (
        parsed.event_id,
        parsed.event_name,
        parsed.sequence_number,
        base,
        parsed.shard_id,
        (parsed.approximate_creation_time - EPOCH) // MICROSECOND,
        parsed.size_bytes,
        parsed.stream_view_type,
        bytes(parsed.keys),
        _present(parsed.new_image),
        _present(parsed.old_image),
        _present(parsed.user_identity),
    )


def _malformed(reason: str, line: str | bytes) -> MalformedRecordError:
    error = MalformedRecordError(f"not a change record in JSON: {reason}")
    error.payload = line.encode(errors="backslashreplace") if isinstance(line, str) else bytes(line)
    return error


def _one_line(raw: bytes | None) -> msgspec.Raw:
    # A line end in JSON can only stand between its tokens: inside a string it is escaped.
    return msgspec.Raw(b"null" if raw is None else raw.replace(b"\n", b"").replace(b"\r", b""))


def _present(raw: msgspec.Raw) -> bytes | None:
    copied = bytes(raw)
    return None if copied == b"null" else copied
