"""What a step becomes in the pipeline: one element a change, or Arrow record batches. Made before the step is claimed,
so that what cannot be delivered is known by then."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Final, Protocol

import pyarrow as pa
from apache_beam.transforms.window import TimestampedValue
from apache_beam.utils.timestamp import Timestamp

from beam_dynamodb_streams.columns import Columns, Misfit, Schema
from beam_dynamodb_streams.reader.filter import well_formed
from beam_dynamodb_streams.records import ChangeRecord, change_batch
from beam_dynamodb_streams.records.envelope import change_records, creation_times
from beam_dynamodb_streams.shards.loss import MICROS
from beam_dynamodb_streams.wire import MalformedEntry, RawRecord

CHANGES: Final = "changes"
DEAD_LETTERS: Final = "dead_letters"
LOSSES: Final = "losses"

Elements = Iterable[TimestampedValue]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that is not what the service documents: where it was, its bytes as received, and what is wrong.

    `sequence_number` is None where the record has none that can be read.
    """

    stream_arn: str
    shard_id: str
    sequence_number: str | None
    payload: bytes
    reason: str

    def __repr__(self) -> str:
        return (
            f"DeadLetter(shard_id={self.shard_id!r}, sequence_number={self.sequence_number!r}, "
            f"{len(self.payload)} bytes, reason={self.reason!r})"
        )


class Emission(Protocol):
    """``element_type`` is what it gives; ``of`` the elements of a page, and the changes that are dead letters instead.

    ``checked``: whether dead letters are wanted, rather than a failure where a value is first used.
    """

    @property
    def element_type(self) -> type: ...

    def of(
        self, records: Sequence[RawRecord], shard: str, *, checked: bool
    ) -> tuple[Elements, list[MalformedEntry]]: ...


@dataclass(frozen=True, slots=True)
class Changes:
    """One :class:`ChangeRecord` a change, at its creation time. ``checked`` ones are decoded here, others when used."""

    element_type: type = ChangeRecord

    def of(self, records: Sequence[RawRecord], shard: str, *, checked: bool) -> tuple[Elements, list[MalformedEntry]]:
        if not checked:
            return _stamped(change_records(records, shard)), []
        changes, malformed = well_formed(records, shard)
        return _stamped(changes), malformed


def _stamped(changes: Iterable[ChangeRecord]) -> Iterator[TimestampedValue]:
    created, stamp = None, Timestamp(0)
    for change in changes:
        if change.creation_micros != created:
            created = change.creation_micros
            stamp = Timestamp(micros=created)
        yield TimestampedValue(change, stamp)


@dataclass(frozen=True, slots=True)
class Batches:
    """Record batches in the order of the changes, cut where creation times pass a multiple of ``span`` seconds.

    Each is at the creation time of its earliest change, so a window whose borders are multiples of ``span`` holds a
    batch whole. ``schema``: typed columns; None: the columns of :data:`records.CHANGE_SCHEMA`.
    """

    schema: Schema | None
    span: int
    element_type: type = pa.RecordBatch
    _columns: Columns | None = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_columns", None if self.schema is None else Columns(self.schema))

    def of(
        self,
        records: Sequence[RawRecord],
        shard: str,
        *,
        checked: bool,  # noqa: ARG002 - text has nothing to check
    ) -> tuple[Elements, list[MalformedEntry]]:
        if not records:
            return (), []
        if self._columns is None:
            return self._cut(records, change_batch(records, shard)), []
        made = self._columns.of_page(records, shard)
        return self._cut(records, made.rows), [_entry(misfit) for misfit in made.misfits]

    def _cut(self, records: Sequence[RawRecord], rows: pa.RecordBatch) -> Iterator[TimestampedValue]:
        created = creation_times(records)
        start = 0
        for _, times in groupby(created, key=lambda seconds: int(seconds) // self.span):
            run = list(times)
            part = rows.slice(start, len(run))
            if len(run) < len(created):
                part = pa.concat_batches([part])  # its own rows alone: a slice holds, and pickles, the whole page
            yield TimestampedValue(part, Timestamp(micros=round(min(run) * MICROS)))
            start += len(run)


def _entry(misfit: Misfit) -> MalformedEntry:
    reason = f"{misfit.place} does not fit its column: {misfit.reason}"
    return MalformedEntry(-1, misfit.payload, reason, misfit.sequence_number)


ONE_BY_ONE: Final = Changes()
