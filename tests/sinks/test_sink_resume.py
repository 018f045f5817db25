"""An output that says where its stream is to be read on: what is kept, removed, left out and refused."""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime, timezone
from pathlib import Path
from random import Random
from typing import Any

import apache_beam as beam
import pyarrow.dataset as ds
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms.window import FixedWindows
from change_source import START_SECOND, change, mark, take_back

from beam_dynamodb_streams import StreamPosition
from beam_dynamodb_streams.errors import ConnectorError, InvalidOptionError
from beam_dynamodb_streams.records import ChangeRecord
from beam_dynamodb_streams.shards.position import AtTime
from beam_dynamodb_streams.sinks import WriteChangesToAvro, WriteChangesToParquet
from beam_dynamodb_streams.sinks.coverage import NOTHING_BEFORE as FIRST
from beam_dynamodb_streams.sinks.coverage import SequenceRange as Range
from beam_dynamodb_streams.sinks.coverage import ShardKey
from beam_dynamodb_streams.sinks.manifest import Manifest, Span
from beam_dynamodb_streams.sinks.output import open_output
from beam_dynamodb_streams.sinks.resume import position_of, read_manifests

SHARD = change(0).shard_id
CHANGES = [change(number, second=number // 3 - 4 * (number % 7 == 0)) for number in range(300)]


def run(output: Path, options: PipelineOptions, changes: list[ChangeRecord] = CHANGES, **given: Any) -> StreamPosition:
    """One export of what a read from its position brings; gives that position."""
    sink = WriteChangesToParquet(output, **{"window": 10, **given})
    with sink.resume() as position:
        covered = position.shards.get(SHARD)
        number = 0 if covered is None else int(covered.sequence_number)
        with beam.Pipeline(options=options) as pipeline:
            _ = pipeline | beam.Create([c for c in changes if int(c.sequence_number) > number]) | sink
    return position


def ids(output: Path) -> Counter[str]:
    table = ds.dataset(output, format="parquet", partitioning="hive").to_table(columns=["event_id"])
    return Counter(table["event_id"].to_pylist())


def files(output: Path) -> dict[str, tuple[int, bytes]]:
    return {str(path): (path.stat().st_ino, path.read_bytes()) for path in output.rglob("changes-*.parquet")}


def manifests(output: Path) -> list[Path]:
    return sorted(output.glob("_manifests/*/*.json"))


EXPECTED = Counter(record.event_id for record in CHANGES)


def test_a_complete_window_has_a_manifest_of_files_rows_and_sequence_numbers(tmp_path, options):
    run(tmp_path, options, CHANGES[:3], partitions="hour")
    first, second = (json.loads(path.read_bytes()) for path in manifests(tmp_path))
    (file,) = second["files"]
    assert second["window"] == ["2026-11-24T08:05:00Z", "2026-11-24T08:05:10Z"]
    assert file["path"].startswith("date=2026-11-24/hour=08/changes-20261124T080500Z-20261124T080510Z-")
    assert (tmp_path / file["path"]).stat().st_size == file["bytes"]
    assert (file["rows"], second["rows"], second["version"]) == (2, 2, 1)
    numbers = [record.sequence_number for record in CHANGES[:3]]
    assert first["streams"] == {"": {SHARD: [["", numbers[0], numbers[0]]]}}, (
        "it came four seconds late, from the window before"
    )
    assert second["streams"] == {"": {SHARD: [[numbers[0], numbers[1], numbers[2]]]}}


def test_the_next_run_reads_on_and_touches_no_file_that_is_complete(tmp_path, options):
    assert run(tmp_path, options, CHANGES[:150]) == StreamPosition()
    before = files(tmp_path)
    assert run(tmp_path, options) == StreamPosition.delivered({SHARD: CHANGES[149].sequence_number})
    assert ids(tmp_path) == EXPECTED
    assert before.items() <= files(tmp_path).items()
    assert run(tmp_path, options).shards[SHARD].sequence_number == CHANGES[-1].sequence_number


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("partitions", [None, "date"])
def test_whichever_manifests_a_kill_left_unwritten_each_change_is_in_one_file(tmp_path, options, seed, partitions):
    random = Random(seed)
    run(tmp_path, options, CHANGES[:200], partitions=partitions)
    lost = random.sample(manifests(tmp_path), 3)
    for path in lost:
        take_back(tmp_path, path)
    kept = {file["path"] for path in manifests(tmp_path) for file in json.loads(path.read_bytes())["files"]}
    before = {
        path: content for path, content in files(tmp_path).items() if str(Path(path).relative_to(tmp_path)) in kept
    }
    run(tmp_path, options, partitions=partitions)
    assert ids(tmp_path) == EXPECTED
    assert before.items() <= files(tmp_path).items()


def test_changes_of_a_complete_window_without_a_manifest_get_a_file_of_their_own(tmp_path, options):
    run(tmp_path, options, CHANGES[:4])
    before = files(tmp_path)
    run(tmp_path, options, CHANGES[:8])
    after = files(tmp_path)
    assert before.items() < after.items()
    windows = Counter(Path(path).name[8:41] for path in after)
    assert windows["20261124T080500Z-20261124T080510Z"] == 2


def test_changes_that_come_twice_are_written_once(tmp_path, options):
    run(tmp_path, options, [*CHANGES, *CHANGES[:100]])
    assert ids(tmp_path) == EXPECTED


def test_runs_without_windows_add_up_as_well(tmp_path, options):
    sinks = [WriteChangesToParquet(tmp_path, layout="latest_image") for _ in range(3)]
    for sink, size in zip(sinks, (100, 100, 300), strict=True):
        with sink.resume(), beam.Pipeline(options=options) as pipeline:
            _ = pipeline | beam.Create(CHANGES[:size]) | sink
    assert ids(tmp_path) == EXPECTED
    assert len(manifests(tmp_path)) == 2


@pytest.mark.parametrize("seed", range(4))
def test_runs_with_and_without_a_stop_may_alternate(tmp_path, options, seed):
    """Without window= the one kind goes to windows of a minute, the other to one of all time."""
    random = Random(seed)
    changes = [change(number, second=number * 3 - 200 * (number % 7 == 0)) for number in range(300)]
    sizes = [100, 200, 250, 300, 300]
    for number, size in enumerate(sizes):
        before = set(manifests(tmp_path))
        sink = WriteChangesToParquet(tmp_path)
        with sink.resume() as position, beam.Pipeline(options=options) as pipeline:
            covered = position.shards.get(SHARD)
            first = 0 if covered is None else int(covered.sequence_number)
            source = pipeline | beam.Create([c for c in changes[:size] if int(c.sequence_number) > first])
            source.is_bounded = (number + seed) % 2 == 0
            _ = source | sink
        written = sorted(set(manifests(tmp_path)) - before)
        if number < len(sizes) - 1:  # the last one is not killed
            for path in random.sample(written, len(written) // 2):
                take_back(tmp_path, path)
    assert ids(tmp_path) == Counter(record.event_id for record in changes)
    assert (tmp_path / "_manifests" / "all").exists()


def test_runs_without_windows_read_manifests_of_the_last_day_and_keep_older_files(tmp_path, options):
    changes = [change(number, second=number * 3600) for number in range(100)]
    for size in (40, 80, 100):
        sink = WriteChangesToParquet(tmp_path, partitions="date")
        with sink.resume() as position, beam.Pipeline(options=options) as pipeline:
            covered = position.shards.get(SHARD)
            first = 0 if covered is None else int(covered.sequence_number)
            _ = pipeline | beam.Create([c for c in changes[:size] if int(c.sequence_number) > first]) | sink
    oldest, *_ = manifests(tmp_path)
    oldest.write_bytes(b"not read any more")
    with WriteChangesToParquet(tmp_path, partitions="date").resume() as position:
        assert position.shards[SHARD].sequence_number == changes[-1].sequence_number
    assert ids(tmp_path) == Counter(record.event_id for record in changes)


def test_manifests_and_files_without_times_in_their_names_still_count(tmp_path, options):
    """As the first outputs have them."""
    for size in (100, 150):
        sink = WriteChangesToParquet(tmp_path)
        with sink.resume(), beam.Pipeline(options=options) as pipeline:
            _ = pipeline | beam.Create(CHANGES[:size]) | sink
        for path in manifests(tmp_path):
            plain = path.read_text()
            for file in tmp_path.glob("changes-all-*"):
                name = f"changes-{file.name.rpartition('-')[2]}"
                plain = plain.replace(file.name, name)
                file.rename(tmp_path / name)
            path.unlink()
            (path.parent / path.name.rpartition("-")[2]).write_text(plain)
    assert ids(tmp_path) == Counter(record.event_id for record in CHANGES[:150])


def test_what_a_kill_left_behind_is_removed(tmp_path, options):
    run(tmp_path, options, CHANGES[:100])
    (tmp_path / "_temporary" / f"{7:032x}").write_bytes(b"PAR1 and no more")
    name = "changes-20261124T080500Z-20261124T080510Z-0123456789abcdef.parquet"
    (tmp_path / name).write_bytes(b"whole, but of no complete window")
    mark(tmp_path, name)
    mark(tmp_path, name.replace("0510Z-0", "0510Z-1"))
    run(tmp_path, options)
    assert list((tmp_path / "_temporary").iterdir()) == []
    assert [path for path in (tmp_path / "_writing").rglob("*") if path.is_file()] == []
    assert ids(tmp_path) == EXPECTED


def test_a_first_run_killed_before_any_window_was_complete_begins_again(tmp_path, options):
    run(tmp_path, options)
    for path in manifests(tmp_path):
        take_back(tmp_path, path)
    assert run(tmp_path, options) == StreamPosition()
    assert ids(tmp_path) == EXPECTED


def test_later_runs_begin_where_the_first_did_whatever_start_they_are_given(tmp_path):
    begin = StreamPosition(start=AtTime(START_SECOND))
    for start in (begin, StreamPosition(), None):
        with WriteChangesToAvro(tmp_path).resume(start=start) as position:
            assert position == begin


def test_until_when_all_was_read_is_known_to_the_next_run(tmp_path, options):
    """Also after runs that found nothing: else a stream that is quiet for a day would seem to have lost something."""
    sink = WriteChangesToParquet(tmp_path, window=10)
    assert run(tmp_path, options).until is None
    with sink.resume() as position:
        assert position.until is None
        sink.caught_up(START_SECOND)
    with sink.resume() as position:
        assert position.until == START_SECOND
    (tmp_path / "_caught_up.json").write_text("not JSON")
    with pytest.raises(ConnectorError, match=r"_caught_up\.json is damaged"), sink.resume():
        pass


def test_two_live_exports_of_one_output_refuse(tmp_path):
    with WriteChangesToParquet(tmp_path).resume():
        second = WriteChangesToParquet(tmp_path)
        with (
            pytest.raises(InvalidOptionError, match=r"is being written by another export \(process \d+ on "),
            second.resume(),
        ):
            pytest.fail("the second one began")
    with WriteChangesToParquet(tmp_path).resume():
        pass


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"window": 20}, "with window 10.0, and this one has 20.0: use the same"),
        ({"layout": "latest_image"}, 'with layout "change_log", and this one has "latest_image"'),
        ({"partitions": "date"}, 'with partitions null, and this one has "date"'),
        ({"codec": "snappy"}, 'with codec "zstd", and this one has "snappy"'),
    ],
)
def test_an_output_of_another_export_is_refused(tmp_path, options, other, says):
    run(tmp_path, options, CHANGES[:10])
    with (
        pytest.raises(InvalidOptionError, match=says),
        WriteChangesToParquet(tmp_path, **{"window": 10, **other}).resume(),
    ):
        pytest.fail("it began")


