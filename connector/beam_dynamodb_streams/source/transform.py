"""``ReadFromDynamoDBStreams``: the source as pipeline authors see it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection
from datetime import timedelta
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.pvalue import PBegin, PCollection
from apache_beam.transforms.display import DisplayDataItem

from beam_dynamodb_streams.beam.checked_read import CheckedRead, ReadTraits
from beam_dynamodb_streams.beam.graph import CompletedParDo, Graph
from beam_dynamodb_streams.beam.runners import traits_of, wait_for_long_runs
from beam_dynamodb_streams.columns import Schema
from beam_dynamodb_streams.errors import InvalidOptionError
from beam_dynamodb_streams.progress.address import Progress
from beam_dynamodb_streams.progress.commit import CommitProgress
from beam_dynamodb_streams.records import ChangeRecord
from beam_dynamodb_streams.shards.loss import Loss
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
    Batches,
    DeadLetter,
    Emission,
)
from beam_dynamodb_streams.source.options import parse_options
from beam_dynamodb_streams.source.sharing import groups_on
from beam_dynamodb_streams.source.start import StartRead
from beam_dynamodb_streams.source.stream_read import StreamRead


class ReadOutputs(NamedTuple):
    """``changes, dead_letters, losses``: of :class:`ChangeRecord` (or batches), :class:`DeadLetter`, :class:`Loss`."""

    changes: PCollection
    dead_letters: PCollection
    losses: PCollection


class ReadFromDynamoDBStreams(CheckedRead):
    """Reads the changes of a table from its stream, as a PCollection of :class:`ChangeRecord`.

    Each record is an element at its creation time (event time, floored to the second by the service). Changes of one
    key come in the order in which they were written, as long as no shuffle comes between; there is no order across
    keys. Every change that the service still holds is delivered at least once: what a failure made the runner do again
    comes again, with the same ``event_id``.

    Args:
      table: the table's name: its latest stream is read. Or
      stream_arn: the stream itself, e.g. of a stream that was disabled less than 24 hours ago.
      start: ``"TRIM_HORIZON"`` (the oldest change the service still has, 24 hours back at most), ``"LATEST"`` (from
        the moment the pipeline starts; up to one second from before may come too), a timezone-aware datetime (changes
        created at or after it; one more than 24 hours ago is warned of), a :class:`StreamPosition` saved by an earlier
        run, or ``"kcl://LEASE_TABLE"`` (where the workers of a Kinesis Client Library application stopped).
      stop: None (unbounded), ``"NOW"`` (up to the moment the pipeline starts), a timezone-aware datetime (changes
        created up to it, inclusive), a ``timedelta`` after the start of the pipeline, or a number of changes, counted
        before their values are decoded: one that is a dead letter for its values counts. With a stop the PCollection
        is bounded.
      region_name, endpoint_url: as in boto3; by default botocore finds region, endpoint and credentials on the worker.
      on_data_loss: ``"fail"`` raises :class:`DataLossError` when changes were, or may have been, trimmed unread;
        ``"continue"`` reads on and reports each :class:`Loss` (see :meth:`with_outputs`).
      on_malformed: ``"fail"`` or ``"skip"`` (counted and logged), where there is no output for dead letters.
      watermark_slack: how far creation times may be out of order inside a shard. The watermark trails by it.
      poll_interval: how often a shard is asked whose pages are not full. A full page is followed at once.
      idle_poll_interval: the same for a shard that is proven quiet, each call being billed: 2 seconds are 1,800
        GetRecords calls an hour and shard, and let a change wait so long.
      quiet_pages, quiet_time: the quiet proof. Real shards give runs of empty pages before data, so a shard counts as
        caught up after so many empty pages in a row over so long; a stop, and an idle shard's watermark, wait for it.
      max_concurrent_reads: GetRecords calls in flight at once; also bounds the pages (of 1 MB at most) in memory.
      slice_time: how long the source keeps a bundle before it checkpoints itself; where shards are idle it may rest
        after less, but for no rest that is shorter than half of it.
      shard_groups: over how many elements the stream is spread, each read by one worker at a time. Unset, it is one,
        and on Flink, where a parallelism above 1 is set, two for each slot. Several are refused on Prism, which drops
        the records of the lagging one as late.
      event_names: the kinds of change to deliver, of ``"INSERT"``, ``"MODIFY"`` and ``"REMOVE"``; None for all.
      where: a function that tells whether to deliver a change. It is asked before anything is decoded, so one that
        looks at ``event_name``, ``is_ttl_delete`` or ``keys`` saves the decoding of the images of all others.
      progress: where to keep, outside the runner, how far was delivered: ``"dynamodb://TABLE/APPLICATION"``,
        ``"file:PATH"`` or a :class:`Progress`. A run goes on where the last one of the application got; what the runner
        itself restores wins over that, and that over ``start``. A second run is refused while the first is alive, and
        a killed one is waited out (30 seconds). It is written once a bundle is finalized, if all steps behind the read
        are in the same bundle (on Flink 10 seconds later, and after another checkpoint); else by the
        :class:`CommitProgress` behind the sink. A killed run repeats what it delivered since the last write. With a
        ``stop`` that is a time, a shard ends at its first change past it.

    Raises:
      InvalidOptionError: at construction, for a wrong option.
      RunnerError: when the pipeline is run, if the runner cannot stream what the pipeline asks, or nothing in it can
        tell what ``progress`` is to be written.
      ProgressHeldError, FencedError: while it runs, if another run of the application is alive, or took over.
    """

    def __init__(
        self,
        table: str | None = None,
        stream_arn: str | None = None,
        *,
        start: object = "TRIM_HORIZON",
        stop: object = None,
        region_name: str | None = None,
        endpoint_url: str | None = None,
        on_data_loss: str = "fail",
        on_malformed: str = "fail",
        watermark_slack: timedelta = timedelta(seconds=5),
        poll_interval: timedelta = timedelta(milliseconds=200),
        idle_poll_interval: timedelta = timedelta(seconds=2),
        quiet_pages: int = 30,
        quiet_time: timedelta = timedelta(seconds=10),
        max_concurrent_reads: int = 16,
        slice_time: timedelta = timedelta(seconds=1),
        shard_groups: int | None = None,
        event_names: Collection[str] | None = None,
        where: Callable[[ChangeRecord], bool] | None = None,
        progress: str | Progress | None = None,
    ) -> None:
        super().__init__()
        self._options = parse_options(
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
            progress=progress,
        )
        self._tagged = False
        self._emission: Emission = ONE_BY_ONE
        self._source = table or stream_arn
        self._bounded = self._options.stop is not None
        self._pipeline: beam.Pipeline | None = None

    def with_outputs(self) -> ReadFromDynamoDBStreams:
        """The same read with three outputs: ``changes, dead_letters, losses = pipeline | read.with_outputs()``.

        Malformed records go to the dead letters, with their bytes; the rest of their page is delivered. To know them,
        every change is decoded where it is read; in batches, what fits is found while they are made. Losses come with
        ``on_data_loss="continue"`` only.
        """
        return self._variant(_tagged=True)

    def as_batches(
        self, schema: Schema | None = None, *, span: timedelta = timedelta(minutes=1)
    ) -> ReadFromDynamoDBStreams:
        """The same read, giving Arrow record batches: about a page each, in order, without a Python object a change.

        PCollection[pyarrow.RecordBatch], of the columns ``schema.arrow``, or of :data:`CHANGE_SCHEMA`, with
        images as DynamoDB JSON text, without one. A batch holds changes of one shard, created within one ``span``
        (whole seconds, counted from the epoch), and its event time is that of its earliest: a window whose borders are
        multiples of the span holds it whole. ``WriteChangesToParquet`` and ``WriteChangesToAvro`` take batches of any
        span.

        An attribute that does not fit its column is null there. Under ``on_misfit="dead_letter"`` it goes to the dead
        letters, or counts as malformed where there is no such output; see :class:`Schema`.
        """
        seconds = span.total_seconds() if isinstance(span, timedelta) else 0
        if seconds < 1 or seconds != int(seconds):
            raise InvalidOptionError(f"span={span!r}: give a timedelta of whole seconds, at least one")
        if schema is not None and not isinstance(schema, Schema):
            raise InvalidOptionError(
                f"schema={schema!r}: give a beam_dynamodb_streams.Schema, or None for the columns of any table"
            )
        return self._variant(_emission=Batches(schema, int(seconds)))

    def _variant(self, **changes: object) -> ReadFromDynamoDBStreams:
        """Return a copy with these attributes, which is applied nowhere yet. This read stays as it is."""
        variant = copy.copy(self)
        variant.__dict__.update(changes, pipeline=None, _pipeline=None)  # Beam's own attribute, and this class's
        return variant

    def expand(self, pbegin: PBegin) -> PCollection | ReadOutputs:
        if not isinstance(pbegin, PBegin):
            raise TypeError(f"{self.label} is a source: apply it to the pipeline, not to {pbegin}")
        pipeline = self._pipeline = pbegin.pipeline
        wait_for_long_runs(pipeline)
        start = StartRead(self._options, groups_on(pipeline, self._options))
        # Beam infers Any without the type, and runners would store the element pickled and not in its own form.
        started = pbegin | "Impulse" >> beam.Impulse() | "Start" >> beam.ParDo(start).with_output_types(StreamRead)
        read = CompletedParDo(self._dofn(pipeline), lambda _: self._dofn(pipeline))
        if not self._tagged:
            return started | "Read" >> read.with_output_types(self._emission.element_type)
        tagged = started | "Read" >> read.with_outputs(DEAD_LETTERS, LOSSES, main=CHANGES)
        outputs = ReadOutputs(tagged[CHANGES], tagged[DEAD_LETTERS], tagged[LOSSES])
        for output, kind in zip(outputs, (self._emission.element_type, DeadLetter, Loss), strict=True):
            output.element_type = kind
        return outputs

    def _dofn(self, pipeline: beam.Pipeline) -> beam.DoFn:
        """Return the DoFn for the pipeline as it stands now. Steps behind the read change only who writes progress."""
        options, emission, tagged = self._options, self._emission, self._tagged
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

    def traits(self) -> ReadTraits:
        pipeline = self._pipeline
        if pipeline is None:
            raise RuntimeError(f"{self.label} is in no pipeline yet: apply it before its traits are asked for")
        return ReadTraits.of(self, pipeline, bounded=self._bounded, needs_fusion=self._commits_in(pipeline))

    def display_data(self) -> dict[str, Any]:
        options = self._options
        return {
            "source": DisplayDataItem(self._source, label="Table or stream"),
            "start": DisplayDataItem(str(options.start), label="Start"),
            "stop": DisplayDataItem(str(options.stop), label="Stop"),
        }
