"""A change as a Beam row, for SqlTransform and other transforms that need a schema."""

# No postponed annotations: Beam reads those of a row, and would take them for Any.

from typing import NamedTuple, Optional

from apache_beam.utils.timestamp import Timestamp

from beam_dynamodb_streams.records.fields import RecordFields
from beam_dynamodb_streams.records.versions import version_of


class ChangeRow(NamedTuple):
    """A change as a row with a Beam schema that never changes, as in the files of an undeclared schema."""

    event_id: str
    event_name: str
    sequence_number: str
    version: str
    shard_id: str
    approximate_creation_time: Timestamp
    # Beam reads the hints of a row's fields, and not all its versions know the form `int | None`.
    size_bytes: Optional[int]  # noqa: UP045
    stream_view_type: str
    user_identity: Optional[str]  # noqa: UP045
    keys: str
    new_image: Optional[str]  # noqa: UP045
    old_image: Optional[str]  # noqa: UP045

    @classmethod
    def of(cls, fields: RecordFields) -> "ChangeRow":
        event_id, event_name, sequence_number, base, shard_id, micros, size_bytes, view_type = fields[:8]
        keys, new, old, identity = fields[8:]
        return cls(
            event_id,
            event_name,
            sequence_number,
            version_of(base, sequence_number),
            shard_id,
            Timestamp(micros=micros),
            size_bytes,
            view_type,
            _text(identity),
            keys.decode(),
            _text(new),
            _text(old),
        )


def _text(json: bytes | None) -> str | None:
    return None if json is None else json.decode()
