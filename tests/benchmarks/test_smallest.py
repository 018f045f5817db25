"""Each benchmark runs in its smallest form, and its figures are there and sane. Their size proves nothing."""

from __future__ import annotations

import gc
import math
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3.dynamodb.types
import pyarrow.parquet as pq
import pytest

from benchmarks import (
    closing,
    export,
    exports,
    flink_state,
    hour,
    kinesis,
    latency,
    memory,
    old_stream,
    picture,
    records,
    scaling,
    shards,
    sinks,
    start,
)
from benchmarks.live import Load, Service
from benchmarks.peers import PROGRAMS, run_program
from benchmarks.replay import ARN, Replay
from runners.flink import class_path

reads_proc = pytest.mark.skipif(sys.platform != "linux", reason="NOT RUN: the benchmark reads /proc")


def figures(line: str) -> list[float]:
    """Return the numbers in the cells of a line of a table."""
    cells = [cell.strip().replace(",", "") for cell in line.strip("|").split("|")]
    return [float(cell) for cell in cells if re.fullmatch(r"-?[\d.]+|nan|inf", cell)]


def assert_all_are_finite(line: str, *, least: int) -> list[float]:
    found = figures(line)
    assert len(found) >= least, line
    assert all(math.isfinite(each) and each >= 0 for each in found), line
    return found


@pytest.fixture(scope="module")
def replayed() -> Iterator[str]:
    with Replay(pages=1, shards=export.SHARDS) as endpoint_url:
        yield endpoint_url


