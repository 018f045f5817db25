"""Beam's coders of a change record and of a batch of them.

In `records/`, only the modules named `beam_…` import Beam.
"""

from __future__ import annotations

import pyarrow as pa
from apache_beam import coders

from beam_dynamodb_streams.beam.coders import OwnCoder, register_row
from beam_dynamodb_streams.errors import MalformedRecordError
from beam_dynamodb_streams.records.beam_keys import register_key_coders
from beam_dynamodb_streams.records.beam_row import ChangeRow
from beam_dynamodb_streams.records.record import ChangeRecord


class ChangeRecordCoder(OwnCoder):
    """Encodes a record as its undecoded bytes (`ChangeRecord.to_bytes`); images that were decoded are not shipped."""

    hint = ChangeRecord
    name = "change_record:v1"

    def encode(self, value: ChangeRecord) -> bytes:
        return value.to_bytes()

    def decode(self, encoded: bytes) -> ChangeRecord:
        return ChangeRecord.from_bytes(encoded)


class RecordBatchCoder(OwnCoder):
    """Encodes a batch of any columns as one version byte and an Arrow IPC stream, which holds its schema.

    The bytes are a promise; tests/compat holds them. A slice of a batch ships its own rows alone, where a pickle would
    ship all rows of the batch. The coder is not deterministic: Arrow ships the bytes under a null value, and does not
    compare them.
    """

    hint = pa.RecordBatch
    name = "record_batch:v1"

    def encode(self, value: pa.RecordBatch) -> bytes:
        stream = pa.BufferOutputStream()
        stream.write(_BATCH_PREFIX)
        with pa.ipc.new_stream(stream, value.schema) as writer:
            writer.write_batch(value)
        return bytes(stream.getvalue())

    def decode(self, encoded: bytes) -> pa.RecordBatch:
        """Return the batch.

        Raises:
            MalformedRecordError: The bytes have another version, or are not a batch.
        """
        if encoded[:1] != _BATCH_PREFIX:
            version = f"version {encoded[0]}" if encoded else "no version"
            raise _refused(f"it is of {version}, and this release reads version 1", encoded)
        try:
            # The slice copies: the columns are read in place, and the copy aligns them for the processor.
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


def register_coders() -> None:
    """Register these coders by type with Beam. Calling it again changes nothing.

    Other code in a pipeline uses `pyarrow.RecordBatch` too. Any batch is decoded equal, with its metadata, as from the
    pickle that Beam would use otherwise; an extension type must be registered with Arrow, because IPC needs it. A
    coder that the pipeline's author registers for batches stays, or replaces this one.
    """
    registry = coders.registry
    registry.register_coder(ChangeRecord, ChangeRecordCoder)
    register_row(ChangeRow, "change:v1")
    if isinstance(registry.get_coder(pa.RecordBatch), coders.FastPrimitivesCoder):  # Beam's default
        registry.register_coder(pa.RecordBatch, RecordBatchCoder)
    register_key_coders()
