"""Beam's view of a record and of a batch: their coders, and a row. Only this module and `batched` know Beam."""

from __future__ import annotations

from typing import ClassVar, NamedTuple, Optional

import pyarrow as pa
from apache_beam import coders
from apache_beam.utils.timestamp import Timestamp

from beam_dynamodb_streams.errors import MalformedRecordError
from beam_dynamodb_streams.records.encoding import decode_record, encode_record
from beam_dynamodb_streams.records.record import ChangeRecord
from beam_dynamodb_streams.records.text_columns import text_of


class OwnCoder(coders.Coder):
    """A coder without state: equal by type, deterministic, and pickled as no more than its name."""

    hint: ClassVar[type]

    def is_deterministic(self) -> bool:
        return True

    def to_type_hint(self) -> type:
        return self.hint

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other)

    def __hash__(self) -> int:
        return hash(type(self))


class ChangeRecordCoder(OwnCoder):
    """Ships the undecoded bytes (`records.encoding`): decoded images are neither encoded nor kept."""

    hint = ChangeRecord

    def encode(self, value: ChangeRecord) -> bytes:
        return encode_record(value)

    def decode(self, encoded: bytes) -> ChangeRecord:
        return decode_record(encoded)


class RecordBatchCoder(OwnCoder):
    """A batch of any columns as one version byte and an Arrow IPC stream, with its schema (a promise: tests/compat).

    A batch that is a part of another ships its own rows; a pickle of it ships all rows of the other. Not deterministic:
    Arrow does not compare what stands where a value is null, and ships it.
    """

    hint = pa.RecordBatch

    def encode(self, value: pa.RecordBatch) -> bytes:
        stream = pa.BufferOutputStream()
        stream.write(_BATCH_PREFIX)
        with pa.ipc.new_stream(stream, value.schema) as writer:
            writer.write_batch(value)
        return bytes(stream.getvalue())

    def decode(self, encoded: bytes) -> pa.RecordBatch:
        """Raises `MalformedRecordError` on bytes of another version, or that are no batch."""
        if encoded[:1] != _BATCH_PREFIX:
            version = f"version {encoded[0]}" if encoded else "no version"
            raise _refused(f"it is of {version}, and this release reads version 1", encoded)
        try:
            # A copy: the columns are read in place, and are to begin where a processor reads them best.
            with pa.ipc.open_stream(encoded[1:]) as reader:
                return reader.read_next_batch()
        except (pa.ArrowInvalid, OSError, StopIteration) as fault:
            raise _refused(f"it cannot be read: {fault}", encoded) from None

    def is_deterministic(self) -> bool:
        return False


_BATCH_PREFIX = b"\x01"


def _refused(reason: str, stored: bytes) -> MalformedRecordError:
    error = MalformedRecordError(f"a stored batch is refused: {reason}")
    error.payload = stored
    return error


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
    """Makes Beam pick these coders by type. Idempotent.

    `pyarrow.RecordBatch` is not ours alone. Any batch comes back equal, metadata and all, as from the pickle that Beam
    would make of it (an extension type as long as it is registered with Arrow, which IPC needs); and a coder that a
    pipeline's author registers stays, or takes the place of this one.
    """
    registry = coders.registry
    registry.register_coder(ChangeRecord, ChangeRecordCoder)
    registry.register_coder(ChangeRow, coders.RowCoder)
    if isinstance(registry.get_coder(pa.RecordBatch), coders.FastPrimitivesCoder):  # what it gives for unknown types
        registry.register_coder(pa.RecordBatch, RecordBatchCoder)
