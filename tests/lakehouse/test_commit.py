"""Finished files in Iceberg and Delta tables: each change once, whatever is repeated (traps 43 to 45)."""

from __future__ import annotations

import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import apache_beam as beam
import duckdb
import polars
import pytest
from apache_beam.metrics import MetricsFilter
from deltalake import DeltaTable
from pyiceberg.catalog import load_catalog
from pyiceberg.transforms import DayTransform, HourTransform

import beam_dynamodb_streams
from beam_dynamodb_streams import (
    CHANGE_SCHEMA,
    ChangeRecord,
    CommitToDelta,
    CommitToIceberg,
    WriteChangesToAvro,
    WriteChangesToJsonLines,
    WriteChangesToParquet,
    metrics,
)
from beam_dynamodb_streams.errors import ConnectorError, InvalidOptionError, LakehouseError
from beam_dynamodb_streams.lakehouse import commit, committer
from beam_dynamodb_streams.lakehouse.committer import Committer, LoadedTable, Target
from beam_dynamodb_streams.lakehouse.finished import Source
from beam_dynamodb_streams.records import to_arrow
from beam_dynamodb_streams.records.snapshot_end import SnapshotEnd, end_batch
from beam_dynamodb_streams.records.versions import row_version
from beam_dynamodb_streams.sinks.layouts import RowLayout
from beam_dynamodb_streams.sinks.snapshots import complete_manifest
from tests.e2e.collected import Keep
from tests.lakehouse.lake import catalog_of, delta_rows, iceberg_table, ids_of, properties_of, run
from tests.sinks.change_source import START, change, mark, take_back

HOUR = [change(number, number * 40) for number in range(100)]


def once(changes: list[beam_dynamodb_streams.ChangeRecord]) -> dict[str, int]:
    return {each.event_id: 1 for each in changes}


def test_runs_that_follow_each_other_commit_each_change_once(tmp_path: Path) -> None:
    first = run(tmp_path, HOUR[:60], partitions="hour")
    second = run(tmp_path, HOUR, partitions="hour")
    assert [sum(each.rows for each in commits) for commits in (first, second)] == [120, 80]
    assert len(first) == len(second) == 2, "all files of a bounded run are one commit"
    assert run(tmp_path, HOUR, partitions="hour") == [], "a run without new changes makes no commit"
    table = iceberg_table(tmp_path)
    assert ids_of(table.scan().to_arrow()) == once(HOUR)
    assert ids_of(delta_rows(tmp_path / "out")) == once(HOUR)
    assert len(table.snapshots()) == 2
    assert DeltaTable(str(tmp_path / "out")).version() == 2


def test_partitions_are_those_of_the_sink_and_readers_skip_files_by_them(tmp_path: Path) -> None:
    run(tmp_path, HOUR, partitions="hour")
    table = iceberg_table(tmp_path)
    assert [field.transform for field in table.spec().fields] == [HourTransform()]
    chosen = table.scan(row_filter="approximate_creation_time >= '2026-11-24T09:00:00+00:00'")
    assert len(list(chosen.plan_files())) < len(list(table.scan().plan_files()))
    assert ids_of(chosen.to_arrow()) == once(HOUR[83:])
    delta = DeltaTable(str(tmp_path / "out"))
    assert delta.metadata().partition_columns == ["date", "hour"]
    assert delta.to_pyarrow_table(filters=[("hour", "=", 9)]).num_rows == 17


def test_days_are_partitions_too_and_iceberg_may_have_coarser_ones_or_none(tmp_path: Path) -> None:
    run(tmp_path, HOUR[:5], partitions="date")
    assert [field.transform for field in iceberg_table(tmp_path).spec().fields] == [DayTransform()]
    sink = WriteChangesToParquet(tmp_path / "more", partitions="hour")
    pipeline = beam.Pipeline("FnApiRunner")
    files = pipeline | beam.Create([*HOUR]) | sink
    _ = files | "date" >> CommitToIceberg(properties_of(tmp_path), "db.by_date", partitions="date")
    _ = files | "none" >> CommitToIceberg(properties_of(tmp_path), "db.all", partitions=None)
    pipeline.run().wait_until_finish()
    assert [field.transform for field in iceberg_table(tmp_path, "db.by_date").spec().fields] == [DayTransform()]
    assert list(iceberg_table(tmp_path, "db.all").spec().fields) == []
    assert ids_of(iceberg_table(tmp_path, "db.all").scan().to_arrow()) == once(HOUR)


