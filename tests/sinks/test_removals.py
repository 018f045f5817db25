"""What is removed from an output, and that nothing is removed if its contents cannot be known."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow.parquet as pq
import pytest
from apache_beam.io.filesystem import FileMetadata
from apache_beam.io.localfilesystem import LocalFileSystem
from apache_beam.options.pipeline_options import PipelineOptions
from change_source import START_SECOND, change, mark

from beam_dynamodb_streams.errors import ConnectorError, InvalidOptionError
from beam_dynamodb_streams.records import ChangeRecord
from beam_dynamodb_streams.sinks import WriteChangesToParquet
from beam_dynamodb_streams.sinks.directory import output_directory
from beam_dynamodb_streams.sinks.leftovers import prepare_window
from beam_dynamodb_streams.sinks.manifest import Manifest, Span
from beam_dynamodb_streams.sinks.output import BeamOutput, LocalOutput, open_output, write_whole

CHANGES = [change(number, second=number // 3) for number in range(60)]
WINDOW = Span(START_SECOND * 1_000_000, (START_SECOND + 10) * 1_000_000)
NAME = "changes-20261124T080500Z-20261124T080510Z-0123456789abcdef.parquet"


def run(output: Path, options: PipelineOptions, changes: list[ChangeRecord] = CHANGES, **given: Any) -> None:
    sink = WriteChangesToParquet(output, **{"window": 10, **given})
    with sink.resume(), beam.Pipeline(options=options) as pipeline:
        _ = pipeline | beam.Create(changes) | sink


def held(output: Path) -> list[str]:
    return sorted(str(path.relative_to(output)) for path in output.rglob("*") if path.is_file())


def ids(output: Path) -> list[str]:
    return sorted(name for path in output.glob("changes-*") for name in pq.read_table(path)["event_id"].to_pylist())


def refuse_to_list(monkeypatch: pytest.MonkeyPatch, folder: Path, code: int) -> None:
    """As a disk does that fails, a mount that went stale, or rights that a restore from a copy did not bring back."""
    listed = os.scandir

    def scandir(path: Any) -> Any:
        if isinstance(path, str) and Path(path) == folder:
            raise OSError(code, os.strerror(code), str(folder))
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)


@pytest.mark.parametrize("code", [errno.EACCES, errno.EIO, errno.ESTALE, errno.ENOENT], ids=errno.errorcode.get)
@pytest.mark.parametrize("folder", ["_manifests", "_manifests/2026-11-24"])
def test_manifests_that_cannot_be_listed_end_the_run_and_nothing_is_removed(
    tmp_path, options, monkeypatch, folder, code
):
    run(tmp_path, options, CHANGES[:30])
    before = held(tmp_path)
    refuse_to_list(monkeypatch, tmp_path / folder, code)
    with pytest.raises(ConnectorError, match=r"2026-11-24|_manifests cannot be listed"):
        run(tmp_path, options)
    monkeypatch.undo()
    assert held(tmp_path) == before


@pytest.mark.parametrize("window", [WINDOW, None], ids=["window", "all"])
def test_a_window_whose_manifests_cannot_be_listed_is_not_cleared(tmp_path, options, monkeypatch, window):
    run(tmp_path, options)
    before = held(tmp_path)
    refuse_to_list(monkeypatch, tmp_path / "_manifests" / "2026-11-24", errno.EIO)
    with pytest.raises(ConnectorError, match="2026-11-24 cannot be listed"):
        prepare_window(LocalOutput(str(tmp_path)), window, None)
    monkeypatch.undo()
    assert held(tmp_path) == before


@pytest.fixture(params=["_manifests", "_manifests/2026-11-24"])
def linked(request, tmp_path, options):
    """An output whose manifests were moved elsewhere, behind a link; and where they are."""
    output, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    run(output, options)
    shutil.move(output / request.param, elsewhere)
    (output / request.param).symlink_to(elsewhere)
    return output, elsewhere


def test_manifests_that_were_moved_behind_a_link_still_count(linked, options):
    output, _ = linked
    before = held(output)
    run(output, options)
    assert held(output) == before


def test_a_link_to_manifests_that_leads_nowhere_ends_the_run_and_nothing_is_removed(linked, tmp_path, options):
    output, elsewhere = linked
    elsewhere.rename(tmp_path / "unmounted")
    before = held(output)
    with pytest.raises(ConnectorError, match="_manifests"):
        run(output, options)
    with pytest.raises(ConnectorError, match="_manifests"):
        prepare_window(LocalOutput(str(output)), WINDOW, None)
    assert held(output) == before


def test_a_link_of_somebody_else_is_not_followed(tmp_path, options):
    run(tmp_path, options, CHANGES[:30])
    (tmp_path / "latest").symlink_to(tmp_path)
    run(tmp_path, options)
    assert ids(tmp_path) == sorted(record.event_id for record in CHANGES)


@pytest.mark.parametrize(
    "name",
    [
        "changes-of-my-team.parquet",
        "changes-2026.csv",
        f"backup/{NAME}",
        f"date=2026-11-24/backup/{NAME}",
        NAME.replace(".parquet", " copy.parquet"),
        NAME.replace("0123456789abcdef", "old"),
        f".{NAME}.swp",
    ],
)
def test_what_somebody_else_put_into_the_output_stays(tmp_path, options, name):
    run(tmp_path, options, CHANGES[:30])
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_bytes(b"mine")
    run(tmp_path, options)
    assert (tmp_path / name).read_bytes() == b"mine"


@pytest.mark.parametrize("name", [NAME, f"date=2026-11-24/hour=08/{NAME}", "changes-0123456789abcdef.jsonl.gz"])
def test_marked_files_that_no_manifest_names_are_removed_with_their_marks(tmp_path, options, name):
    run(tmp_path, options, CHANGES[:30])
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_bytes(b"left by a kill")
    mark(tmp_path, name)
    run(tmp_path, options)
    assert not (tmp_path / name).exists()
    assert not (tmp_path / "_writing" / name).exists()


def removed_one(output: Path) -> None:
    min((output / "_manifests").rglob("*.json")).unlink()


def removed_all(output: Path) -> None:
    for path in (output / "_manifests").rglob("*.json"):
        path.unlink()


def removed_manifests(output: Path) -> None:
    shutil.rmtree(output / "_manifests")


def removed_description(output: Path) -> None:
    (output / "_export.json").unlink()


def removed_folders(output: Path) -> None:
    for path in output.glob("_*"):
        if path.is_dir():
            shutil.rmtree(path)


def removed_all_but_files(output: Path) -> None:
    removed_folders(output)
    for path in output.glob("_*"):
        path.unlink()


REMOVALS = [removed_one, removed_all, removed_manifests, removed_description, removed_folders, removed_all_but_files]


@pytest.mark.parametrize("partitions", [None, "hour"])
@pytest.mark.parametrize("remove", REMOVALS)
def test_what_somebody_removed_ends_the_run_with_the_way_out_and_no_file_is_removed(
    tmp_path, options, remove, partitions
):
    run(tmp_path, options, CHANGES[:30], partitions=partitions)
    remove(tmp_path)
    before = held(tmp_path)
    with pytest.raises((ConnectorError, InvalidOptionError), match=r"nothing was removed\. Restore .*new directory"):
        run(tmp_path, options, CHANGES[30:], partitions=partitions)
    assert [path for path in held(tmp_path) if path != "_owner"] == [path for path in before if path != "_owner"]


@pytest.mark.parametrize("window", [WINDOW, None], ids=["window", "all"])
def test_a_manifest_that_is_removed_while_an_export_runs_costs_no_file(tmp_path, options, window):
    run(tmp_path, options, CHANGES[:30], window=10 if window else None)
    removed_manifests(tmp_path)
    before = held(tmp_path)
    with pytest.raises(ConnectorError, match="nothing was removed"):
        prepare_window(LocalOutput(str(tmp_path)), window, None)
    assert held(tmp_path) == before


def test_files_that_are_moved_out_of_the_output_are_the_way_out_of_removed_manifests(tmp_path, options):
    run(tmp_path / "out", options, CHANGES[:30])
    removed_manifests(tmp_path / "out")
    (tmp_path / "moved").mkdir()
    for path in (tmp_path / "out").glob("changes-*"):
        path.rename(tmp_path / "moved" / path.name)
    run(tmp_path / "out", options)
    assert ids(tmp_path / "out") == sorted(record.event_id for record in CHANGES)


def test_a_complete_export_leaves_no_mark_and_a_kill_before_the_manifest_leaves_one(tmp_path, options, monkeypatch):
    def killed(_: Manifest) -> bytes:
        raise SystemError("killed")

    monkeypatch.setattr(Manifest, "to_json", killed)
    with pytest.raises(Exception, match="killed"):
        run(tmp_path, options, CHANGES[:3], partitions="hour")
    assert [path for path in held(tmp_path) if path.startswith("date=")]
    monkeypatch.undo()
    run(tmp_path, options, CHANGES, partitions="hour")
    assert sorted(
        name for path in tmp_path.glob("date=*/*/changes-*") for name in pq.read_table(path)["event_id"].to_pylist()
    ) == sorted(record.event_id for record in CHANGES)
    assert not [path for path in held(tmp_path) if path.startswith("_writing/")]


def test_a_temporary_file_of_somebody_else_stays(tmp_path, options):
    run(tmp_path, options, CHANGES[:30])
    (tmp_path / "_temporary" / "0").mkdir()
    (tmp_path / "_temporary" / "0" / "part-0").write_bytes(b"of Spark")
    run(tmp_path, options)
    assert (tmp_path / "_temporary" / "0" / "part-0").exists()


def test_a_folder_of_somebody_else_need_not_be_listed(tmp_path, options, monkeypatch):
    """Such as `lost+found`, which only root may read."""
    run(tmp_path, options, CHANGES[:30])
    (tmp_path / "lost+found").mkdir()
    refuse_to_list(monkeypatch, tmp_path / "lost+found", errno.EACCES)
    run(tmp_path, options)
    assert ids(tmp_path) == sorted(record.event_id for record in CHANGES)


class OneFolderAtATime(LocalFileSystem):
    """As Beam's filesystem for HDFS: what is in the folders of a folder is not listed with it."""

    @classmethod
    def scheme(cls) -> str:
        return "folders"

    def _list(self, dir_or_prefix: str) -> Iterator[FileMetadata]:
        for entry in os.scandir(dir_or_prefix.removeprefix("folders:/")):
            yield FileMetadata(f"folders:/{entry.path}", entry.stat().st_size)

    def has_dirs(self) -> bool:
        return True


