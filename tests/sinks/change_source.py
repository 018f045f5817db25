"""Changes for the sink tests: made one by one, with event times, or by an unbounded splittable source."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import NamedTuple

import apache_beam as beam
from apache_beam.io.restriction_trackers import OffsetRange, OffsetRestrictionTracker
from apache_beam.io.watermark_estimators import ManualWatermarkEstimator
from apache_beam.transforms.core import RestrictionProvider
from apache_beam.transforms.window import TimestampedValue
from apache_beam.utils.timestamp import Duration, Timestamp

from beam_dynamodb_streams.records import ChangeRecord

START = datetime(2026, 11, 24, 8, 5, tzinfo=timezone.utc)
START_SECOND = int(START.timestamp())


def mark(output: Path, path: str) -> None:
    """Mark a file of an output as one that is put in its place, as a sink does before that."""
    (output / "_writing" / path).parent.mkdir(parents=True, exist_ok=True)
    (output / "_writing" / path).write_bytes(b"a mark")


def take_back(output: Path, manifest: Path) -> None:
    """Leave the output as a kill does that comes right before this manifest is written."""
    for file in json.loads(manifest.read_bytes())["files"]:
        mark(output, file["path"])
    manifest.unlink()


def change(number: int, second: int = 0) -> ChangeRecord:
    """The change with this number: all three kinds in turn, so that each column is null and not null."""
    kind = ("INSERT", "MODIFY", "REMOVE")[number % 3]
    image = {
        "id": f"order-{number}",
        "total": number,
        "paid": number % 2 == 0,
        "note": None,
        "raw": b"\x00\xff",
    }
    return ChangeRecord(
        event_id=f"event-{number}",
        event_name=kind,
        keys={"id": f"order-{number}"},
        new_image=None if kind == "REMOVE" else image,
        old_image=None if kind == "INSERT" else image,
        sequence_number=str(10**21 + number),
        shard_id="shardId-00000001",
        approximate_creation_time=START + timedelta(seconds=second),
        size_bytes=None if number % 5 == 0 else 200,
        user_identity={"type": "Service", "principalId": "dynamodb.amazonaws.com"} if kind == "REMOVE" else None,
    )


def timed(record: ChangeRecord) -> TimestampedValue:
    return TimestampedValue(record, Timestamp(micros=record.creation_micros))


_WATERMARK = ManualWatermarkEstimator.default_provider()


class Plan(NamedTuple):
    """`rows` changes, one every `step` seconds; `slice_rows` in a bundle, then `pause` real seconds.

    One in `late_every` changes is `late_by` seconds of event time behind its neighbours.
    """

    rows: int
    slice_rows: int
    step: int
    pause: float = 0.05
    late_every: int = 0
    late_by: int = 0


class _Rows(RestrictionProvider):
    def initial_restriction(self, element: Plan) -> OffsetRange:
        return OffsetRange(0, element.rows)

    def create_tracker(self, restriction: OffsetRange) -> OffsetRestrictionTracker:
        return OffsetRestrictionTracker(restriction)

    def restriction_size(self, element: Plan, restriction: OffsetRange) -> int:  # noqa: ARG002
        return restriction.size()


class ChangesOverTime(beam.DoFn):
    """An unbounded source that ends once all rows are read, so that a test can count what came of them."""

    @beam.DoFn.unbounded_per_element()
    def process(
        self,
        element: Plan,
        tracker=beam.DoFn.RestrictionParam(_Rows()),
        watermark=beam.DoFn.WatermarkEstimatorParam(_WATERMARK),
    ) -> Iterator[TimestampedValue]:
        first = tracker.current_restriction().start
        for number in range(first, first + element.slice_rows):
            if not tracker.try_claim(number):
                return
            second = START_SECOND + number * element.step
            late = element.late_every and number % element.late_every == element.late_every - 1
            yield timed(change(number, second - START_SECOND - (element.late_by if late else 0)))
        watermark.set_watermark(Timestamp(START_SECOND + number * element.step))
        tracker.defer_remainder(Duration.of(element.pause))
