"""Bounded changes to files, on FnApiRunner."""

from __future__ import annotations

from typing import Any

import apache_beam as beam
import fastavro
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from apache_beam.io import fileio
from apache_beam.io.filesystem import FileMetadata
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms.window import FixedWindows, Sessions, SlidingWindows
from apache_beam.typehints.decorators import TypeCheckError
from change_source import change, timed

from beam_dynamodb_streams.errors import InvalidOptionError
from beam_dynamodb_streams.records import CHANGE_SCHEMA, ChangeRecord, to_arrow
from beam_dynamodb_streams.sinks import WriteChangesToAvro, WriteChangesToParquet

CHANGES = [change(number, second=number) for number in range(300)]


def parquet_table(directory) -> pa.Table:
    columns = CHANGE_SCHEMA.names
    return ds.dataset(directory, format="parquet").to_table(columns=columns).sort_by("sequence_number")


def avro_rows(directory) -> list[dict]:
    rows = []
    for path in directory.glob("*.avro"):
        with path.open("rb") as file:
            rows += fastavro.reader(file)
    return sorted(rows, key=lambda row: row["sequence_number"])


def rows_in(file: fileio.ReadableFile) -> int:
    with file.open() as handle:
        return len(list(fastavro.reader(handle)))


def names(directory, pattern="changes-*") -> list[str]:
    return sorted(path.name for path in directory.glob(pattern))


def test_every_column_of_every_change_is_in_the_files_of_both_formats(tmp_path, options):
    with beam.Pipeline(options=options) as p:
        changes = p | beam.Create(CHANGES)
        _ = changes | WriteChangesToParquet(tmp_path / "parquet")
        _ = changes | WriteChangesToAvro(tmp_path / "avro")

    assert parquet_table(tmp_path / "parquet").equals(pa.Table.from_batches([to_arrow(CHANGES)], CHANGE_SCHEMA))
    rows = [{name: row[name] for name in CHANGE_SCHEMA.names} for row in avro_rows(tmp_path / "avro")]
    assert rows == to_arrow(CHANGES).to_pylist()


def test_bounded_changes_without_windows_go_to_one_window_of_all_time(tmp_path, options):
    with beam.Pipeline(options=options) as p:
        _ = p | beam.Create(CHANGES) | beam.Map(timed) | WriteChangesToParquet(tmp_path)
    (name,) = names(tmp_path)
    assert name.startswith("changes-all-20261124T080500Z-20261124T080959Z-")


def test_a_window_length_cuts_bounded_changes_by_their_event_time(tmp_path, options):
    with beam.Pipeline(options=options) as p:
        _ = p | beam.Create(CHANGES) | beam.Map(timed) | WriteChangesToParquet(tmp_path, window=60)
    assert {name[8:24] for name in names(tmp_path)} == {f"20261124T080{m}00Z" for m in (5, 6, 7, 8, 9)}
    first = ds.dataset([str(path) for path in tmp_path.glob("changes-20261124T080500Z-*")]).to_table()
    assert sorted(first["event_id"].to_pylist()) == sorted(c.event_id for c in CHANGES[:60])


def test_a_users_own_windows_are_kept_even_when_they_overlap(tmp_path, options):
    with beam.Pipeline(options=options) as p:
        _ = (
            p
            | beam.Create(CHANGES)
            | beam.Map(timed)
            | beam.WindowInto(SlidingWindows(120, 60))
            | WriteChangesToAvro(tmp_path)
        )
    assert len(avro_rows(tmp_path)) == 2 * len(CHANGES)
    assert {name[8:41] for name in names(tmp_path)} == {
        f"20261124T080{m}00Z-20261124T08{m + 2:02d}00Z" for m in (4, 5, 6, 7, 8, 9)
    }


def test_hundreds_of_windows_in_a_bundle_lose_no_change(tmp_path, options):
    changes = [change(number, second=number) for number in range(1_000)]
    with beam.Pipeline(options=options) as p:
        _ = p | beam.Create(changes) | beam.Map(timed) | WriteChangesToParquet(tmp_path, window=5)
    assert parquet_table(tmp_path)["event_id"].to_pylist() == [c.event_id for c in changes]
    assert len({name[8:24] for name in names(tmp_path)}) == 200


def test_changes_that_have_no_event_time_are_cut_by_their_creation_time(tmp_path, options):
    with beam.Pipeline(options=options) as p:
        _ = p | beam.Create(CHANGES) | WriteChangesToAvro(tmp_path, window=60)
    assert len(avro_rows(tmp_path)) == len(CHANGES)
    assert len({name[8:24] for name in names(tmp_path)}) == 5


def test_changes_that_were_windowed_without_event_time_are_refused_with_the_fix(tmp_path, options):
    p = beam.Pipeline(options=options)
    _ = p | beam.Create(CHANGES) | beam.WindowInto(FixedWindows(60)) | WriteChangesToAvro(tmp_path)
    with pytest.raises(Exception, match=r"has no event time .* emit TimestampedValue"):
        p.run().wait_until_finish()


