"""What reads and sinks return beside changes, as rows with a Beam schema that never changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple, Optional

from apache_beam.io.filesystem import FileMetadata
from apache_beam.utils.timestamp import Timestamp

from beam_dynamodb_streams.beam.coders import register_row
from beam_dynamodb_streams.columns import Misfit
from beam_dynamodb_streams.records.dead_letter import DeadLetter
from beam_dynamodb_streams.records.snapshot_end import SnapshotEnd
from beam_dynamodb_streams.shards.loss import Loss
from beam_dynamodb_streams.shards.stream_position import StreamPosition, position_text

# Beam does not know the form `X | None` everywhere.


class DeadLetterRow(NamedTuple):
    """A `DeadLetter`."""

    stream_arn: str
    shard_id: str
    sequence_number: Optional[str]  # noqa: UP045
    payload: bytes
    reason: str


class LossRow(NamedTuple):
    """A `Loss`."""

    stream_arn: str
    shard_id: str
    last_position: str
    next_position: str
    since: Optional[Timestamp]  # noqa: UP045
    certain: bool
    reason: str
    until: Optional[Timestamp]  # noqa: UP045


class MisfitRow(NamedTuple):
    """A `Misfit`."""

    event_id: str
    shard_id: str
    sequence_number: str
    image: str
    attribute: Optional[str]  # noqa: UP045
    reason: str
    payload: bytes


class PositionRow(NamedTuple):
    """A `StreamPosition`: `shards` has the text of each position, and `json` the whole of it."""

    stream_arn: Optional[str]  # noqa: UP045
    start: str
    shards: Mapping[str, str]
    until: Optional[Timestamp]  # noqa: UP045
    json: str


class SnapshotRow(NamedTuple):
    """A `SnapshotEnd`."""

    epoch: int
    rows: int
    consistent_since: Timestamp
    whole_table: bool
    removes_before: Optional[str]  # noqa: UP045


class FileRow(NamedTuple):
    """Beam's `FileMetadata` of a file that was written."""

    path: str
    size_in_bytes: int
    last_updated_in_seconds: float


def dead_letter_row(letter: DeadLetter) -> DeadLetterRow:
    return DeadLetterRow(letter.stream_arn, letter.shard_id, letter.sequence_number, letter.payload, letter.reason)


def loss_row(loss: Loss) -> LossRow:
    return LossRow(
        loss.stream_arn,
        loss.shard_id,
        loss.last_position,
        loss.next_position,
        _timestamp(loss.since),
        loss.certain,
        loss.reason,
        _timestamp(loss.until),
    )


def misfit_row(misfit: Misfit) -> MisfitRow:
    place = misfit.event_id, misfit.shard_id, misfit.sequence_number
    return MisfitRow(*place, misfit.image, misfit.attribute, misfit.reason, misfit.payload)


def position_row(position: StreamPosition) -> PositionRow:
    shards = {shard: position_text(each) for shard, each in position.shards.items()}
    until = None if position.until is None else Timestamp(position.until)
    return PositionRow(position.stream_arn, position_text(position.start), shards, until, position.to_json())


def snapshot_row(end: SnapshotEnd) -> SnapshotRow:
    return SnapshotRow(end.epoch, end.rows, Timestamp(end.consistent_second), end.whole_table, end.removes_before)


def file_row(file: FileMetadata) -> FileRow:
    return FileRow(str(file.path), int(file.size_in_bytes), float(file.last_updated_in_seconds))


def _timestamp(moment: datetime | None) -> Timestamp | None:
    return None if moment is None else Timestamp.from_utc_datetime(moment)


#: The row of each type of element, and what makes it.
OUTPUT_ROWS: Final[Mapping[type, tuple[Any, Callable[[Any], Any]]]] = {
    DeadLetter: (DeadLetterRow, dead_letter_row),
    Loss: (LossRow, loss_row),
    Misfit: (MisfitRow, misfit_row),
    StreamPosition: (PositionRow, position_row),
    SnapshotEnd: (SnapshotRow, snapshot_row),
    FileMetadata: (FileRow, file_row),
}

for _row, _name in (
    (DeadLetterRow, "dead_letter:v1"),
    (LossRow, "loss:v1"),
    (MisfitRow, "misfit:v1"),
    (PositionRow, "position:v1"),
    (SnapshotRow, "snapshot:v1"),
    (FileRow, "file:v1"),
):
    register_row(_row, _name)
