"""`read_items`: the items of a table from the files of an output, without those that only an older snapshot knows.

Trap 42.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from beam_dynamodb_streams import ChangeRecord, Schema, SnapshotEnd, read_items, snapshot_end
from beam_dynamodb_streams.columns import Columns
from beam_dynamodb_streams.errors import InvalidOptionError
from beam_dynamodb_streams.records import to_arrow
from beam_dynamodb_streams.records.snapshot_end import end_batch
from beam_dynamodb_streams.records.versions import row_version, version_base, version_of
from beam_dynamodb_streams.sinks.layouts import RowLayout
from beam_dynamodb_streams.sinks.snapshots import complete_manifest
from tests.sinks.test_layouts import record

ARN = "arn:aws:dynamodb:us-east-1:000000000000:table/orders/stream/2026-01-31T12:00:00.000"
FIRST, SECOND = 1_769_860_800_000, 1_769_864_400_000
SCHEMA = Schema(pa.schema([("id", pa.string()), ("n", pa.int64())]), ("id",))


def row(key: str, epoch: int, n: int = 1) -> ChangeRecord:
    item = {"id": key, "n": n}
    given = {"event_name": "READ", "sequence_number": "", "version": row_version(epoch)}
    return record(0, None, item, **given)


def change(number: int, key: str, epoch: int, n: int | None) -> ChangeRecord:
    version = version_of(version_base(ARN, epoch), str(number))
    old, new = {"id": key, "n": 0}, None if n is None else {"id": key, "n": n}
    return record(number, old, new, keys={"id": key}, version=version)


def write(directory: Path, name: str, records: list[ChangeRecord], schema: Schema | None, layout: str) -> None:
    rows = to_arrow(records) if schema is None else Columns(schema).of_records(records).rows
    made = RowLayout(layout, schema).rows(rows)  # type: ignore[arg-type]
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_batches([made]), path)


def complete(directory: Path, end: SnapshotEnd) -> None:
    folder = directory / "_snapshots" / str(end.epoch)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "complete.json").write_bytes(complete_manifest(end))
    (folder / "1.json").write_text(json.dumps({"version": 1, "rows": end.rows, "files": []}))


def found(directory: Path) -> dict[str, int]:
    """The items by their keys, whatever the form of the columns."""
    items = {}
    for each in read_items(directory).to_pylist():
        image = each["image"] if "image" in each else each["new_image"]
        if isinstance(image, str):
            image = {name: next(iter(value.values())) for name, value in json.loads(image).items()}
        items[image["id"]] = int(image["n"])
    return items


@pytest.mark.parametrize("schema", [None, SCHEMA], ids=["text", "typed"])
@pytest.mark.parametrize("layout", ["change_log", "latest_image"])
def test_a_complete_snapshot_removes_what_only_an_older_one_knows(
    tmp_path: Path, schema: Schema | None, layout: str
) -> None:
    write(
        tmp_path,
        f"snapshot={FIRST}/rows-1.parquet",
        [row("a", FIRST), row("b", FIRST), row("c", FIRST)],
        schema,
        layout,
    )
    changes = [change(5, "a", FIRST, 2), change(6, "c", FIRST, None), change(7, "d", FIRST, 3)]
    write(tmp_path, "date=2026-01-31/changes-1.parquet", changes, schema, layout)
    complete(tmp_path, SnapshotEnd(FIRST, 3, 0))
    assert found(tmp_path) == {"a": 2, "b": 1, "d": 3}
    write(tmp_path, f"snapshot={SECOND}/rows-2.parquet", [row("b", SECOND, 8)], schema, layout)
    write(tmp_path, "date=2026-01-31/changes-2.parquet", [change(8, "e", SECOND, 9)], schema, layout)
    assert found(tmp_path) == {"a": 2, "b": 8, "d": 3, "e": 9}, "the new snapshot is not complete"
    complete(tmp_path, SnapshotEnd(SECOND, 1, 0))
    assert found(tmp_path) == {"b": 8, "e": 9}


def test_a_repair_removes_nothing(tmp_path: Path) -> None:
    write(tmp_path, f"snapshot={FIRST}/rows-1.parquet", [row("a", FIRST), row("b", FIRST)], None, "change_log")
    complete(tmp_path, SnapshotEnd(FIRST, 2, 0))
    write(tmp_path, f"snapshot={SECOND}/rows-2.parquet", [row("b", SECOND, 8)], None, "change_log")
    complete(tmp_path, SnapshotEnd(SECOND, 1, 0, whole_table=False))
    assert found(tmp_path) == {"a": 1, "b": 8}


def test_what_is_no_parquet_file_of_a_sink_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidOptionError, match="has no file"):
        read_items(tmp_path)
    write(tmp_path, "changes-1.parquet", [row("a", FIRST)], None, "change_log")
    (tmp_path / "changes-2.avro").touch()
    with pytest.raises(InvalidOptionError, match=r"has changes-2\.avro"):
        read_items(tmp_path)
    (tmp_path / "changes-2.avro").rename(tmp_path / "changes-2.parquet")
    with pytest.raises(InvalidOptionError, match=r"changes-2\.parquet is not a Parquet file of a sink"):
        read_items(tmp_path)


def test_the_end_of_a_snapshot_among_batches(tmp_path: Path) -> None:
    columns: Any = SCHEMA.arrow
    end = SnapshotEnd(FIRST, 3, 1_769_860_860)
    assert snapshot_end(end_batch(columns, end)) == end
    assert (end.removes_before, end.consistent_since.isoformat()) == (str(FIRST), "2026-01-31T12:01:00+00:00")
    assert snapshot_end(Columns(SCHEMA).of_records([row("a", FIRST)]).rows) is None
    assert snapshot_end(pa.RecordBatch.from_pylist([], schema=columns)) is None
    assert SnapshotEnd(FIRST, 3, 0, whole_table=False).removes_before is None