@pytest.fixture
def restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Restore what a benchmark changes for its whole process, which is not its own here."""
    monkeypatch.setattr(boto3.dynamodb.types, "DYNAMODB_CONTEXT", boto3.dynamodb.types.DYNAMODB_CONTEXT)
    yield
    gc.enable()


@reads_proc
@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize(
    "way", ["orjson.loads", "boto3 loop, Parquet, typed", "export, Parquet, typed", "export, Avro, text"]
)
def test_an_export_is_measured(replayed: str, way: str) -> None:
    found = export.measure(way, replayed, export.SHARDS * 1000)
    assert set(found) == {"cpu", "seconds", "peak"}
    assert all(figure > 0 for figure in found.values())


@reads_proc
def test_compiled_programs_write_the_rows_of_the_export(replayed: str, tmp_path: Path) -> None:
    built = [language for language, path in PROGRAMS.items() if path.exists()]
    if not built:
        pytest.skip("NOT RUN: the programs in Go and Rust are not built; `make peers` builds them")
    export.WAYS["export, Parquet, typed"](replayed, tmp_path / "out")()
    columns = [column.name for column in export.SCHEMA.arrow if column.name != "version"]  # theirs knows no stream
    order = [("shard_id", "ascending"), ("sequence_number", "ascending")]
    (ours,) = (tmp_path / "out").glob("*.parquet")
    expected = pq.read_table(ours, columns=columns).sort_by(order).to_pylist()
    for language in built:
        written = tmp_path / f"{language}.parquet"
        assert run_program(language, replayed, ARN, written) > 0
        assert pq.read_table(written, columns=columns).sort_by(order).to_pylist() == expected


def test_an_exports_report_has_a_row_for_every_way(capsys: pytest.CaptureFixture[str]) -> None:
    export.report({way: [{"cpu": 2.0, "seconds": 1.0, "peak": 300.0}] * 2 for way in export.WAYS})
    rows = capsys.readouterr().out.splitlines()[-len(export.WAYS) :]
    assert [figures(row) for row in rows] == [[2.0, 1.0, 1.0, 1.0, 1.0, 1.0, 300.0]] * len(export.WAYS)


@pytest.mark.prism
@pytest.mark.timeout(120)
def test_the_end_of_an_export_is_measured_step_by_step(prism: str, capsys: pytest.CaptureFixture[str]) -> None:
    closing.main(8_000, ("PrismRunner",))
    found = assert_all_are_finite(capsys.readouterr().out.splitlines()[-1], least=6)
    assert found[3] > 4, "the listings settle in five seconds"


@pytest.mark.prism
def test_each_start_is_measured(prism: str, capsys: pytest.CaptureFixture[str]) -> None:
    start.main(1)
    lines = capsys.readouterr().out.splitlines()[2:]
    assert len(lines) == 5
    for line in lines:
        assert_all_are_finite(line, least=1)


@reads_proc
@pytest.mark.prism
@pytest.mark.timeout(120)
@pytest.mark.parametrize("runner", memory.RUNNERS)
def test_the_memory_and_the_rate_of_an_export_are_measured(runner: str) -> None:
    found = memory.measure(40_000, runner, "--format", "parquet")
    assert len(found.rates) == 10
    assert all(rate > 0 for rate in found.rates)
    assert 100 < found.peak < 500
    assert 0 < found.started < found.written


@pytest.mark.timeout(120)
def test_a_page_through_the_kinesis_interface_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    kinesis.main(pages=2)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4 + 4
    for line in lines[4:]:
        assert len(figures(line)) == 2


def test_a_page_is_decoded_in_every_way(capsys: pytest.CaptureFixture[str]) -> None:
    records.main(rounds=2, records=10)
    rows = [re.findall(r"\d+\.\d+", row) for row in capsys.readouterr().out.splitlines()[3:]]
    by_way = [[float(cell) for cell in row] for row in rows[:13]]
    assert all(len(row) == 4 for row in by_way)
    assert by_way[0][1] == 1.0  # orjson.loads is what the others are compared with
    assert len(rows) == 13 + 1 + 3


def test_a_data_file_of_an_export_is_read_in_every_way(capsys: pytest.CaptureFixture[str]) -> None:
    exports.main(rounds=2, rows=50)
    lines = capsys.readouterr().out.splitlines()[2:]
    assert len(lines) == 5
    for line in lines:
        assert_all_are_finite(line, least=2)


@pytest.mark.parametrize("name", ["Beam WriteToAvro", "WriteChangesToParquet"])
def test_a_sink_writes_every_row(prism: str, name: str) -> None:
    line = sinks.measure(name, 100, prism)
    rows, files, damaged = line.removeprefix(name).split()[:3]
    assert (rows, damaged) == ("100", "0"), line
    assert int(files) > 0


def test_every_table_of_scaling_has_figures() -> None:
    assert_all_are_finite(scaling.steps(2), least=12)
    assert_all_are_finite(scaling.dealt(2), least=6)
    assert_all_are_finite(scaling.read(2, 5.0), least=11)
    assert_all_are_finite(scaling.roots(20, 1), least=7)
    assert_all_are_finite(scaling.roots(20, 4), least=7)


@reads_proc
def test_a_stream_older_than_a_day_is_read_for_real() -> None:
    found = assert_all_are_finite(old_stream.measure(20), least=9)
    assert found[:3] == [20, 20, 20]
    assert found[5] == 40, "one for each parent, one for each shard"


@reads_proc
def test_the_service_of_the_live_benchmarks_counts_its_calls() -> None:
    with Service(Load(2, rate=50.0)) as service:
        service.write()
        before = service.counts()
        while not service.written():
            pass
        assert service.counts().since(before).calls == {}
        assert before.open_shards == 2


@reads_proc
@pytest.mark.prism
@pytest.mark.parametrize("kind", ["busy", "rolling"])
def test_shards_are_measured_under_a_load(prism: str, kind: shards.Kind) -> None:
    row = assert_all_are_finite(shards.measure(1, 2.0, kind, warm_up=2.0), least=9)
    elements, median, largest = row[-3:]
    assert elements > 0
    assert median <= largest


@reads_proc
@pytest.mark.prism
def test_latency_is_measured_at_two_places(prism: str) -> None:
    fused, grouped = latency.measure(50.0, 1, 3.0, warm_up=3.0).splitlines()
    _, elements, median, _, largest, *_ = assert_all_are_finite(fused, least=7)
    assert elements > 0
    assert median <= largest
    assert len(figures(grouped)) == 7  # its windows end only once the watermark moves, later than this


@reads_proc
@pytest.mark.prism
def test_the_hour_is_sampled_and_summed_up(prism: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hour.main("0.1", "300", str(tmp_path), sample_seconds=2.0)
    assert len((tmp_path / "hour-300.csv").read_text().splitlines()) == 1 + 3
    for row in capsys.readouterr().out.splitlines()[4:]:
        assert_all_are_finite(row, least=9)


@pytest.mark.flink
def test_flinks_checkpoints_are_measured(capsys: pytest.CaptureFixture[str]) -> None:
    if class_path() is None:
        pytest.skip("NOT RUN: no Flink; `make flink` resolves it where Java and Maven are installed")
    flink_state.measure(flink_state.Case(1, 4.0), 0.15, sample_seconds=3.0)
    output = capsys.readouterr().out
    assert re.search(r"[\d.]+ KB a deferral, -?[\d.]+ MB an hour, [\d,]+ deferrals an hour", output)
    assert re.search(r"the last checkpoint, [\d,]+ KB: [1-9][\d,]* restrictions of", output)


def test_the_picture_is_drawn_from_the_tables_of_the_readme(tmp_path: Path) -> None:
    picture.draw(tmp_path / "figures.svg")
    assert "orjson.loads" in (tmp_path / "figures.svg").read_text()
