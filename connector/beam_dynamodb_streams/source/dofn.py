"""The splittable DoFn: poll, claim, emit, advance the watermark, defer."""

from __future__ import annotations

import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Final

import apache_beam as beam
from apache_beam.pvalue import TaggedOutput
from apache_beam.transforms.window import TimestampedValue
from apache_beam.utils.timestamp import Duration, Timestamp

from beam_dynamodb_streams.beam.bundle_length import bundle_seconds
from beam_dynamodb_streams.beam.typed import OwnDoFn
from beam_dynamodb_streams.errors import DataLossError, MalformedRecordError
from beam_dynamodb_streams.handlers.deliveries import DELIVERIES
from beam_dynamodb_streams.progress.address import Progress
from beam_dynamodb_streams.progress.commit import ReadsRun
from beam_dynamodb_streams.progress.lease import shared_lease
from beam_dynamodb_streams.reader.claim import Claim
from beam_dynamodb_streams.reader.fetcher import ThreadedFetcher
from beam_dynamodb_streams.reader.reader import Reader
from beam_dynamodb_streams.reader.resumed_shards import EarlierRun
from beam_dynamodb_streams.reader.stream import Malformed
from beam_dynamodb_streams.reader.stream_caller import StreamCaller
from beam_dynamodb_streams.reader.table_streams import TableStreams
from beam_dynamodb_streams.records.dead_letter import DeadLetter
from beam_dynamodb_streams.records.versions import row_version, version_base
from beam_dynamodb_streams.shards.frontier import Frontier
from beam_dynamodb_streams.shards.stream_position import StreamPosition
from beam_dynamodb_streams.source.bundle_progress import BundleProgress, has_one_group, owner_of
from beam_dynamodb_streams.source.elements import (
    DEAD_LETTERS,
    LOSSES,
    SNAPSHOTS,
    Emission,
    Emitted,
    end_of_snapshot,
    lacks_new_images,
)
from beam_dynamodb_streams.source.filter import filter_with
from beam_dynamodb_streams.source.options import ReadOptions, table_to_ask
from beam_dynamodb_streams.source.reporting import ReadMetrics
from beam_dynamodb_streams.source.restriction import FrontierProvider, StreamWatermarkProvider
from beam_dynamodb_streams.source.snapshot import lacks_images, log_complete, new_scan, scanner_of
from beam_dynamodb_streams.source.stall_watch import STALL_WATCH, alive_by
from beam_dynamodb_streams.source.stream_read import StreamRead
from beam_dynamodb_streams.source.streams import stream_of
from beam_dynamodb_streams.source.worker_cache import READERS, client
from beam_dynamodb_streams.wire import Client, StreamClient

_LOGGER: Final = logging.getLogger(__name__)


def reader_of(
    service: StreamClient,
    element: StreamRead,
    options: ReadOptions,
    frontier: Frontier,
    refuses: Callable[[str], str] = lambda _: "",
) -> Reader:
    """Return a reader of one stream, with threads of its own to wait for the network.

    The stream is the one that the frontier names. What an earlier run had read says nothing about another one.
    `refuses` returns why a stream with some view type must not be read, or "".
    """
    stream_arn, epoch, snapshot = frontier.stream_arn, element.epoch_in(frontier), options.snapshot
    base = version_base(stream_arn, epoch)
    stream = stream_of(service, stream_arn, limit=options.pace.page)
    began_here = stream_arn == element.stream_arn
    streams = None
    if isinstance(service, Client):
        asked = table_to_ask(options, stream_arn)
        # After a new snapshot the table is another one than that in which the read began.
        table_id = element.table_id if epoch == element.epoch else ""
        streams = TableStreams(
            service,
            asked,
            table_id,
            refuses=lambda view: (
                (lacks_images(view) if snapshot is not None or options.exports is not None else "") or refuses(view)
            ),
            saved=element.saved_in,
            snapshot=lambda table, arn: new_scan(table, arn, snapshot, service.service_time()),
        )
    tally: Counter[str] = Counter()
    scanner = None
    if isinstance(service, Client) and frontier.scan is not None and snapshot is not None:
        table = options.table or frontier.scan.table
        scanner = scanner_of(service, table, frontier.scan, snapshot, options.rules, tally)
    caller = StreamCaller(stream, streams, None if scanner is None else scanner.table)
    return Reader(
        ThreadedFetcher(caller.perform, threads=options.pace.requests),
        time.monotonic,
        service.service_time,
        random.Random().random,  # noqa: S311 - jitter
        replace(
            options.rules,
            stop=element.stop,
            filter=filter_with(options.rules.filter, base, stream_arn),
        ),
        options.pace,
        EarlierRun(element.saved, element.until) if began_here else EarlierRun(element.saved_in(stream_arn) or {}),
        tally,
        on_new_stream=options.on_new_stream,
        give_up_after=options.give_up_after,
        retention=stream.traits.retention_seconds,
        scanner=scanner,
        trims_by_age_alone=stream.traits.trims_by_age_alone,
    )