def test_duckdb_and_polars_read_the_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLARS_ICEBERG_PLANNER", "pyiceberg")
    run(tmp_path, HOUR, partitions="hour")
    table = iceberg_table(tmp_path)
    assert polars.scan_iceberg(table).select(polars.len()).collect().item() == 100
    assert polars.read_delta(str(tmp_path / "out")).height == 100
    orders = table.scan().to_arrow()  # noqa: F841 - DuckDB finds it by its name
    assert duckdb.sql("SELECT count(DISTINCT event_id) FROM orders").fetchall() == [(100,)]
    changes = DeltaTable(str(tmp_path / "out")).to_pyarrow_dataset()  # noqa: F841
    assert duckdb.sql("SELECT count(*) FROM changes WHERE event_name = 'INSERT'").fetchall() == [(34,)]


def test_a_compacted_or_rewritten_table_gets_no_file_again(tmp_path: Path) -> None:
    """Trap 43: what a table lists at present does not say what was committed."""
    run(tmp_path, HOUR[:50])
    DeltaTable(str(tmp_path / "out")).optimize.compact()
    table = iceberg_table(tmp_path)
    table.overwrite(table.scan().to_arrow())
    run(tmp_path, HOUR)
    assert ids_of(iceberg_table(tmp_path).scan().to_arrow()) == once(HOUR)
    assert ids_of(delta_rows(tmp_path / "out")) == once(HOUR)


def test_what_a_killed_run_wrote_and_did_not_commit_is_committed_by_the_next(tmp_path: Path) -> None:
    run(tmp_path, HOUR[:50], iceberg=False, delta=False)
    committed = run(tmp_path, [])
    assert [each.rows for each in committed] == [50, 50]
    assert ids_of(iceberg_table(tmp_path).scan().to_arrow()) == once(HOUR[:50])


def test_a_file_without_its_manifest_is_not_committed(tmp_path: Path) -> None:
    """Trap 45: a file that is in place may be written again, by whoever writes its window again."""
    run(tmp_path, HOUR[:50], iceberg=False, delta=False, window=60)
    source = Source(str(tmp_path / "out"), RowLayout("change_log", None).columns, None, tracked=True)
    manifest = min((tmp_path / "out" / "_manifests").rglob("*.json"))
    take_back(tmp_path / "out", manifest)
    target = CommitToDelta().target(source)
    (committed,) = Committer(target, [source]).commit([])
    assert committed.rows == 48, "40 s apart: two of the changes are in the first minute"
    run(tmp_path, HOUR[:50], window=60)
    assert ids_of(delta_rows(tmp_path / "out")) == once(HOUR[:50])


class Interrupted:
    """A target to which somebody commits while a commit is prepared."""

    def __init__(self, target: Target, meanwhile: list[Committer]) -> None:
        self.target, self.meanwhile = target, meanwhile
        self.label = target.label
        self.close = target.close

    def load(self) -> LoadedTable:
        table = self.target.load()
        if self.meanwhile:
            other = self.meanwhile.pop()
            committer._ONE_AT_A_TIME.release()  # the other one is in another process
            other.commit([])
            committer._ONE_AT_A_TIME.acquire()
        return table


@pytest.mark.parametrize("kind", ["iceberg", "delta"])
def test_two_that_commit_the_same_files_at_once_commit_each_once(kind: str, tmp_path: Path) -> None:
    """Trap 44: pyiceberg adds files again to whatever was committed meanwhile; deltalake takes a number twice."""
    run(tmp_path, HOUR[:50], iceberg=False, delta=False)
    source = Source(str(tmp_path / "out"), RowLayout("change_log", None).columns, None, tracked=True)
    step = CommitToDelta() if kind == "delta" else CommitToIceberg(properties_of(tmp_path), "db.orders")
    step.target(source).load()
    waits: list[float] = []
    racing = Interrupted(step.target(source), [Committer(step.target(source), [source])])
    assert Committer(racing, [source], sleep=waits.append).commit([]) == []
    assert len(waits) == 1
    rows = delta_rows(tmp_path / "out") if kind == "delta" else iceberg_table(tmp_path).scan().to_arrow()
    assert ids_of(rows) == once(HOUR[:50])


