"""One slice of the DoFn without a runner: claims, repeats, and what a loss does (traps 10, 11, 18 and 21)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import islice
from typing import Any
from uuid import uuid4

import apache_beam as beam
import pytest
from apache_beam.pipeline import AppliedPTransform, PipelineVisitor
from apache_beam.pvalue import TaggedOutput
from apache_beam.runners.sdf_utils import (
    RestrictionTrackerView,
    ThreadsafeRestrictionTracker,
    ThreadsafeWatermarkEstimator,
)

from beam_dynamodb_streams import ReadFromDynamoDBStreams
from beam_dynamodb_streams.errors import DataLossError
from beam_dynamodb_streams.records import ChangeRecord
from beam_dynamodb_streams.shards.frontier import EARLIEST, Frontier, begin
from beam_dynamodb_streams.shards.loss import Loss
from beam_dynamodb_streams.shards.position import TRIM_HORIZON, After
from beam_dynamodb_streams.source.dofn import ReadUnboundedStream
from beam_dynamodb_streams.source.restriction import FrontierTracker, StreamWatermark
from beam_dynamodb_streams.source.stream_read import StreamRead
from beam_dynamodb_streams.testing import LocalStreams, Table


@dataclass
class Bundle:
    """One call of `process` with Beam's wrappers around the tracker and the watermark."""

    do_fn: ReadUnboundedStream
    element: StreamRead
    inner: FrontierTracker
    tracker: ThreadsafeRestrictionTracker = field(init=False)
    outputs: Iterator[Any] = field(init=False)

    def __post_init__(self) -> None:
        self.tracker = ThreadsafeRestrictionTracker(self.inner)
        self.outputs = self.do_fn.process(
            self.element,
            tracker=RestrictionTrackerView(self.tracker),
            watermark=ThreadsafeWatermarkEstimator(StreamWatermark(EARLIEST)),
        )

    def changes(self) -> list[ChangeRecord]:
        return [output.value for output in self.outputs if not isinstance(output, TaggedOutput)]

    def deferred(self) -> Frontier:
        """The residual of a bundle that ran to its end."""
        residual, _ = self.tracker.deferred_status()
        return residual


@dataclass
class Slices:
    """The bundles of one read, each with a DoFn and a reader of its own, as after the death of a worker."""

    service: LocalStreams
    table: Table
    options: dict[str, Any] = field(default_factory=dict)

    def bundle(
        self,
        frontier: Frontier | None = None,
        *,
        tagged: bool = False,
        tracker: FrontierTracker | None = None,
        seconds: float = 20.0,
    ) -> Bundle:
        read = ReadFromDynamoDBStreams(
            "orders",
            endpoint_url=self.service.endpoint_url,
            region_name=self.service.region_name,
            slice_time=timedelta(seconds=seconds),
            **self.options,
        )
        pipeline = beam.Pipeline()
        pipeline | (read.with_outputs() if tagged else read)
        found = _ReadDoFn()
        pipeline.visit(found)
        found.do_fn.setup()
        tracker = tracker or FrontierTracker(frontier or self.start(), bounded=False)
        return Bundle(found.do_fn, StreamRead(uuid4().hex, self.table.stream_arn), tracker)

    def start(self) -> Frontier:
        return begin(TRIM_HORIZON, stream_arn=self.table.stream_arn)

    def read(self, count: int, frontier: Frontier | None = None) -> tuple[list[ChangeRecord], Frontier]:
        """Run bundle after bundle until that many changes were delivered.

        Return them, and what the last bundle deferred.
        """
        changes: list[ChangeRecord] = []
        for _ in range(100):
            bundle = self.bundle(frontier, seconds=0.3)
            changes += bundle.changes()
            frontier = bundle.deferred()
            if len(changes) >= count:
                return changes, frontier
        raise AssertionError(f"{len(changes)} changes of {count}")


class _ReadDoFn(PipelineVisitor):
    """The DoFn that a pipeline would run."""

    do_fn: ReadUnboundedStream

    def visit_transform(self, transform_node: AppliedPTransform) -> None:
        do_fn = getattr(transform_node.transform, "dofn", None)
        if isinstance(do_fn, ReadUnboundedStream):
            self.do_fn = do_fn


def serve(service: LocalStreams, *, shards: int = 1, **options: Any) -> Slices:
    return Slices(service, service.create_table("orders", keys={"id": "S"}, shards=shards), options)


def ids(changes: list[ChangeRecord]) -> list[str]:
    return [change.event_id for change in changes]


def test_a_checkpoint_amid_a_bundle_covers_what_is_emitted_and_no_more(service: LocalStreams) -> None:
    """Trap 21: what the reader has read and not claimed by then is the next bundle's."""
    slices = serve(service, shards=3)
    for shard in slices.table.open_shard_ids:
        slices.table.put_many(slices.table.keys_in(shard, 2))
    first = slices.bundle()
    emitted = [next(first.outputs).value]
    _, residual = first.tracker.try_split(0)
    emitted += first.changes()
    first.tracker.check_done()
    assert len(emitted) == 2, "the rest of the page whose claim was accepted, and nothing else"
    rest, _ = slices.read(4, residual)
    assert sorted(ids(emitted + rest)) == sorted(change.event_id for change in slices.table.changes)


