"""The step that reads one data file of an export, and what its rows become: changes, or batches of them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import compress
from typing import Any, Final, NamedTuple

import apache_beam as beam
import pyarrow as pa
from apache_beam.io.filesystems import FileSystems
from apache_beam.metrics import Metrics
from apache_beam.pvalue import PCollection, TaggedOutput
from apache_beam.transforms.window import TimestampedValue
from apache_beam.utils.timestamp import Timestamp

from beam_dynamodb_streams import metrics
from beam_dynamodb_streams.beam.typed import OwnDoFn
from beam_dynamodb_streams.columns import Columns, Misfit, Schema
from beam_dynamodb_streams.errors import ExportError, MalformedRecordError
from beam_dynamodb_streams.exports.folder import blocks_of_lines, read_data
from beam_dynamodb_streams.exports.rows import MalformedRow, RowDecoder, Rows, records_of_rows
from beam_dynamodb_streams.exports.summary import DataFile
from beam_dynamodb_streams.records import ChangeRecord
from beam_dynamodb_streams.records.dead_letter import DeadLetter
from beam_dynamodb_streams.records.envelope import EntryFields
from beam_dynamodb_streams.records.text_columns import batch_of_fields
from beam_dynamodb_streams.source.elements import CHANGES, DEAD_LETTERS
from beam_dynamodb_streams.source.export_files import ExportFile
from beam_dynamodb_streams.source.filter import ChangeFilter, decode_values
from beam_dynamodb_streams.source.options import OnMalformed

_LOGGER: Final = logging.getLogger(__name__)


class ExportOutputs(NamedTuple):
    """The two outputs of a read of exports: of `ChangeRecord` (or batches), and of `DeadLetter`."""

    changes: PCollection
    dead_letters: PCollection


@dataclass(frozen=True, slots=True)
class RowForm:
    """What the rows of a data file become.

    Attributes:
        batches: Whether the elements are record batches.
        schema: The typed columns of the batches; None for those of any table.
        tagged: Whether malformed rows have an output of their own.
        on_malformed: What happens to them otherwise: "fail" or "skip".
        change_filter: Which rows are delivered; None for all.
        event_time: The event time of all elements in microseconds; None for the creation times.
    """

    batches: bool = False
    schema: Schema | None = None
    tagged: bool = False
    on_malformed: OnMalformed = "fail"
    change_filter: ChangeFilter | None = None
    event_time: int | None = None

    @property
    def element_type(self) -> type:
        return pa.RecordBatch if self.batches else ChangeRecord


def rows_of_files(files: PCollection, form: RowForm) -> ExportOutputs:
    """Return the changes and the dead letters of data files, which are read in parallel."""
    spread = files | "Spread" >> beam.Reshuffle().with_output_types(ExportFile)
    read = spread | "Read" >> beam.ParDo(ReadRows(form)).with_outputs(DEAD_LETTERS, main=CHANGES)
    outputs = ExportOutputs(read[CHANGES], read[DEAD_LETTERS])
    for output, kind in zip(outputs, (form.element_type, DeadLetter), strict=True):
        output.element_type = kind
    return outputs


class ReadRows(OwnDoFn):
    """Reads one data file: its changes, and the dead letters of its malformed rows."""

    def __init__(self, form: RowForm) -> None:
        self._form = form

    def setup(self) -> None:
        schema = self._form.schema
        self._columns = None if schema is None else Columns(schema)

    def process(self, file: ExportFile) -> Iterator[Any]:
        FileSystems.report_source_lineage(file.path)
        data = read_data(file.path, DataFile(file.key, file.items, file.md5))
        decoder = RowDecoder(file.context)
        lines = 0
        for block in blocks_of_lines(data, file.key):
            rows = decoder.rows(block)
            lines += len(rows.version_bases) + len(rows.malformed)
            yield from self._elements(file, rows)
        if file.items is not None and lines != file.items:
            raise ExportError(
                f"{file.path}: the data file {file.key} has {lines:,} rows, and its manifest counts {file.items:,}: "
                "copy the export again"
            )

    def _elements(self, file: ExportFile, rows: Rows) -> Iterator[Any]:
        rows = rows if self._form.change_filter is None else self._filtered(rows, file.key)
        made, malformed = self._batch(rows, file.key) if self._form.batches else self._records(rows, file.key)
        self._refuse(file, malformed)
        count = len(rows.version_bases) - (0 if self._form.batches else len(malformed) - len(rows.malformed))
        Metrics.counter(metrics.NAMESPACE, metrics.RECORDS).inc(count)
        yield from made
        if malformed:
            Metrics.counter(metrics.NAMESPACE, metrics.DEAD_LETTERS).inc(len(malformed))
            for entry in malformed:
                _LOGGER.warning("malformed row in %s: %s", file.key, entry.reason)
                if self._form.tagged:
                    letter = DeadLetter(file.arn, file.key, None, entry.payload, entry.reason)
                    yield TaggedOutput(DEAD_LETTERS, TimestampedValue(letter, self._time(file.moment)))

    def _time(self, micros: int) -> Timestamp:
        return Timestamp(micros=micros if self._form.event_time is None else self._form.event_time)

    def _records(self, rows: Rows, shard_id: str) -> tuple[Iterator[TimestampedValue], list[MalformedRow]]:
        records: Iterator[ChangeRecord] = records_of_rows(rows, shard_id)
        malformed = list(rows.malformed)
        if self._form.tagged or self._form.on_malformed == "skip":
            records = iter(_well_formed(records, malformed))
        return (TimestampedValue(record, self._time(record.creation_micros)) for record in records), malformed

    def _batch(self, rows: Rows, shard_id: str) -> tuple[Iterator[TimestampedValue], list[MalformedRow]]:
        malformed = list(rows.malformed)
        if not rows.version_bases:
            return iter(()), malformed
        bases = pa.array(rows.version_bases, pa.string())
        if self._columns is None:
            batch = batch_of_fields(rows.fields, shard_id, bases)
        else:
            made = self._columns.of_fields(rows.fields, shard_id, bases)
            batch = made.rows
            malformed += map(_malformed, made.misfits)
        earliest = round(min(rows.fields.creation_times) * 1_000_000)
        return iter([TimestampedValue(batch, self._time(earliest))]), malformed

    def _filtered(self, rows: Rows, shard_id: str) -> Rows:
        """Return the rows that pass the filter of the read. Those whose values it cannot decode become malformed."""
        chosen, malformed = self._form.change_filter, list(rows.malformed)
        assert chosen is not None  # noqa: S101 - narrows the type
        passed = []
        for record in records_of_rows(rows, shard_id):
            try:
                passed.append(chosen.passes(record))
            except MalformedRecordError as error:
                malformed.append(MalformedRow(_row_json(record), error.message))
                passed.append(False)
        columns: list[Any] = [list(compress(column, passed)) for column in rows.fields]
        fields = EntryFields(*columns)
        return Rows(fields, list(compress(rows.version_bases, passed)), malformed)

    def _refuse(self, file: ExportFile, malformed: list[MalformedRow]) -> None:
        if malformed and not self._form.tagged and self._form.on_malformed == "fail":
            error = MalformedRecordError(
                f"malformed row in the data file {file.key} of {file.path}: {malformed[0].reason}. To continue, use "
                '.with_outputs() for dead letters, or on_malformed="skip"'
            )
            error.payload = malformed[0].payload
            raise error


def _well_formed(records: Iterator[ChangeRecord], malformed: list[MalformedRow]) -> list[ChangeRecord]:
    """Return the records whose values can be decoded. Adds the others to `malformed`."""
    found = []
    for record in records:
        try:
            decode_values(record)
        except MalformedRecordError as error:
            malformed.append(MalformedRow(_row_json(record), error.message))
        else:
            found.append(record)
    return found


def _row_json(record: ChangeRecord) -> bytes:
    """Return a row whose values are malformed as JSON."""
    if record.event_name == "READ":
        return b'{"Item":%s}' % (record.new_image_json or b"")
    members = (("Keys", record.keys_json), ("OldImage", record.old_image_json), ("NewImage", record.new_image_json))
    return b"{%s}" % b",".join(b'"%s":%s' % (name.encode(), raw) for name, raw in members if raw is not None)


def _malformed(misfit: Misfit) -> MalformedRow:
    return MalformedRow(misfit.payload, f"{misfit.place} does not fit its column: {misfit.reason}")
