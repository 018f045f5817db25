"""The event that AWS Lambda sends for a batch of changes, field for field.

A record is written once as JSON text, with its keys and images as the service sent them: nothing of an image is decoded
for it. An attempt decodes the text of its batch, so each attempt has an event of its own to change.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from beam_dynamodb_streams.errors import MalformedRecordError
from beam_dynamodb_streams.records import ChangeRecord

EVENT_VERSION: Final = "1.1"
EVENT_SOURCE: Final = "aws:dynamodb"
_MICROS: Final = 1_000_000

encode_json: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder().decode


@dataclass(frozen=True, slots=True)
class EventRecord:
    """One record of an event.

    Attributes:
        sequence_number: Of the change.
        created: When the change was made, in epoch seconds.
        text: The record as JSON.
    """

    sequence_number: str
    created: float
    text: bytes


def decode_json(raw: bytes) -> Any:
    """Return what JSON text says, as Lambda's runtime decodes it.

    Raises:
        MalformedRecordError: It is not JSON.
    """
    try:
        return _decode(raw)
    except (msgspec.DecodeError, RecursionError) as fault:
        error = MalformedRecordError(f"not JSON: {fault}")
        error.payload = raw
        raise error from None


def envelope(change: ChangeRecord, stream_arn: str) -> dict[str, Any]:
    """Return the record of a change without its keys and images. What the change does not have is absent."""
    micros = change.creation_micros
    change_part: dict[str, Any] = {
        "ApproximateCreationDateTime": micros / _MICROS if micros % _MICROS else micros // _MICROS,
        "SequenceNumber": change.sequence_number,
    }
    if change.size_bytes is not None:
        change_part["SizeBytes"] = change.size_bytes
    if change.stream_view_type:
        change_part["StreamViewType"] = change.stream_view_type
    record: dict[str, Any] = {
        "eventID": change.event_id,
        "eventName": change.event_name,
        "eventVersion": EVENT_VERSION,
        "eventSource": EVENT_SOURCE,
        "awsRegion": region_of(stream_arn),
        "dynamodb": change_part,
        "eventSourceARN": stream_arn,
    }
    identity = change.user_identity
    if identity is not None:  # GetRecords writes Type and PrincipalId
        record["userIdentity"] = {name[:1].lower() + name[1:]: value for name, value in identity.items()}
    return record


def event_record(change: ChangeRecord, stream_arn: str) -> EventRecord:
    """Return the record of a change in an event. Its keys and images stay undecoded."""
    record = envelope(change, stream_arn)
    part = record["dynamodb"]
    part["Keys"] = msgspec.Raw(change.keys_json)
    for name, raw in (("NewImage", change.new_image_json), ("OldImage", change.old_image_json)):
        if raw is not None:
            part[name] = msgspec.Raw(raw)
    return EventRecord(change.sequence_number, change.creation_micros / _MICROS, encode_json(record))


def event_of(records: Sequence[EventRecord], **members: Any) -> dict[str, Any]:
    """Return a new event with these records. `members` are added to it, as tumbling windows do.

    Raises:
        MalformedRecordError: An image is not JSON.
    """
    event: dict[str, Any] = decode_json(b'{"Records":[%s]}' % b",".join(record.text for record in records))
    return {**event, **members}


def region_of(stream_arn: str) -> str:
    """Return the region that an ARN names."""
    parts = stream_arn.split(":")
    return parts[3] if len(parts) > 3 else ""


def placeholder_arn(environment: Mapping[str, str] = os.environ) -> str:
    """Return the ARN of an event whose changes no read of the pipeline delivers, such as those of a test."""
    region = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or "us-east-1"
    return f"arn:aws:dynamodb:{region}:000000000000:table/unknown/stream/1970-01-01T00:00:00.000"
