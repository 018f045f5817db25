"""The DoFn of `InvokeHandler`: it calls a handler with the changes of a bundle."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, Final
from zlib import crc32

import apache_beam as beam
import msgspec
from apache_beam.metrics import Metrics
from apache_beam.pvalue import TaggedOutput
from apache_beam.utils.timestamp import Timestamp
from apache_beam.utils.windowed_value import WindowedValue

from beam_dynamodb_streams import metrics
from beam_dynamodb_streams.beam.typed import OwnDoFn
from beam_dynamodb_streams.errors import ElementTypeError
from beam_dynamodb_streams.handlers.deliveries import DELIVERIES
from beam_dynamodb_streams.handlers.handler_of import handler_of
from beam_dynamodb_streams.handlers.invoker import Invoker, Report
from beam_dynamodb_streams.handlers.lambda_event import EventRecord, decode_json, event_record, placeholder_arn
from beam_dynamodb_streams.handlers.lanes import Lanes, Work
from beam_dynamodb_streams.handlers.options import HandlerOptions
from beam_dynamodb_streams.records import ChangeRecord

ON_FAILURE: Final = "on_failure"

_canonical = msgspec.json.Encoder(order="sorted").encode


@dataclass(frozen=True, slots=True)
class Arrived:
    """A change that waits for its invocation, with what Beam knows of it."""

    delivered: ChangeRecord
    record: EventRecord
    timestamp: Timestamp
    windows: Iterable[Any]

    def windowed(self, value: Any) -> WindowedValue:
        """Return a value at the time and in the windows of the change."""
        return WindowedValue(value, self.timestamp, self.windows)


@beam.typehints.with_input_types(ChangeRecord)
class InvokeBundle(OwnDoFn):
    """Calls the handler with the changes of a bundle.

    Args:
        options: The options of the step.
        source: The name of what the read delivers. Without a read the changes may arrive in any order, so those of a
            bundle are sorted first.
    """

    def __init__(self, options: HandlerOptions, source: str | None) -> None:
        self._options = options
        self._source = source

    def setup(self) -> None:
        options = self._options
        self._invoker = Invoker(handler_of(options.handler), options.policy, options.context)
        self._pool = ThreadPoolExecutor(options.factor, "handler") if options.factor > 1 else None
        self._metrics = HandlerMetrics()
        self._placeholder = placeholder_arn()

    def teardown(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=False)

    def start_bundle(self) -> None:
        options = self._options
        self._lanes: Lanes[Arrived] = Lanes(options.batch_size, factor=options.factor, window=options.window)
        self._unsorted: list[tuple[Arrived, str]] = []

    def process(
        self,
        change: ChangeRecord,
        timestamp: Any = beam.DoFn.TimestampParam,
        window: Any = beam.DoFn.WindowParam,
    ) -> Iterator[Any]:
        check_change(change)
        stream_arn = self._stream_of(change)
        criteria = self._options.criteria
        if criteria is not None and not criteria.pass_change(change, stream_arn):
            self._metrics.filtered.inc()
            yield change
            return
        arrived = Arrived(change, event_record(change, stream_arn), timestamp, (window,))
        if self._source is None:
            self._unsorted.append((arrived, stream_arn))
        else:
            yield from self._add(arrived)

    def finish_bundle(self) -> Iterator[Any]:
        shards = {arrived.delivered.shard_id: number for number, (arrived, _) in enumerate(reversed(self._unsorted))}
        for arrived, _ in sorted(
            self._unsorted,
            key=lambda each: (-shards[each[0].delivered.shard_id], int(each[0].delivered.sequence_number)),
        ):
            yield from self._add(arrived)
        yield from self._invoke(self._lanes.flush())

    def _stream_of(self, change: ChangeRecord) -> str:
        found = None if self._source is None else DELIVERIES.stream_of(self._source, change.shard_id)
        return found or self._options.event_source_arn or self._placeholder

    def _add(self, arrived: Arrived) -> Iterator[Any]:
        change = arrived.delivered
        lane = crc32(_canonical(decode_json(change.keys_json))) if self._options.factor > 1 else 0
        size = len(arrived.record.text) + 1
        yield from self._invoke(self._lanes.add(change.shard_id, lane, arrived, size=size, now=time.monotonic()))

    def _invoke(self, waves: list[list[Work[Arrived]]]) -> Iterator[Any]:
        for wave in waves:
            if self._pool is None or len(wave) == 1:
                done = [self._run(work) for work in wave]
            else:
                futures = [self._pool.submit(self._run, work) for work in wave]
                wait(futures)
                done = [future.result() for future in futures]
            for work, reports in zip(wave, done, strict=True):
                for batch, (report, millis) in zip(work.batches, reports, strict=True):
                    self._metrics.add(report, millis)
                    yield from outputs_of(batch, report)

    def _run(self, work: Work[Arrived]) -> list[tuple[Report, int]]:
        """Call the handler with the batches of one lane, one after another."""
        reports = []
        for batch in work.batches:
            began = time.monotonic()
            stream_arn = self._stream_of(batch[0].delivered)
            report = self._invoker.run([arrived.record for arrived in batch], work.shard, stream_arn)
            reports.append((report, int((time.monotonic() - began) * 1000)))
        return reports


def check_change(element: object) -> None:
    """Raise ElementTypeError for what a stream does not deliver as a change."""
    if not isinstance(element, ChangeRecord):
        raise ElementTypeError(
            f"a handler takes ChangeRecord elements, and {type(element).__name__} is not one: read without as_batches()"
        )
    if not element.sequence_number:
        raise ElementTypeError(
            f"a handler takes changes of a stream, and {element!r} is not one: leave out the rows of a snapshot"
        )


def outputs_of(batch: Iterable[Arrived], report: Report) -> Iterator[Any]:
    """Yield each change of a batch, and the records for the on-failure destination at their first change's time."""
    changes = list(batch)
    for place, record in report.on_failure:
        yield TaggedOutput(ON_FAILURE, changes[place].windowed(record))
    for arrived in changes:
        yield arrived.windowed(arrived.delivered)


class HandlerMetrics:
    """The metrics of a handler. They are updated in Beam's own thread, which knows the step."""

    def __init__(self) -> None:
        counter: Callable[[str], Any] = lambda name: Metrics.counter(metrics.NAMESPACE, name)  # noqa: E731
        self._invocations = counter(metrics.HANDLER_INVOCATIONS)
        self._failures = counter(metrics.HANDLER_FAILURES)
        self._bisections = counter(metrics.HANDLER_BISECTIONS)
        self._discarded = counter(metrics.HANDLER_DISCARDED)
        self.filtered = counter(metrics.HANDLER_FILTERED)
        self._millis = Metrics.distribution(metrics.NAMESPACE, metrics.HANDLER_MILLIS)

    def add(self, report: Report, millis: int) -> None:
        """Count what the attempts with one batch came to, and how long they took."""
        self._invocations.inc(report.invocations)
        self._failures.inc(report.failures)
        self._bisections.inc(report.bisections)
        self._discarded.inc(report.discarded)
        self._millis.update(millis)
