"""The recipe against repeated changes in docs/guarantees.md works without a real-time timer."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import apache_beam as beam
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.transforms.userstate import get_dofn_specs
from apache_beam.transforms.window import TimestampedValue

from beam_dynamodb_streams import ChangeRecord
from tests.docs.pages import ROOT, blocks

PAGE = ROOT / "docs" / "guarantees.md"


def recipe(changes: beam.PCollection) -> dict[str, Any]:
    (block,) = blocks(PAGE, "python")
    names: dict[str, Any] = {"beam": beam, "ChangeRecord": ChangeRecord, "changes": changes}
    exec(compile(block.compiled(), str(PAGE), "exec"), names)  # noqa: S102 - our own page
    return names


def change(number: int) -> ChangeRecord:
    return ChangeRecord(
        event_id=f"event-{number}",
        event_name="INSERT",
        keys={"id": f"o-{number}"},
        sequence_number=str(100 + number),
        shard_id="shardId-00000001",
        approximate_creation_time=datetime(2026, 1, 31, 8, 0, number, tzinfo=timezone.utc),
    )


def test_a_repeated_change_is_dropped() -> None:
    """Trap 18."""
    three = [change(number) for number in range(3)]
    with beam.Pipeline("FnApiRunner") as pipeline:
        changes = (
            pipeline
            | beam.Create([*three, three[0], *three[1:], three[0]])
            | beam.Map(lambda change: TimestampedValue(change, change.approximate_creation_time.timestamp()))
        )
        once = recipe(changes)["once"]
        assert_that(once | beam.Map(lambda change: change.event_id), equal_to([change.event_id for change in three]))


def test_event_time_forgets_what_was_seen_without_a_real_time_timer() -> None:
    with beam.Pipeline("FnApiRunner") as pipeline:
        names = recipe(pipeline | beam.Create([]).with_output_types(ChangeRecord))
        _, timers = get_dofn_specs(names["FirstOfEach"]())
    assert {timer.time_domain for timer in timers} == {TimeDomain.WATERMARK}
