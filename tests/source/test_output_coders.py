"""What reads and sinks return beside changes: a coder with a version and a Beam schema for each, across processes."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam import coders
from apache_beam.io.filesystem import FileMetadata
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.typehints.schemas import named_fields_from_element_type, schema_from_element_type
from apache_beam.utils.timestamp import Timestamp

from beam_dynamodb_streams import AsRows, DeadLetter, Loss, StreamPosition, read_schema
from beam_dynamodb_streams.beam.coders import URN_PREFIX, OwnCoder
from beam_dynamodb_streams.columns import Misfit
from beam_dynamodb_streams.errors import InvalidOptionError, MalformedRecordError
from beam_dynamodb_streams.records import ChangeRow
from beam_dynamodb_streams.records.snapshot_end import SnapshotEnd
from beam_dynamodb_streams.rows import row_hint
from beam_dynamodb_streams.rows.output_rows import OUTPUT_ROWS
from beam_dynamodb_streams.shards.position import After, AtTime

COMPAT = Path(__file__).parents[1] / "compat"
ARN = "arn:aws:dynamodb:us-east-1:000000000000:table/orders/stream/2026-01-31T12:00:00.000"
SHARD = "shardId-00000001769860800000-a1b2c3d4"
MOMENT = datetime(2026, 1, 31, 12, tzinfo=timezone.utc)

OUTPUTS: dict[str, Any] = {
    "dead_letter": DeadLetter(ARN, SHARD, "421584500000000017450439091", b'{"eventID":\xff}', "not UTF-8"),
    "loss": Loss(ARN, SHARD, "17", "TRIM_HORIZON", MOMENT, True, "trimmed", MOMENT.replace(microsecond=5)),
    "misfit": Misfit("e" * 32, SHARD, "17", "new_image", "total", "S is not decimal128(12, 2)", b'{"S":"x"}'),
    "snapshot_end": SnapshotEnd(1_769_860_800_000, 17, 1_769_860_801),
    "file_metadata": FileMetadata("out/a.parquet", 17, 1769860800.5),
}
POSITION = StreamPosition(ARN, AtTime(1_769_860_800), {SHARD: After("17")}, until=1_769_860_900)
ELEMENTS = [*OUTPUTS.values(), POSITION, Loss("", SHARD, "", "", None, False, "", None)]


@pytest.mark.parametrize("element", ELEMENTS, ids=lambda each: type(each).__name__)
def test_each_output_has_a_coder_of_its_own_that_returns_it_equal(element: Any) -> None:
    coder = coders.registry.get_coder(type(element))
    assert isinstance(coder, OwnCoder)
    assert coder.is_deterministic()
    assert coder.decode(coder.encode(element)) == element
    assert f"{URN_PREFIX}{coder.name}".endswith(":v1")


@pytest.mark.parametrize("name", OUTPUTS)
def test_bytes_of_version_1_are_read_and_written(name: str) -> None:
    stored = (COMPAT / f"{name}_v1.json").read_bytes()
    coder = coders.registry.get_coder(type(OUTPUTS[name]))
    assert coder.decode(stored) == OUTPUTS[name]
    assert coder.encode(OUTPUTS[name]) == stored


@pytest.mark.parametrize("name", OUTPUTS)
@pytest.mark.parametrize("damaged", [b"", b"{}", b"[1]", b"\xff", b'{"version":1}'])
def test_other_bytes_are_refused(name: str, damaged: bytes) -> None:
    coder = coders.registry.get_coder(type(OUTPUTS[name]))
    with pytest.raises(MalformedRecordError, match="cannot be read"):
        coder.decode(damaged)
    later = (COMPAT / f"{name}_v1.json").read_bytes().replace(b'"version":1', b'"version":2')
    with pytest.raises(MalformedRecordError, match="has version 2, and this release reads version 1"):
        coder.decode(later)


@pytest.mark.parametrize("element", ELEMENTS, ids=lambda each: type(each).__name__)
def test_as_rows_makes_rows_with_a_schema_of_each_output(element: Any) -> None:
    with beam.Pipeline("FnApiRunner") as pipeline:
        rows = pipeline | beam.Create([element]).with_output_types(type(element)) | AsRows()
        fields = dict(named_fields_from_element_type(rows.element_type))
        assert Any not in fields.values()
        selected = rows | "Through a shuffle" >> beam.Reshuffle() | beam.Select(*fields)
        made = OUTPUT_ROWS[type(element)][1](element)
        assert_that(selected | beam.Map(tuple), equal_to([tuple(made)]))


def test_rows_have_times_and_bytes() -> None:
    loss, position = (OUTPUT_ROWS[type(each)][1](each) for each in (OUTPUTS["loss"], POSITION))
    assert loss.since == Timestamp.from_utc_datetime(MOMENT)
    assert (position.start, position.shards, position.until) == ("2026-01-31T12:00:00Z", {SHARD: "17"}, 1_769_860_900)
    assert StreamPosition.from_json(position.json) == POSITION


def test_outputs_have_no_schema_of_a_table() -> None:
    schema = read_schema({"id": "string"}, keys=["id"])
    letters = beam.Pipeline("FnApiRunner") | beam.Create([OUTPUTS["dead_letter"]]).with_output_types(DeadLetter)
    with pytest.raises(InvalidOptionError, match="AsRows behind DeadLetter: leave out the schema"):
        letters | AsRows(schema)


def test_the_rows_of_changes_have_types_and_no_any() -> None:
    for kind in (
        ChangeRow,
        row_hint(None),
        row_hint(read_schema({"id": "string", "n": "decimal128(5, 0)"}, keys=["id"])),
    ):
        fields = dict(named_fields_from_element_type(kind))
        assert Any not in fields.values()
        assert fields["event_id"] is str
        assert fields["approximate_creation_time"] is Timestamp
    assert "int" in str(dict(named_fields_from_element_type(ChangeRow))["size_bytes"])


def test_the_schema_of_a_row_is_the_same_in_every_process() -> None:
    """A worker decodes rows to their class, and a runner that updates a job compares their coders."""
    program = (
        "from apache_beam.typehints.schemas import schema_from_element_type\n"
        "from beam_dynamodb_streams.records import ChangeRow\n"
        "from beam_dynamodb_streams.rows.output_rows import LossRow\n"
        "print(*(schema_from_element_type(each).id for each in (ChangeRow, LossRow)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == [schema_from_element_type(each).id for each in (ChangeRow, OUTPUT_ROWS[Loss][0])]
