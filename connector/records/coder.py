"""Beam's view of a record: its coder and its row. Only this module and `batched` know Beam."""

from __future__ import annotations

from typing import NamedTuple, Optional

from apache_beam import coders
from apache_beam.utils.timestamp import Timestamp

from connector.records.change_log import text_of
from connector.records.record import ChangeRecord
from connector.records.stored import decode_record, encode_record


class ChangeRecordCoder(coders.Coder):
    """Ships the undecoded bytes (`connector.records.stored`): decoded images are neither encoded nor kept."""

    def encode(self, value: ChangeRecord) -> bytes:
        return encode_record(value)

    def decode(self, encoded: bytes) -> ChangeRecord:
        return decode_record(encoded)

    def is_deterministic(self) -> bool:
        return True

    def to_type_hint(self) -> type[ChangeRecord]:
        return ChangeRecord

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other)

    def __hash__(self) -> int:
        return hash(type(self))


class ChangeRow(NamedTuple):
    """A change as a row with a Beam schema that never changes, as in the files of an undeclared schema."""

    event_id: str
    event_name: str
    sequence_number: str
    shard_id: str
    approximate_creation_time: Timestamp
    # Beam reads the hints of a row's fields; `int | None` is not among the forms that all its versions know.
    size_bytes: Optional[int]  # noqa: UP045
    stream_view_type: str
    user_identity: Optional[str]  # noqa: UP045
    keys: str
    new_image: Optional[str]  # noqa: UP045
    old_image: Optional[str]  # noqa: UP045

    @classmethod
    def of(cls, record: ChangeRecord) -> ChangeRow:
        return cls(
            record.event_id,
            record.event_name,
            record.sequence_number,
            record.shard_id,
            Timestamp(micros=record.creation_micros),
            record.size_bytes,
            record.stream_view_type,
            text_of(record.user_identity_json),
            record.keys_json.decode(),
            text_of(record.new_image_json),
            text_of(record.old_image_json),
        )


def register_coders() -> None:
    """Makes Beam pick these coders by type. Idempotent."""
    coders.registry.register_coder(ChangeRecord, ChangeRecordCoder)
    coders.registry.register_coder(ChangeRow, coders.RowCoder)
