"""`ProcessRecords`: record processors of the Kinesis Client Library as a step of a pipeline."""

from __future__ import annotations

import atexit
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any, Final, Literal

import apache_beam as beam
from apache_beam.pvalue import PCollection
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.timestamp import Timestamp
from apache_beam.utils.windowed_value import WindowedValue

from beam_dynamodb_streams.beam.typed import OwnDoFn, OwnTransform
from beam_dynamodb_streams.errors import InvalidOptionError
from beam_dynamodb_streams.handlers.deliveries import DELIVERIES
from beam_dynamodb_streams.handlers.handler_of import handler_of
from beam_dynamodb_streams.handlers.invoke import source_of
from beam_dynamodb_streams.handlers.invoke_bundle import check_change
from beam_dynamodb_streams.handlers.lambda_event import placeholder_arn, region_of
from beam_dynamodb_streams.handlers.record_processor import ShardProcessor
from beam_dynamodb_streams.records import ChangeRecord


class ProcessRecords(OwnTransform):
    """Passes the changes of each shard to a record processor of amazon_kclpy, unchanged, in the order of the shard.

    It returns the changes that the processors checkpointed: put `CommitProgress` behind it, with the read's `progress`,
    so that a run that was killed resumes after the last checkpoint of each shard. A record's data is the JSON that the
    DynamoDB Streams Kinesis Adapter writes. A processor of version 1, 2 or 3 of the interface is called with
    `initialize` before the first change of its shard, `process_records`, and at the end of the shard `shard_ended` (or
    `shutdown` with TERMINATE). A child's processor begins after its parent's has ended. At the end of a bounded read of
    one group `shutdown_requested` is called, and at the end of the process `lease_lost` (or `shutdown` with ZOMBIE).

    Args:
      processor_factory: a function without arguments that returns a new processor, such as its class, or where to
        import it: "package.module:Processor".
      max_records: how many records a call has at most, 1 to 10,000.
      on_error: `"fail"` raises `HandlerError` where a processor raises, so that the runner repeats the bundle.
        `"continue"` logs it and continues with the next records, as amazon_kclpy does.

    Raises:
      InvalidOptionError: at construction, for a wrong option.
      RunnerError: when it is applied, if a step between the read and this one may change the order of the changes.
      HandlerError: while it runs; see `on_error`.
    """

    def __init__(
        self,
        processor_factory: Callable[[], Any] | str,
        *,
        max_records: int = 1000,
        on_error: Literal["fail", "continue"] = "fail",
        label: str | None = None,
    ) -> None:
        super().__init__(label)
        handler_of(processor_factory, name="processor_factory")
        if not isinstance(max_records, int) or isinstance(max_records, bool) or not 1 <= max_records <= 10_000:
            raise InvalidOptionError(f"max_records={max_records!r}: use a whole number from 1 to 10,000")
        if on_error not in ("fail", "continue"):
            raise InvalidOptionError(f'on_error={on_error!r}: use "fail" or "continue"')
        self._factory = processor_factory
        self._max_records = max_records
        self._continues = on_error == "continue"

    def expand(self, changes: PCollection) -> PCollection:
        source = source_of(changes, self.label)
        step = _Process(self._factory, self._max_records, self._continues, source, uuid.uuid4().hex)
        return changes | "Process" >> beam.ParDo(step)


class Processors:
    """The processors of this process, by step, run of the read and shard. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._processors: dict[tuple[str, str, str], ShardProcessor] = {}

    def find(self, step: str, run: str, shard: str) -> ShardProcessor | None:
        with self._lock:
            return self._processors.get((step, run, shard))

    def add(self, step: str, run: str, processor: ShardProcessor) -> None:
        with self._lock:
            self._processors[step, run, processor.shard] = processor

    def remove(self, step: str, run: str, shard: str) -> None:
        with self._lock:
            self._processors.pop((step, run, shard), None)

    def of(self, step: str, run: str) -> list[ShardProcessor]:
        """Return the processors of a step, in the order in which they began."""
        with self._lock:
            return [each for (s, r, _), each in self._processors.items() if (s, r) == (step, run)]

    def close(self) -> None:
        """End all processors: their leases are lost."""
        with self._lock:
            ending, self._processors = list(self._processors.values()), {}
        for processor in ending:
            processor.lose_lease()


PROCESSORS: Final = Processors()
atexit.register(PROCESSORS.close)


@beam.typehints.with_input_types(ChangeRecord)
@beam.typehints.with_output_types(ChangeRecord)
class _Process(OwnDoFn):
    """Passes the changes of a bundle to processors, which stay between bundles.

    A checkpoint leaves the step at the time of the call and not at the time of its change, because the watermark may
    have passed the change long before.
    """

    def __init__(self, factory: Any, max_records: int, continues: bool, source: str | None, step: str) -> None:
        self._factory, self._max_records, self._continues = factory, max_records, continues
        self._source, self._step = source, step

    def setup(self) -> None:
        self._make: Callable[[], Any] = handler_of(self._factory, name="processor_factory")  # type: ignore[assignment]  # a factory takes nothing

    def start_bundle(self) -> None:
        self._pending: list[ChangeRecord] = []

    def process(self, change: ChangeRecord) -> Iterator[Any]:
        check_change(change)
        if self._pending and (self._pending[0].shard_id != change.shard_id or len(self._pending) >= self._max_records):
            yield from self._flush()
        if not self._pending:
            yield from self._end_shards()
        self._pending.append(change)

    def finish_bundle(self) -> Iterator[Any]:
        yield from self._flush()
        yield from self._end_shards()
        if self._source is not None and DELIVERIES.is_over(self._source):
            for processor in PROCESSORS.of(self._step, self._run):
                processor.request_shutdown()
                yield from _checkpointed(processor)

    @property
    def _run(self) -> str:
        return "" if self._source is None else DELIVERIES.run_of(self._source)

    def _flush(self) -> Iterator[Any]:
        if not self._pending:
            return
        changes, self._pending = self._pending, []
        shard, run = changes[0].shard_id, self._run
        processor = PROCESSORS.find(self._step, run, shard)
        try:
            if processor is None:
                processor = ShardProcessor(self._make(), shard, self._continues, time.time, self._region(shard))
                PROCESSORS.add(self._step, run, processor)
                processor.initialize()
            processor.process(changes)
        except BaseException:  # the runner repeats the bundle, with a new processor
            PROCESSORS.remove(self._step, run, shard)
            if processor is not None:
                processor.lose_lease()
            raise
        yield from _checkpointed(processor)

    def _region(self, shard: str) -> str:
        stream_arn = None if self._source is None else DELIVERIES.stream_of(self._source, shard)
        return region_of(stream_arn or placeholder_arn())

    def _end_shards(self) -> Iterator[Any]:
        if self._source is None:
            return
        for processor in PROCESSORS.of(self._step, self._run):
            if DELIVERIES.has_ended(self._source, processor.shard):
                PROCESSORS.remove(self._step, self._run, processor.shard)
                processor.end_shard()
                yield from _checkpointed(processor)


def _checkpointed(processor: ShardProcessor) -> Iterator[WindowedValue]:
    """Yield the change that a processor has checkpointed since the last time."""
    change = processor.checkpointer.take()
    if change is not None:
        yield WindowedValue(change, Timestamp(time.time()), [GlobalWindow()])
