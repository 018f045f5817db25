"""The position that a pipeline folds from the records it delivered (traps 4 and 21)."""

from __future__ import annotations

from datetime import datetime, timezone

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms.window import FixedWindows

from beam_dynamodb_streams import ChangeRecord, DeliveredPosition, StreamPosition
from beam_dynamodb_streams.errors import InvalidOptionError
from beam_dynamodb_streams.records.versions import version_base, version_of
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


@pytest.mark.parametrize("known", ["2026-01-31T12:00:00.000", "2026-01-31T12:00:00.000000"])
def test_the_position_is_of_the_last_stream_that_the_read_followed_the_table_to(known: str) -> None:
    """Trap 14: the streams before it were read to their ends. Services write labels with 3 or with 6 decimals."""
    table = "arn:aws:dynamodb:us-east-1:000000000000:table/orders/stream/"
    later = known.replace("T12", "T13")

    def change(label: str, shard: str, number: str) -> ChangeRecord:
        version = version_of(version_base(f"{table}{label}"), number)
        return ChangeRecord(
            event_id=number,
            event_name="REMOVE",
            keys={"id": "o-1"},
            sequence_number=number,
            version=version,
            shard_id=shard,
            approximate_creation_time=datetime(2026, 1, 31, tzinfo=timezone.utc),
        )

    delivered = [change(later, "b", "9"), change(known, "a", "20"), change(later, "b", "10")]
    base = StreamPosition(f"{table}{known}", shards={"a": After("7")})
    with beam.Pipeline("FnApiRunner") as pipeline:
        old = pipeline | "old" >> beam.Create(delivered[1:2]) | "stays" >> DeliveredPosition(base)
        assert_that(old, equal_to([StreamPosition(base.stream_arn, shards={"a": After("20")})]), "one stream")
        new = pipeline | "both" >> beam.Create(delivered) | "moves" >> DeliveredPosition(base)
        assert_that(new, equal_to([StreamPosition(f"{table}{later}", shards={"b": After("10")})]), "two streams")