def test_an_output_of_another_stream_or_format_is_refused(tmp_path):
    with WriteChangesToParquet(tmp_path).resume(stream_arn="arn:one"):
        pass
    with pytest.raises(InvalidOptionError, match=r'stream_arn "arn:one", and this one has "arn:two"'):
        WriteChangesToParquet(tmp_path).resume(stream_arn="arn:two").__enter__()
    with pytest.raises(InvalidOptionError, match=r'format "parquet", and this one has "avro"'):
        WriteChangesToAvro(tmp_path).resume(stream_arn="arn:one").__enter__()


def test_an_output_with_other_data_is_refused_and_left_as_it_is(tmp_path):
    (tmp_path / "letter.txt").write_text("keep me")
    with pytest.raises(InvalidOptionError, match=r"holds 'letter.txt' and is not an export"):
        WriteChangesToParquet(tmp_path).resume().__enter__()
    assert (tmp_path / "letter.txt").read_text() == "keep me"


@pytest.mark.parametrize("damaged", ["_export.json", "_manifests"])
def test_a_damaged_output_is_reported_by_name_and_not_written_to(tmp_path, options, damaged):
    run(tmp_path, options, CHANGES[:10])
    path = tmp_path / damaged if damaged.endswith("json") else manifests(tmp_path)[0]
    path.write_bytes(b"{")
    before = files(tmp_path)
    with pytest.raises(ConnectorError, match=path.name):
        run(tmp_path, options)
    assert files(tmp_path) == before


