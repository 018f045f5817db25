"""The undecoded fields of a change record: as a tuple, which its stored forms hold, and as its slots."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TypeAlias

import msgspec

from beam_dynamodb_streams.records.values import Image

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
MICROSECOND = timedelta(microseconds=1)

Json: TypeAlias = bytes | msgspec.Raw


RecordFields: TypeAlias = tuple[
    str,  # event_id
    str,  # event_name
    str,  # sequence_number
    str,  # version_base
    str,  # shard_id
    int,  # creation_micros
    int | None,  # size_bytes
    str,  # stream_view_type
    bytes,  # keys
    bytes | None,  # new_image
    bytes | None,  # old_image
    bytes | None,  # user_identity
]
"""One change, undecoded: the last four are JSON as received, None where absent.

The order is that of the stored bytes (`records.encoding`) and of the parameters of `make_record`. A plain tuple, since
making a named one takes longer than encoding it.
"""


class UndecodedRecord:
    """The slots of a `ChangeRecord`, which may still be set: setting them is 3 times as fast without its guard."""

    __slots__ = (
        "_keys",
        "_keys_raw",
        "_new_image",
        "_new_image_raw",
        "_old_image",
        "_old_image_raw",
        "_user_identity_raw",
        "_version_base",
        "creation_micros",
        "event_id",
        "event_name",
        "sequence_number",
        "shard_id",
        "size_bytes",
        "stream_view_type",
    )
    _keys: Image
    _keys_raw: Json
    _new_image: Image | None
    _new_image_raw: Json | None
    _old_image: Image | None
    _old_image_raw: Json | None
    _user_identity_raw: Json | None
    _version_base: str
    creation_micros: int
    event_id: str
    event_name: str
    sequence_number: str
    shard_id: str
    size_bytes: int | None
    stream_view_type: str

    @property
    def keys_json(self) -> bytes:
        """The keys as received, in DynamoDB JSON. The three properties below are alike, and None where absent."""
        return bytes(self._keys_raw)

    @property
    def new_image_json(self) -> bytes | None:
        raw = self._new_image_raw
        return None if raw is None else bytes(raw)

    @property
    def old_image_json(self) -> bytes | None:
        raw = self._old_image_raw
        return None if raw is None else bytes(raw)

    @property
    def user_identity_json(self) -> bytes | None:
        raw = self._user_identity_raw
        return None if raw is None else bytes(raw)

    def _fields(self) -> RecordFields:
        return (
            self.event_id,
            self.event_name,
            self.sequence_number,
            self._version_base,
            self.shard_id,
            self.creation_micros,
            self.size_bytes,
            self.stream_view_type,
            self.keys_json,
            self.new_image_json,
            self.old_image_json,
            self.user_identity_json,
        )
