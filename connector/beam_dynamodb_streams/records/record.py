"""`ChangeRecord`: one change of one item, as the pipeline sees it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from beam_dynamodb_streams.errors import MalformedRecordError
from beam_dynamodb_streams.records.identity import decode_identity, is_time_to_live
from beam_dynamodb_streams.records.likeness import html_text, same_records, short_text
from beam_dynamodb_streams.records.open_record import Json, OpenRecord
from beam_dynamodb_streams.records.validate import check_envelope, encoded_identity, encoded_image
from beam_dynamodb_streams.records.values import Image, decode_image

if TYPE_CHECKING:
    from beam_dynamodb_streams.records.beam_coders import ChangeRow
    from beam_dynamodb_streams.wire import RawRecord

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
_UNDECODED: Any = object()  # in the place of an image that nobody has asked for yet


class ChangeRecord(OpenRecord):
    """One change of one item. Immutable; its keys and images are decoded when first asked for.

    - ``event_id``: the same for every delivery of the same change (fact 18); ``event_name``: INSERT,
      MODIFY, REMOVE.
    - ``keys``: the primary key. ``new_image``, ``old_image``: the item after and before, or None where the
      view type or the kind of change leaves it out (fact 17). Python values as in
      `records.values`; don't change them in place.
    - ``sequence_number``: an integer of 21 to 40 digits as text, comparable within one shard's lineage
      (fact 4).
    - ``approximate_creation_time``: UTC, floored to the second by the service (fact 19), and the element's
      event time; ``creation_micros`` is the same in microseconds since the epoch.
    - ``size_bytes``: as the service counts; None where an endpoint does not say.
    - ``user_identity``: who made the change when it was not a user, as received; see `is_ttl_delete`.

    Two records are equal if all of this is; images are compared by value, so neither the order of a JSON
    object or set nor the state of decoding matters. Reading an image that is not DynamoDB JSON, or an identity
    that is no object, raises `MalformedRecordError`.

    A record that was read shares the bytes of its page (1 MB at most) and keeps them in memory; encoded by
    its coder, pickled or copied, it holds its own bytes alone.
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
        sequence_number: str,
        shard_id: str,
        approximate_creation_time: datetime,
        size_bytes: int | None = None,
        stream_view_type: str = "NEW_AND_OLD_IMAGES",
        user_identity: Mapping[str, object] | None = None,
    ) -> None:
        """A record from Python values, for tests of pipelines. Raises `InvalidValueError` on a value that no
        stream holds."""
        check_envelope(
            event_id,
            event_name,
            keys,
            sequence_number,
            shard_id,
            approximate_creation_time,
            size_bytes,
            stream_view_type,
        )
        made = make_record(
            event_id,
            event_name,
            sequence_number,
            shard_id,
            (approximate_creation_time - EPOCH) // MICROSECOND,
            size_bytes,
            stream_view_type,
            encoded_image("keys", keys),
            None if new_image is None else encoded_image("new_image", new_image),
            None if old_image is None else encoded_image("old_image", old_image),
            None if user_identity is None else encoded_identity(user_identity),
        )
        for slot in OpenRecord.__slots__:
            object.__setattr__(self, slot, getattr(made, slot))

    @classmethod
    def from_raw(cls, raw: RawRecord, shard_id: str) -> ChangeRecord:
        """The record of one entry of a page; nothing is decoded, copied or checked again."""
        change = raw.dynamodb
        return make_record(
            raw.eventID,
            raw.eventName,
            change.SequenceNumber,
            shard_id,
            round(change.ApproximateCreationDateTime * 1_000_000),
            change.SizeBytes,
            change.StreamViewType,
            change.Keys,
            change.NewImage,
            change.OldImage,
            raw.userIdentity,
        )

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
    def keys_json(self) -> bytes:
        """The keys as received, in DynamoDB JSON; so are the three below, None where absent."""
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

    @property
    def approximate_creation_time(self) -> datetime:
        return EPOCH + timedelta(microseconds=self.creation_micros)

    @property
    def is_ttl_delete(self) -> bool:
        """True if the item was deleted by its time to live and not by a user."""
        return self.event_name == "REMOVE" and is_time_to_live(self._user_identity_raw)

    def to_dict(self) -> dict[str, Any]:
        """The arguments that make this record: ``ChangeRecord(**record.to_dict()) == record``.

        ``ChangeRecord`` refuses the empty ``stream_view_type`` of a record from an endpoint that does not say it.
        """
        return {
            "event_id": self.event_id,
            "event_name": self.event_name,
            "keys": self.keys,
            "new_image": self.new_image,
            "old_image": self.old_image,
            "sequence_number": self.sequence_number,
            "shard_id": self.shard_id,
            "approximate_creation_time": self.approximate_creation_time,
            "size_bytes": self.size_bytes,
            "stream_view_type": self.stream_view_type,
            "user_identity": self.user_identity,
        }

    def to_row(self) -> ChangeRow:
        """A row with a fixed Beam schema, for SqlTransform and others; images as DynamoDB JSON."""
        from beam_dynamodb_streams.records.beam_coders import ChangeRow

        return ChangeRow.of(self)

    def to_json(self) -> str:
        """One JSON line, without its line end: the envelope, and images as DynamoDB JSON. Nothing is lost."""
        from beam_dynamodb_streams.records.json_lines import encode_line

        return encode_line(self)

    @classmethod
    def from_json(cls, line: str | bytes) -> ChangeRecord:
        """The record of a line of `to_json`. Raises `MalformedRecordError` on any other text."""
        from beam_dynamodb_streams.records.json_lines import decode_line

        return decode_line(line)

    def __eq__(self, other: object) -> bool:
        return self is other or same_records(self, other) if isinstance(other, ChangeRecord) else NotImplemented

    def __hash__(self) -> int:
        return hash((self.event_id, self.shard_id, self.sequence_number))

    def __repr__(self) -> str:
        return short_text(self)

    def _repr_html_(self) -> str:
        return html_text(self)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a ChangeRecord is immutable: {name} cannot be set")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a ChangeRecord is immutable: {name} cannot be deleted")

    def __reduce__(self) -> tuple[Any, ...]:
        from beam_dynamodb_streams.records.encoding import decode_record, encode_record

        return decode_record, (encode_record(self),)


def make_record(
    event_id: str,
    event_name: str,
    sequence_number: str,
    shard_id: str,
    creation_micros: int,
    size_bytes: int | None,
    stream_view_type: str,
    keys: Json,
    new_image: Json | None,
    old_image: Json | None,
    user_identity: Json | None,
) -> ChangeRecord:
    """A record from what is stored of it, unchecked: the way of everything that was a record before."""
    record = OpenRecord()
    record.event_id = event_id
    record.event_name = event_name
    record.sequence_number = sequence_number
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
    return record  # type: ignore[return-value]  # mypy does not follow __class__