def test_commits_files_and_conflicts_are_counted(tmp_path: Path) -> None:
    pipeline = beam.Pipeline("FnApiRunner")
    files = pipeline | beam.Create(HOUR) | WriteChangesToParquet(tmp_path / "out", partitions="hour")
    _ = files | CommitToDelta()
    result = pipeline.run()
    result.wait_until_finish()
    found = result.metrics().query(MetricsFilter().with_namespace(metrics.NAMESPACE))["counters"]
    counted = {counter.key.metric.name: counter.committed for counter in found}
    assert counted[metrics.COMMITS] == DeltaTable(str(tmp_path / "out")).version()
    assert counted[metrics.COMMITTED_FILES] == len(list((tmp_path / "out").rglob("*.parquet")))
    assert counted[metrics.COMMIT_CONFLICTS] == 0


def test_a_writer_of_other_files_is_a_conflict_that_is_tried_again(tmp_path: Path) -> None:
    run(tmp_path, HOUR[:10], delta=False)
    run(tmp_path, HOUR[10:20], iceberg=False, delta=False)
    source = Source(str(tmp_path / "out"), RowLayout("change_log", None).columns, None, tracked=True)
    target = CommitToIceberg(properties_of(tmp_path), "db.orders").target(source)

    class Append:
        def commit(self, _: list[str]) -> None:
            table = iceberg_table(tmp_path)
            table.append(table.scan(limit=1).to_arrow())

    waits: list[float] = []
    racing = Interrupted(target, [Append()])  # type: ignore[list-item]
    assert [each.rows for each in Committer(racing, [source], sleep=waits.append).commit([])] == [10]
    assert len(waits) == 1
    assert iceberg_table(tmp_path).scan().to_arrow().num_rows == 21
    racing = Interrupted(target, [Append()] * 20)  # type: ignore[list-item]
    run(tmp_path, HOUR[20:30], iceberg=False, delta=False)
    with pytest.raises(
        LakehouseError, match=r"the Iceberg table db.orders: somebody else committed 12 times .* \(every=\)"
    ):
        Committer(racing, [source], sleep=waits.append).commit([])


def test_a_batch_that_was_written_and_not_committed_does_not_count(tmp_path: Path) -> None:
    run(tmp_path, HOUR[:50], iceberg=False, delta=False)
    source = Source(str(tmp_path / "out"), RowLayout("change_log", None).columns, None, tracked=True)
    target = CommitToDelta().target(source)

    class Killed(Exception):
        pass

    class Dying(Interrupted):
        def load(self) -> LoadedTable:
            table = super().load()

            class Table:
                id, number_of = table.id, table.number_of

                def add(self, *_: object) -> None:
                    raise Killed

            return Table()  # type: ignore[return-value]

    with pytest.raises(Killed):
        Committer(Dying(target, []), [source]).commit([])
    assert len(list((tmp_path / "out" / "_commits").glob("delta-*/*.json"))) == 1
    assert [each.rows for each in Committer(target, [source]).commit([])] == [50]
    assert ids_of(delta_rows(tmp_path / "out")) == once(HOUR[:50])


def test_many_batches_are_folded_into_one_and_stay_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("beam_dynamodb_streams.lakehouse.journal._FOLDED_AT", 3)
    for end in range(10, 60, 10):
        run(tmp_path, HOUR[:end], iceberg=False)
    assert len(list((tmp_path / "out" / "_commits").glob("delta-*/*.json"))) <= 5
    assert run(tmp_path, HOUR[:50], iceberg=False) == []
    assert ids_of(delta_rows(tmp_path / "out")) == once(HOUR[:50])


def test_many_files_are_committed_in_several_commits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(committer, "FILES_AT_ONCE", 30)
    committed = run(tmp_path, HOUR, delta=False, window=60)
    assert [each.files for each in committed if each.table == "db.orders"] == [30, 30, 7]
    assert ids_of(iceberg_table(tmp_path).scan().to_arrow()) == once(HOUR)


