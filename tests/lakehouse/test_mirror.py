"""A mirror of a table in Delta: equal to the table, whatever is late, repeated or killed (trap 46)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import apache_beam as beam
import duckdb
import polars
import pyarrow as pa
import pytest
from deltalake import DeltaTable, QueryBuilder, write_deltalake

from beam_dynamodb_streams import (
    CHANGE_SCHEMA,
    ChangeRecord,
    CommitProgress,
    MirrorToDelta,
    Progress,
    Schema,
    read_schema,
)
from beam_dynamodb_streams.errors import InvalidOptionError, LakehouseError
from beam_dynamodb_streams.lakehouse.deletes import Deletes
from beam_dynamodb_streams.lakehouse.delta import DeltaTarget
from beam_dynamodb_streams.lakehouse.mirror import MirrorTable
from beam_dynamodb_streams.lakehouse.mirror_rows import MirrorRows, latest
from beam_dynamodb_streams.records import to_arrow
from beam_dynamodb_streams.records.snapshot_end import SnapshotEnd, end_batch
from beam_dynamodb_streams.records.values import decode_image
from beam_dynamodb_streams.sinks.output import open_output
from beam_dynamodb_streams.testing import LocalStreams, Table
from tests.e2e.collected import read_orders
from tests.sinks.change_source import START

TYPES = {
    "id": "string",
    "at": "decimal128(38, 0)",
    "total": "decimal128(38, 2)",
    "tags": ["string"],
    "blobs": ["binary"],
    "raw": "binary",
    "counts": {"*": "int64"},
    "order id": "string",
    "deep": {"a b": [{"x": "bool"}]},
    "anything": "json",
}


def schema_of_orders(**more: Any) -> Schema:
    return read_schema({**TYPES, **more}, keys=["id", "at"], rename="safe")


def item(number: int, key: int) -> dict[str, Any]:
    return {
        "id": f"o-{key}",
        "at": Decimal(10**37 + key),
        "total": Decimal(f"{10**36 - 1 - number}.25"),
        "tags": {"b", "a"},
        "blobs": {b"\x00", b"\xff"},
        "raw": b"\x00\xff",
        "counts": {"apple": number},
        "order id": "with a space",
        "deep": {"a b": [{"x": True}, {"x": None}]},
        "anything": {"no": ["column", number]},
        "unknown": number,
        "null": None,
    }


def rows_of(path: Path) -> list[dict[str, Any]]:
    rows = DeltaTable(str(path)).to_pyarrow_table().to_pylist()
    return sorted(rows, key=lambda row: str(row.get("id") or row["keys"]))


def mirror(service: LocalStreams, path: Path, schema: Schema | None = None, **options: Any) -> None:
    with beam.Pipeline("FnApiRunner") as pipeline:
        changes = pipeline | read_orders(service, **options).as_batches(schema)
        _ = changes | MirrorToDelta(path, schema=schema)


@pytest.fixture
def orders(service: LocalStreams) -> Table:
    table = service.create_table("orders", keys={"id": "S", "at": "N"}, shards=2)
    for number in range(30):
        table.put(item(number, number % 10))
    table.delete({"id": "o-3", "at": 10**37 + 3})
    return table


def test_the_mirror_is_the_table_with_every_type_in_its_column(
    service: LocalStreams, orders: Table, tmp_path: Path
) -> None:
    schema = schema_of_orders()
    mirror(service, tmp_path / "m", schema)
    rows = rows_of(tmp_path / "m")
    assert [row["id"] for row in rows] == [f"o-{key}" for key in range(10) if key != 3]
    first = rows[0]
    assert (first["at"], first["total"]) == (10**37, Decimal("999999999999999999999999999999999979.25"))
    assert (first["tags"], first["blobs"], first["raw"]) == (["a", "b"], [b"\x00", b"\xff"], b"\x00\xff")
    assert (first["counts"], first["order_id"]) == ([("apple", 20)], "with a space")
    assert first["deep"] == {"a_b": [{"x": True}, {"x": None}]}
    assert first["anything"] == '{"M":{"no":{"L":[{"S":"column"},{"N":"20"}]}}}'
    assert first["other_attributes"] == '{"null":{"NULL":true},"unknown":{"N":"20"}}'
    assert first["_changed_at"].utcoffset() == timedelta(0)
    assert polars.read_delta(str(tmp_path / "m")).height == 9
    table = DeltaTable(str(tmp_path / "m"))
    found = QueryBuilder().register("m", table).execute("SELECT count(*) AS n FROM m WHERE id = 'o-7'").read_all()
    assert pa.table(found).to_pylist() == [{"n": 1}]
    everything = table.to_pyarrow_table()  # noqa: F841 - DuckDB finds it by its name
    assert duckdb.sql("SELECT total FROM everything WHERE id = 'o-9'").fetchall() == [
        (Decimal("999999999999999999999999999999999970.25"),)
    ]


def test_without_a_schema_keys_and_images_are_text(tmp_path: Path) -> None:
    merge(tmp_path / "m", [item(number, number % 10) for number in range(30)])
    images = [decode_image(row["image"].encode()) for row in rows_of(tmp_path / "m")]
    assert images == [item(20 + key, key) for key in range(10)]
    assert set(rows_of(tmp_path / "m")[0]) == {"keys", "image", "_version", "_changed_at"}


def merge(path: Path, items: Iterable[dict[str, Any]], schema: Schema | None = None, first: int = 1) -> None:
    """Mirror items without a table, as changes that are numbered from `first`."""
    changes = [
        ChangeRecord(
            event_id=f"event-{number}",
            event_name="MODIFY",
            keys={"id": item["id"], "at": item["at"]},
            new_image=item,
            sequence_number=str(10**20 + number),
            shard_id="shardId-1",
            approximate_creation_time=START,
        )
        for number, item in enumerate(items, first)
    ]
    with beam.Pipeline("FnApiRunner") as pipeline:
        _ = pipeline | beam.Create(changes) | MirrorToDelta(path, schema=schema)


def test_a_run_that_repeats_everything_changes_nothing(tmp_path: Path) -> None:
    items = [item(number, number % 5) for number in range(20)]
    merge(tmp_path / "m", items)
    before, version = rows_of(tmp_path / "m"), DeltaTable(str(tmp_path / "m")).version()
    merge(tmp_path / "m", items)
    assert rows_of(tmp_path / "m") == before
    assert DeltaTable(str(tmp_path / "m")).version() == version, "nothing to merge makes no commit"


def test_a_snapshot_is_merged_and_removes_what_only_an_older_one_had(
    service: LocalStreams, orders: Table, tmp_path: Path
) -> None:
    schema = schema_of_orders()
    merge(tmp_path / "m", [item(1, 77), item(2, 3)], schema)
    assert len(rows_of(tmp_path / "m")) == 2
    orders.put(item(50, 3))
    mirror(service, tmp_path / "m", schema, snapshot="scan")
    assert [row["id"] for row in rows_of(tmp_path / "m")] == [f"o-{key}" for key in range(10)]
    assert {row["_version"][:13] for row in rows_of(tmp_path / "m")} != {"0" * 13}


@pytest.mark.parametrize(("whole", "left"), [(True, 0), (False, 1)], ids=["a snapshot", "a repair"])
def test_the_end_of_a_repair_removes_nothing(whole: bool, left: int, tmp_path: Path) -> None:
    """A repair has the net changes of a time alone, so what it does not show is still there."""
    end = end_batch(CHANGE_SCHEMA, SnapshotEnd(5, 0, 1, whole_table=whole))
    with beam.Pipeline("FnApiRunner") as pipeline:
        _ = pipeline | beam.Create([to_arrow([record(1, "a")]), end]) | MirrorToDelta(tmp_path / "m")
    assert len(rows_of(tmp_path / "m")) == left


def test_progress_is_committed_behind_it(service: LocalStreams, orders: Table, tmp_path: Path) -> None:
    address = Progress(f"file:{tmp_path / 'progress'}", takeover_after=2, commit_every=0.5)
    with beam.Pipeline("FnApiRunner") as pipeline:
        changes = pipeline | read_orders(service, progress=address).as_batches()
        merged = changes | MirrorToDelta(tmp_path / "m", window=timedelta(seconds=60))
        _ = merged | CommitProgress(address, watermark_slack=0)
    assert len(rows_of(tmp_path / "m")) == 9
    saved = (tmp_path / "progress").read_text()
    assert all(shard in saved for shard in orders.shard_ids)


def record(number: int, key: str, kind: str = "MODIFY", second: int = 0) -> ChangeRecord:
    return ChangeRecord(
        event_id=f"event-{number}",
        event_name=kind,
        keys={"id": key},
        new_image=None if kind == "REMOVE" else {"id": key, "n": number},
        sequence_number=str(10**20 + number),
        shard_id="shardId-1",
        approximate_creation_time=START + timedelta(seconds=second or number),
    )


class Mirror:
    """A mirror that merges batches without a pipeline, each in a new process as far as it can know."""

    def __init__(self, path: Path, schema: Schema | None = None, **options: Any) -> None:
        self.rows = MirrorRows(schema)
        self.target = DeltaTarget(str(path), self.rows.columns, None, {}, {})
        self.path = path
        self.options = options

    def table(self) -> MirrorTable:
        return MirrorTable(self.target, self.rows.keys, 26 * 3600, **self.options)

    def merge(self, *changes: ChangeRecord, into: MirrorTable | None = None) -> None:
        (into or self.table()).merge(latest([self.rows.of(to_arrow([*changes]))]))

    def held(self) -> dict[str, int]:
        rows = DeltaTable(str(self.path)).to_pyarrow_table().to_pylist()
        found = {decode_image(row["keys"].encode())["id"]: row for row in rows}
        assert len(found) == len(rows), "one row for each key"
        return {key: int(decode_image(row["image"].encode())["n"]) for key, row in found.items()}


def test_an_older_change_never_brings_a_deleted_item_back(tmp_path: Path) -> None:
    """Trap 46: a deleted item has no row that could say that the change is older."""
    mirrored = Mirror(tmp_path / "m")
    mirrored.merge(record(1, "a"), record(2, "b"))
    mirrored.merge(record(5, "a", "REMOVE"))
    mirrored.merge(record(3, "a"))
    assert mirrored.held() == {"b": 2}
    mirrored.merge(record(6, "a"), record(4, "a"))
    assert mirrored.held() == {"a": 6, "b": 2}


def test_a_delete_of_an_item_that_the_mirror_never_had_is_remembered_too(tmp_path: Path) -> None:
    """Trap 46: deltalake does not commit a merge that changes no row, and so would not store its number."""
    mirrored = Mirror(tmp_path / "m")
    mirrored.merge(record(1, "a"), record(2, "a", "REMOVE"))
    mirrored.merge(record(1, "a"))
    assert mirrored.held() == {}


@pytest.mark.parametrize("seed", range(4))
def test_in_any_order_and_with_repeats_no_item_goes_back_and_the_end_is_right(seed: int, tmp_path: Path) -> None:
    """Trap 46, for random histories: shuffled, repeated, in batches, by workers that are replaced at any time."""
    random = Random(seed)
    history = [record(n, random.choice("abcde"), random.choice(["MODIFY", "MODIFY", "REMOVE"])) for n in range(1, 31)]
    deliveries = [*history, *random.sample(history, 15)]
    random.shuffle(deliveries)
    mirrored, table, seen = Mirror(tmp_path / "m"), None, dict[str, int]()
    while deliveries:
        batch, deliveries = deliveries[:7], deliveries[7:]
        table = table if table is not None and random.random() < 0.6 else mirrored.table()
        mirrored.merge(*batch, into=table)
        for change in batch:
            seen[change.keys["id"]] = max(seen.get(change.keys["id"], 0), int(change.sequence_number) - 10**20)
        wanted = {key: number for key, number in seen.items() if history[number - 1].event_name != "REMOVE"}
        assert mirrored.held() == wanted


def test_a_batch_of_deletes_that_was_not_committed_does_not_count(tmp_path: Path) -> None:
    mirrored = Mirror(tmp_path / "m")
    mirrored.merge(record(1, "a"), record(9, "z", "REMOVE"))
    table_id = DeltaTable(str(tmp_path / "m")).metadata().id
    dead = Deletes(open_output(str(tmp_path / "m")), table_id, 3600)
    dead.load(DeltaTable(str(tmp_path / "m")).transaction_version("dynamodb-streams.mirror") or 0)
    dead.write(mirrored.rows.of(to_arrow([record(5, "a", "REMOVE")])))
    mirrored.merge(record(3, "a"))
    assert mirrored.held() == {"a": 3}


def test_deletes_are_folded_and_forgotten_once_they_are_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("beam_dynamodb_streams.lakehouse.deletes._FOLDED_AT", 2)
    mirrored = Mirror(tmp_path / "m")
    for number, second in enumerate((1, 2, 3, 4, 27 * 3600), 1):
        mirrored.merge(record(number, f"k{number}", "REMOVE", second))
    assert len(list((tmp_path / "m" / "_mirror").rglob("*.parquet"))) <= 3
    mirrored.merge(record(0, "k5", second=27 * 3600))
    assert mirrored.held() == {}
    mirrored.merge(record(0, "k1"))
    assert mirrored.held() == {"k1": 0}, "a day after its delete, no stream has the older change any more"


def test_without_its_deletes_it_ends_with_an_error(tmp_path: Path) -> None:
    mirrored = Mirror(tmp_path / "m")
    mirrored.merge(record(1, "a", "REMOVE"))
    (file,) = (tmp_path / "m" / "_mirror").rglob("*.parquet")
    file.write_bytes(b"damaged")
    with pytest.raises(Exception, match=r"is missing or damaged .* Restore _mirror from a copy"):
        mirrored.merge(record(0, "a"))


def test_a_writer_that_commits_meanwhile_is_a_conflict_that_is_tried_again(tmp_path: Path) -> None:
    waits: list[float] = []
    mirrored = Mirror(tmp_path / "m")
    mirrored.merge(record(1, "a"))

    class Racing:
        label, path = mirrored.target.label, mirrored.target.path
        left = 1

        def load(self) -> Any:
            loaded = mirrored.target.load()
            if self.left:
                self.left -= 1
                mirrored.merge(record(5, "a", "REMOVE"))
            return loaded

    racing = MirrorTable(Racing(), mirrored.rows.keys, 3600, sleep=waits.append)  # type: ignore[arg-type]
    racing.merge(mirrored.rows.of(to_arrow([record(3, "a")])))
    assert (mirrored.held(), len(waits)) == ({}, 1)
    raced = MirrorTable(AlwaysRaced(mirrored), mirrored.rows.keys, 3600, sleep=waits.append)  # type: ignore[arg-type]
    with pytest.raises(LakehouseError, match="A mirror has one writer: stop the others"):
        raced.merge(mirrored.rows.of(to_arrow([record(10, "b")])))


class AlwaysRaced:
    def __init__(self, mirrored: Mirror) -> None:
        self.mirrored, self.label, self.path = mirrored, mirrored.target.label, mirrored.target.path

    def load(self) -> Any:
        loaded = self.mirrored.target.load()
        write_deltalake(str(self.mirrored.path), loaded.table.to_pyarrow_table(), mode="overwrite")
        return loaded


def test_compaction_and_vacuum_change_nothing(tmp_path: Path) -> None:
    mirrored = Mirror(tmp_path / "m")
    for number in range(1, 6):
        mirrored.merge(record(number, "abc"[number % 3]), record(number + 50, f"gone{number}", "REMOVE"))
    table = DeltaTable(str(tmp_path / "m"))
    table.optimize.compact()
    table.vacuum(0, dry_run=False, enforce_retention_duration=False)
    mirrored.merge(record(2, "a"), record(1, "gone3"))
    assert mirrored.held() == {"a": 3, "b": 4, "c": 5}


def test_a_new_schema_adds_columns_and_a_contradiction_is_refused_by_name(tmp_path: Path) -> None:
    merge(tmp_path / "m", [item(key, key) for key in range(3)], schema_of_orders())
    wider = schema_of_orders(unknown="int64", deep={"a b": [{"x": "bool", "y": "string"}], "z": "int64"})
    merge(tmp_path / "m", [item(60, 1)], wider, first=10)
    held = {row["id"]: (row["unknown"], row["deep"]["z"]) for row in rows_of(tmp_path / "m")}
    assert held == {"o-0": (None, None), "o-1": (60, None), "o-2": (None, None)}
    with pytest.raises(InvalidOptionError) as refused:
        merge(tmp_path / "m", [], schema_of_orders(total="string", raw=["binary"]))
    assert "total is decimal128(38, 2) there, and string in the files" in str(refused.value)
    assert "raw is binary there, and list in the files" in str(refused.value)


def make(schema: dict[str, Any], keys: Sequence[str] = ("id",)) -> MirrorToDelta:
    return MirrorToDelta("m", schema=read_schema({"id": "string", **schema}, keys=keys))


REFUSED: dict[str, tuple[Any, str]] = {
    "space": (lambda: make({"order id": "string"}), "Delta allows no space .* as in 'order id'.*rename=\"safe\""),
    "nested": (lambda: make({"m": [{"a=b": "string"}]}), "as in 'm.a=b'"),
    "own": (lambda: make({"_version": "string"}), "'_version' has the name of a column that the mirror itself needs"),
    "float key": (lambda: make({"at": "float64"}, ["id", "at"]), "key attribute 'at' as float64, which rounds"),
    "schema": (lambda: MirrorToDelta("m", schema={"id": "string"}), "pass a beam_dynamodb_streams.Schema"),  # type: ignore[arg-type]
    "window": (lambda: MirrorToDelta("m", window="1m"), "window='1m' is neither"),  # type: ignore[arg-type]
    "remember": (lambda: MirrorToDelta("m", remember_deletes=-1), "remember_deletes=-1 is too short"),
    "path": (lambda: MirrorToDelta(" "), "names no directory"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_bad_option_is_refused_with_the_fix(case: str) -> None:
    call, said = REFUSED[case]
    with pytest.raises(InvalidOptionError, match=said):
        call()


def test_a_delta_table_that_is_not_a_mirror_is_refused(tmp_path: Path) -> None:
    write_deltalake(str(tmp_path), pa.table({"keys": ["a"], "image": ["b"]}))
    pipeline = beam.Pipeline("FnApiRunner")
    changes = pipeline | beam.Create([record(1, "a")])
    with pytest.raises(InvalidOptionError, match="without the column _version, so it is not a mirror"):
        _ = changes | MirrorToDelta(tmp_path)


def test_a_change_without_a_new_image_is_refused(tmp_path: Path) -> None:
    change = ChangeRecord(
        event_id="1",
        event_name="MODIFY",
        keys={"id": "a"},
        new_image=None,
        sequence_number="1",
        shard_id="s",
        approximate_creation_time=START,
    )
    with pytest.raises(LakehouseError, match="has no new image, so the state of its item is unknown: a mirror needs"):
        Mirror(tmp_path).merge(change)


def keyed(number: int, left: str, right: bytes) -> ChangeRecord:
    return ChangeRecord(
        event_id=str(number),
        event_name="MODIFY",
        keys={"l": left, "r": right},
        new_image={"l": left, "r": right, "n": number},
        sequence_number=str(number),
        shard_id="s",
        approximate_creation_time=START,
    )


def test_keys_of_two_parts_that_read_alike_are_two_items(tmp_path: Path) -> None:
    schema = read_schema({"l": "string", "r": "binary", "n": "int64"}, keys=["l", "r"])
    pairs: Iterable[tuple[str, bytes]] = [("a", b"|b"), ("a|", b"b"), ('"x"', b"\x00"), ("a", b"b")]
    with beam.Pipeline("FnApiRunner") as pipeline:
        changes = pipeline | beam.Create([keyed(number, *pair) for number, pair in enumerate([*pairs, *pairs], 1)])
        _ = changes | MirrorToDelta(tmp_path, schema=schema)
    rows = DeltaTable(str(tmp_path)).to_pyarrow_table().to_pylist()
    assert {(row["l"], row["r"]): row["n"] for row in rows} == {pair: n for n, pair in enumerate(pairs, 5)}
