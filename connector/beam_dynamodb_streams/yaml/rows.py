"""The rows that YAML transforms return beside changes: errors, and the files of a sink."""

from __future__ import annotations

from typing import NamedTuple, Optional

import apache_beam as beam
from apache_beam.io.filesystem import FileMetadata

from beam_dynamodb_streams.columns import Misfit
from beam_dynamodb_streams.shards.loss import Loss
from beam_dynamodb_streams.source.elements import DeadLetter


class ErrorRow(NamedTuple):
    """An error: the fields that Beam's own transforms have in their error output, and where it happened.

    `element` is the record as received, or the attribute; a loss has none. The row is flat, because Beam's sinks for
    JSON and CSV write the fields of a nested row without their names.
    """

    element: Optional[str]
    msg: str
    stack: str
    kind: str
    stream_arn: Optional[str]
    shard_id: str
    sequence_number: Optional[str]


class FileRow(NamedTuple):
    """A file that was written."""

    path: str
    size_in_bytes: int
    last_updated_in_seconds: float


def as_error_rows() -> beam.PTransform:
    """Return the step that makes one `ErrorRow` of each `DeadLetter`, `Loss` or `Misfit`."""
    return beam.Map(error_row).with_output_types(ErrorRow)


def error_row(error: DeadLetter | Loss | Misfit) -> ErrorRow:
    """Return the error as a row. Bytes that are not UTF-8 are escapes such as `\\xff`."""
    stream: str | None
    match error:
        case Loss():
            return ErrorRow(None, str(error), "", "loss", error.stream_arn, error.shard_id, None)
        case DeadLetter():
            kind, stream, reason = "dead_letter", error.stream_arn, error.reason
        case Misfit():
            kind, stream, reason = "misfit", None, f"{error.place} does not fit its column: {error.reason}"
    return ErrorRow(_text(error.payload), reason, "", kind, stream, error.shard_id, error.sequence_number)


def as_file_rows() -> beam.PTransform:
    """Return the step that makes one `FileRow` of each file."""
    return beam.Map(file_row).with_output_types(FileRow)


def file_row(file: FileMetadata) -> FileRow:
    return FileRow(str(file.path), int(file.size_in_bytes), float(file.last_updated_in_seconds))


def _text(payload: bytes) -> str:
    return payload.decode("utf-8", "backslashreplace")