def test_without_batches_it_is_unknown_what_a_table_has_and_nothing_is_committed(tmp_path: Path) -> None:
    run(tmp_path, HOUR[:50], delta=False)
    for folder in (tmp_path / "out" / "_commits").glob("iceberg-*"):
        shutil.rmtree(folder)
    with pytest.raises(ConnectorError, match=r"_commits/iceberg-.*json is missing.* Restore _commits from a copy"):
        run(tmp_path, HOUR, delta=False)
    assert iceberg_table(tmp_path).scan().to_arrow().num_rows == 50


def test_a_table_that_is_created_again_gets_every_file_again(tmp_path: Path) -> None:
    run(tmp_path, HOUR[:50], delta=False)
    catalog = catalog_of(tmp_path)
    catalog.drop_table("db.orders")
    catalog.close()
    run(tmp_path, HOUR, delta=False)
    assert ids_of(iceberg_table(tmp_path).scan().to_arrow()) == once(HOUR)


def test_without_resume_each_file_is_committed_once(tmp_path: Path) -> None:
    run(tmp_path, HOUR[:50], resume=False)
    assert run(tmp_path, HOUR[:50], resume=False) == [], "the same files again"
    run(tmp_path, HOUR[50:], resume=False)
    assert ids_of(iceberg_table(tmp_path).scan().to_arrow()) == once(HOUR)
    assert ids_of(delta_rows(tmp_path / "out")) == once(HOUR)


def test_a_delta_table_elsewhere_has_its_own_links_to_the_files(tmp_path: Path) -> None:
    with beam.Pipeline("FnApiRunner") as pipeline:
        files = pipeline | beam.Create(HOUR) | WriteChangesToParquet(tmp_path / "out", partitions="date")
        _ = files | CommitToDelta(tmp_path / "lake" / "orders")
    shutil.rmtree(tmp_path / "out")
    assert ids_of(delta_rows(tmp_path / "lake" / "orders")) == once(HOUR)


def test_no_input_makes_a_table_without_rows_and_no_commit(tmp_path: Path) -> None:
    assert run(tmp_path, []) == []
    table = iceberg_table(tmp_path)
    assert (table.snapshots(), table.scan().to_arrow().num_rows) == ([], 0)
    assert (delta_rows(tmp_path / "out").num_rows, DeltaTable(str(tmp_path / "out")).version()) == (0, 0)


def test_files_of_two_sinks_are_committed_to_one_table(tmp_path: Path) -> None:
    with beam.Pipeline("FnApiRunner") as pipeline:
        parts = [
            pipeline | f"c{part}" >> beam.Create(HOUR[part::2]) | f"w{part}" >> WriteChangesToParquet(tmp_path / part_)
            for part, part_ in enumerate(("even", "odd"))
        ]
        _ = parts | beam.Flatten() | CommitToIceberg(properties_of(tmp_path), ("db", "orders"))
    assert ids_of(iceberg_table(tmp_path).scan().to_arrow()) == once(HOUR)