class CheckpointedBeforeAClaim(FrontierTracker):
    """The runner takes its checkpoint, on a thread of its own, when the next step is made and not claimed yet."""

    def __init__(self, frontier: Frontier, *, claims: int) -> None:
        super().__init__(frontier, bounded=False)
        self._left = claims
        self.residual = frontier

    def try_claim(self, position: Frontier) -> bool:
        if self._left == 0 and (split := self.try_split(0)) is not None:
            _, self.residual = split
        self._left -= 1
        return super().try_claim(position)


@pytest.mark.parametrize("claims", [0, 1, 2, 3])
def test_a_step_whose_claim_is_refused_is_not_emitted(service: LocalStreams, claims: int) -> None:
    """Trap 21: it is the residual's."""
    slices = serve(service, shards=3)
    for shard in slices.table.open_shard_ids:
        slices.table.put_many(slices.table.keys_in(shard, 2))
    tracker = CheckpointedBeforeAClaim(slices.start(), claims=claims)
    emitted = slices.bundle(tracker=tracker).changes()
    assert len(emitted) == 2 * max(0, claims - 1), "the first claim opens the shards"
    rest, _ = slices.read(6 - len(emitted), tracker.residual)
    assert sorted(ids(emitted + rest)) == sorted(change.event_id for change in slices.table.changes)


def test_a_repeated_change_has_the_same_event_id(service: LocalStreams) -> None:
    """Trap 18: what was emitted and not stored is emitted again, with the same id."""
    slices = serve(service)
    written = slices.table.put_many({"id": f"o-{number}"} for number in range(5))
    for _ in range(2):
        changes, _ = slices.read(5)
        assert ids(changes) == [change.event_id for change in written]


def test_a_trimmed_position_stops_the_pipeline_and_nothing_past_the_loss_is_claimed(service: LocalStreams) -> None:
    """Trap 10, with `on_data_loss="fail"`, the default: another run fails again."""
    slices = serve(service)
    orders = slices.table
    orders.put_many({"id": f"o-{number}"} for number in range(3))
    _, residual = slices.read(3)
    orders.put_many({"id": f"o-{number}", "again": True} for number in range(3))
    orders.trim(keep=1)
    for _ in range(2):
        failing = slices.bundle(residual)
        with pytest.raises(DataLossError, match=r'changes were lost.*set on_data_loss="continue"'):
            failing.changes()
        (shard,) = orders.open_shard_ids
        assert failing.tracker.current_restriction().shards[shard].position == residual.shards[shard].position


def test_a_vanished_shard_stops_the_pipeline(service: LocalStreams) -> None:
    """Trap 11, with `on_data_loss="fail"`."""
    slices = serve(service)
    slices.table.put({"id": "o-1"})
    _, residual = slices.read(1)
    slices.table.drop(slices.table.open_shard_ids[0], listed=True)
    with pytest.raises(DataLossError, match="changes may have been lost"):
        slices.bundle(residual).changes()


def test_with_continue_a_loss_is_data_and_the_rest_is_delivered(service: LocalStreams) -> None:
    """Trap 10, with `on_data_loss="continue"`."""
    slices = serve(service, on_data_loss="continue")
    orders = slices.table
    orders.put_many({"id": f"o-{number}"} for number in range(3))
    _, residual = slices.read(3)
    orders.put_many({"id": f"o-{number}", "again": True} for number in range(3))
    orders.trim(keep=1)
    outputs = list(islice(slices.bundle(residual, tagged=True).outputs, 2))
    losses = [output.value.value for output in outputs if isinstance(output, TaggedOutput)]
    assert [(type(loss), loss.certain) for loss in losses] == [(Loss, True)]
    delivered = [output.value for output in outputs if not isinstance(output, TaggedOutput)]
    assert ids(delivered) == [orders.changes[-1].event_id]


class MovedToAnotherStream(FrontierTracker):
    """Claims, with the last record of one stream, the beginning of another one."""

    def __init__(self, frontier: Frontier, *, following: str) -> None:
        super().__init__(frontier, bounded=False)
        self._following = following

    def try_claim(self, position: Frontier) -> bool:
        begun = any(isinstance(reading.position, After) for reading in position.shards.values())
        return super().try_claim(begin(TRIM_HORIZON, stream_arn=self._following) if begun else position)


def test_a_claim_can_move_the_read_to_another_stream(service: LocalStreams) -> None:
    """The next slice reads the stream that the restriction names, whatever the element says."""
    slices = serve(service)
    slices.table.put({"id": "o-1"})
    following = service.create_table("payments", keys={"id": "S"}, shards=1)
    following.put_many({"id": f"p-{number}"} for number in range(3))
    first = slices.bundle(tracker=MovedToAnotherStream(slices.start(), following=following.stream_arn))
    assert ids(first.changes()) == ids(slices.table.changes)
    residual = first.deferred()
    assert residual.stream_arn == following.stream_arn
    changes, _ = slices.read(3, residual)
    assert ids(changes) == ids(following.changes)