def test_a_manifest_of_a_newer_release_is_refused(tmp_path, options):
    run(tmp_path, options, CHANGES[:10])
    path = manifests(tmp_path)[0]
    path.write_bytes(path.read_bytes().replace(b'"version":1', b'"version":2'))
    with pytest.raises(ConnectorError, match="has version 2, this release reads 1"):
        run(tmp_path, options)


def test_the_users_own_windows_are_refused_where_the_sink_must_know_what_is_written(tmp_path, options):
    sink = WriteChangesToParquet(tmp_path)
    with sink.resume():
        windowed = beam.Pipeline(options=options) | beam.Create(CHANGES) | beam.WindowInto(FixedWindows(60))
        with pytest.raises(InvalidOptionError, match="leave out the WindowInto"):
            _ = windowed | sink


HOUR = 3600 * 1_000_000
NOW = int(datetime(2026, 11, 24, tzinfo=timezone.utc).timestamp() * 1_000_000)


def of_hour(hours_ago: int, **coverage: Range) -> Manifest:
    return Manifest(
        Span(NOW - hours_ago * HOUR, NOW - (hours_ago - 1) * HOUR),
        [],
        {ShardKey("", s): [r] for s, r in coverage.items()},
    )


def position(tmp_path: Path, *written: Manifest) -> dict[str, str]:
    """What is read from, of an output with these manifests."""
    for number, manifest in enumerate(written):
        assert manifest.window is not None
        path = tmp_path / "_manifests" / f"{manifest.window.label}-{number}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(manifest.to_json())
    output = open_output(str(tmp_path))
    found = position_of(read_manifests(output, output.list("_manifests/")))
    return {shard: str(place).removeprefix("AFTER_SEQUENCE_NUMBER ") for shard, place in found.shards.items()}


