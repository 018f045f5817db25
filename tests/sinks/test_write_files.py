"""A window's chunks to files, without a runner: large windows, repeats, and a disk that is full or gone."""

from __future__ import annotations

import errno
import json
import os
import re
import resource
import subprocess
import sys
from itertools import chain
from pathlib import Path

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apache_beam.transforms.window import BoundedWindow, GlobalWindow, IntervalWindow
from change_source import START_SECOND, change, take_back

from beam_dynamodb_streams.errors import ConnectorError
from beam_dynamodb_streams.records import to_arrow
from beam_dynamodb_streams.sinks.batches import Chunk, encode_chunk
from beam_dynamodb_streams.sinks.coverage import NOTHING_BEFORE as FIRST
from beam_dynamodb_streams.sinks.coverage import SequenceRange as Range
from beam_dynamodb_streams.sinks.coverage import ShardKey
from beam_dynamodb_streams.sinks.files import FileOptions, WriteFiles
from beam_dynamodb_streams.sinks.formats import AvroFormat, Format, JsonLinesFormat, ParquetFormat
from beam_dynamodb_streams.sinks.layouts import Layout, RowLayout

WINDOW = IntervalWindow(START_SECOND, START_SECOND + 60)
CHUNKS = [encode_chunk(Chunk(to_arrow([change(n) for n in range(at, at + 100)]))) for at in range(0, 1_000, 100)]


def write(
    path: Path,
    chunks: list[bytes] = CHUNKS,
    *,
    form: Format | None = None,
    layout: Layout = "change_log",
    window: BoundedWindow = WINDOW,
    **given,
):
    files = FileOptions(str(path), RowLayout(layout, None), form or ParquetFormat("zstd"), **given)
    step = WriteFiles(files)
    step.setup()
    return step.process((0, chunks), window)


def test_a_large_window_is_in_order_over_all_its_files(tmp_path):
    metadata = write(tmp_path, CHUNKS[::-1], sorted_bytes=1, file_bytes=20_000)
    tables = [pq.read_table(file.path)["event_id"].to_pylist() for file in metadata]
    assert len(tables) > 1
    assert list(chain.from_iterable(tables)) == [f"event-{n}" for n in range(1_000)]
    assert all(20_000 < file.size_in_bytes < 60_000 for file in metadata[:-1])


def test_the_latest_image_of_a_large_window_is_one_row_a_key(tmp_path):
    repeated = [*CHUNKS, *(encode_chunk(Chunk(to_arrow([change(n) for n in range(50)]))) for _ in range(2))]
    (file,) = write(tmp_path, repeated, layout="latest_image", sorted_bytes=1)
    assert sorted(pq.read_table(file.path)["event_id"].to_pylist()) == sorted(f"event-{n}" for n in range(1_000))


def test_the_same_chunks_in_another_order_make_the_same_file(tmp_path):
    (first,), (second,) = write(tmp_path), write(tmp_path, CHUNKS[::-1])
    assert first.path == second.path


def test_a_window_without_rows_has_no_file(tmp_path):
    assert write(tmp_path, [encode_chunk(Chunk(to_arrow([])))]) == []
    assert list(tmp_path.iterdir()) == []


def test_a_file_without_window_is_named_by_the_times_of_its_changes(tmp_path):
    step = WriteFiles(FileOptions(str(tmp_path), RowLayout("change_log", None), AvroFormat("null")))
    step.setup()
    (file,) = step.process((0, CHUNKS), GlobalWindow())
    assert Path(file.path).name.startswith("changes-all-20261124T080500Z-20261124T080500Z-")
    with open(file.path, "rb") as handle:
        assert len(list(fastavro.reader(handle))) == 1_000


def covering(*numbers: int, second: int = 0, stream_arn: str = "") -> bytes:
    """A chunk of changes that came one after another."""
    changes = [change(number, second) for number in numbers]
    covered = Range(FIRST, changes[0].sequence_number, changes[-1].sequence_number)
    coverage = {ShardKey(stream_arn, changes[0].shard_id): [covered]}
    return encode_chunk(Chunk(to_arrow(changes), stream_arn, coverage))


def ids(path: Path) -> list[str]:
    return sorted(chain.from_iterable(pq.read_table(file)["event_id"].to_pylist() for file in path.rglob("changes-*")))


def killed_before_its_manifest(path: Path, *chunks: bytes, **given) -> None:
    before = set(path.rglob("*.json"))
    write(path, list(chunks), complete=True, **given)
    for manifest in set(path.rglob("*.json")) - before:
        take_back(path, manifest)


@pytest.mark.parametrize("window", [WINDOW, GlobalWindow()], ids=["window", "all"])
@pytest.mark.parametrize("partitions", [None, "date", "hour"])
def test_a_restored_window_that_holds_more_replaces_what_a_kill_left_of_it(tmp_path, window, partitions):
    before = IntervalWindow(START_SECOND - 60, START_SECOND)
    write(tmp_path, [covering(0, second=-1)], window=before, complete=True)
    killed_before_its_manifest(tmp_path, covering(1, 2), window=window, partitions=partitions)
    write(tmp_path, [covering(1, 2, 3)], window=window, partitions=partitions, complete=True)
    assert ids(tmp_path) == ["event-0", "event-1", "event-2", "event-3"]


