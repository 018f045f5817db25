"""The steps of `InvokeHandler` with tumbling windows: keyed by shard, with the window's changes in Beam's state.

A state that outlives a bundle must be the runner's, so the changes leave the read's bundle. They are sorted by their
sequence numbers before they are invoked, which restores the order of the shard.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Final

import apache_beam as beam
from apache_beam import typehints
from apache_beam.coders import StrUtf8Coder, TupleCoder, VarIntCoder
from apache_beam.pvalue import PCollection, TaggedOutput
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.transforms.userstate import BagStateSpec, ReadModifyWriteStateSpec, TimerSpec, on_timer
from apache_beam.transforms.window import GlobalWindows
from apache_beam.utils.timestamp import Timestamp

from beam_dynamodb_streams.beam.typed import OwnDoFn
from beam_dynamodb_streams.handlers.deliveries import DELIVERIES
from beam_dynamodb_streams.handlers.handler_of import handler_of
from beam_dynamodb_streams.handlers.invoke_bundle import ON_FAILURE, HandlerMetrics, check_change
from beam_dynamodb_streams.handlers.invoker import Invoker
from beam_dynamodb_streams.handlers.lambda_event import event_record, placeholder_arn
from beam_dynamodb_streams.handlers.lanes import Lanes
from beam_dynamodb_streams.handlers.options import HandlerOptions
from beam_dynamodb_streams.handlers.tumbling_window import TumblingWindow
from beam_dynamodb_streams.records import ChangeRecord
from beam_dynamodb_streams.records.beam_coders import ChangeRecordCoder

FILTERED: Final = "filtered"


def invoke_windows(
    changes: PCollection, options: HandlerOptions, source: str | None, handled: str
) -> tuple[PCollection, PCollection]:
    """Return the changes that were handled, and the records for the on-failure destination."""
    by_shard = (
        changes
        | "One window" >> beam.WindowInto(GlobalWindows())
        | "By shard" >> beam.ParDo(_ByShard(options, source)).with_outputs(FILTERED, main="passed")
    )
    passed, filtered = by_shard["passed"], by_shard[FILTERED]
    passed.element_type = typehints.Tuple[str, typehints.Tuple[str, ChangeRecord]]
    filtered.element_type = ChangeRecord
    invoked = passed | "Invoke" >> beam.ParDo(_InvokeWindows(options)).with_outputs(ON_FAILURE, main=handled)
    done = invoked[handled]
    done.element_type = ChangeRecord
    return (done, filtered) | "All" >> beam.Flatten(), invoked[ON_FAILURE]


@beam.typehints.with_input_types(ChangeRecord)
class _ByShard(OwnDoFn):
    """Emits each change with its shard and its stream, as long as it is known in this process."""

    def __init__(self, options: HandlerOptions, source: str | None) -> None:
        self._options, self._source = options, source

    def setup(self) -> None:
        self._metrics = HandlerMetrics()
        self._placeholder = placeholder_arn()

    def process(self, change: ChangeRecord) -> Iterator[Any]:
        check_change(change)
        found = None if self._source is None else DELIVERIES.stream_of(self._source, change.shard_id)
        stream_arn = found or self._options.event_source_arn or self._placeholder
        criteria = self._options.criteria
        if criteria is not None and not criteria.pass_change(change, stream_arn):
            self._metrics.filtered.inc()
            yield TaggedOutput(FILTERED, change)
        else:
            yield change.shard_id, (stream_arn, change)


@beam.typehints.with_input_types(typehints.Tuple[str, typehints.Tuple[str, ChangeRecord]])
class _InvokeWindows(OwnDoFn):
    """Collects the changes of a shard, and calls the handler with those of a window once the watermark has passed it.

    All windows of a shard share one state and one timer, that of the earliest of them, so that they are closed in their
    order however far the watermark moves at once. A change that arrives after its window was closed is a window of its
    own.
    """

    CHANGES = BagStateSpec("changes", TupleCoder((StrUtf8Coder(), ChangeRecordCoder())))
    NEXT = ReadModifyWriteStateSpec("next", VarIntCoder())
    END = TimerSpec("end", TimeDomain.WATERMARK)

    def __init__(self, options: HandlerOptions) -> None:
        self._options = options
        self._length = options.tumbling or 1

    def setup(self) -> None:
        options = self._options
        self._invoker = Invoker(handler_of(options.handler), options.policy, options.context)
        self._metrics = HandlerMetrics()

    def process(
        self,
        element: tuple[str, tuple[str, ChangeRecord]],
        changes: Any = beam.DoFn.StateParam(CHANGES),
        following: Any = beam.DoFn.StateParam(NEXT),
        timer: Any = beam.DoFn.TimerParam(END),
    ) -> None:
        changes.add(element[1])
        end = self._start_of(element[1][1]) + self._length
        known = following.read()
        if known is None or end < known:
            following.write(end)
            timer.set(Timestamp(end))

    @on_timer(END)
    def invoke(
        self,
        changes: Any = beam.DoFn.StateParam(CHANGES),
        following: Any = beam.DoFn.StateParam(NEXT),
        timer: Any = beam.DoFn.TimerParam(END),
    ) -> Iterator[Any]:
        windows: dict[int, list[tuple[str, ChangeRecord]]] = {}
        for each in changes.read():
            windows.setdefault(self._start_of(each[1]), []).append(each)
        end = following.read()
        changes.clear()
        following.clear()
        for start in sorted(windows):
            if end is not None and start + self._length <= end:
                yield from self._invoke_window(start, windows.pop(start))
        for each in (each for later in windows.values() for each in later):
            changes.add(each)
        if windows:
            earliest = min(windows) + self._length
            following.write(earliest)
            timer.set(Timestamp(earliest))

    def _start_of(self, change: ChangeRecord) -> int:
        second = change.creation_micros // 1_000_000
        return second - second % self._length

    def _invoke_window(self, start: int, found: list[tuple[str, ChangeRecord]]) -> Iterator[Any]:
        found.sort(key=lambda each: int(each[1].sequence_number))
        stream_arn, first = found[0]
        window = TumblingWindow(self._invoker, first.shard_id, stream_arn, start, start + self._length)
        lanes: Lanes[int] = Lanes(self._options.batch_size)
        records = [event_record(change, stream_arn) for stream_arn, change in found]
        waves = []
        for place, record in enumerate(records):
            waves += lanes.add(first.shard_id, 0, place, size=len(record.text) + 1, now=0.0)
        for batch in (batch for wave in (*waves, *lanes.flush()) for work in wave for batch in work.batches):
            began = time.monotonic()
            report = window.invoke([records[place] for place in batch])
            self._metrics.add(report, int((time.monotonic() - began) * 1000))
            for _, made in report.on_failure:
                yield TaggedOutput(ON_FAILURE, made)
        self._metrics.add(window.close(), 0)
        for _, change in found:
            yield change