def test_only_manifests_of_the_last_day_are_read(tmp_path):
    old = of_hour(40, a=Range(FIRST, "1", "1"))
    assert position(tmp_path, old, of_hour(1, b=Range(FIRST, "5", "6"))) == {"b": "6"}


def test_a_hole_that_is_older_than_the_retention_is_settled(tmp_path):
    old = of_hour(40, a=Range(FIRST, "1", "1"))
    assert position(tmp_path, old, of_hour(27, a=Range("7", "8", "9")), of_hour(1, a=Range("9", "10", "11"))) == {
        "a": "11"
    }


def test_windows_longer_than_the_retention_are_not_taken_as_older_than_it(tmp_path):
    week = 7 * 24
    first = Manifest(
        Span(NOW - week * HOUR, NOW), [], {ShardKey("", "a"): [Range(FIRST, "1", "1"), Range("4", "5", "5")]}
    )
    second = Manifest(Span(NOW, NOW + week * HOUR), [], {ShardKey("", "a"): [Range("5", "6", "6")]})
    assert position(tmp_path, first, second) == {"a": "1"}


def test_a_shard_that_rested_for_long_is_followed_to_its_older_manifests(tmp_path):
    assert position(tmp_path, of_hour(40, a=Range(FIRST, "1", "3")), of_hour(1, a=Range("3", "4", "5"))) == {"a": "5"}


def test_each_stream_of_an_output_has_a_position_and_manifests_of_its_own(tmp_path):
    """Both streams have a shard of the same id."""
    old, new = ({ShardKey(arn, "a"): [Range(FIRST, "1", last)]} for arn, last in (("arn:old", "9"), ("arn:new", "3")))
    found = [Manifest.from_json(Manifest(None, [], coverage).to_json(), "path") for coverage in (old, new)]
    assert [manifest.coverage for manifest in found] == [old, new]
    for arn, last in (("arn:old", "9"), ("arn:new", "3")):
        expected = StreamPosition(arn, shards=StreamPosition.delivered({"a": last}).shards)
        assert position_of(found, arn) == expected
    assert position_of(found, "arn:newest") == StreamPosition("arn:newest")


def test_until_when_a_stream_was_read_says_nothing_of_another_one(tmp_path):
    for second, arn in enumerate(("arn:old", "arn:new"), 100):
        settings = tmp_path / "_export.json"
        if settings.exists():  # as if the output had moved on to the next stream
            settings.write_text(settings.read_text().replace("arn:old", arn))
        sink = WriteChangesToParquet(tmp_path)
        with sink.resume(stream_arn=arn) as position:
            assert position.until is None
            sink.caught_up(second)
        with sink.resume(stream_arn=arn) as position:
            assert position.until == second
    until = json.loads((tmp_path / "_caught_up.json").read_bytes())["until"]
    assert until == {"arn:new": "1970-01-01T00:01:41+00:00", "arn:old": "1970-01-01T00:01:40+00:00"}


def test_of_a_data_stream_the_manifests_of_a_year_are_read_and_no_hole_is_settled(tmp_path):
    """It keeps changes for up to 365 days, and its shards for as long as they are not split or merged."""
    idle, busy = "shardId-000000000000", "shardId-000000000001"
    written = [
        of_hour(24 * 300, **{idle: Range(FIRST, "1", "4")}),
        of_hour(40, **{busy: Range(FIRST, "1", "1")}),
        of_hour(27, **{busy: Range("7", "8", "9")}),
        of_hour(1, **{busy: Range("9", "10", "11")}),
    ]
    assert position(tmp_path, *written) == {idle: "4", busy: "1"}
