"""The rows of the error output of YAML transforms."""

from __future__ import annotations

from typing import NamedTuple, Optional

import apache_beam as beam

from beam_dynamodb_streams.beam.coders import register_row
from beam_dynamodb_streams.beam.typed import no_annotations
from beam_dynamodb_streams.columns import Misfit
from beam_dynamodb_streams.records.dead_letter import DeadLetter
from beam_dynamodb_streams.shards.loss import Loss


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


register_row(ErrorRow, "error:v1")


def as_error_rows() -> beam.PTransform:
    """Return the step that makes one `ErrorRow` of each `DeadLetter`, `Loss` or `Misfit`."""
    return beam.Map(error_row).with_output_types(ErrorRow)


@no_annotations
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


def _text(payload: bytes) -> str:
    return payload.decode("utf-8", "backslashreplace")
