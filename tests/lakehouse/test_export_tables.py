"""`pipelines.export --iceberg` and `--delta`."""

from __future__ import annotations

from pathlib import Path

import pytest
from deltalake import DeltaTable

from beam_dynamodb_streams.testing import LocalStreams, Table
from pipelines import export
from tests.lakehouse.lake import delta_rows, iceberg_table, ids_of, properties_of

DIRECT = ["--runner=DirectRunner", "--prism_location=/prism/is/not/there"]


@pytest.fixture
def orders(service: LocalStreams) -> Table:
    table = service.create_table("orders", keys={"id": "S"}, shards=2)
    table.put_many({"id": f"o-{n}", "n": n} for n in range(20))
    return table


def run(service: LocalStreams, *arguments: str, stop: str = "1000 records") -> int:
    where = [f"--endpoint-url={service.endpoint_url}", "--region=us-east-1", "--table=orders", f"--stop={stop}"]
    return export.main([*where, *DIRECT, *arguments])


def lake(place: Path) -> str:
    return ",".join(f"{name}={value}" for name, value in properties_of(place).items()) + ":db.orders"


def once(table: Table) -> dict[str, int]:
    return {change.event_id: 1 for change in table.changes}


def test_the_export_commits_to_both_tables_and_says_what_they_hold(
    service: LocalStreams, orders: Table, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    arguments = [f"--output={out}", f"--iceberg={lake(tmp_path)}", f"--delta={out}", "--partitions=hour"]
    assert run(service, *arguments, stop="20 records") == 0
    said = capsys.readouterr().out.splitlines()
    assert said == [
        f"20 changes in 1 new file in {out}",
        "the Iceberg table db.orders has 20 rows in 1 file",
        f"the Delta table {out} has 20 rows in 1 file, at version 1",
    ]
    orders.put_many({"id": f"o-{n}", "n": n} for n in range(20, 25))
    assert run(service, *arguments, stop="5 records") == 0
    assert ids_of(iceberg_table(tmp_path).scan().to_arrow()) == ids_of(delta_rows(out)) == once(orders)
    assert DeltaTable(str(out)).version() == 2


def test_delta_alone_is_the_output_and_means_parquet(
    service: LocalStreams, orders: Table, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(service, "--delta", str(tmp_path / "lake"), stop="20") == 0
    assert "has 20 rows in 1 file" in capsys.readouterr().out
    assert ids_of(delta_rows(tmp_path / "lake")) == once(orders)


REFUSED = {
    "no catalog": (["--iceberg=db.orders"], "--iceberg=db.orders is not a table in a catalog: use CATALOG:NAMESPACE"),
    "no namespace": (["--iceberg=lake:orders"], "is not a table in a catalog"),
    "no value": (["--iceberg=uri=x,warehouse:db.orders"], "has a property without a value"),
    "unknown catalog": (["--iceberg=nowhere:db.orders"], "the catalog 'nowhere' cannot be loaded"),
    "format": (["--iceberg=x:db.orders", "--format=avro"], "--iceberg with --format avro: such tables hold Parquet"),
    "format of delta": (["--delta=out", "--format=jsonl"], "--delta with --format jsonl"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_bad_option_is_one_line_and_nothing_is_written(
    case: str, service: LocalStreams, orders: Table, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, said = REFUSED[case]
    with pytest.raises(SystemExit) as ended:
        run(service, f"--output={tmp_path / 'out'}", *arguments)
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert not list((tmp_path / "out").rglob("*.parquet"))


def test_without_the_library_it_is_one_line_too(
    service: LocalStreams,
    orders: Table,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "deltalake", None)
    with pytest.raises(SystemExit) as ended:
        run(service, f"--delta={tmp_path / 'out'}")
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("python -m pipelines.export: error: CommitToDelta needs deltalake, which is not installed")


def test_help_shows_the_forms(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        export.main(["--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "CATALOG:NAMESPACE.TABLE with a catalog of pyiceberg's configuration, or with its properties uri=" in said
    assert "--delta DIR" in said
