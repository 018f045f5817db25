"""Records as pipelines get them: absent images, and nothing between the source and the next step (traps 17 and 18)."""

from __future__ import annotations

from typing import Any

import apache_beam as beam
import pytest
from apache_beam.pipeline import AppliedPTransform, PipelineVisitor

from beam_dynamodb_streams import ReadFromDynamoDBStreams
from beam_dynamodb_streams.records.envelope import change_records
from tests.reader.conftest import Bench


@pytest.mark.parametrize(
    ("view_type", "new", "old"),
    [
        ("KEYS_ONLY", False, False),
        ("NEW_IMAGE", True, False),
        ("OLD_IMAGE", False, True),
        ("NEW_AND_OLD_IMAGES", True, True),
    ],
)
def test_what_the_view_or_the_kind_of_change_leaves_out_is_none(
    bench: Bench, view_type: Any, new: bool, old: bool
) -> None:
    """Trap 17: an absent image is not an empty item."""
    bench.serve()
    orders = bench.orders = bench.service.create_table("views", keys={"id": "S"}, view_type=view_type)
    before, after = {"id": "o-1", "n": 1}, {"id": "o-1", "n": 2}
    orders.put(before)
    orders.put(after)
    orders.delete({"id": "o-1"})
    orders.disable_stream()
    claims = bench.read().go().claims
    records = [record for claim in claims for record in change_records(claim.records, claim.shard)]
    assert [record.event_name for record in records] == ["INSERT", "MODIFY", "REMOVE"]
    assert [record.new_image for record in records] == [before if new else None, after if new else None, None]
    assert [record.old_image for record in records] == [None, before if old else None, after if old else None]
    assert {str(record.keys) for record in records} == {"{'id': 'o-1'}"}


@pytest.mark.parametrize("tagged", [False, True], ids=["one output", "three outputs"])
@pytest.mark.parametrize("stop", [None, "NOW"], ids=["unbounded", "bounded"])
def test_no_shuffle_is_between_the_source_and_the_next_step(tagged: bool, stop: object) -> None:
    """Trap 18: the order of a key survives only without one."""
    pipeline = beam.Pipeline()
    read = ReadFromDynamoDBStreams("orders", stop=stop)
    pipeline | (read.with_outputs() if tagged else read)
    visitor = _Shuffles()
    pipeline.visit(visitor)
    assert visitor.labels == []


class _Shuffles(PipelineVisitor):
    def __init__(self) -> None:
        self.labels: list[str] = []

    def enter_composite_transform(self, transform_node: AppliedPTransform) -> None:
        self.visit_transform(transform_node)

    def visit_transform(self, transform_node: AppliedPTransform) -> None:
        if isinstance(transform_node.transform, beam.GroupByKey | beam.Reshuffle):
            self.labels.append(transform_node.full_label)