def base_of_claim(claim: Claim, element: StreamRead, stream_arn: str) -> str:
    """Return the version of what a claim delivers, without the numbers of its changes."""
    epoch = element.epoch_in(claim.frontier)
    return row_version(epoch) if claim.scanned else version_base(stream_arn, epoch)


class _ReadStream(OwnDoFn):
    """The body of both reads.

    Args:
        options: The options of the read.
        emission: The form in which changes are delivered.
        tagged: Whether losses and dead letters have outputs of their own.
        trailing: See `bundle_progress`.
        commits: Whether a finalized bundle proves that all its changes were delivered.
    """

    def __init__(
        self, options: ReadOptions, emission: Emission, *, tagged: bool, trailing: bool = False, commits: bool = False
    ) -> None:
        self._options = options
        self._trailing = trailing
        self.commits = commits
        self._emission = emission
        self._tagged = tagged
        self._dead_letters = tagged or options.on_malformed == "skip"

    @property
    def progress(self) -> Progress | None:
        """Where the progress of the read is kept, if anywhere."""
        return self._options.progress

    def setup(self) -> None:
        self._service = client(self._options.connection)
        self._slice_seconds = bundle_seconds(self._options.slice_seconds)
        self._metrics = ReadMetrics(self._service)

    def _refuses(self, view_type: str) -> str:
        """Return why another stream with this view type must not be read; "" if it may."""
        typed = lacks_new_images(view_type) if self._options.needs_new_images else ""
        return self._emission.refuses(view_type) or typed

    def _slice(self, element: StreamRead, tracker: Any, watermark: Any, bundle: BundleProgress | None) -> Iterator[Any]:
        """Read one slice, in five steps: poll, claim, emit, advance the watermark, defer."""
        if bundle is not None:
            bundle.lease.renew()
        if tracker.current_restriction().closed:
            self._linger(tracker, bundle)
            return
        before = tracker.current_restriction()
        stream_arn = before.stream_arn
        self._metrics.reads(stream_arn)
        key = f"{element.run} {stream_arn}"
        STALL_WATCH.slice_began(element.run)
        wait: float | None = None  # None: the runner has nothing to resume
        reader = READERS.take(key, lambda: reader_of(self._service, element, self._options, before, self._refuses))
        worth_keeping = False
        try:
            longest = self._slice_seconds
            deadline = reader.now() + (longest if bundle is None else min(longest, bundle.longest))
            rests = self._options.rest_seconds
            while (frontier := tracker.current_restriction()).stream_arn == stream_arn:
                if (claim := reader.next(frontier, deadline, rests=rests)) is None:
                    break
                base = base_of_claim(claim, element, stream_arn)
                emitted = self._emission.of(claim, checked=self._dead_letters, version_base=base)
                self._raise_for(claim, emitted)
                if not tracker.try_claim(claim.frontier):
                    wait = 0.0
                    return  # the reader remembers what was never claimed
                elements = emitted.elements if bundle is None else bundle.emitted(emitted.elements)
                _log(stream_arn, claim, emitted)
                DELIVERIES.delivers(self._options.source, owner_of(element.run), claim.shard, stream_arn)
                yield from elements
                if claim.ended in claim.frontier.shards:  # at its end, and not only at the stop
                    DELIVERIES.ended(self._options.source, owner_of(element.run), claim.ended)
                if claim.frontier.closed and has_one_group(element.run):
                    DELIVERIES.finished(self._options.source, element.run)
                if self._tagged:
                    yield from _tagged(stream_arn, claim, emitted, watermark.current_watermark())
                watermark.advance(claim.watermark)
                self._metrics.delivered(element, claim, emitted)
                if bundle is not None:
                    bundle.add(claim)
            self._metrics.slice(element, reader, tracker.current_restriction())
            frontier = tracker.current_restriction()  # the runner may have taken its checkpoint meanwhile
            worth_keeping = not frontier.closed and frontier.stream_arn == stream_arn
            if not frontier.closed:  # after a claim in another stream, the next slice has a reader of that one
                wait = max(0.0, reader.resumes - reader.now())
                wait = wait if bundle is None else min(wait, bundle.longest)
                tracker.defer_remainder(Duration(wait))
            else:
                self._linger(tracker, bundle)
        finally:
            if worth_keeping:
                READERS.give_back(key, reader, reader.now())
            else:
                reader.close(report=True)
            if wait is not None:
                STALL_WATCH.slice_ended(element.run, stream_arn, wait, self._is_alive(element))

    def _is_alive(self, element: StreamRead) -> Callable[[], bool]:
        """Return a function that returns whether another worker reads the element now. All groups share one lease."""
        progress = self._options.progress if has_one_group(element.run) else None
        return alive_by(progress, owner_of(element.run), time.time)

    def _linger(self, tracker: Any, bundle: BundleProgress | None) -> None:
        """Keep a read that is at its end alive until its progress is written."""
        if bundle is not None and bundle.lingers():
            tracker.defer_remainder(Duration(bundle.longest))

    def _raise_for(self, claim: Claim, emitted: Emitted) -> None:
        """Raise the error of a loss or a malformed record that must fail the pipeline, before anything is claimed."""
        if claim.losses and self._options.on_data_loss == "fail":
            raise DataLossError(
                f'{claim.losses[0]}. To continue, with each loss reported as data, set on_data_loss="continue"',
                stream=claim.losses[0].stream_arn,
            )
        if emitted.malformed and not self._tagged and self._options.on_malformed == "fail":
            entry = emitted.malformed[0]
            error = MalformedRecordError(
                f"malformed record: {entry.reason}. To continue, use .with_outputs() for dead letters, "
                'or on_malformed="skip"',
                shard=claim.shard,
                position=entry.sequence_number,
            )
            error.payload = entry.payload
            raise error

    def _bundle(self, element: StreamRead, finalizer: Any) -> BundleProgress:
        progress, owner = self._options.progress, owner_of(element.run)
        assert progress is not None  # noqa: S101 - narrows the type: only reads with progress come here
        began = StreamPosition(element.stream_arn, element.start, element.saved, element.until)
        held = shared_lease(progress, owner, began, confirms_late=self._trailing)
        bundle = BundleProgress(held, element.run, progress.renew_every, commits=self.commits)
        finalizer.register(bundle.finalized)  # where a DoFn declares a finalizer, each bundle must register one
        return bundle


