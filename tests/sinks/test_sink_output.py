"""The output directory and the names of its files, without a runner."""

from __future__ import annotations

import os
import re
from datetime import timedelta
from pathlib import Path

import pytest
from apache_beam.transforms.window import FixedWindows
from change_source import START_SECOND

from beam_dynamodb_streams.errors import ConnectorError, InvalidOptionError
from beam_dynamodb_streams.sinks.directory import check_writable, output_directory
from beam_dynamodb_streams.sinks.manifest import Span, file_name, manifest_path, span_of
from beam_dynamodb_streams.sinks.output import open_output, write_whole
from beam_dynamodb_streams.sinks.windows import window_seconds


def span(start: float, seconds: float = 60) -> Span:
    return Span(round(start * 1_000_000), round((start + seconds) * 1_000_000))


def test_a_window_is_in_names_by_its_start_and_end():
    assert span(START_SECOND).label == "20261124T080500Z-20261124T080600Z"


def test_windows_shorter_than_a_second_have_names_of_their_own():
    assert len({span(START_SECOND + n / 4, 0.25).label for n in range(4)}) == 4


def test_names_sort_by_window():
    labels = [span(START_SECOND + 60 * n).label for n in range(200)]
    assert labels == sorted(labels)


@pytest.mark.parametrize("length", [60, 0.5])
def test_when_the_changes_of_a_file_were_created_is_read_from_its_name(length):
    window, times = span(START_SECOND, length), span(START_SECOND + 7, length)
    assert span_of(manifest_path(window, times, "d1")) == window
    assert span_of(f"date=2026-11-24/{file_name(window, times, 'd1')}.parquet") == window
    assert span_of(manifest_path(None, times, "d1")) == times
    assert span_of(f"date=2026-11-24/{file_name(None, times, 'd1')}.parquet") == times
    assert span_of("changes-d1.parquet") is None


def test_a_file_is_out_of_sight_until_it_is_whole_and_then_in_its_place(tmp_path):
    output = open_output(str(tmp_path))
    file = output.create()
    file.handle.write(b"abc")
    assert [path for path in output.list() if not path.startswith("_temporary/")] == []
    metadata = file.publish("date=2026-11-24/changes-1.avro")
    assert (metadata.path, metadata.size_in_bytes) == (str(tmp_path / "date=2026-11-24" / "changes-1.avro"), 3)
    assert output.list() == ["date=2026-11-24/changes-1.avro"]
    assert output.list("date=2026-11-25/") == []
    output.create().publish("date=2026-11-24/hour=08/changes-2.avro")
    output.create().publish("changes-3.avro")
    assert output.list("ch") == ["changes-3.avro"]
    assert output.list("date=2026-11-24/h") == ["date=2026-11-24/hour=08/changes-2.avro"]
    assert (
        output.list("date=2026-1")
        == output.list("date=2026-11-24/")
        == [
            "date=2026-11-24/changes-1.avro",
            "date=2026-11-24/hour=08/changes-2.avro",
        ]
    )


def test_a_file_that_cannot_be_put_in_its_place_is_an_error_and_leaves_nothing(tmp_path):
    output = open_output(str(tmp_path))
    (tmp_path / "taken").write_text("a file where a directory is needed")
    file = output.create()
    with pytest.raises(ConnectorError, match=r"taken/changes-1.avro cannot be put in its place \("):
        file.publish("taken/changes-1.avro")
    file.discard()
    assert output.list() == ["taken"]


def test_a_small_file_that_cannot_be_written_is_an_error_and_leaves_nothing(tmp_path):
    (tmp_path / "_temporary").write_text("a file where a directory is needed")
    with pytest.raises(ConnectorError, match=r"_manifests/a.json cannot be written \(FileExistsError"):
        write_whole(open_output(str(tmp_path)), "_manifests/a.json", b"{}")
    assert open_output(str(tmp_path)).list() == ["_temporary"]


def test_a_file_given_up_is_gone_and_closed(tmp_path):
    output = open_output(str(tmp_path))
    file = output.create()
    file.handle.write(b"half")
    file.discard()
    assert file.handle.closed
    assert output.list() == []


@pytest.mark.parametrize(
    ("path", "fix"),
    [
        (b"out", "is not a path"),
        (7, "pass the output directory as text"),
        ("  ", "names no directory"),
        ("nowhere://bucket/out", "use a local path, or one of a filesystem that Beam knows"),
        ("file:///tmp/out", "use a local path without a scheme"),
    ],
)
def test_a_path_that_no_filesystem_serves_is_refused_with_the_fix(path, fix):
    with pytest.raises(InvalidOptionError, match=fix):
        output_directory(path)


def test_a_path_object_is_a_path():
    assert output_directory(Path("out")) == "out"


def test_a_writable_directory_is_made_and_left_empty(tmp_path):
    check_writable(str(tmp_path / "new" / "out"))
    assert os.listdir(tmp_path / "new" / "out") == []


def test_a_directory_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "out").write_text("taken")
    with pytest.raises(InvalidOptionError, match=r"out' cannot be written \(FileExistsError"):
        check_writable(str(tmp_path / "out"))


@pytest.mark.parametrize(("window", "seconds"), [(None, None), (300, 300), (0.5, 0.5), (timedelta(minutes=5), 300)])
def test_a_window_is_seconds_or_a_timedelta(window, seconds):
    assert window_seconds(window) == seconds


@pytest.mark.parametrize("length", [timedelta(microseconds=1), timedelta(days=365 * 7_000)])
def test_the_shortest_and_the_longest_window_have_names(length):
    seconds = window_seconds(length)
    assert seconds is not None
    size = FixedWindows(seconds).size.micros
    start = START_SECOND * 1_000_000 // size * size
    assert span_of(manifest_path(Span(start, start + size), Span(start, start), "d1")) == Span(start, start + size)


@pytest.mark.parametrize(
    "window", [0, -1, float("nan"), float("inf"), timedelta(0), True, "1m", 1e-7, 1e12, timedelta.max]
)
def test_a_window_of_no_length_or_another_type_is_refused(window):
    with pytest.raises(InvalidOptionError, match=re.escape(f"window={window!r}")):
        window_seconds(window)
