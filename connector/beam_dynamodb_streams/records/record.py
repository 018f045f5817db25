"""`ChangeRecord`: one change of one item, as the pipeline sees it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from beam_dynamodb_streams.display import readable, short
from beam_dynamodb_streams.errors import MalformedRecordError
from beam_dynamodb_streams.records.encoding import decode_fields, encode_fields
from beam_dynamodb_streams.records.fields import EPOCH, Json, UndecodedRecord
from beam_dynamodb_streams.records.json_lines import decode_line, encode_line
from beam_dynamodb_streams.records.record_html import change_table, malformed_table
from beam_dynamodb_streams.records.user_identity import decode_identity, is_time_to_live
from beam_dynamodb_streams.records.validate import checked_fields
from beam_dynamodb_streams.records.values import Image, decode_image, same_values
from beam_dynamodb_streams.records.versions import version_of

if TYPE_CHECKING:
    from beam_dynamodb_streams.records.beam_row import ChangeRow

_UNDECODED: Any = object()  # stands for an image until somebody reads it


class ChangeRecord(UndecodedRecord):
    """One change of one item. Immutable; keys and images are decoded when they are first read.

    - `event_id`: the same for every delivery of the same change (trap 18).
    - `event_name`: INSERT, MODIFY or REMOVE. READ is an item of a snapshot: it has a new image, and no old one.
    - `keys`: the primary key. `new_image`, `old_image`: the item after and before, or None where the view type or the
      kind of change leaves it out (trap 17). Python values as in `records.values`; do not change them in place.
    - `sequence_number`: an integer of 21 to 40 digits as text, comparable within one shard's lineage (trap 4). It is
      empty for an item of a snapshot, and for a net change of an incremental export.
    - `version`: text that sorts as the states of an item follow one another, over snapshots and over streams that were
      enabled again (`records.versions`). A sink that keeps the greatest version of each key is right.
    - `approximate_creation_time`: UTC, floored to the second by the service (trap 19), and the event time of the
      element; `creation_micros` is the same in microseconds since the epoch.
    - `size_bytes`: as the service counts; None if the endpoint does not send it.
    - `user_identity`: who made the change if no user did, as received; see `is_ttl_delete`.

    Two records are equal if all of these are equal. Images are compared by value, so the order inside a JSON object or
    a set does not matter, nor whether an image was decoded. Reading an image that is not DynamoDB JSON, or an identity
    that is not an object, raises `MalformedRecordError`.

    A record that was read shares the bytes of its page (at most 1 MB) and keeps them in memory. A record that was
    encoded by its coder, pickled or copied holds its own bytes alone.
    """

    __slots__ = ()

    def __init__(
        self,
        *,
        event_id: str,
        event_name: str,
        keys: Mapping[str, object],
        new_image: Mapping[str, object] | None = None,
        old_image: Mapping[str, object] | None = None,
        sequence_number: str = "",
        version: str | None = None,
        shard_id: str,
        approximate_creation_time: datetime,
        size_bytes: int | None = None,
        stream_view_type: str = "NEW_AND_OLD_IMAGES",
        user_identity: Mapping[str, object] | None = None,
    ) -> None:
        """Make a record from Python values, for tests of pipelines.

        Without a `version` it has the one of an unknown stream without a snapshot. Only a READ, or a change with a
        `version`, may have an empty `sequence_number`.

        Raises:
            InvalidValueError: No stream holds such a value.
        """
        fields = checked_fields(
            event_id,
            event_name,
            keys,
            new_image,
            old_image,
            sequence_number,
            version,
            shard_id,
            approximate_creation_time,
            size_bytes,
            stream_view_type,
            user_identity,
        )
        made = make_record(*fields)
        for slot in UndecodedRecord.__slots__:
            object.__setattr__(self, slot, getattr(made, slot))

    @property
    def keys(self) -> Image:
        if self._keys is _UNDECODED:
            self._decode("_keys")
        return self._keys

    @property
    def new_image(self) -> Image | None:
        if self._new_image is _UNDECODED:
            self._decode("_new_image")
        return self._new_image

    @property
    def old_image(self) -> Image | None:
        if self._old_image is _UNDECODED:
            self._decode("_old_image")
        return self._old_image

    def _decode(self, slot: str) -> None:
        raw = getattr(self, f"{slot}_raw")
        try:
            image = None if raw is None else decode_image(raw)
        except MalformedRecordError as error:
            error.message = f"{slot[1:]} is {error.message}"
            error.shard, error.position = self.shard_id, self.sequence_number
            raise
        object.__setattr__(self, slot, image)

    @property
    def user_identity(self) -> dict[str, Any] | None:
        raw = self._user_identity_raw
        try:
            return None if raw is None else decode_identity(raw)
        except MalformedRecordError as error:
            error.shard, error.position = self.shard_id, self.sequence_number
            raise

    @property
    def version(self) -> str:
        """The version; see `records.versions`."""
        return version_of(self._version_base, self.sequence_number)

    @property
    def approximate_creation_time(self) -> datetime:
        return EPOCH + timedelta(microseconds=self.creation_micros)

    @property
    def is_ttl_delete(self) -> bool:
        """Whether the item was deleted by its time to live and not by a user."""
        return self.event_name == "REMOVE" and is_time_to_live(self._user_identity_raw)

    def to_dict(self) -> dict[str, Any]:
        """Return the arguments that make this record: `ChangeRecord(**record.to_dict()) == record`.

        `ChangeRecord` refuses the empty `stream_view_type` of a record from an endpoint that does not send it.
        """
        return {
            "event_id": self.event_id,
            "event_name": self.event_name,
            "keys": self.keys,
            "new_image": self.new_image,
            "old_image": self.old_image,
            "sequence_number": self.sequence_number,
            "version": self.version,
            "shard_id": self.shard_id,
            "approximate_creation_time": self.approximate_creation_time,
            "size_bytes": self.size_bytes,
            "stream_view_type": self.stream_view_type,
            "user_identity": self.user_identity,
        }

    def to_row(self) -> ChangeRow:
        """Return a row with a fixed Beam schema, for SqlTransform and others; images are DynamoDB JSON."""
        from beam_dynamodb_streams.records.beam_row import ChangeRow

        return ChangeRow.of(self._fields())

    def to_json(self) -> str:
        """Return one JSON line, without its line end: the envelope, and images as DynamoDB JSON. Nothing is lost."""
        return encode_line(self._fields())

    @classmethod
    def from_json(cls, line: str | bytes) -> ChangeRecord:
        """Return the record of a line of `to_json`.

        Raises:
            MalformedRecordError: The text is not such a line.
        """
        return make_record(*decode_line(line))

    def to_bytes(self) -> bytes:
        """Return the stored bytes of the record: what its coder and its pickle hold. Nothing is decoded."""
        return encode_fields(self._fields())

    @classmethod
    def from_bytes(cls, stored: bytes) -> ChangeRecord:
        """Return the record of `to_bytes`.

        Raises:
            MalformedRecordError: The bytes have another version, or are not a record.
        """
        return make_record(*decode_fields(stored))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ChangeRecord):
            return NotImplemented
        if self is other:
            return True
        mine, theirs = self._fields(), other._fields()
        # Images are decoded only where their bytes differ.
        return mine == theirs or (
            mine[:-4] == theirs[:-4]
            and all(self._has_same(other, name) for name in ("keys", "new_image", "old_image", "user_identity"))
        )

    def _has_same(self, other: ChangeRecord, name: str) -> bool:
        """Return whether both records have the same value in this field of JSON."""
        mine, theirs = getattr(self, f"{name}_json"), getattr(other, f"{name}_json")
        if mine == theirs or mine is None or theirs is None:
            return bool(mine == theirs)
        try:
            return same_values(getattr(self, name), getattr(other, name))
        except MalformedRecordError:
            return False

    def __hash__(self) -> int:
        return hash((self.event_id, self.shard_id, self.sequence_number))

    def __repr__(self) -> str:
        """Say what happened to which item and when, and at which sequence number; no image."""
        try:
            keys = ", ".join(f"{name}={readable(value)}" for name, value in self.keys.items())
        except MalformedRecordError:
            keys = "malformed keys"
        raws = (("old", self._old_image_raw), ("new", self._new_image_raw))
        images = " and ".join(name for name, raw in raws if raw is not None) or "no"
        time = self.approximate_creation_time.isoformat().replace("+00:00", "Z")
        place = self.sequence_number or self.version
        return f"<ChangeRecord {self.event_name} {short(keys)} at {time}, {images} image, {place}>"

    def _repr_html_(self) -> str:
        time = f"{self.approximate_creation_time:%Y-%m-%d %H:%M:%S} UTC"
        title = f"{self.event_name} at {time}{', by time to live' if self.is_ttl_delete else ''}"
        note = f"{self.shard_id}, {self.sequence_number}"
        try:
            return change_table(self.keys, self.old_image or {}, self.new_image or {}, title=title, note=note)
        except MalformedRecordError as error:
            return malformed_table(error.message, title=title, note=note)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a ChangeRecord is immutable: {name} cannot be set")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a ChangeRecord is immutable: {name} cannot be deleted")

    def __reduce__(self) -> tuple[Any, ...]:
        return ChangeRecord.from_bytes, (self.to_bytes(),)


def make_record(
    event_id: str,
    event_name: str,
    sequence_number: str,
    version_base: str,
    shard_id: str,
    creation_micros: int,
    size_bytes: int | None,
    stream_view_type: str,
    keys: Json,
    new_image: Json | None,
    old_image: Json | None,
    user_identity: Json | None,
) -> ChangeRecord:
    """Return a record of `RecordFields`, unchecked: for fields that were read from a stream or from a record."""
    record = UndecodedRecord()
    record.event_id = event_id
    record.event_name = event_name
    record.sequence_number = sequence_number
    record._version_base = version_base
    record.shard_id = shard_id
    record.creation_micros = creation_micros
    record.size_bytes = size_bytes
    record.stream_view_type = stream_view_type
    record._keys_raw = keys
    record._new_image_raw = new_image
    record._old_image_raw = old_image
    record._user_identity_raw = user_identity
    record._keys = record._new_image = record._old_image = _UNDECODED
    record.__class__ = ChangeRecord
    return record  # type: ignore[return-value]  # mypy does not follow an assignment to __class__
