"""What the page of a claim becomes in the pipeline: its elements, and its malformed entries.

This is decided once, before the claim. So a read that fails at a malformed record claims nothing beyond it, and only
what is emitted is counted as delivered.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, groupby
from typing import Final, Protocol, cast

import pyarrow as pa
from apache_beam.transforms.window import TimestampedValue
from apache_beam.utils.timestamp import Timestamp

from beam_dynamodb_streams.columns import Columns, Misfit, Schema
from beam_dynamodb_streams.reader.claim import Claim
from beam_dynamodb_streams.reader.stream import Malformed
from beam_dynamodb_streams.records import CHANGE_SCHEMA, ChangeRecord, change_batch
from beam_dynamodb_streams.records.envelope import change_records, creation_times
from beam_dynamodb_streams.records.snapshot_end import SnapshotEnd, end_batch
from beam_dynamodb_streams.records.versions import UNKNOWN_BASE
from beam_dynamodb_streams.shards.loss import MICROS
from beam_dynamodb_streams.source.filter import well_formed
from beam_dynamodb_streams.wire import MalformedEntry, RawRecord

CHANGES: Final = "changes"
DEAD_LETTERS: Final = "dead_letters"
LOSSES: Final = "losses"
SNAPSHOTS: Final = "snapshots"

_VIEWS_WITH_NEW_IMAGES: Final = ("NEW_IMAGE", "NEW_AND_OLD_IMAGES")

Elements = Iterable[TimestampedValue]


def lacks_new_images(view_type: str) -> str:
    """Return why a stream with this view type does not suit typed columns; "" if it does."""
    if view_type in _VIEWS_WITH_NEW_IMAGES:
        return ""
    return (
        "it has no new images, and the columns of the schema would be null from here. Enable the stream again with "
        "NEW_IMAGE or NEW_AND_OLD_IMAGES, or read it without a schema"
    )


@dataclass(frozen=True, slots=True)
class Emitted:
    """What a claim delivers.

    Attributes:
        elements: The elements, lazily: each is made when it is taken.
        changes: How many changes they hold.
        malformed: Everything malformed in the page: entries that differ from the service's documentation, changes with
            values that cannot be decoded, and attributes that do not fit their column.
    """

    elements: Elements = ()
    changes: int = 0
    malformed: Sequence[Malformed] = ()


def end_of_snapshot(claim: Claim) -> SnapshotEnd | None:
    """Return the end of the read's snapshot, if the claim delivers the last of its rows."""
    scan = claim.frontier.scan
    if not claim.scanned or scan is None or not scan.complete:
        return None
    return SnapshotEnd(scan.epoch, scan.rows, scan.consistent_since // MICROS)


def records_of(claim: Claim) -> Sequence[RawRecord]:
    """Return the records of a claim: every read has a DynamoDB stream, so its entries are stream records."""
    return cast("Sequence[RawRecord]", claim.records)


class Emission(Protocol):
    """The form in which a read delivers changes. `element_type` is the type of its elements."""

    @property
    def element_type(self) -> type: ...

    def refuses(self, view_type: str) -> str:
        """Return why the changes of a stream with this view type must not be delivered in this form; "" if they may."""

    def of(self, claim: Claim, *, checked: bool, version_base: str = UNKNOWN_BASE) -> Emitted:
        """Return what the claim delivers.

        Args:
            claim: The claim; its records and its malformed entries are used.
            version_base: The version of its changes without their numbers (`records.versions`).
            checked: Whether to decode each change here, so that one that cannot be decoded is malformed. If not, such a
                change fails where its values are first read.
        """


@dataclass(frozen=True, slots=True)
class Changes:
    """One `ChangeRecord` for each change, at its creation time; decoded here if `checked`, else at its first use."""

    element_type: type = ChangeRecord

    def refuses(self, view_type: str) -> str:  # noqa: ARG002 - a change has what the view has
        return ""

    def of(self, claim: Claim, *, checked: bool, version_base: str = UNKNOWN_BASE) -> Emitted:
        records = records_of(claim)
        if not checked:
            lazily = change_records(records, claim.shard, version_base)
            return Emitted(_stamped(lazily), len(records), claim.malformed)
        changes, malformed = well_formed(records, claim.shard, version_base)
        return Emitted(_stamped(changes), len(changes), [*claim.malformed, *malformed])


def _stamped(changes: Iterable[ChangeRecord]) -> Iterator[TimestampedValue]:
    created, stamp = None, Timestamp(0)
    for change in changes:
        if change.creation_micros != created:
            created = change.creation_micros
            stamp = Timestamp(micros=created)
        yield TimestampedValue(change, stamp)


@dataclass(frozen=True, slots=True)
class Batches:
    """Record batches in the order of the changes, cut where creation times pass a multiple of `span` seconds.

    The timestamp of a batch is the creation time of its earliest change, so a window whose borders are multiples of
    `span` holds all of a batch. With a `schema` the batches have its typed columns, without one the columns of
    `records.CHANGE_SCHEMA`.
    """

    schema: Schema | None
    span: int
    element_type: type = pa.RecordBatch
    _columns: Columns | None = field(init=False, compare=False, repr=False)

    def refuses(self, view_type: str) -> str:
        return "" if self.schema is None else lacks_new_images(view_type)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_columns", None if self.schema is None else Columns(self.schema))

    def of(
        self,
        claim: Claim,
        *,
        checked: bool,  # noqa: ARG002 - text has nothing to check, and columns check each value
        version_base: str = UNKNOWN_BASE,
    ) -> Emitted:
        """Return the rows of all entries. A misfit attribute is null in its column, and its row is delivered."""
        records, ends = records_of(claim), self._end(claim)
        if not records:
            return Emitted(ends, malformed=claim.malformed)
        if self._columns is None:
            rows = change_batch(records, claim.shard, version_base)
            return Emitted(chain(self._cut(records, rows), ends), len(records), claim.malformed)
        made = self._columns.of_page(records, claim.shard, version_base)
        misfits = [_entry(misfit) for misfit in made.misfits]
        return Emitted(chain(self._cut(records, made.rows), ends), len(records), [*claim.malformed, *misfits])

    def _end(self, claim: Claim) -> list[TimestampedValue]:
        """Return the batch without rows that ends a snapshot, if the claim delivers the last of its rows."""
        end = end_of_snapshot(claim)
        if end is None:
            return []
        return [TimestampedValue(self.end(end), Timestamp(end.consistent_second))]

    def end(self, end: SnapshotEnd) -> pa.RecordBatch:
        """Return the batch that stands for the end of a snapshot."""
        return end_batch(CHANGE_SCHEMA if self.schema is None else self.schema.arrow, end)

    def _cut(self, records: Sequence[RawRecord], rows: pa.RecordBatch) -> Iterator[TimestampedValue]:
        created = creation_times(records)
        first, last = min(created), max(created)
        if int(first) // self.span == int(last) // self.span:  # as most pages are, without a look at each change
            yield TimestampedValue(rows, Timestamp(micros=round(first * MICROS)))
            return
        start = 0
        for _, times in groupby(created, key=lambda seconds: int(seconds) // self.span):
            run = list(times)
            part = rows.slice(start, len(run))
            part = pa.concat_batches([part])  # only its own rows: a slice pickles the whole page
            yield TimestampedValue(part, Timestamp(micros=round(min(run) * MICROS)))
            start += len(run)


def _entry(misfit: Misfit) -> MalformedEntry:
    reason = f"{misfit.place} does not fit its column: {misfit.reason}"
    return MalformedEntry(-1, misfit.payload, reason, misfit.sequence_number)


ONE_BY_ONE: Final = Changes()
