"""Exports joined with the stream: their rows first, then the changes since the last of them.

The stream is read from five minutes before the moment of the last export, so changes that are in the export may be
delivered too. A row has the version (epoch, "", …) and a change after it (epoch, stream, number), with the epoch of the
last export. So each change of the stream is later than the rows, and a sink that keeps the greatest version is right in
any order: an item that is in the export and in the stream ends with its last change in the stream, which is its last
write, and an item that is in the export alone was not written since.

A *repair* is the same with incremental exports alone, which cover the time of a loss. All that the sink had before is
of an earlier epoch, so the net changes win over it, deletes included, and the changes since win over the net changes.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

import apache_beam as beam
from apache_beam.pvalue import PBegin, PCollection
from apache_beam.transforms.window import TimestampedValue
from apache_beam.utils.timestamp import Timestamp

from beam_dynamodb_streams.beam.typed import OwnDoFn, OwnTransform
from beam_dynamodb_streams.errors import ExportError
from beam_dynamodb_streams.exports.repair import export_command, windows_between
from beam_dynamodb_streams.exports.summary import DataFile, Export, time_text
from beam_dynamodb_streams.records.snapshot_end import SnapshotEnd
from beam_dynamodb_streams.shards.generations import created_at, table_of
from beam_dynamodb_streams.shards.loss import MICROS, RETENTION_SECONDS
from beam_dynamodb_streams.shards.position import AtTime
from beam_dynamodb_streams.shards.segments import without_marks
from beam_dynamodb_streams.shards.start_stop import Start
from beam_dynamodb_streams.shards.stream_position import StreamPosition
from beam_dynamodb_streams.source.elements import Batches, Emission
from beam_dynamodb_streams.source.export_files import ExportFile, files_of_exports, read_exports
from beam_dynamodb_streams.source.export_rows import ExportOutputs, RowForm, rows_of_files
from beam_dynamodb_streams.source.filter import ChangeFilter
from beam_dynamodb_streams.source.options import ReadOptions
from beam_dynamodb_streams.source.snapshot import check_view
from beam_dynamodb_streams.source.stream_read import StreamRead
from beam_dynamodb_streams.source.streams import StreamsOfTable, find_streams
from beam_dynamodb_streams.source.worker_cache import client
from beam_dynamodb_streams.wire import Client, StreamClient

#: Creation times are those of several clocks, and an export may show a write that its moment precedes.
OVERLAP_SECONDS: Final = 300


def start_of(exports: Sequence[Export]) -> AtTime:
    """Return where the stream is read from after these exports."""
    return AtTime(max(0, exports[-1].moment // MICROS - OVERLAP_SECONDS))


def joined_exports(
    service: StreamClient, options: ReadOptions, streams: StreamsOfTable
) -> list[tuple[Export, list[DataFile]]]:
    """Return the exports of a read with their data files, once they fit the table and its stream.

    Raises:
        ExportError: They are of another table, or not what the option means, or the stream does not reach back to them.
        InvalidOptionError: The changes of the stream have no new images, so rows would never be brought up to date.
    """
    snapshot = options.exports
    assert snapshot is not None  # noqa: S101 - narrows the type: only such reads come here
    view = service.describe_stream(streams.latest, limit=1).view_type
    check_view(streams.latest, view, option="repair=" if snapshot.repairs else "snapshot=")
    found = read_exports(snapshot.paths, streams.table_id or None)
    exports = [export for export, _ in found]
    first = exports[0]
    if table_of(streams.latest).partition(":table/")[2] != first.table:
        raise ExportError(f"{first}: it is of the table {first.table}, and the read is of {streams.latest}")
    if first.since is None and snapshot.repairs:
        raise ExportError(
            f"{first}: a repair takes incremental exports, and this is a full one: give it as snapshot=, which "
            "replaces the whole table"
        )
    if first.since is not None and not snapshot.repairs:
        raise ExportError(
            f"{first}: a snapshot begins with a full export, and this is an incremental one: give the full one before "
            "it, or use repair= to mend a loss"
        )
    if not is_delivered(options.start, exports):
        _check_reach(exports, service.service_time(), streams)
    return found


def _check_reach(exports: Sequence[Export], now: float, streams: StreamsOfTable) -> None:
    """Raise `ExportError` if changes since the last export are in no stream any more."""
    last = exports[-1]
    if last.moment < (now - RETENTION_SECONDS + OVERLAP_SECONDS) * MICROS:
        bridge = windows_between(last.moment, int(now) * MICROS)
        commands = "; ".join(shlex.join(export_command(last.table_arn, window, bucket="BUCKET")) for window in bridge)
        raise ExportError(
            f"{last}: it is older than the stream reaches, which is 24 hours, so changes since then are missing: make "
            f"incremental exports of that time, and give them after it, in order: {commands}"
        )
    created = created_at(streams.stream_of(start_of(exports)))
    if created is not None and created * MICROS > last.moment:
        raise ExportError(
            f"{last}: the stream was enabled later, at {time_text(int(created * MICROS))}, so changes between are in "
            "no stream: export again now"
        )


def begin_after_exports(read: StreamRead, exports: Sequence[Export]) -> StreamRead:
    """Return the read with the epoch of its exports."""
    return replace(read, epoch=exports[-1].epoch)


def is_delivered(start: Start, exports: Sequence[Export]) -> bool:
    """Return whether a saved position says that the rows of these exports are delivered; False without a position.

    Raises:
        ExportError: It is the position of a read without them: the changes that it covers have older versions than the
            rows, and would never be delivered again.
    """
    if not isinstance(start, StreamPosition):
        return False
    _, epoch = without_marks(start.shards)
    if epoch == exports[-1].epoch:
        return True
    if epoch or start.start != start_of(exports):
        raise ExportError(
            f"the position to resume from is of a read without {exports[-1]}: begin a new read with that export, into "
            "a new output"
        )
    return False


@beam.typehints.with_output_types(ExportFile)
class ListSnapshot(OwnDoFn):
    """Turns one element into the data files of the exports of a read."""

    def __init__(self, options: ReadOptions) -> None:
        self._options = options

    def process(self, element: object) -> Iterator[ExportFile]:  # noqa: ARG002 - an impulse says nothing
        service = client(self._options.connection)
        streams = find_streams(service, self._options)
        found = joined_exports(service, self._options, streams)
        assert isinstance(service, Client)  # noqa: S101 - a read of Kinesis has no such option
        table = streams.table or service.describe_table(table_of(streams.latest))
        exports = [export for export, _ in found]
        if not is_delivered(self._options.start, exports):
            yield from files_of_exports(found, tuple(table.key_types), exports[-1].epoch)


class SnapshotRows(OwnTransform):
    """The rows of the exports of a read, in the form in which the read delivers its changes."""

    def __init__(self, options: ReadOptions, emission: Emission, *, tagged: bool) -> None:
        super().__init__()
        self._options = options
        chosen = options.rules.filter
        self._form = RowForm(
            batches=isinstance(emission, Batches),
            schema=emission.schema if isinstance(emission, Batches) else None,
            tagged=tagged,
            on_malformed=options.on_malformed,
            change_filter=chosen if isinstance(chosen, ChangeFilter) else None,
        )

    def expand(self, pbegin: PBegin) -> ExportOutputs:
        files = pbegin | "Impulse" >> beam.Impulse() | "List" >> beam.ParDo(ListSnapshot(self._options))
        return rows_of_files(files, self._form)


class EndOfRows(OwnDoFn):
    """Emits the end of a snapshot, given the element of `end_of_rows`: itself, or the batch that stands for it.

    Args:
        options: The options of the read.
        emission: The form of its elements; None for the end itself.
    """

    def __init__(self, options: ReadOptions, emission: Batches | None = None) -> None:
        self._options = options
        self._emission = emission

    def process(self, counted: tuple[int, int]) -> Iterator[TimestampedValue]:
        snapshot = self._options.exports
        assert snapshot is not None  # noqa: S101 - narrows the type: only such reads come here
        exports = [export for export, _ in read_exports(snapshot.paths)]
        if is_delivered(self._options.start, exports):
            return
        last = exports[-1]
        end = SnapshotEnd(last.epoch, counted[1], last.moment // MICROS, whole_table=not snapshot.repairs)
        element = end if self._emission is None else self._emission.end(end)
        yield TimestampedValue(element, Timestamp(micros=last.moment))


def end_of_rows(rows: PCollection, impulse: PCollection, emission: Emission) -> PCollection:
    """Return one element, the number of rows, once all of them are read, and not before.

    A grouping of the global window ends with its input. A side input (`WaitOn`) would say the same, but breaks the
    checkpoints of a streaming job on Flink.
    """
    size = len if isinstance(emission, Batches) else _one
    counts = (
        impulse | "None" >> beam.Map(lambda _: (0, 0)).with_output_types(tuple[int, int]),
        rows | "Count" >> beam.Map(lambda each: (0, size(each))).with_output_types(tuple[int, int]),
    )
    return counts | "Counts" >> beam.Flatten() | "AllRead" >> beam.CombinePerKey(sum)


def _one(_: object) -> int:
    return 1
