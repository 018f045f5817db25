"""The position that a pipeline folds from the records it delivered (traps 4 and 21)."""

from __future__ import annotations

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms.window import FixedWindows

from beam_dynamodb_streams import DeliveredPosition, StreamPosition
from beam_dynamodb_streams.errors import InvalidOptionError
from beam_dynamodb_streams.shards.position import After
from beam_dynamodb_streams.testing import LocalStreams
from tests.shards.test_stream_position import record
from tests.source.options_of import options_of


def test_the_folded_position_covers_the_records_delivered_and_no_more() -> None:
    """Traps 4 and 21: in any order; sequence numbers are integers, and those of one shard say nothing of another's."""
    base = StreamPosition(shards={"a": After("7"), "c": After("5")})
    delivered = [record("a", "1000"), record("b", "3"), record("a", "999"), record("b", "20"), record("b", "4")]
    with beam.Pipeline("FnApiRunner") as pipeline:
        position = pipeline | beam.Create(delivered) | DeliveredPosition(base)
        expected = StreamPosition(shards={"a": After("1000"), "b": After("20"), "c": After("5")})
        assert_that(position, equal_to([expected]))


@pytest.mark.parametrize("runner", ["FnApiRunner", "PrismRunner"])
def test_without_deliveries_the_position_is_the_start_of_the_read(runner: str, request: pytest.FixtureRequest) -> None:
    base = StreamPosition(shards={"a": After("7")})
    location = [] if runner == "FnApiRunner" else [f"--prism_location={request.getfixturevalue('prism')}"]
    with beam.Pipeline(runner, PipelineOptions(location)) as pipeline:
        position = pipeline | beam.Create([], reshuffle=False) | DeliveredPosition(base)
        assert_that(position, equal_to([base]))


def test_windows_are_refused_because_a_last_change_covers_changes_of_later_windows() -> None:
    """Traps 19 and 21."""
    pipeline = beam.Pipeline("FnApiRunner")
    windowed = pipeline | beam.Create([record("a", "1")]) | beam.WindowInto(FixedWindows(60))
    with pytest.raises(InvalidOptionError, match="CommitProgress"):
        _ = windowed | DeliveredPosition()


@pytest.mark.parametrize(("start", "gapless"), [("TRIM_HORIZON", False), (StreamPosition(), True)])
def test_a_read_from_a_saved_position_leaves_no_gap_before_its_stop(
    service: LocalStreams, start: object, *, gapless: bool
) -> None:
    """Traps 19 and 21: else the position would cover a change that is before the stop and was not delivered."""
    assert options_of(service, table="orders", start=start, stop="NOW").rules.gapless is gapless
