"""What the sinks take: records and batches, mixed, typed or not, in windows of the sink's and of the user's."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timezone
from pathlib import Path

import apache_beam as beam
import fastavro
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms.trigger import (
    AccumulationMode,
    AfterAll,
    AfterAny,
    AfterCount,
    AfterEach,
    AfterProcessingTime,
    AfterWatermark,
    OrFinally,
    Repeatedly,
    TriggerFn,
)
from apache_beam.transforms.window import FixedWindows, GlobalWindows, IntervalWindow, SlidingWindows, TimestampedValue
from apache_beam.utils.timestamp import Duration
from change_source import START_SECOND, change

from beam_dynamodb_streams.columns import Columns, Schema, from_avro_row
from beam_dynamodb_streams.errors import InvalidOptionError, RunnerError
from beam_dynamodb_streams.records import ChangeRecord, to_arrow
from beam_dynamodb_streams.sinks import WriteChangesToAvro, WriteChangesToJsonLines, WriteChangesToParquet
from beam_dynamodb_streams.sinks.batches import Chunk, decode_chunk, encode_chunk
from beam_dynamodb_streams.sinks.chunks import ChunkBySinkWindows, ChunkOptions
from beam_dynamodb_streams.sinks.coverage import SequenceRange, ShardKey
from beam_dynamodb_streams.sinks.files import FileOptions, WriteFiles
from beam_dynamodb_streams.sinks.formats import ParquetFormat
from beam_dynamodb_streams.sinks.layouts import RowLayout
from beam_dynamodb_streams.sinks.windows import sink_windows

CHANGES = [change(number, second=number) for number in range(200)]
IDS = Counter(record.event_id for record in CHANGES)
FIELDS = [("id", pa.string()), ("total", pa.int64()), ("paid", pa.bool_()), ("note", pa.string()), ("raw", pa.binary())]
SCHEMA = Schema(pa.schema(FIELDS), ("id",))


def test_an_image_that_is_malformed_is_named_where_misfits_have_no_output(tmp_path, options):
    line = CHANGES[0].to_json().replace('"new_image":{', '"new_image":[{').replace('},"old_image"', '}],"old_image"')
    with (
        pytest.raises(Exception, match=r"new_image does not fit its column: .*with_outputs\(\)"),
        beam.Pipeline(options=options) as pipeline,
    ):
        _ = pipeline | beam.Create([ChangeRecord.from_json(line)]) | WriteChangesToParquet(tmp_path, schema=SCHEMA)


def test_changes_of_unknown_size_are_written_before_they_fill_the_memory(tmp_path):
    large = CHANGES[0].to_dict() | {"new_image": {"id": "large", "note": "x" * 9_000_000}, "size_bytes": None}
    step = ChunkBySinkWindows(ChunkOptions("sink", RowLayout("change_log", None), False), str(tmp_path), None, None)
    step.setup()
    step.start_bundle()
    given = [step.process(ChangeRecord(**large)) for _ in range(4)]
    assert [chunks is not None for chunks in given] == [False, False, False, True]


@pytest.mark.parametrize("ahead", [3_700, 86_400, 3_000_000_000])
def test_a_change_dated_far_ahead_is_not_kept_until_its_date_comes(tmp_path, ahead):
    """Its chunk has the present as its timestamp, and the window of its date as its key."""
    layout = RowLayout("change_log", None)
    step = ChunkBySinkWindows(
        ChunkOptions("sink", layout, False), str(tmp_path), 60_000_000, None, now=lambda: START_SECOND + 5.0
    )
    step.setup()
    step.start_bundle()
    dates = [0, ahead, 1, 3_500, ahead]
    assert not list(step.process(to_arrow([change(number, second) for number, second in enumerate(dates)])) or ())
    chunks = [(value.value, value.timestamp) for value in step.finish_bundle()]
    far = (START_SECOND + ahead) // 60 * 60
    stamps = [((key, len(decode_chunk(data).changes)), stamp.micros // 1_000_000) for (key, data), stamp in chunks]
    assert stamps == [
        ((0, 2), START_SECOND),
        ((0, 1), START_SECOND + 3_500),
        ((far * 1_000_000, 2), START_SECOND + 5),
    ]
    files = WriteFiles(
        FileOptions(str(tmp_path), layout, ParquetFormat("none"), complete=True, window_micros=60_000_000)
    )
    files.setup()
    coverage = {
        ShardKey("", change(0).shard_id): [SequenceRange("", change(1).sequence_number, change(4).sequence_number)]
    }
    data = encode_chunk(Chunk(decode_chunk(chunks[-1][0][1]).changes, "", coverage))
    for present in (START_SECOND, START_SECOND + 60):  # it is read again, in another present
        files.process((chunks[-1][0][0], [data]), IntervalWindow(present, present + 60))
    (written,) = tmp_path.glob("changes-*")
    assert written.name.startswith(f"changes-{datetime.fromtimestamp(far, timezone.utc):%Y%m%dT%H%M%SZ}-")
    assert pq.read_table(written)["event_id"].to_pylist() == ["event-1", "event-4"]


def batches(size: int) -> list[TimestampedValue]:
    """Batches of that many changes, each at the time of its first."""
    return [
        TimestampedValue(to_arrow(CHANGES[at : at + size]), START_SECOND + at) for at in range(0, len(CHANGES), size)
    ]


def ids(path: Path) -> Counter[str]:
    return Counter(ds.dataset(path, format="parquet").to_table(columns=["event_id"])["event_id"].to_pylist())


def windows(path: Path) -> dict[str, set[str]]:
    """The changes by the start of the window in the name of their file."""
    found: dict[str, set[str]] = {}
    for file in path.glob("changes-*.parquet"):
        found.setdefault(file.name[8:24], set()).update(ids(file))
    return found


def test_a_batchs_rows_go_to_their_own_windows_whatever_its_time(tmp_path, options):
    with beam.Pipeline(options=options) as p:
        _ = p | beam.Create(batches(70)) | beam.Map(lambda b: b) | WriteChangesToParquet(tmp_path, window=60)
    assert ids(tmp_path) == IDS
    assert windows(tmp_path)["20261124T080600Z"] == {f"event-{number}" for number in range(60, 120)}


def test_records_and_batches_may_come_mixed(tmp_path, options):
    elements = [*batches(50)[:2], *(TimestampedValue(c, START_SECOND) for c in CHANGES[100:])]
    with beam.Pipeline(options=options) as p:
        _ = p | beam.Create(elements) | beam.Map(lambda e: e) | WriteChangesToParquet(tmp_path)
    assert ids(tmp_path) == IDS


def test_a_batchs_rows_go_to_the_windows_that_the_users_own_function_gives_them(tmp_path, options):
    with beam.Pipeline(options=options) as p:
        given = p | beam.Create(batches(70)) | beam.Map(lambda b: b) | beam.WindowInto(SlidingWindows(60, 30))
        _ = given | WriteChangesToParquet(tmp_path)
    assert ids(tmp_path) == IDS + IDS
    assert windows(tmp_path)["20261124T080530Z"] == {f"event-{number}" for number in range(30, 90)}


def test_a_trigger_of_the_users_own_makes_a_file_for_each_pane(tmp_path, options):
    with beam.Pipeline(options=options) as p:
        given = (
            p
            | beam.Create(CHANGES)
            | beam.WindowInto(
                GlobalWindows(), trigger=Repeatedly(AfterCount(1)), accumulation_mode=AccumulationMode.DISCARDING
            )
        )
        _ = given | WriteChangesToParquet(tmp_path)
    assert ids(tmp_path) == IDS


def test_a_batch_of_other_columns_is_refused_with_the_fix(tmp_path, options):
    typed = Columns(SCHEMA).of_records(CHANGES).rows
    p = beam.Pipeline(options=options)
    _ = (
        p
        | beam.Create([typed])
        | beam.Map(lambda b: b).with_output_types(pa.RecordBatch)
        | WriteChangesToAvro(tmp_path)
    )
    with pytest.raises(Exception, match=r"not those of CHANGE_SCHEMA: pass the sink the schema= "):
        p.run().wait_until_finish()


@pytest.mark.parametrize("typed", [False, True], ids=["records", "batches"])
def test_a_schema_makes_typed_columns_of_records_and_takes_batches_that_have_them(tmp_path, options, typed):
    expected = Columns(SCHEMA).of_records(CHANGES).rows.to_pylist()
    elements = [Columns(SCHEMA).of_records(CHANGES).rows] if typed else CHANGES
    with beam.Pipeline(options=options) as p:
        given = p | beam.Create(elements) | beam.Map(lambda e: e)
        _ = given | WriteChangesToParquet(tmp_path / "parquet", schema=SCHEMA)
        _ = given | WriteChangesToAvro(tmp_path / "avro", schema=SCHEMA)
    (file,) = (tmp_path / "parquet").glob("changes-*")
    assert pq.read_table(file, columns=SCHEMA.arrow.names).to_pylist() == expected
    (file,) = (tmp_path / "avro").glob("changes-*")
    with file.open("rb") as handle:
        assert [from_avro_row(row, SCHEMA) for row in fastavro.reader(handle)] == expected


NARROW = Schema(pa.schema([("id", pa.string()), ("total", pa.string()), ("paid", pa.int64())]), ("id",), other=None)


def test_what_does_not_fit_its_column_is_an_output_of_its_own(tmp_path, options):
    with beam.Pipeline(options=options) as p:
        sink = WriteChangesToParquet(tmp_path, schema=NARROW).with_outputs()
        files, misfits = p | beam.Create(CHANGES[:2]) | sink
        assert_that(files | "Paths" >> beam.Map(lambda file: bool(file.size_in_bytes)), equal_to([True]))
        found = misfits | beam.Map(lambda m: (m.event_id, m.image, m.attribute))
        expected = [
            ("event-0", "new_image", "paid"),
            ("event-1", "new_image", "paid"),
            ("event-1", "old_image", "paid"),
        ]
        assert_that(found, equal_to(expected), label="Misfits")
    assert len(ids(tmp_path)) == 2


def test_what_does_not_fit_its_column_fails_a_pipeline_that_has_no_place_for_it(tmp_path, options):
    p = beam.Pipeline(options=options)
    _ = p | beam.Create(CHANGES[:1]) | WriteChangesToParquet(tmp_path, schema=NARROW)
    with pytest.raises(Exception, match=r"new_image.paid does not fit its column: .*with_outputs\(\)"):
        p.run().wait_until_finish()


@pytest.mark.parametrize("length", [1, 3])
def test_misfits_of_windowed_changes_keep_their_windows(tmp_path, options, length):
    with beam.Pipeline(options=options) as p:
        timed = p | beam.Create(CHANGES[:2]) | beam.Map(lambda c: TimestampedValue(c, c.creation_micros / 1e6))
        given = timed | beam.WindowInto(FixedWindows(length))
        _, misfits = given | WriteChangesToParquet(tmp_path, schema=NARROW).with_outputs()
        counts = misfits | beam.combiners.Count.Globally().without_defaults()
        assert_that(counts, equal_to([1, 2] if length == 1 else [3]))


def test_partitions_are_of_each_changes_own_hour(tmp_path, options):
    changes = [change(number, second=number * 1200) for number in range(6)]
    with beam.Pipeline(options=options) as p:
        _ = p | beam.Create(changes) | WriteChangesToJsonLines(tmp_path, partitions="hour")
    found = {
        path.parent.relative_to(tmp_path).as_posix(): [
            ChangeRecord.from_json(line) for line in path.read_text().splitlines()
        ]
        for path in tmp_path.rglob("changes-*.jsonl")
    }
    assert found == {"date=2026-11-24/hour=08": changes[:3], "date=2026-11-24/hour=09": changes[3:]}


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ({"partitions": "minute"}, "partitions='minute' is unknown"),
        ({"file_bytes": 0}, "file_bytes=0 is not a count"),
        ({"row_group_rows": 1.5}, "row_group_rows=1.5 is not a count"),
        ({"layout": "wide"}, "layout='wide' is unknown"),
        ({"schema": {"id": "string"}}, "pass a beam_dynamodb_streams.Schema"),
    ],
)
def test_a_bad_option_is_refused_at_construction(tmp_path, option, says):
    with pytest.raises(InvalidOptionError, match=says):
        WriteChangesToParquet(tmp_path, **option)


LOSING = [
    Repeatedly(AfterCount(100)),
    Repeatedly(AfterAll(AfterCount(7), AfterCount(1))),
    Repeatedly(AfterAll(AfterCount(7), AfterWatermark())),
    AfterEach(AfterCount(1), Repeatedly(AfterCount(2))),
    Repeatedly(AfterAny(AfterCount(7), AfterCount(9))),
    Repeatedly(AfterAny(AfterCount(7), AfterProcessingTime(60))),
    Repeatedly(OrFinally(AfterCount(7), AfterCount(9))),
]
FIRING = [
    Repeatedly(AfterCount(1)),
    Repeatedly(AfterAny(AfterCount(100), AfterWatermark())),
    AfterWatermark(early=AfterCount(100), late=AfterCount(1)),
    Repeatedly(AfterAny(AfterCount(100), AfterCount(1))),
    AfterEach(AfterCount(1), Repeatedly(AfterCount(1))),
]


def write_with(trigger: TriggerFn, path: Path, options: PipelineOptions) -> None:
    windows = beam.WindowInto(
        FixedWindows(60),
        trigger=trigger,
        accumulation_mode=AccumulationMode.DISCARDING,
        allowed_lateness=Duration(seconds=90_000),
    )
    with beam.Pipeline(options=options) as pipeline:
        stamped = [TimestampedValue(record, record.creation_micros / 1e6) for record in CHANGES]
        _ = pipeline | beam.Create(stamped) | beam.Map(lambda each: each) | windows | WriteChangesToParquet(path)


@pytest.mark.parametrize("trigger", LOSING, ids=repr)
def test_a_count_trigger_that_loses_changes_on_fn_api_runner_is_refused_by_name(tmp_path, options, trigger):
    with pytest.raises(RunnerError, match=r"trigger .*AfterCount\(\d+\).*leave the trigger out") as refused:
        write_with(trigger, tmp_path, options)
    assert repr(trigger) in str(refused.value)


@pytest.mark.parametrize("trigger", FIRING, ids=repr)
def test_a_count_trigger_that_fires_by_the_end_of_its_window_writes_every_change(tmp_path, options, trigger):
    write_with(trigger, tmp_path, options)
    assert ids(tmp_path) == IDS


def test_direct_runner_warns_of_a_count_trigger_because_it_may_fall_back(caplog):
    changes = beam.Pipeline("DirectRunner") | beam.Create(CHANGES[:1])
    windows = beam.WindowInto(
        FixedWindows(60), trigger=Repeatedly(AfterCount(100)), accumulation_mode=AccumulationMode.DISCARDING
    )
    assert sink_windows(changes | windows, None) is None
    assert "trigger Repeatedly(AfterCount(100)) before the sink" in caplog.text


def test_beam_has_nothing_to_warn_of_in_a_window_before_a_sink(tmp_path, options, caplog):
    for sink in (WriteChangesToParquet, WriteChangesToAvro, WriteChangesToJsonLines):
        with beam.Pipeline(options=options) as pipeline:
            stamped = [TimestampedValue(record, record.creation_micros / 1e6) for record in CHANGES[:3]]
            changes = pipeline | beam.Create(stamped) | beam.Map(lambda each: each)
            _ = changes | beam.WindowInto(FixedWindows(60)) | sink(tmp_path / sink.__name__)
    assert "returned None" not in caplog.text
