"""Checks of the arguments of `ChangeRecord(...)`. A refusal names the argument, its value and the fix."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final, cast

import msgspec

from beam_dynamodb_streams.errors import InvalidValueError
from beam_dynamodb_streams.records.fields import EPOCH, MICROSECOND, RecordFields
from beam_dynamodb_streams.records.values import encode_image
from beam_dynamodb_streams.records.versions import UNKNOWN_BASE, base_of, row_version, version_of

EVENT_NAMES: Final = ("INSERT", "MODIFY", "REMOVE", "READ")
VIEW_TYPES: Final = ("NEW_AND_OLD_IMAGES", "NEW_IMAGE", "OLD_IMAGE", "KEYS_ONLY")


def checked_fields(
    event_id: object,
    event_name: object,
    keys: Mapping[str, object],
    new_image: Mapping[str, object] | None,
    old_image: Mapping[str, object] | None,
    sequence_number: object,
    version: object,
    shard_id: object,
    approximate_creation_time: object,
    size_bytes: object,
    stream_view_type: object,
    user_identity: Mapping[str, object] | None,
) -> RecordFields:
    """Return the fields of a record with these values.

    Raises:
        InvalidValueError: No stream holds such a value; the error names the first one.
    """
    if event_name not in EVENT_NAMES:
        raise InvalidValueError(f"event_name={event_name!r}: use one of {', '.join(EVENT_NAMES)}")
    if stream_view_type not in VIEW_TYPES:
        raise InvalidValueError(f"stream_view_type={stream_view_type!r}: use one of {', '.join(VIEW_TYPES)}")
    for name, text in (("event_id", event_id), ("shard_id", shard_id)):
        if not isinstance(text, str) or not text:
            raise InvalidValueError(f"{name}={text!r}: give a text that is not empty")
    numberless = sequence_number == "" and (event_name == "READ" or version is not None)
    digits = isinstance(sequence_number, str) and sequence_number.isascii() and sequence_number.isdigit()
    if not (digits or numberless):
        raise InvalidValueError(f"sequence_number={sequence_number!r}: give an integer as text, such as '100'")
    base = _version_base(version, cast("str", sequence_number))
    if event_name == "READ" and old_image is not None:
        raise InvalidValueError(f"old_image={old_image!r}: leave it out, an item of a snapshot has only a new image")
    if not isinstance(approximate_creation_time, datetime) or approximate_creation_time.tzinfo is None:
        raise InvalidValueError(
            f"approximate_creation_time={approximate_creation_time!r}: give a datetime with a time zone, "
            f"such as datetime(2026, 1, 31, tzinfo=timezone.utc)"
        )
    if size_bytes is not None and (type(size_bytes) is not int or size_bytes < 0):
        raise InvalidValueError(f"size_bytes={size_bytes!r}: give an int that is not negative, or None")
    if not keys:
        raise InvalidValueError(f"keys={keys!r}: give the item's primary key, such as {{'order_id': '7'}}")
    return (
        cast("str", event_id),
        event_name,
        cast("str", sequence_number),
        base,
        cast("str", shard_id),
        (approximate_creation_time - EPOCH) // MICROSECOND,
        size_bytes,
        stream_view_type,
        _encoded_image("keys", keys),
        None if new_image is None else _encoded_image("new_image", new_image),
        None if old_image is None else _encoded_image("old_image", old_image),
        None if user_identity is None else _encoded_identity(user_identity),
    )


def _version_base(version: object, sequence_number: str) -> str:
    if version is None:
        return UNKNOWN_BASE if sequence_number else row_version(0)
    base = base_of(version, sequence_number) if isinstance(version, str) else None
    if base is None:
        raise InvalidValueError(
            f"version={version!r}: give three numbers of 13, 20 and 40 digits that end with sequence_number="
            f"{sequence_number!r}, such as {version_of(UNKNOWN_BASE, '100')!r}, or None"
        )
    return base


def _encoded_image(name: str, image: Mapping[str, object]) -> bytes:
    try:
        return encode_image(image)
    except (InvalidValueError, AttributeError) as error:
        raise InvalidValueError(f"{name}={image!r}: {error}") from None


def _encoded_identity(identity: Mapping[str, object]) -> bytes:
    try:
        return msgspec.json.encode(dict(identity))
    except (TypeError, ValueError):
        raise InvalidValueError(
            f"user_identity={identity!r}: give a dict of texts, such as {{'Type': 'Service'}}"
        ) from None