def test_a_window_over_several_partitions_is_cleared_in_each(tmp_path):
    day = IntervalWindow(START_SECOND - 8 * 3600 - 300, START_SECOND + 16 * 3600 - 300)
    early, late = covering(1, second=-3600), covering(2, 3)
    killed_before_its_manifest(tmp_path, early, late, window=day, partitions="hour")
    write(tmp_path, [early, covering(2, 3, 4)], window=day, partitions="hour", complete=True)
    assert ids(tmp_path) == ["event-1", "event-2", "event-3", "event-4"]


def test_without_manifests_no_file_of_a_window_is_removed(tmp_path):
    write(tmp_path, [covering(1, 2)])
    write(tmp_path, [covering(1, 2, 3)])
    assert ids(tmp_path) == ["event-1", "event-1", "event-2", "event-2", "event-3"]


def test_changes_that_come_twice_in_a_large_window_are_written_once(tmp_path):
    chunks = [covering(0, 1, 2), covering(2, 3), covering(1, 2, 3, 4)]
    write(tmp_path, chunks, sorted_bytes=1, complete=True)
    assert ids(tmp_path) == [f"event-{n}" for n in range(5)]


def open_files() -> list[str]:
    return [
        os.readlink(f"/proc/self/fd/{fd}")
        for fd in os.listdir("/proc/self/fd")
        if os.path.exists(f"/proc/self/fd/{fd}")
    ]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="no /proc")
@pytest.mark.parametrize(
    "form", [ParquetFormat("none"), AvroFormat("null"), JsonLinesFormat("none"), JsonLinesFormat("gzip")]
)
def test_a_failed_window_leaves_no_open_file_and_nothing_in_readers_sight(tmp_path, form):
    with pytest.raises(pa.ArrowInvalid):
        write(tmp_path, [*CHUNKS, b"no chunk"], form=form, sorted_bytes=1)
    assert [path for path in open_files() if str(tmp_path) in path] == []
    assert list(tmp_path.rglob("changes-*")) == []
    assert list((tmp_path / "_temporary").iterdir()) == []


def test_an_output_that_went_away_fails_with_what_to_do(tmp_path):
    (tmp_path / "_temporary").write_text("a file where a directory is needed")
    with pytest.raises(ConnectorError, match=r"cannot be written \(.*Free some space, or use another output"):
        write(tmp_path)


def small_disk(path: str, form: str) -> None:
    """Run in a process of its own, after a whole file: no file may grow beyond 4 KB, as on a disk that is full."""
    write(Path(path), CHUNKS[:1])
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
    makers: dict[str, Format] = {
        "parquet": ParquetFormat("none"),
        "avro": AvroFormat("null"),
        "jsonl": JsonLinesFormat("none"),
        "gzip": JsonLinesFormat("gzip"),
    }
    try:
        write(Path(path), form=makers[form])
    except ConnectorError as error:
        print(type(error.__cause__).__name__, getattr(error.__cause__, "errno", None), error)


@pytest.mark.parametrize("form", ["parquet", "avro", "jsonl", "gzip"])
def test_a_full_disk_fails_loudly_with_complete_files_intact(tmp_path, form):
    code = f"import test_write_files as t; t.small_disk({str(tmp_path)!r}, {form!r})"
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert run.stdout.startswith(f"OSError {errno.EFBIG} "), run.stderr
    assert re.search(r"cannot be (written|put in its place) \(OSError: \[Errno 27\] File too large\)", run.stdout)
    assert "Exception ignored" not in run.stderr
    (complete,) = tmp_path.rglob("changes-*")
    assert pq.read_table(complete).num_rows == 100
    assert list((tmp_path / "_temporary").iterdir()) == []


OLD, NEW = (
    f"arn:aws:dynamodb:us-east-1:000000000000:table/orders/stream/2026-11-{day}T08:00:00.000" for day in (23, 24)
)


def test_what_an_older_stream_covers_is_written_for_a_new_one(tmp_path):
    """Both streams have a shard of the same id, with the same sequence numbers."""
    old, new = covering(1, 2, stream_arn=OLD), covering(1, 2, 3, stream_arn=NEW)
    for chunk in (old, new, old, new):
        write(tmp_path, [chunk], complete=True)
    assert ids(tmp_path) == ["event-1", "event-1", "event-2", "event-2", "event-3"]


def test_two_streams_in_one_window_are_sorted_and_covered_apart(tmp_path):
    chunks = [covering(3, 4, stream_arn=NEW), covering(1, 2, stream_arn=OLD), covering(1, 2, stream_arn=NEW)]
    write(tmp_path, chunks, complete=True)
    assert pq.read_table(next(tmp_path.rglob("changes-*")))["event_id"].to_pylist() == [
        f"event-{number}" for number in (1, 2, 1, 2, 3, 4)
    ]
    stored = json.loads(next(tmp_path.rglob("*.json")).read_bytes())["streams"]
    assert {arn: list(shards) for arn, shards in stored.items()} == {arn: [change(0).shard_id] for arn in (OLD, NEW)}


def test_the_latest_image_of_a_key_is_that_of_the_newer_stream(tmp_path):
    """Whatever the order in which the two arrive, and though the older one has the larger sequence number."""
    chunks = [covering(7, stream_arn=NEW), covering(7 + 1_000, stream_arn=OLD)]
    for part, arrived in enumerate((chunks, chunks[::-1])):
        (file,) = write(tmp_path / str(part), arrived, layout="latest_image", complete=True, sorted_bytes=1)
        assert pq.read_table(file.path)["event_id"].to_pylist()[-1] == "event-7"
