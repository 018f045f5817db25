"""`CommitProgress`: a step that saves what was delivered as its application's progress.

A change names its shard, not its stream. It belongs to the stream that the application's lease names, since a run reads
one stream. Progress is saved for that stream alone, and the run's name keeps the steps of another run from saving any.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from math import ceil
from typing import Any, Final

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam import typehints
from apache_beam.coders import StrUtf8Coder, TupleCoder
from apache_beam.transforms.userstate import BagStateSpec, ReadModifyWriteStateSpec
from apache_beam.transforms.window import FixedWindows, GlobalWindow, GlobalWindows
from apache_beam.utils.timestamp import Timestamp
from apache_beam.utils.windowed_value import WindowedValue

from beam_dynamodb_streams.beam.graph import Graph
from beam_dynamodb_streams.beam.typed import OwnDoFn, OwnTransform
from beam_dynamodb_streams.durations import Duration, as_seconds
from beam_dynamodb_streams.errors import InvalidOptionError
from beam_dynamodb_streams.progress.acquire import WallClock, store_of
from beam_dynamodb_streams.progress.address import Progress, parse_progress
from beam_dynamodb_streams.progress.step_committer import StepCommitter
from beam_dynamodb_streams.progress.trail import trail_of
from beam_dynamodb_streams.records import ChangeRecord
from beam_dynamodb_streams.records.snapshot_end import snapshot_end
from beam_dynamodb_streams.records.versions import UNKNOWN_STREAM, stream_part
from beam_dynamodb_streams.shards.position import After, Position
from beam_dynamodb_streams.shards.segments import snapshot_mark
from beam_dynamodb_streams.shards.start_stop import AHEAD_SECONDS

#: Seconds of event time that one commit covers.
_SECONDS: Final = 5
#: How many seconds a worker's clock may be behind the service's.
_CLOCKS_APART: Final = 60
#: Everything goes to one key, whose state knows the run. The element of shard "" carries the run's name.
_ONE: Final = "progress"
_RUN: Final = ""


class StartsRun(OwnDoFn):
    """The step that names a run, in the elements that it emits."""

    @property
    @abstractmethod
    def progress(self) -> Progress | None:
        """Where the progress of the run is kept, if anywhere."""

    @staticmethod
    @abstractmethod
    def owner(element: Any) -> str:
        """Return the name under which the run holds its lease."""


class ReadsRun(beam.DoFn):
    """The step that delivers the changes of a run."""

    @property
    @abstractmethod
    def progress(self) -> Progress | None:
        """Where the progress of the run is kept, if anywhere."""


class CommitProgress(OwnTransform):
    """Saves how far the changes of a read were delivered. Put it behind the step that delivers them.

    It takes any PCollection that is made of the read's changes, and returns an empty one, so that a pipeline can
    continue behind it. `progress` is that of the read.

    - Behind changes, or record batches as the source makes them, it saves what reached it. Changes may arrive in any
      order and more than once. The timestamp of a change is its creation time, or the end of its window, as after a
      GroupByKey.
    - Behind anything else, such as the results of a `CombinePerKey`, it saves by the watermark: once the watermark of
      its input has passed a moment, everything that was made of the changes up to that moment has been delivered. No
      step in between may move a timestamp to a later time, or keep elements in state beyond the end of their window.
      If one does, say for how long with `delay`.

    A shard's progress up to a moment of event time is saved once the watermark has passed that moment, because no
    earlier change is then still in the pipeline. So progress trails by 5 seconds, by `watermark_slack` (that of the
    read), and by the length of the windows. A killed run repeats that much. A change that the service delivers later
    than the slack allows, or dates more than an hour ahead, may be passed over; Beam drops the former as late.

    The windows are fixed or sliding ones, or the global window where nothing groups. Behind changes they are fixed
    windows or the global one.

    The run's name comes from the start of the read and is kept in state. So a run that another one replaced saves
    nothing, in whichever process it resumes and whatever the runner restores.

    Args:
        progress: The progress of the read: an address, or a `Progress`.
        watermark_slack: That of the read.
        delay: How much later than the end of its windows something may be delivered.

    Raises:
        InvalidOptionError: At construction, or where it is applied: if the pipeline has no read with this progress, if
            its input is not made of that read, or for windows whose end is not known, as of sessions.
        FencedError: Another run took over. It fails the pipeline.
        DelayError: The store has not answered for `takeover_after`. It fails the pipeline.
    """

    def __init__(
        self,
        progress: str | Progress,
        *,
        watermark_slack: Duration = timedelta(seconds=5),
        delay: Duration = 0,
        label: str | None = None,
    ) -> None:
        super().__init__(label)
        parsed = parse_progress(progress)
        if parsed is None:
            raise InvalidOptionError('progress=None: use that of the read, such as "dynamodb://TABLE/APPLICATION"')
        self.progress = parsed
        self._slack = as_seconds("watermark_slack", watermark_slack)
        self._delay = as_seconds("delay", delay)

    def expand(self, delivered: beam.PCollection) -> beam.PCollection:
        if delivered.element_type in (ChangeRecord, pa.RecordBatch):
            changes, trail = delivered, self._window_of(delivered)
        else:
            changes = _changes_of(delivered.pipeline, self.progress)
            trail = trail_of(changes, delivered, str(self.label))
        start, elements = _start_of(delivered.pipeline, self.progress)
        whole = changes | "Whole" >> beam.WindowInto(GlobalWindows())
        reached = whole | "Reach" >> beam.ParDo(_Reach(ceil(self._slack + trail + self._delay)))
        if changes is not delivered:
            # It has the watermark of what was delivered, and no elements: a moment waits for both of them.
            passed = (
                delivered | "Delivered" >> beam.ParDo(_Nothing()) | "Any window" >> beam.WindowInto(GlobalWindows())
            )
            reached = (reached, passed) | "Both" >> beam.Flatten()
        together = (
            reached
            | "Moments" >> beam.WindowInto(FixedWindows(_SECONDS))
            | "Together" >> beam.GroupByKey()
            | "Passed" >> beam.WindowInto(GlobalWindows())
        )
        named = elements | "Run" >> beam.ParDo(_NameRun(start.owner))
        return (named, together) | beam.Flatten() | "Commit" >> beam.ParDo(_Commit(self.progress))

    def _window_of(self, delivered: beam.PCollection) -> float:
        """Return the length of the windows of changes, in seconds; 0 without windows."""
        windows = delivered.windowing.windowfn
        if isinstance(windows, FixedWindows):
            return float(windows.size)
        if isinstance(windows, GlobalWindows):
            return 0.0
        raise InvalidOptionError(
            f"{self.label} behind {windows}: such windows emit the changes of one shard in an unknown order; "
            "use fixed windows or none"
        )


def _changes_of(pipeline: beam.Pipeline, progress: Progress) -> beam.PCollection:
    """Return the changes, or the record batches, that the read of an application emits."""
    for dofn, changes in Graph(pipeline).dofns():
        if isinstance(dofn, ReadsRun) and dofn.progress is not None and dofn.progress.address == progress.address:
            return changes
    raise _no_read(progress)


def _start_of(pipeline: beam.Pipeline, progress: Progress) -> tuple[StartsRun, beam.PCollection]:
    """Return the step that names the run of an application, and the elements that it emits."""
    for dofn, elements in Graph(pipeline).dofns():
        if isinstance(dofn, StartsRun) and dofn.progress is not None and dofn.progress.address == progress.address:
            return dofn, elements
    raise _no_read(progress)


def _no_read(progress: Progress) -> InvalidOptionError:
    return InvalidOptionError(
        f"no read in this pipeline has progress={progress.address!r}: use the same for the read and for CommitProgress"
    )


@beam.typehints.with_output_types(typehints.Tuple[str, typehints.Tuple[str, str]])
class _Nothing(OwnDoFn):
    """Emits nothing, of the type that `_Reach` emits."""

    def process(self, element: Any) -> Iterator[tuple[str, tuple[str, str]]]:  # noqa: ARG002 - Beam's signature
        yield from ()


@beam.typehints.with_input_types(ChangeRecord | pa.RecordBatch)
@beam.typehints.with_output_types(typehints.Tuple[str, typehints.Tuple[str, str]])
class _Reach(OwnDoFn):
    """Emits the last sequence number of each shard and moment in a bundle.

    A change that precedes another one in its shard was created at most the slack after it. So everything before a
    change has passed once the watermark is the slack beyond it, plus a window where changes have the time of its end.
    A change that is dated far ahead says nothing of the changes before it, which were created by now.
    """

    def __init__(self, seconds: int, clock: WallClock | None = None) -> None:
        self._seconds = seconds
        self._clock = clock or WallClock()

    def start_bundle(self) -> None:
        self._reached: dict[tuple[str, int], int] = {}
        now = self._clock.now()
        self._ahead, self._present = Timestamp(now + AHEAD_SECONDS), Timestamp(now + _CLOCKS_APART)

    def process(
        self, element: ChangeRecord | pa.RecordBatch, timestamp: Any = beam.DoFn.TimestampParam
    ) -> Iterator[tuple[str, tuple[str, str]]]:
        if isinstance(element, pa.RecordBatch):
            if (end := snapshot_end(element)) is not None:
                self._add(snapshot_mark(end.epoch), str(end.consistent_second), timestamp)
                return
            for shard, number, created in _last_of_each(element, self._ahead):
                self._add(shard, number, max(created, timestamp))
        elif element.sequence_number:  # an item of a snapshot has none
            self._add(_named(element.shard_id, element.version), element.sequence_number, timestamp)
        yield from ()

    def _add(self, shard: str, number: str, created: Timestamp) -> None:
        if created > self._ahead:
            created = self._present
        moment = -(-created.micros // 1_000_000) + self._seconds
        key = (shard, moment - moment % _SECONDS)
        self._reached[key] = max(int(number), self._reached.get(key, -1))

    def finish_bundle(self) -> Iterator[WindowedValue]:
        for (shard, moment), number in self._reached.items():
            yield WindowedValue((_ONE, (shard, str(number))), Timestamp(moment), [GlobalWindow()])


def _last_of_each(batch: pa.RecordBatch, ahead: Timestamp) -> Iterator[tuple[str, str, Timestamp]]:
    """Yield each shard of a batch, its largest number, and when the newest change of the batch was created.

    Changes dated later than `ahead` count only if there are no others.
    """
    if not len(batch):
        return
    created = batch["approximate_creation_time"].cast(pa.int64())
    present = created.filter(pc.less_equal(created, ahead.micros))
    youngest = Timestamp(micros=pc.max(present if len(present) else created).as_py())
    last: dict[str, tuple[int, str]] = {}
    columns = (batch[name].to_pylist() for name in ("shard_id", "sequence_number", "version"))
    for shard, number, version in zip(*columns, strict=True):
        if number:
            last[shard] = max((int(number), version), last.get(shard, (-1, "")))
    for shard, (found, version) in last.items():
        yield _named(shard, version), str(found), youngest


def _named(shard: str, version: str) -> str:
    """Return the name of a shard here: with the part of a version that stands for its stream, if that is known."""
    stream = stream_part(version)
    return shard if stream == UNKNOWN_STREAM else f"{stream}/{shard}"


@beam.typehints.with_output_types(typehints.Tuple[str, typehints.Iterable[typehints.Tuple[str, str]]])
class _NameRun(OwnDoFn):
    def __init__(self, owner: Callable[[Any], str]) -> None:
        self._owner = owner

    def process(self, element: Any) -> Iterator[tuple[str, list[tuple[str, str]]]]:
        yield _ONE, [(_RUN, self._owner(element))]


@beam.typehints.with_input_types(typehints.Tuple[str, typehints.Iterable[typehints.Tuple[str, str]]])
@beam.typehints.with_output_types(ChangeRecord)
class _Commit(OwnDoFn):
    """Saves the shards of a bundle in one commit. Positions only move forward, so the order of the moments is free.

    Positions that arrive before the run's name wait for it, because a runner may deliver either first.
    """

    RUN = ReadModifyWriteStateSpec("run", StrUtf8Coder())
    WAITING = BagStateSpec("waiting", TupleCoder((StrUtf8Coder(), StrUtf8Coder())))

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def setup(self) -> None:
        self._committer: StepCommitter | None = None

    def start_bundle(self) -> None:
        self._owner = ""
        self._reached: dict[str, Position] = {}

    def process(
        self,
        element: tuple[str, Iterable[tuple[str, str]]],
        run: Any = beam.DoFn.StateParam(RUN),
        waiting: Any = beam.DoFn.StateParam(WAITING),
    ) -> Iterator[ChangeRecord]:
        for shard, number in element[1]:
            if shard == _RUN:
                run.write(number)
                self._reach(waiting.read())
                waiting.clear()
            elif self._owner or run.read():
                self._reach([(shard, number)])
            else:
                waiting.add((shard, number))
        self._owner = run.read() or ""
        yield from ()

    def _reach(self, numbers: Iterable[tuple[str, str]]) -> None:
        for shard, number in numbers:
            known = self._reached.get(shard)
            if not isinstance(known, After) or int(known.sequence_number) < int(number):
                self._reached[shard] = After(number)

    def finish_bundle(self) -> None:
        if self._reached:
            if self._committer is None:
                self._committer = StepCommitter(store_of(self._progress), self._owner, self._progress, WallClock())
            by_stream: dict[str, dict[str, Position]] = {}
            for name, position in self._reached.items():
                stream, _, shard = name.rpartition("/")
                by_stream.setdefault(stream or UNKNOWN_STREAM, {})[shard] = position
            for stream in sorted(by_stream):
                self._committer.commit(by_stream[stream], stream=stream)
