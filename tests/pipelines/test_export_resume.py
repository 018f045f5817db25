"""Several runs of `python -m pipelines.export` into one output: what resumes, what is refused, what was lost."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pytest

from beam_dynamodb_streams.columns import Schema
from beam_dynamodb_streams.commands.options.argument_types import window_argument
from beam_dynamodb_streams.sinks import WriteChangesToParquet
from beam_dynamodb_streams.testing import Clock, Faults, LocalStreams, Table
from pipelines import export

DIRECT = ["--runner=DirectRunner", "--prism_location=/prism/is/not/there"]


@pytest.fixture
def clock() -> Clock:
    return Clock(time.time())


@pytest.fixture
def old_service(clock: Clock) -> Iterator[LocalStreams]:
    """A service on the test's clock that does not support AT_TIMESTAMP."""
    with LocalStreams(clock=clock, at_timestamp=False) as started:
        yield started


def orders_of(service: LocalStreams, changes: int = 60) -> Table:
    service.faults = Faults(disorder=4.0)
    table = service.create_table("orders", keys={"id": "S"}, shards=2)
    table.put_many({"id": f"o-{n}", "n": n} for n in range(changes))
    return table


def run(service: LocalStreams, output: Path, *arguments: str) -> int:
    source = [f"--endpoint_url={service.endpoint_url}", "--region_name=us-east-1", "--table=orders"]
    form = [] if any(argument.startswith("--format") for argument in arguments) else ["--format=parquet"]
    return export.main([*source, f"--output={output}", *form, *DIRECT, *arguments])


def refused(
    capsys: pytest.CaptureFixture[str], service: LocalStreams, output: Path, *arguments: str, code: int = 2
) -> str:
    with pytest.raises(SystemExit) as exit_:
        run(service, output, *arguments)
    assert exit_.value.code == code
    return capsys.readouterr().err


def ids(output: Path) -> Counter[str]:
    table = ds.dataset(output, format="parquet", partitioning="hive").to_table(columns=["event_id"])
    return Counter(table["event_id"].to_pylist())


def expected(table: Table, first: int = 0) -> Counter[str]:
    return Counter(change.event_id for change in table.changes[first:])