class ReadUnboundedStream(_ReadStream):
    """Reads until the stream is disabled and read to its end."""

    @beam.DoFn.unbounded_per_element()
    def process(
        self,
        element: StreamRead,
        tracker: Any = beam.DoFn.RestrictionParam(FrontierProvider(bounded=False)),
        watermark: Any = beam.DoFn.WatermarkEstimatorParam(StreamWatermarkProvider()),
    ) -> Iterator[Any]:
        yield from self._slice(element, tracker, watermark, None)


class ReadBoundedStream(_ReadStream):
    """Reads until the stop is reached, or until the stream is disabled and read to its end."""

    def process(
        self,
        element: StreamRead,
        tracker: Any = beam.DoFn.RestrictionParam(FrontierProvider(bounded=True)),
        watermark: Any = beam.DoFn.WatermarkEstimatorParam(StreamWatermarkProvider()),
    ) -> Iterator[Any]:
        yield from self._slice(element, tracker, watermark, None)


class ReadUnboundedStreamWithProgress(_ReadStream, ReadsRun):
    """The same, with progress outside the runner."""

    @beam.DoFn.unbounded_per_element()
    def process(
        self,
        element: StreamRead,
        finalizer: Any = beam.DoFn.BundleFinalizerParam,
        tracker: Any = beam.DoFn.RestrictionParam(FrontierProvider(bounded=False)),
        watermark: Any = beam.DoFn.WatermarkEstimatorParam(StreamWatermarkProvider()),
    ) -> Iterator[Any]:
        bundle = self._bundle(element, finalizer)
        yield from self._slice(element, tracker, watermark, bundle)


class ReadBoundedStreamWithProgress(_ReadStream, ReadsRun):
    """The same, with progress outside the runner."""

    def process(
        self,
        element: StreamRead,
        finalizer: Any = beam.DoFn.BundleFinalizerParam,
        tracker: Any = beam.DoFn.RestrictionParam(FrontierProvider(bounded=True)),
        watermark: Any = beam.DoFn.WatermarkEstimatorParam(StreamWatermarkProvider()),
    ) -> Iterator[Any]:
        bundle = self._bundle(element, finalizer)
        yield from self._slice(element, tracker, watermark, bundle)


def _log(stream_arn: str, claim: Claim, emitted: Emitted) -> None:
    for shard in claim.opened:
        if (reading := claim.frontier.shards.get(shard)) is not None:  # a shard saved as read is gone at once
            _LOGGER.info("shard %s begins at %s", shard, reading.position)
    if claim.begins:
        _LOGGER.warning("%s is read to its end: the read continues in %s", stream_arn, claim.begins)
    if claim.ended:
        _LOGGER.info("shard %s is read to its end", claim.ended)
    if claim.scanned and claim.frontier.scan is not None and claim.frontier.scan.complete:
        log_complete(claim.frontier.scan)
    for loss in claim.losses:
        _LOGGER.warning("%s", loss)
    for entry in emitted.malformed:
        _LOGGER.warning("malformed record in shard %s at %s: %s", claim.shard, entry.sequence_number, entry.reason)


def _tagged(stream_arn: str, claim: Claim, emitted: Emitted, now: Timestamp) -> Iterator[TaggedOutput]:
    """Yield the losses and dead letters of a claim, and the end of a snapshot, each tagged for its own output."""
    for loss in claim.losses:
        yield TaggedOutput(LOSSES, TimestampedValue(loss, now))
    for entry in emitted.malformed:
        yield TaggedOutput(DEAD_LETTERS, TimestampedValue(dead_letter(stream_arn, claim.shard, entry), now))
    if (end := end_of_snapshot(claim)) is not None:
        yield TaggedOutput(SNAPSHOTS, TimestampedValue(end, Timestamp(end.consistent_second)))


def dead_letter(stream_arn: str, shard: str, entry: Malformed) -> DeadLetter:
    return DeadLetter(stream_arn, shard, entry.sequence_number, entry.payload, entry.reason)
