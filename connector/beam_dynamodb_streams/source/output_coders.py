"""Beam's coders of what reads and sinks return beside changes. Runners store these forms, so each has a version."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar, Final

import msgspec
from apache_beam import coders
from apache_beam.io.filesystem import FileMetadata

from beam_dynamodb_streams.beam.coders import OwnCoder
from beam_dynamodb_streams.columns import Misfit
from beam_dynamodb_streams.errors import MalformedRecordError
from beam_dynamodb_streams.records.dead_letter import DeadLetter
from beam_dynamodb_streams.records.snapshot_end import SnapshotEnd
from beam_dynamodb_streams.shards.loss import Loss

VERSION: Final = 1


class _StoredDeadLetter(msgspec.Struct):
    version: int
    stream_arn: str
    shard_id: str
    sequence_number: str | None
    payload: bytes
    reason: str


class _StoredLoss(msgspec.Struct):
    version: int
    stream_arn: str
    shard_id: str
    last_position: str
    next_position: str
    since: datetime | None
    certain: bool
    reason: str
    until: datetime | None


class _StoredMisfit(msgspec.Struct):
    version: int
    event_id: str
    shard_id: str
    sequence_number: str
    image: str
    attribute: str | None
    reason: str
    payload: bytes


class _StoredSnapshotEnd(msgspec.Struct):
    version: int
    epoch: int
    rows: int
    consistent_second: int
    whole_table: bool


class _StoredFile(msgspec.Struct):
    version: int
    path: str
    size_in_bytes: int
    last_updated_in_seconds: float


class _JsonCoder(OwnCoder):
    """A coder whose form is a JSON object with the fields of the element and the version of the form."""

    form: ClassVar[type[msgspec.Struct]]

    def encode(self, value: Any) -> bytes:
        fields = (getattr(value, name) for name in self.form.__struct_fields__[1:])
        return msgspec.json.encode(self.form(VERSION, *fields))

    def decode(self, encoded: bytes) -> Any:
        """Return the element.

        Raises:
            MalformedRecordError: The bytes have another version, or are damaged.
        """
        what = f"a stored {self.hint.__name__}"
        try:
            stored = msgspec.json.decode(encoded, type=self.form)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
            raise _refused(f"{what} cannot be read: {fault}", encoded) from None
        version, *fields = (getattr(stored, name) for name in self.form.__struct_fields__)
        if version != VERSION:
            raise _refused(f"{what} has version {version}, and this release reads version {VERSION}", encoded)
        return self.hint(*fields)


class DeadLetterCoder(_JsonCoder):
    hint = DeadLetter
    form = _StoredDeadLetter
    name = "dead_letter:v1"


class LossCoder(_JsonCoder):
    hint = Loss
    form = _StoredLoss
    name = "loss:v1"


class MisfitCoder(_JsonCoder):
    hint = Misfit
    form = _StoredMisfit
    name = "misfit:v1"


class SnapshotEndCoder(_JsonCoder):
    hint = SnapshotEnd
    form = _StoredSnapshotEnd
    name = "snapshot_end:v1"


class FileMetadataCoder(_JsonCoder):
    hint = FileMetadata
    form = _StoredFile
    name = "file_metadata:v1"


def _refused(reason: str, stored: bytes) -> MalformedRecordError:
    error = MalformedRecordError(reason)
    error.payload = stored
    return error


def register_output_coders() -> None:
    """Register these coders by type with Beam. Calling it again changes nothing.

    `FileMetadata` is Beam's: a coder that the pipeline's author registers for it stays, or replaces this one.
    """
    registry = coders.registry
    for coder in (DeadLetterCoder, LossCoder, MisfitCoder, SnapshotEndCoder):
        registry.register_coder(coder.hint, coder)
    if isinstance(registry.get_coder(FileMetadata), coders.FastPrimitivesCoder):  # Beam's default
        registry.register_coder(FileMetadata, FileMetadataCoder)
