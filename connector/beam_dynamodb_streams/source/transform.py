"""`ReadFromDynamoDBStreams`: the source as pipeline authors see it."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, NamedTuple

import apache_beam as beam
import pyarrow as pa
from apache_beam.pvalue import PBegin, PCollection
from apache_beam.transforms.display import DisplayDataItem
from typing_extensions import Self

from beam_dynamodb_streams.beam.checked_read import CheckedRead, ReadTraits
from beam_dynamodb_streams.beam.coders import PLUGIN
from beam_dynamodb_streams.beam.error_handling import ErrorHandling, ErrorOutputs
from beam_dynamodb_streams.beam.graph import CompletedParDo, Graph
from beam_dynamodb_streams.beam.runners import import_on_workers, traits_of, wait_for_long_runs
from beam_dynamodb_streams.columns import Schema
from beam_dynamodb_streams.durations import Duration, as_seconds
from beam_dynamodb_streams.errors import InvalidOptionError
from beam_dynamodb_streams.progress.address import Progress
from beam_dynamodb_streams.progress.commit import CommitProgress
from beam_dynamodb_streams.reader.dynamodb_streams import TRAITS
from beam_dynamodb_streams.reader.end_of_stream import OnNewStream
from beam_dynamodb_streams.records import ChangeRecord
from beam_dynamodb_streams.records.dead_letter import DeadLetter
from beam_dynamodb_streams.records.snapshot_end import SnapshotEnd
from beam_dynamodb_streams.rows import AsRows
from beam_dynamodb_streams.shards.loss import Loss
from beam_dynamodb_streams.shards.start_stop import StartOption, StopOption
from beam_dynamodb_streams.source.dofn import (
    ReadBoundedStream,
    ReadBoundedStreamWithProgress,
    ReadUnboundedStream,
    ReadUnboundedStreamWithProgress,
)
from beam_dynamodb_streams.source.elements import (
    CHANGES,
    DEAD_LETTERS,
    LOSSES,
    ONE_BY_ONE,
    SNAPSHOTS,
    Batches,
    Emission,
)
from beam_dynamodb_streams.source.export_snapshot import EndOfRows, SnapshotRows, end_of_rows
from beam_dynamodb_streams.source.options import (
    EventName,
    OnDataLoss,
    OnMalformed,
    ReadOptions,
    parse_options,
)
from beam_dynamodb_streams.source.sharing import groups_on
from beam_dynamodb_streams.source.start import StartRead
from beam_dynamodb_streams.source.stream_read import StreamRead


class _Outputs(NamedTuple):
    changes: PCollection
    dead_letters: PCollection
    losses: PCollection


class ReadOutputs(_Outputs):
    """The three outputs of a read: of `ChangeRecord` (or batches), of `DeadLetter` and of `Loss`.

    `snapshots` is a PCollection beside these three, with a `SnapshotEnd` once a snapshot is delivered. It is empty for
    a read without a snapshot.
    """

    snapshots: PCollection

    @classmethod
    def of(cls, changes: PCollection, others: _Outputs, snapshots: PCollection) -> ReadOutputs:
        """Return the outputs with these changes and snapshots, and the others of `others`."""
        made = cls(changes, others.dead_letters, others.losses)
        made.snapshots = snapshots
        return made


class ReadFromDynamoDBStreams(CheckedRead):
    """Reads the changes of a table from its stream, as a PCollection of `ChangeRecord`.

    Each record is an element at its creation time (event time, floored to the second by the service). Changes of one
    key arrive in the order in which they were written, as long as no shuffle comes between; there is no order across
    keys. Every change that the service still holds is delivered at least once. After a failure the runner may deliver
    changes again, with the same `event_id`.

    On a runner with a job server (Prism, Flink) Beam's driver gives up every job after 300 seconds, even one that runs
    well. So the read raises the `job_server_timeout` of its pipeline, unless the flag `--job_server_timeout` is given.
    It does not change the options object from which the pipeline was made.

    Every option that is a duration takes a `timedelta` or a number of seconds. For `stop`, a number counts changes.

    Args:
      table: the table's name or its ARN; its latest stream is read, see `on_new_stream`. Give this or `stream_arn`.
        An ARN may be of another account, and says the region.
      stream_arn: the stream itself, for example of a stream that was disabled less than 24 hours ago.
      start: where to begin. `"TRIM_HORIZON"` is the oldest change that the service still has, at most 24 hours back.
        `"LATEST"` is the moment at which the pipeline starts; changes from up to one second before may be delivered
        too. A timezone-aware datetime begins with the changes created at or after it, with a warning if it is more than
        24 hours ago. A `StreamPosition` resumes where an earlier run saved it. `LeaseTable("…")`, or `"kcl://LEASE_TABLE"`,
        resumes where the workers of a Kinesis Client Library application stopped.
      stop: where to end. None: never (unbounded). `"NOW"` is the moment at which the pipeline starts. A timezone-aware
        datetime includes the changes created at it. A `timedelta` counts from the start of the pipeline. A number is a
        number of changes. They are counted before their values are decoded, so a change that becomes a dead letter
        because of its values counts too. With a stop the PCollection is bounded.
      region_name, endpoint_url: as in boto3. By default botocore finds region, endpoint and credentials on the worker.
      on_data_loss: `"fail"` raises `DataLossError` when changes were, or may have been, trimmed unread. `"continue"`
        continues to read and reports each `Loss` (see `with_outputs`).
      on_malformed: what happens to a malformed record if there is no output for dead letters: `"fail"` raises
        `MalformedRecordError`, `"skip"` counts and logs it.
      watermark_slack: how far creation times may be out of order inside a shard. The watermark trails by this time.
      poll_interval: how often to poll a shard whose pages are not full. A full page is followed at once. A reader of
        more than 250 shards polls each less often, 1,250 times a second in all; `shard_groups` makes several readers.
      idle_poll_interval: the same for a shard that is proven quiet. Each call is billed: an interval of 2 seconds makes
        1,800 GetRecords calls an hour for each shard, and a change may wait that long.
      quiet_pages, quiet_time: a shard counts as caught up after this many empty pages in a row over this time, because
        real shards return runs of empty pages before data. A stop, and the watermark of an idle shard, wait for it.
      max_concurrent_reads: how many GetRecords calls are in flight at once. It also bounds the pages in memory, of at
        most 1 MB each.
      slice_time: how long the source keeps a bundle before it checkpoints itself. While its shards are idle it may end
        a bundle earlier, and then rests for at least half of this time.
      shard_groups: the number of elements over which the stream is spread. One worker at a time reads each. The default
        is one, and on Flink with a parallelism above 1 two for each slot. Prism drops the records of lagging groups as
        late, so more than one is refused there.
      event_names: the kinds of change to deliver, of `"INSERT"`, `"MODIFY"` and `"REMOVE"`; None for all.
      where: a function that returns whether to deliver a change. It is called before anything is decoded. If it uses
        only `event_name`, `is_ttl_delete` or `keys`, the images of the changes that it skips are never decoded.
      filter_criteria: the service's event patterns. At least one must match a change, as in a Lambda trigger:
        `{"Filters": [{"Pattern": '{"eventName": ["INSERT"]}'}]}`, or a list of patterns as JSON text or dicts. What
        they say about the envelope is decided before an image is decoded. Such a change counts as read.
      progress: where to keep, outside the runner, how far the read has delivered: `"dynamodb://TABLE/APPLICATION"`,
        `"file:PATH"` or a `Progress`. A run resumes where the last run of the application stopped. State that the
        runner itself restores wins over this progress, and progress wins over `start`. A second run is refused while
        the first is alive. After a run was killed, the next one waits until its lease has expired (30 seconds), and
        delivers again what was delivered since the last write. If all steps behind the read are fused to it, progress
        is written once a bundle is finalized (on Flink 10 seconds later, and after another checkpoint). Else a
        `CommitProgress` behind the sink writes it. With a `stop` that is a time, a shard ends at its first change past
        the stop.
      give_up_after: how long a call may fail without a break before its error ends the
        read. By default the read waits for as long as it takes. Either way a call that has failed for 20 seconds is
        reported in the log, and again each minute.
      on_new_stream: what happens once the stream is disabled and read to its end. A stream that is enabled again is
        another one. `"follow"` continues in the table's next stream, from its oldest change, and waits for one while
        there is none. Changes that were written in between are in no stream, so they are a `Loss`, which ends the read
        under `on_data_loss="fail"`. `"fail"` raises `NewStreamError` once there is a next stream. `"finish"` ends the
        read with its stream. The default is `"follow"` with `table`, and `"finish"` with `stream_arn`. A saved
        position, `progress` and a lease table that stand in an earlier stream of the table are followed too. So is a
        start at a moment when the table had another stream. A table that was deleted and created again is
        refused, unless `snapshot="scan"` continues in it with a new snapshot.
      snapshot: `"scan"` delivers the whole table first: its items as changes with the `event_name` "READ", joined with
        the changes of the stream so that a sink that upserts in the order of delivery holds the table, and no item ever
        goes back in time. The scan reads consistently (a unit for each 4 KB) and may take longer than 24 hours, because
        the stream is read meanwhile. Rows have the event time at which they are delivered. The table's stream must have
        new images. Rows count as changes for a `stop` that is a number. If `progress` or a saved position has a
        complete snapshot, the read continues with the changes alone. The folder of a full export to S3,
        `"s3://…/AWSDynamoDB/<ExportId>/"`, in any filesystem that Beam knows, or a list of it and the incremental
        exports after it, delivers these items first, at no read units; then the stream, from five minutes before the
        moment of the last export. If that is more than 24 hours ago, the read is refused with the incremental exports
        to make. The `version` of each change then decides which state of an item is the latest. Rows of an export do
        not count for a `stop` that is a number.
      scan_segments: into how many segments the scan divides the table; by default 4. The number is fixed when the scan
        begins.
      scan_read_units: how many read units the scan may consume a second, on average; by default as many as the table
        allows. Throttled pages are delayed.
      repair: the folders of the incremental exports that cover the time of a loss, in order, up to a moment that the
        stream still reaches. Their net changes come first, deletes included, then the stream from the moment of the
        last one. Their versions are greater than all that was delivered before, so the sink of the read that had the
        loss becomes right. `dynamodb-streams repair` says which exports to make.

    Raises:
      InvalidOptionError: at construction, for a wrong option.
      ExportError: while it runs, if an export cannot be read, or does not fit the table, or its stream.
      RunnerError: when the pipeline is run, if the runner cannot stream this pipeline, or if no step in it can prove
        how much `progress` to write.
      NewStreamError: while it runs, see `on_new_stream`.
      ProgressHeldError, FencedError: while it runs, if another run of the application is alive, or has taken over.
    """

    def __init__(
        self,
        table: str | None = None,
        stream_arn: str | None = None,
        *,
        start: StartOption = "TRIM_HORIZON",
        stop: StopOption = None,
        region_name: str | None = None,
        endpoint_url: str | None = None,
        on_data_loss: OnDataLoss = "fail",
        on_malformed: OnMalformed = "fail",
        watermark_slack: Duration = timedelta(seconds=5),
        poll_interval: Duration = timedelta(milliseconds=200),
        idle_poll_interval: Duration = timedelta(seconds=2),
        quiet_pages: int = TRAITS.quiet.pages,
        quiet_time: Duration = timedelta(seconds=TRAITS.quiet.seconds),
        max_concurrent_reads: int = 16,
        slice_time: Duration = timedelta(seconds=1),
        shard_groups: int | None = None,
        event_names: Collection[EventName] | None = None,
        where: Callable[[ChangeRecord], bool] | None = None,
        filter_criteria: object = None,
        progress: str | Progress | None = None,
        give_up_after: Duration | None = None,
        on_new_stream: OnNewStream | None = None,
        snapshot: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None,
        scan_segments: int | None = None,
        scan_read_units: float | None = None,
        repair: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None,
    ) -> None:
        options = parse_options(
            table=table,
            stream_arn=stream_arn,
            start=start,
            stop=stop,
            region_name=region_name,
            endpoint_url=endpoint_url,
            on_data_loss=on_data_loss,
            on_malformed=on_malformed,
            watermark_slack=watermark_slack,
            poll_interval=poll_interval,
            idle_poll_interval=idle_poll_interval,
            quiet_pages=quiet_pages,
            quiet_time=quiet_time,
            max_concurrent_reads=max_concurrent_reads,
            slice_time=slice_time,
            shard_groups=shard_groups,
            event_names=event_names,
            where=where,
            filter_criteria=filter_criteria,
            progress=progress,
            give_up_after=give_up_after,
            on_new_stream=on_new_stream,
            snapshot=snapshot,
            scan_segments=scan_segments,
            scan_read_units=scan_read_units,
            repair=repair,
        )
        self._set_up(options, table or stream_arn)

    def _set_up(self, options: ReadOptions, source: str | None) -> None:
        """Set what every read has. `source` is what display data names."""
        CheckedRead.__init__(self)
        self._options = options
        self._tagged = False
        self._rows: AsRows | None = None
        self._emission: Emission = ONE_BY_ONE
        self._source = source
        self._bounded = options.stop is not None
        self._pipeline: beam.Pipeline | None = None

    def with_outputs(self) -> Self:
        """Return the same read with three outputs: `changes, dead_letters, losses = pipeline | read.with_outputs()`.

        Malformed records are in the dead letters, with their bytes; the rest of their page is delivered. To find them,
        every change is decoded in the read; batches are checked while they are made. There are losses only with
        `on_data_loss="continue"`. What is returned also has `snapshots`, a PCollection of `SnapshotEnd`. This read is
        not changed.
        """
        return self._variant(_tagged=True, _handling=None)

    def as_batches(self, schema: Schema | None = None, *, span: Duration = timedelta(minutes=1)) -> Self:
        """Return the same read with Arrow record batches as elements: about one page each, in order.

        No Python object is made for a change. The elements are `pyarrow.RecordBatch` with the columns `schema.arrow`;
        without a schema they have those of `CHANGE_SCHEMA`, with images as DynamoDB JSON text. A batch holds changes of
        one shard that were created within one `span` (whole seconds, counted from the epoch). Its event time is that of
        its earliest change, so a window whose borders are multiples of the span holds it whole. The sinks
        `WriteChangesToParquet` and `WriteChangesToAvro` take batches of any span.

        An attribute that does not fit its column is null there. With `on_misfit="dead_letter"` it is also in the dead
        letters, or counts as malformed where there is no such output; see `Schema`. This read is not changed.
        """
        seconds = as_seconds("span", span, at_least=1.0)
        if seconds != int(seconds):
            raise InvalidOptionError(f"span={span!r} cannot be a span: give whole seconds")
        if schema is not None and not isinstance(schema, Schema):
            raise InvalidOptionError(
                f"schema={schema!r}: give a beam_dynamodb_streams.Schema, or None for the columns of any table"
            )
        return self._variant(_emission=Batches(schema, int(seconds)), _rows=None)

    def as_rows(self, schema: Schema | None = None) -> Self:
        """Return the same read with rows as elements, which have a Beam schema, each at its creation time.

        The fields are those of `AsRows`. Rows are made from record batches, a page at a time, so attributes that do not
        fit their column are treated as in `as_batches`. This read is not changed.
        """
        rows = AsRows(schema)
        return self.as_batches(schema)._variant(_rows=rows)

    def _variant(self, **changes: object) -> Self:
        """Return a copy with these attributes that is not applied yet. This read is not changed."""
        variant = copy.copy(self)
        variant.__dict__.update(changes, pipeline=None, _pipeline=None)  # Beam's own attribute, and this class's
        return variant

    def expand(self, pbegin: PBegin) -> PCollection | ReadOutputs | ErrorOutputs:
        made = self._read(pbegin)
        if self._rows is not None:
            if not isinstance(made, ReadOutputs):
                return made | "Rows" >> self._rows
            made = ReadOutputs.of(made.changes | "Rows" >> self._rows, made, made.snapshots)
        if self._handling is None or not isinstance(made, ReadOutputs):
            return made
        losses = [made.losses] if self._options.on_data_loss == "continue" else []
        return self._handling.result(made.changes, made.dead_letters, *losses)

    def _with_handling(self, handling: ErrorHandling) -> Self:
        return self._variant(_handling=handling, _tagged=True)

    def _read(self, pbegin: PBegin) -> PCollection | ReadOutputs:
        if not isinstance(pbegin, PBegin):
            raise TypeError(f"{self.label} is a source: apply it to the pipeline, not to {pbegin}")
        pipeline = self._pipeline = pbegin.pipeline
        wait_for_long_runs(pipeline)
        import_on_workers(pipeline, PLUGIN)
        rows = all_read = None
        impulse = pbegin | "Impulse" >> beam.Impulse()
        if self._options.exports is not None:
            rows = pbegin | "Snapshot" >> SnapshotRows(self._options, self._emission, tagged=self._tagged)
            impulse = all_read = end_of_rows(rows.changes, impulse, self._emission)
        start = StartRead(self._options, groups_on(pipeline, self._options))
        # Without the type Beam infers Any, and runners would store the element pickled instead of in its own form.
        started = impulse | "Start" >> beam.ParDo(start).with_output_types(StreamRead)
        read = CompletedParDo(self._dofn(pipeline), lambda _: self._dofn(pipeline))
        if not self._tagged:
            changes = started | "Read" >> read.with_output_types(self._emission.element_type)
            return changes if rows is None else self._joined(rows.changes, changes, all_read)
        tagged = started | "Read" >> read.with_outputs(DEAD_LETTERS, LOSSES, SNAPSHOTS, main=CHANGES)
        outputs = _Outputs(tagged[CHANGES], tagged[DEAD_LETTERS], tagged[LOSSES])
        snapshots = tagged[SNAPSHOTS]
        kinds = (self._emission.element_type, DeadLetter, Loss, SnapshotEnd)
        for output, kind in zip((*outputs, snapshots), kinds, strict=True):
            output.element_type = kind
        if rows is None:
            return ReadOutputs.of(outputs.changes, outputs, snapshots)
        letters = (rows.dead_letters, outputs.dead_letters) | "DeadLetters" >> beam.Flatten()
        changes = self._joined(rows.changes, outputs.changes, all_read)
        ends = all_read | "Ends" >> beam.ParDo(EndOfRows(self._options)).with_output_types(SnapshotEnd)
        return ReadOutputs.of(changes, outputs._replace(dead_letters=letters), ends)

    def _joined(self, rows: PCollection, changes: PCollection, all_read: PCollection) -> PCollection:
        """Return the rows of exports and the changes after them; with batches, also the one that ends the rows."""
        parts = [rows, changes]
        if isinstance(self._emission, Batches):
            end = EndOfRows(self._options, self._emission)
            parts.append(all_read | "End" >> beam.ParDo(end).with_output_types(pa.RecordBatch))
        return parts | "Changes" >> beam.Flatten()

    def _dofn(self, pipeline: beam.Pipeline) -> beam.DoFn:
        """Return the DoFn for the pipeline as it is now.

        The steps behind the read decide only who writes progress, and whether a stream without new images is refused.
        """
        typed = any(getattr(step, "needs_new_images", False) for step in Graph(pipeline).composites(beam.PTransform))
        options, emission, tagged = replace(self._options, needs_new_images=typed), self._emission, self._tagged
        if options.progress is None:
            return (ReadBoundedStream if self._bounded else ReadUnboundedStream)(options, emission, tagged=tagged)
        read = ReadBoundedStreamWithProgress if self._bounded else ReadUnboundedStreamWithProgress
        return read(
            options,
            emission,
            tagged=tagged,
            trailing=not traits_of(pipeline).finalizer_proves_delivery,
            commits=self._commits_in(pipeline),
        )

    def _commits_in(self, pipeline: beam.Pipeline) -> bool:
        """Return whether the read writes its progress itself, because no `CommitProgress` does."""
        progress = self._options.progress
        if progress is None:
            return False
        return all(step.progress.address != progress.address for step in Graph(pipeline).composites(CommitProgress))

    @property
    def source(self) -> str:
        """The name of what is read, for the steps that are fused to the read."""
        return self._options.source

    def traits(self) -> ReadTraits:
        pipeline = self._pipeline
        if pipeline is None:
            raise RuntimeError(f"{self.label} is not in a pipeline yet: apply it before its traits are requested")
        traits = ReadTraits.of(self, pipeline, bounded=self._bounded, needs_fusion=self._commits_in(pipeline))
        if self._options.exports is None or self._bounded:
            return traits
        return replace(traits, grouping=traits.grouping or f"{traits.label}/Changes")  # rows and changes meet in it

    def display_data(self) -> dict[str, Any]:
        options = self._options
        return {
            "source": DisplayDataItem(self._source, label="Table or stream"),
            "start": DisplayDataItem(str(options.start), label="Start"),
            "stop": DisplayDataItem(str(options.stop), label="Stop"),
        }
