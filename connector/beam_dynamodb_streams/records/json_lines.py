"""A record as one line of JSON: the layout of `ChangeRecord.to_json`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from beam_dynamodb_streams.errors import MalformedRecordError
from beam_dynamodb_streams.records.record import EPOCH, MICROSECOND, ChangeRecord, make_record


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    """The names and their order are a promise; images are DynamoDB JSON, null where absent."""

    event_id: str
    event_name: Literal["INSERT", "MODIFY", "REMOVE"]
    sequence_number: Annotated[str, msgspec.Meta(pattern=r"^[0-9]+\Z")]
    shard_id: str
    approximate_creation_time: Annotated[datetime, msgspec.Meta(tz=True)]
    size_bytes: int | None
    stream_view_type: str
    user_identity: msgspec.Raw
    keys: msgspec.Raw
    new_image: msgspec.Raw
    old_image: msgspec.Raw


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Line).decode


def encode_line(record: ChangeRecord) -> str:
    """The record as a line, without its end."""
    return _encode(
        _Line(
            record.event_id,
            record.event_name,  # type: ignore[arg-type]  # one of three, as it was read
            record.sequence_number,
            record.shard_id,
            record.approximate_creation_time,
            record.size_bytes,
            record.stream_view_type,
            _one_line(record.user_identity_json),
            _one_line(record.keys_json),
            _one_line(record.new_image_json),
            _one_line(record.old_image_json),
        )
    ).decode()


def decode_line(line: str | bytes) -> ChangeRecord:
    """The inverse of `encode_line`. Raises `MalformedRecordError`, with the line as its payload, on any other text.

    What is in keys and images is not looked at before it is read, as in a record from a page.
    """
    try:
        parsed = _decode(line)
    except (msgspec.DecodeError, UnicodeEncodeError) as fault:
        error = MalformedRecordError(f"not a change record in JSON: {fault}")
        error.payload = line.encode(errors="backslashreplace") if isinstance(line, str) else bytes(line)
        raise error from None
    return make_record(
        parsed.event_id,
        parsed.event_name,
        parsed.sequence_number,
        parsed.shard_id,
        (parsed.approximate_creation_time - EPOCH) // MICROSECOND,
        parsed.size_bytes,
        parsed.stream_view_type,
        bytes(parsed.keys),
        _present(parsed.new_image),
        _present(parsed.old_image),
        _present(parsed.user_identity),
    )


def _one_line(raw: bytes | None) -> msgspec.Raw:
    # Line ends in JSON can only stand between its parts: inside a text they are escaped.
    return msgspec.Raw(b"null" if raw is None else raw.replace(b"\n", b"").replace(b"\r", b""))


def _present(raw: msgspec.Raw) -> bytes | None:
    copied = bytes(raw)
    return None if copied == b"null" else copied