def test_an_output_listed_one_folder_at_a_time_cannot_resume_and_loses_nothing(tmp_path, tmp_path_factory, monkeypatch):
    """Its manifests are out of sight, so that all of its files would seem to be named by none."""
    monkeypatch.chdir(tmp_path_factory.mktemp("folders"))  # it takes its paths as relative ones, to write to
    output = LocalOutput(str(tmp_path))
    write_whole(output, NAME, b"a million changes")
    write_whole(output, f"_manifests/2026-11-24/{NAME.removeprefix('changes-')}.json", b"{}")
    with pytest.raises(InvalidOptionError, match=r"folders://.*lists one folder at a time"):
        WriteChangesToParquet(f"folders:/{tmp_path}").resume().__enter__()
    with pytest.raises(ConnectorError, match="lists one folder at a time"):
        open_output(f"folders:/{tmp_path}").list()
    assert NAME in held(tmp_path)


@pytest.mark.parametrize("name", ["out[1]", "a*b", "out?"])
def test_a_path_that_a_filesystem_takes_as_a_pattern_is_refused(name):
    """There to list or to delete a file may be to list or to delete those of other outputs."""
    with pytest.raises(InvalidOptionError, match="as a pattern"):
        output_directory(f"s3://bucket/{name}")


@pytest.mark.parametrize("name", ["out[1]", "a*b", "out?"])
def test_a_local_directory_may_have_any_name(tmp_path, options, name):
    run(tmp_path / name, options, CHANGES[:30])
    run(tmp_path / name, options)
    assert ids(tmp_path / name) == sorted(record.event_id for record in CHANGES)
    output = open_output(output_directory(tmp_path / name))
    output.create().discard()
    assert not list((tmp_path / name / "_temporary").iterdir())


def test_a_listing_that_breaks_off_is_an_error(monkeypatch):
    def broken(*_: Any) -> Iterator[FileMetadata]:
        yield FileMetadata("s3://bucket/out/_export.json", 7)
        raise TimeoutError("no answer")

    monkeypatch.setattr("apache_beam.io.aws.s3filesystem.S3FileSystem._list", broken)
    with pytest.raises(ConnectorError, match=r"s3://bucket/out/_manifests/ cannot be listed: .*no answer"):
        BeamOutput("s3://bucket/out").list("_manifests/")
