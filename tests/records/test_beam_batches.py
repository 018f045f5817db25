"""Beam's batched DoFns on changes, and Beam's own sink for tables behind the read's batches."""

# No postponed annotations here: Beam reads those of a batched DoFn without resolving them.

from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from apache_beam.io.parquetio import WriteToParquetBatched
from apache_beam.testing.util import assert_that, equal_to

from beam_dynamodb_streams import CHANGE_SCHEMA, AsChanges, ChangeRecord
from beam_dynamodb_streams.errors import ElementTypeError
from beam_dynamodb_streams.records import to_arrow


def change(number: int) -> ChangeRecord:
    return ChangeRecord(
        event_id=f"{number:032x}",
        event_name=("INSERT", "MODIFY")[number % 2],
        keys={"id": f"o-{number}"},
        new_image={"id": f"o-{number}", "n": number},
        sequence_number=f"{number + 1:021d}",
        shard_id="shardId-00000001790000000000-00000001",
        approximate_creation_time=datetime(2026, 11, 1, tzinfo=timezone.utc),
    )


CHANGES = [change(n) for n in range(20)]


class OnlyInserts(beam.DoFn):
    """A user's batched DoFn."""

    def process_batch(self, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        assert isinstance(batch, pa.RecordBatch)
        yield batch.filter(pc.equal(batch["event_name"], "INSERT"))

    def infer_output_type(self, input_type: type) -> type:
        return input_type


class Sizes(beam.DoFn):
    def process_batch(self, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        assert batch.num_rows == len(CHANGES), "the batch came apart on its way"
        yield batch

    def infer_output_type(self, input_type: type) -> type:
        return input_type


def test_a_batched_dofn_takes_changes_and_gives_changes() -> None:
    with beam.Pipeline("FnApiRunner") as pipeline:
        inserts = pipeline | beam.Create(CHANGES) | beam.ParDo(OnlyInserts())
        assert_that(inserts, equal_to([change for change in CHANGES if change.event_name == "INSERT"]))


def test_the_reads_batches_reach_a_batched_dofn_whole() -> None:
    with beam.Pipeline("FnApiRunner") as pipeline:
        batches = pipeline | beam.Create([to_arrow(CHANGES)]).with_output_types(pa.RecordBatch)
        changes = batches | AsChanges() | beam.ParDo(Sizes())
        assert changes.element_type is ChangeRecord
        assert_that(changes, equal_to(CHANGES))


def test_batches_of_other_columns_are_refused_as_changes() -> None:
    batch = pa.RecordBatch.from_pydict({"id": [1]})
    with pytest.raises(ElementTypeError, match="CHANGE_SCHEMA"), beam.Pipeline("FnApiRunner") as pipeline:
        _ = pipeline | beam.Create([batch]).with_output_types(pa.RecordBatch) | AsChanges() | beam.Map(str)


def test_beams_own_sink_for_tables_takes_the_batches(tmp_path: Path) -> None:
    with beam.Pipeline("FnApiRunner") as pipeline:
        batches = pipeline | beam.Create([to_arrow(CHANGES)]).with_output_types(pa.RecordBatch)
        tables = batches | beam.Map(lambda batch: pa.Table.from_batches([batch]))
        _ = tables | WriteToParquetBatched(str(tmp_path / "changes"), CHANGE_SCHEMA)
    (written,) = tmp_path.iterdir()
    assert pq.read_table(written).to_batches() == [to_arrow(CHANGES)]