def test_a_catalog_is_given_in_any_of_its_forms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path

    def factory() -> object:
        return catalog_of(place)

    opened = load_catalog("named", type="sql", **properties_of(place))
    for number, catalog in enumerate((properties_of(place), factory, opened)):
        with beam.Pipeline("FnApiRunner") as pipeline:
            files = pipeline | beam.Create(HOUR[:3]) | WriteChangesToParquet(place / f"out{number}")
            _ = files | CommitToIceberg(catalog, f"db.t{number}")
        read = load_catalog("named" if catalog is opened else "default", **properties_of(place))
        assert read.load_table(f"db.t{number}").scan().to_arrow().num_rows == 3
        read.close()
    opened.close()
    for name, value in properties_of(place).items():
        monkeypatch.setenv(f"PYICEBERG_CATALOG__LAKE__{name.upper()}", value)
    script = (
        "from beam_dynamodb_streams.lakehouse.catalogs import open_catalog as o; print(o('lake').properties['uri'])"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == properties_of(place)["uri"], "a configured catalog, by its name"
    monkeypatch.chdir(place)
    relative = CommitToIceberg({"uri": "sqlite:///catalog.db", "warehouse": "warehouse"}, "db.x")
    assert relative._catalog == properties_of(place)


REFUSED = {
    "no namespace": (lambda: CommitToIceberg({"uri": "x"}, "orders"), "table='orders' names no table in a namespace"),
    "no catalog": (lambda: CommitToIceberg({}, "db.orders"), "catalog={} is not a catalog: give the name of one"),
    "partitions": (lambda: CommitToIceberg("x", "a.b", partitions="month"), "partitions='month' is unknown"),
    "every": (lambda: CommitToDelta(every=-1), "every=-1 is too short"),
    "path": (lambda: CommitToDelta("s4://x"), "no filesystem for s4://"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_bad_option_is_refused_with_the_fix(case: str) -> None:
    make, said = REFUSED[case]
    with pytest.raises(InvalidOptionError) as refused:
        make()
    assert said in str(refused.value)


def test_a_catalog_in_memory_is_refused(tmp_path: Path) -> None:
    from pyiceberg.catalog.sql import SqlCatalog

    catalog = SqlCatalog("here", uri="sqlite:///:memory:", warehouse=f"file://{tmp_path}")
    with pytest.raises(InvalidOptionError, match="is in the memory of this process, where no worker finds it"):
        CommitToIceberg(catalog, "db.orders")
    catalog.close()


def test_what_is_before_it_must_be_parquet_files_of_ours(tmp_path: Path) -> None:
    pipeline = beam.Pipeline("FnApiRunner")
    changes = pipeline | beam.Create(HOUR)
    with pytest.raises(InvalidOptionError, match=r"no such sink is before it: use changes \| WriteChangesToParquet"):
        _ = changes | "1" >> CommitToDelta(tmp_path)
    with pytest.raises(InvalidOptionError, match="takes Parquet files, and WriteChangesToAvro is before it"):
        _ = changes | WriteChangesToAvro(tmp_path / "a") | "2" >> CommitToDelta()
    with pytest.raises(InvalidOptionError, match="takes Parquet files, and WriteChangesToJsonLines is before it"):
        _ = changes | WriteChangesToJsonLines(tmp_path / "a") | CommitToIceberg(properties_of(tmp_path), "a.b")
    with pytest.raises(InvalidOptionError, match="takes the files alone: files, misfits = changes"):
        _ = changes | "w" >> WriteChangesToParquet(tmp_path / "p").with_outputs() | "3" >> CommitToDelta()
    files = changes | "w2" >> WriteChangesToParquet(tmp_path / "q")
    with pytest.raises(InvalidOptionError, match=r"partitions='hour' needs files of one partition each"):
        _ = files | "4" >> CommitToIceberg(properties_of(tmp_path), "a.c", partitions="hour")


def test_a_catalog_that_cannot_be_loaded_is_refused_before_anything_runs(tmp_path: Path) -> None:
    pipeline = beam.Pipeline("FnApiRunner")
    files = pipeline | beam.Create(HOUR) | WriteChangesToParquet(tmp_path / "out")
    with pytest.raises(InvalidOptionError, match=r"the catalog 'nowhere' cannot be loaded .* \(~/.pyiceberg.yaml"):
        _ = files | "1" >> CommitToIceberg("nowhere", "db.orders")
    missing = {"uri": f"sqlite:///{tmp_path}/no/such/catalog.db", "warehouse": "w"}
    with pytest.raises(InvalidOptionError, match=r"unable to open database file"):
        _ = files | "2" >> CommitToIceberg(missing, "db.orders")


@pytest.mark.parametrize(("library", "extra"), [("pyiceberg", "iceberg"), ("deltalake", "delta")])
def test_without_the_extra_one_sentence_says_how_to_install_it(library: str, extra: str) -> None:
    step = "CommitToIceberg('x', 'a.b')" if extra == "iceberg" else "CommitToDelta()"
    script = f"""
import sys
sys.modules[{library!r}] = None
from beam_dynamodb_streams import CommitToDelta, CommitToIceberg
{step}
"""
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True, timeout=60)
    said = done.stderr.splitlines()[-1]
    assert f"needs {library}, which is not installed: run pip install '.[{extra}]' in the source tree" in said


def test_a_step_loads_no_library_before_it_is_made() -> None:
    found = "{'pyiceberg', 'deltalake'} & {*sys.modules}"
    script = f"import sys; from beam_dynamodb_streams import CommitToIceberg; print({found})"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "set()"


def test_a_mark_alone_keeps_an_old_file_out(tmp_path: Path) -> None:
    """Trap 45: also where manifests of old changes were removed."""
    run(tmp_path, [change(1), change(2, 200_000)], iceberg=False, delta=False)
    output = tmp_path / "out"
    manifests = sorted((output / "_manifests").rglob("*.json"))
    manifests[0].unlink()
    source = Source(str(output), RowLayout("change_log", None).columns, None, tracked=True)
    old = min(output.glob("changes-*"))
    mark(output, old.name)
    target = CommitToDelta().target(source)
    assert [each.rows for each in Committer(target, [source]).commit([])] == [1]
    (output / "_writing" / old.name).unlink()
    assert [each.rows for each in Committer(target, [source]).commit([])] == [1]


def read_as_rows(place: Path, rows: int, *, hours: int, complete: bool) -> list[committer.Committed]:
    """Write rows of a snapshot that was read over several hours, and changes, as a bounded run does, and commit."""
    epoch = 1_700_000_000_000
    read = [
        ChangeRecord(
            event_id=f"row-{number}",
            event_name="READ",
            keys={"id": f"o-{number}"},
            new_image={"id": f"o-{number}"},
            sequence_number="",
            shard_id="segment-0",
            approximate_creation_time=START + timedelta(hours=number % hours),
            version=row_version(epoch),
        )
        for number in range(rows)
    ]
    batches = [to_arrow(read), to_arrow(HOUR[:5])]
    if complete:
        batches.append(end_batch(CHANGE_SCHEMA, SnapshotEnd(epoch, rows, 1)))
    sink = WriteChangesToParquet(place / "out", partitions="hour")
    kept = Keep.kept[str(place)] = []
    with sink.resume(), beam.Pipeline("FnApiRunner") as pipeline:
        files = pipeline | beam.Create(batches, reshuffle=False) | sink
        _ = files | CommitToIceberg(properties_of(place), "db.orders") | "I" >> beam.ParDo(Keep(str(place)))
        _ = files | CommitToDelta() | "D" >> beam.ParDo(Keep(str(place)))
    return [committed for committed, _ in kept]


def test_a_snapshot_is_committed_once_it_is_complete_in_the_partitions_of_its_times(tmp_path: Path) -> None:
    assert [each.rows for each in read_as_rows(tmp_path, 9, hours=3, complete=False)] == [5, 5]
    assert [each.rows for each in read_as_rows(tmp_path, 9, hours=3, complete=True)] == [9, 9]
    rows = iceberg_table(tmp_path).scan().to_arrow()
    assert ids_of(rows) == {**once(HOUR[:5]), **{f"row-{number}": 1 for number in range(9)}}
    assert ids_of(delta_rows(tmp_path / "out")) == ids_of(rows)
    assert sorted(set(delta_rows(tmp_path / "out").column("hour").to_pylist())) == [8, 9, 10]


def test_the_end_of_a_snapshot_that_comes_without_rows_commits_it(tmp_path: Path) -> None:
    read_as_rows(tmp_path, 9, hours=1, complete=False)
    source = Source(str(tmp_path / "out"), RowLayout("change_log", None).columns, "hour", tracked=True)
    committer = Committer(CommitToDelta().target(source), [source])
    assert committer.commit([]) == []
    (folder,) = (tmp_path / "out" / "_snapshots").iterdir()
    (folder / "complete.json").write_bytes(complete_manifest(SnapshotEnd(int(folder.name), 9, 1)))
    note = commit._NoteSnapshots(str(tmp_path / "out"))
    assert note.process((0, [])) == []
    ((_, path),) = note.process((-int(folder.name), []))
    assert [each.rows for each in committer.commit([path])] == [9]
    assert committer.commit([path]) == []