def test_runs_up_to_a_number_of_changes_add_up_to_all_of_them(
    service: LocalStreams, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = orders_of(service)
    for stop in ("25", "25", "10"):
        assert run(service, tmp_path, f"--stop={stop}", "--window=1s", "--partitions=date") == 0
    assert ids(tmp_path) == expected(table)
    out, err = capsys.readouterr()
    assert "where its files end" in err
    assert [line.partition(" change")[0] for line in out.splitlines()] == ["25", "25", "10"]


def test_a_run_that_finds_nothing_says_so(
    service: LocalStreams, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = service.create_table("orders", keys={"id": "S"})
    assert run(service, tmp_path, "--stop=1s") == 0
    table.put_many({"id": f"o-{n % 2}", "n": n} for n in range(4))
    assert run(service, tmp_path, "--stop=4") == 0
    assert run(service, tmp_path, "--stop=1s") == 0
    assert capsys.readouterr().out.splitlines() == [
        f"no changes: nothing written to {tmp_path}",
        f"4 changes in 1 new file in {tmp_path}",
        f"no changes since the last run: nothing written to {tmp_path}",
    ]
    (until,) = json.loads((tmp_path / "_caught_up.json").read_bytes())["until"].values()
    assert timedelta(0) < datetime.now(timezone.utc) - datetime.fromisoformat(until) < timedelta(minutes=10)


def test_a_shard_that_split_between_two_runs_is_continued_by_its_children(
    service: LocalStreams, tmp_path: Path
) -> None:
    table = orders_of(service)
    assert run(service, tmp_path, "--stop=60") == 0
    table.split(table.open_shard_ids[0])
    table.put_many({"id": f"o-{n}", "n": n + 1000} for n in range(60))
    assert run(service, tmp_path, "--stop=60") == 0
    assert ids(tmp_path) == expected(table)


def test_latest_is_the_moment_of_the_first_run(old_service: LocalStreams, tmp_path: Path, clock: Clock) -> None:
    """Trap 3. An endpoint without AT_TIMESTAMP is read from the trim horizon, and older changes are skipped."""
    table = orders_of(old_service)
    clock.advance(60)
    old_service.faults = Faults()
    saved = tmp_path / "out"
    with WriteChangesToParquet(saved, window=5).resume() as position:
        assert not position.shards
    (saved / "_export.json").unlink()
    table.put({"id": "new"})
    assert run(old_service, saved, "--start=LATEST", "--stop=1", "--window=5s") == 0
    table.put({"id": "newer"})
    assert run(old_service, saved, "--start=LATEST", "--stop=1", "--window=5s") == 0
    assert ids(saved) == expected(table, 60)
    assert json.loads((saved / "_export.json").read_bytes())["start"]["start"].endswith("Z")


def test_changes_trimmed_while_no_export_ran_are_reported(
    tmp_path: Path, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    """Traps 10 and 13: the next run reports what is missing, and with on_data_loss=continue reads what is left."""
    with LocalStreams(clock=clock) as service:
        table = orders_of(service)
        assert run(service, tmp_path, "--stop=30") == 0
        clock.advance(25 * 3600)
        table.put_many({"id": f"o-{n}", "n": n + 1000} for n in range(20))
        assert "may have been lost" in refused(capsys, service, tmp_path, "--stop=20", code=1)
        assert run(service, tmp_path, "--stop=20", "--on_data_loss=continue") == 0
        found = ids(tmp_path)
    assert len(found) == found.total() == 50
    assert expected(table, 60).items() <= found.items()


def test_an_export_of_another_form_into_the_same_output_is_refused(
    service: LocalStreams, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    orders_of(service)
    assert run(service, tmp_path, "--stop=10") == 0
    says = refused(capsys, service, tmp_path, "--stop=10", "--format=avro")
    assert 'holds an export with format "parquet", and this one has "avro"' in says
    assert "layout" in refused(capsys, service, tmp_path, "--stop=10", "--layout=latest_image")


def test_an_export_of_another_stream_into_the_same_output_is_refused(
    service: LocalStreams, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Trap 14: a stream that was enabled again is another stream."""
    table = orders_of(service)
    assert run(service, tmp_path, "--stop=10") == 0
    table.disable_stream()
    table.enable_stream()
    says = refused(capsys, service, tmp_path, "--stop=10", "--on_new_stream=finish")
    assert "holds an export with stream_arn" in says


def test_an_export_is_resumed_over_the_next_stream_and_writes_each_change_once(
    service: LocalStreams, tmp_path: Path
) -> None:
    """The first run stops in the old stream, the second one in the next, and each run goes on where files end."""
    table = orders_of(service)
    anyway = "--on_data_loss=continue"
    assert run(service, tmp_path, "--stop=10", anyway) == 0
    table.disable_stream()
    table.enable_stream()
    table.put_many({"id": f"o-{n}", "line": 1, "n": "again"} for n in range(20))
    assert run(service, tmp_path, "--stop=70", anyway) == 0
    assert run(service, tmp_path, "--stop=NOW") == 0, "the loss between the streams is reported once"
    found = ids(tmp_path)
    assert set(found.values()) == {1}
    assert found == expected(table)
    table.disable_stream()
    table.enable_stream()
    table.put_many({"id": f"o-{n}", "line": 1, "n": "a third time"} for n in range(20))
    assert run(service, tmp_path, "--stop=NOW", anyway) == 0
    assert ids(tmp_path) == expected(table)


def test_an_output_that_another_export_writes_to_is_refused(
    service: LocalStreams, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    orders_of(service)
    with WriteChangesToParquet(tmp_path).resume():
        assert "is being written by another export" in refused(capsys, service, tmp_path, "--stop=10")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--codec=zip"], "--codec='zip' is unknown"),
        (["--layout=wide"], "invalid choice: 'wide'"),
        (["--partitions=minute"], "invalid choice: 'minute'"),
        (["--window=soon"], "--window: 'soon' is not the length"),
        (["--window=0"], "--window: '0' is not the length"),
        (["--window=0s"], "'0s' is not a duration"),
        (["--schema=/schema/is/not/there"], "cannot be read"),
        (["--rename=safe"], "without --schema there are none"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value).replace("/", "|"),
)
def test_a_bad_option_for_files_is_refused_before_anything_is_asked_of_the_service(
    arguments: list[str], says: str, service: LocalStreams, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert says in refused(capsys, service, tmp_path / "out", *arguments)
    assert not service.counts.calls
    assert not (tmp_path / "out").exists()


def schema_file(path: Path, kind: pa.DataType, *, n: pa.DataType = pa.int64(), **options: str) -> str:
    schema = Schema(pa.schema([("id", kind), ("n", n)]), ("id",), **options)  # type: ignore[arg-type]
    path.write_text(schema.to_json())
    return f"--schema={path}"


def test_a_saved_schema_makes_typed_columns(service: LocalStreams, tmp_path: Path) -> None:
    orders_of(service)
    schema = schema_file(tmp_path / "schema.json", pa.string())
    assert run(service, tmp_path / "out", "--stop=60", schema, "--layout=latest_image") == 0
    rows = ds.dataset(tmp_path / "out", format="parquet").to_table()
    assert sorted(image["n"] for image in rows["image"].to_pylist()) == list(range(60))


def test_a_schema_that_contradicts_the_type_of_a_key_is_refused_with_the_fix(
    service: LocalStreams, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    orders_of(service)
    schema = schema_file(tmp_path / "schema.json", pa.int64())
    says = refused(capsys, service, tmp_path / "out", "--stop=10", schema)
    assert "key attribute 'id' is declared int64, but is S in the table: declare string" in says
    assert not (tmp_path / "out").exists()
    assert "GetRecords" not in service.counts.calls


def test_a_misfit_ends_the_run_and_both_advised_fixes_resume_the_output(
    service: LocalStreams, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = orders_of(service, 20)
    service.faults = Faults()
    table.put({"id": "odd", "n": "no number"})
    output, schema = tmp_path / "out", tmp_path / "schema.json"
    option = schema_file(schema, pa.string())
    says = refused(capsys, service, output, "--stop=21", option, code=1)
    assert "new_image.n does not fit its column" in says
    assert 'To continue, use --dead_letters DIR, or "on_misfit": "text" in the schema' in says
    dead = tmp_path / "dead"
    assert run(service, output, "--stop=21", option, f"--dead_letters={dead}") == 0
    (line,) = [json.loads(line) for file in dead.glob("*.jsonl") for line in file.read_text().splitlines()]
    assert line["payload"] == {"S": "no number"}
    table.put({"id": "odd", "n": "again"})
    assert run(service, output, "--stop=1", schema_file(schema, pa.string(), on_misfit="text")) == 0
    assert ids(output) == expected(table)


def test_of_two_schemas_only_the_difference_is_reported(
    service: LocalStreams, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    orders_of(service)
    output, schema = tmp_path / "out", tmp_path / "schema.json"
    assert run(service, output, "--stop=10", schema_file(schema, pa.string())) == 0
    says = refused(capsys, service, output, "--stop=10", schema_file(schema, pa.string(), n=pa.string()))
    assert 'with schema {"attributes": {"n": "int64"}}, and this one has {"attributes": {"n": "string"}}' in says
    says = refused(capsys, service, output, "--stop=10", schema_file(schema, pa.string(), other="rest"))
    assert 'with schema {"other": "other_attributes"}, and this one has {"other": "rest"}' in says
    assert "with schema null, and" not in refused(capsys, service, output, "--stop=10")


def test_a_window_is_seconds_or_a_duration() -> None:
    assert window_argument("90") == 90
    assert window_argument("1m30s") == timedelta(seconds=90)
