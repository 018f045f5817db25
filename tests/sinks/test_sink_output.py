"""The output directory and the names of its files, without a runner."""

from __future__ import annotations

import os
import re
from datetime import timedelta
from pathlib import Path

import pytest
from apache_beam.transforms.window import GlobalWindow, IntervalWindow
from change_source import START_SECOND

from connector.errors import InvalidOptionError
from connector.sinks.output import FileNaming, check_writable, output_directory
from connector.sinks.windows import window_seconds


def name(window, stamp, index, suffix):
    return FileNaming(suffix)(window, None, index, 1, "", stamp)


def test_a_name_says_its_window_and_its_bundle():
    window = IntervalWindow(START_SECOND, START_SECOND + 60)
    assert name(window, "b1", 0, ".parquet") == "changes-20261124T080500Z-20261124T080600Z-b1.parquet"


def test_a_name_without_window_says_its_bundle_alone():
    assert name(GlobalWindow(), "b1", 0, ".avro") == "changes-b1.avro"


def test_two_files_of_one_window_and_bundle_differ_by_their_index():
    window = IntervalWindow(START_SECOND, START_SECOND + 60)
    assert name(window, "b1", 1, ".avro") != name(window, "b1", 0, ".avro")


def test_windows_shorter_than_a_second_have_names_of_their_own():
    names = {name(IntervalWindow(START_SECOND + n / 4, START_SECOND + (n + 1) / 4), "b", 0, "") for n in range(4)}
    assert len(names) == 4


def test_names_sort_by_window():
    windows = [IntervalWindow(START_SECOND + 60 * n, START_SECOND + 60 * n + 60) for n in range(200)]
    names = [name(window, f"{99 - n % 7}", 0, ".avro") for n, window in enumerate(windows)]
    assert names == sorted(names)


@pytest.mark.parametrize(
    ("path", "fix"),
    [
        (b"out", "is not a path"),
        (7, "give the output directory as text"),
        ("  ", "names no directory"),
        ("nowhere://bucket/out", "give a local path, or one of a filesystem that Beam knows"),
        ("file:///tmp/out", "give a local path without a scheme"),
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


@pytest.mark.parametrize("window", [0, -1, float("nan"), float("inf"), timedelta(0), True, "1m"])
def test_a_window_of_no_length_or_another_type_is_refused(window):
    with pytest.raises(InvalidOptionError, match=re.escape(f"window={window!r}")):
        window_seconds(window)
