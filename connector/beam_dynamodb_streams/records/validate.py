"""Checks of the arguments of `ChangeRecord(...)`. A refusal names the argument, its value and the fix."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final, cast

import msgspec

from beam_dynamodb_streams.errors import InvalidValueError
from beam_dynamodb_streams.records.fields import EPOCH, MICROSECOND, RecordFields
from beam_dynamodb_streams.records.values import encode_image

EVENT_NAMES: Final = ("INSERT", "MODIFY", "REMOVE")
VIEW_TYPES: Final = ("NEW_AND_OLD_IMAGES", "NEW_IMAGE", "OLD_IMAGE", "KEYS_ONLY")


def checked_fields(
    event_id: object,
    event_name: object,
    keys: Mapping[str, object],
    new_image: Mapping[str, object] | None,
    old_image: Mapping[str, object] | None,
    sequence_number: object,
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
    if not (isinstance(sequence_number, str) and sequence_number.isascii() and sequence_number.isdigit()):
        raise InvalidValueError(f"sequence_number={sequence_number!r}: give an integer as text, such as '100'")
    if not isinstance(approximate_creation_time, datetime) or approximate_creation_time.tzinfo is None:
        raise InvalidValueError(
            f"approximate_creation_time={approximate_creation_time!r}: give a datetime with a time zone, "
            f"such as datetime(2026, 1, 31, tzinfo=UTC)"
        )
    if size_bytes is not None and (type(size_bytes) is not int or size_bytes < 0):
        raise InvalidValueError(f"size_bytes={size_bytes!r}: give an int that is not negative, or None")
    if not keys:
        raise InvalidValueError(f"keys={keys!r}: give the item's primary key, such as {{'order_id': '7'}}")
    return (
        cast("str", event_id),
        event_name,
        sequence_number,
        cast("str", shard_id),
        (approximate_creation_time - EPOCH) // MICROSECOND,
        size_bytes,
        stream_view_type,
        _encoded_image("keys", keys),
        None if new_image is None else _encoded_image("new_image", new_image),
        None if old_image is None else _encoded_image("old_image", old_image),
        None if user_identity is None else _encoded_identity(user_identity),
    )


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