def test_the_output_is_the_files_written_ready_to_be_read_on(tmp_path, options):
    with beam.Pipeline(options=options) as p:
        files = p | beam.Create(CHANGES) | WriteChangesToAvro(tmp_path)
        assert files.element_type is FileMetadata
        counts = files | fileio.ReadMatches() | beam.Map(rows_in)
        assert_that(counts | beam.CombineGlobally(sum), equal_to([len(CHANGES)]))


def test_two_sinks_may_share_a_directory(tmp_path, options):
    with beam.Pipeline(options=options) as p:
        changes = p | beam.Create(CHANGES)
        for half in (0, 1):
            _ = (
                changes
                | f"Half {half}" >> beam.Filter(lambda c, half=half: int(c.sequence_number) % 2 == half)
                | f"Write {half}" >> WriteChangesToParquet(tmp_path)
            )
    assert parquet_table(tmp_path)["event_id"].to_pylist() == [c.event_id for c in CHANGES]


def test_the_same_changes_written_again_are_the_same_files_and_others_get_others(tmp_path, options):
    for changes in (CHANGES, CHANGES, CHANGES[:100]):
        with beam.Pipeline(options=options) as p:
            _ = p | beam.Create(changes) | WriteChangesToAvro(tmp_path)
    assert len(names(tmp_path)) == 2
    assert len(avro_rows(tmp_path)) == len(CHANGES) + 100


def test_a_file_is_in_the_order_of_shard_and_sequence_number(tmp_path, options):
    with beam.Pipeline(options=options) as p:
        _ = p | beam.Create(CHANGES[::-1]) | WriteChangesToParquet(tmp_path)
    (name,) = names(tmp_path)
    assert pq.read_table(tmp_path / name)["event_id"].to_pylist() == [c.event_id for c in CHANGES]


def test_flattened_input_after_a_users_own_map_is_written(tmp_path, options):
    with beam.Pipeline(options=options) as p:
        odd = p | "Odd" >> beam.Create(CHANGES[1::2]) | "Same" >> beam.Map(lambda c: c)
        even = p | "Even" >> beam.Create(CHANGES[::2])
        _ = (odd, even) | beam.Flatten() | WriteChangesToParquet(tmp_path)
    assert parquet_table(tmp_path)["event_id"].to_pylist() == [c.event_id for c in CHANGES]


def test_no_changes_make_no_file(tmp_path, options):
    with beam.Pipeline(options=options) as p:
        _ = p | beam.Create([]).with_output_types(ChangeRecord) | WriteChangesToParquet(tmp_path)
    assert list(tmp_path.rglob("*")) == []


def test_a_finished_run_leaves_no_unfinished_file(tmp_path, options):
    with beam.Pipeline(options=options) as p:
        _ = p | beam.Create(CHANGES) | WriteChangesToParquet(tmp_path)
    assert list((tmp_path / "_temporary").iterdir()) == []


def test_pyarrow_reads_the_directory_past_an_unfinished_file(tmp_path, options):
    with beam.Pipeline(options=options) as p:
        _ = p | beam.Create(CHANGES) | WriteChangesToParquet(tmp_path)
    (tmp_path / "_temporary" / "123_left-by-a-kill").write_bytes(b"PAR1 and no more")
    assert parquet_table(tmp_path).num_rows == len(CHANGES)


def test_elements_that_are_not_change_records_are_refused_with_the_fix(tmp_path, options):
    p = beam.Pipeline(options=options)
    rows = p | beam.Create(CHANGES) | beam.Map(lambda c: c.to_dict()).with_output_types(Any)
    _ = rows | WriteChangesToParquet(tmp_path)
    with pytest.raises(Exception, match=r"WriteChangesToParquet accepts ChangeRecords and record batches, not dict"):
        p.run().wait_until_finish()


def test_input_declared_as_another_type_is_refused_when_the_pipeline_is_built(tmp_path, options):
    p = beam.Pipeline(options=options)
    with pytest.raises(TypeCheckError, match="ChangeRecord"):
        _ = p | beam.Create(["text"]) | WriteChangesToParquet(tmp_path)


def test_an_output_that_cannot_be_written_is_refused_when_the_pipeline_is_built(tmp_path, options):
    (tmp_path / "out").write_text("a file")
    p = beam.Pipeline(options=options)
    with pytest.raises(InvalidOptionError, match="cannot be written"):
        _ = p | beam.Create(CHANGES) | WriteChangesToParquet(tmp_path / "out")


def test_a_window_length_on_input_with_windows_is_refused(tmp_path, options):
    windowed = beam.Pipeline(options=options) | beam.Create(CHANGES) | beam.WindowInto(FixedWindows(60))
    with pytest.raises(InvalidOptionError, match=r"window=300 was given, but the input has FixedWindows"):
        _ = windowed | WriteChangesToParquet(tmp_path, window=300)


def test_merging_windows_are_refused(tmp_path, options):
    windowed = beam.Pipeline(options=options) | beam.Create(CHANGES) | beam.WindowInto(Sessions(60))
    with pytest.raises(InvalidOptionError, match="merges its windows"):
        _ = windowed | WriteChangesToParquet(tmp_path)


def test_display_data_names_where_and_how_it_writes(tmp_path):
    shown = WriteChangesToParquet(tmp_path, window=300).display_data()
    assert shown == {"path": str(tmp_path), "codec": "zstd", "layout": "change_log", "window_seconds": 300}
