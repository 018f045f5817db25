"""Exports are read as changes, and what is not an export of a whole table is refused (trap 39)."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pytest
from apache_beam.testing.util import assert_that, equal_to

from beam_dynamodb_streams import ChangeRecord, DeadLetter, ReadDynamoDBExport, Schema
from beam_dynamodb_streams.errors import ExportError, InvalidOptionError, MalformedRecordError
from beam_dynamodb_streams.records.versions import row_version
from beam_dynamodb_streams.testing import Clock, LocalStreams, Table
from tests.e2e.collected import outputs_of

START = datetime(2026, 1, 31, 12, tzinfo=timezone.utc)


@pytest.fixture
def clock() -> Clock:
    return Clock(START)


@pytest.fixture
def orders(clock: Clock) -> Any:
    with LocalStreams(clock=clock) as service:
        table = service.create_table("orders", keys={"id": "S", "line": "N"})
        table.put_many({"id": f"o-{n}", "line": n, "total": Decimal("1.50") * n} for n in range(20))
        clock.advance(3600)
        yield table


def read(export: ReadDynamoDBExport) -> list[Any]:
    return [element for element, _ in outputs_of(Path("read"), export)[0]]


def millis(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def test_a_full_export_is_one_read_for_each_item(orders: Table, tmp_path: Path) -> None:
    path = orders.export_full(tmp_path, files=3)
    orders.delete({"id": "o-1", "line": 1})
    records: list[ChangeRecord] = read(ReadDynamoDBExport(path, keys=["id", "line"]))
    assert {record.keys["id"] for record in records} == {f"o-{n}" for n in range(20)}
    moment = START + timedelta(hours=1)
    for record in records:
        n = record.keys["line"]
        assert record.event_name == "READ"
        assert record.keys == {"id": f"o-{n}", "line": n}
        assert record.new_image == {"id": f"o-{n}", "line": n, "total": Decimal("1.50") * n}
        assert (record.old_image, record.sequence_number) == (None, "")
        assert record.approximate_creation_time == moment
        assert record.version == row_version(millis(moment))
        assert ChangeRecord(**record.to_dict()) == record
    assert len({record.event_id for record in records}) == 20
    assert sorted(record.event_id for record in records) == sorted(
        record.event_id for record in read(ReadDynamoDBExport(path, keys=["id", "line"]))
    )


def test_without_the_names_of_the_key_the_whole_item_is_the_key(orders: Table, tmp_path: Path, caplog: Any) -> None:
    records = read(ReadDynamoDBExport(orders.export_full(tmp_path)))
    assert len(records) == 20
    assert all(record.keys == record.new_image for record in records)
    assert "give keys=" in caplog.text


def test_an_incremental_export_is_the_net_change_of_each_item(orders: Table, tmp_path: Path, clock: Clock) -> None:
    orders.put({"id": "new", "line": 1})
    orders.put({"id": "gone", "line": 1})
    orders.update({"id": "o-3", "line": 3}, {"total": 5})
    clock.advance(0.25)
    orders.update({"id": "o-3", "line": 3}, {"total": 6})
    orders.delete({"id": "o-4", "line": 4})
    orders.delete({"id": "gone", "line": 1})
    clock.advance(600)
    until = START + timedelta(hours=1, minutes=5)
    path = orders.export_incremental(tmp_path, START + timedelta(hours=1), until)
    records = {record.keys["id"]: record for record in read(ReadDynamoDBExport(path))}
    assert {name: record.event_name for name, record in records.items()} == {
        "new": "INSERT",
        "gone": "REMOVE",
        "o-3": "MODIFY",
        "o-4": "REMOVE",
    }
    changed = records["o-3"]
    assert (changed.old_image["total"], changed.new_image["total"]) == (Decimal("4.50"), 6)
    written = START + timedelta(hours=1, seconds=0.25)
    assert changed.approximate_creation_time == written
    assert changed.version == row_version(millis(until), round(written.timestamp() * 1e6))
    assert records["gone"].old_image is None


def test_an_integer_as_the_time_of_a_write_is_accepted_too(orders: Table, tmp_path: Path, clock: Clock) -> None:
    orders.put({"id": "new", "line": 1})
    path = orders.export_incremental(tmp_path, START + timedelta(minutes=30), START + timedelta(hours=2))
    moment = round((START + timedelta(hours=1)).timestamp() * 1e6)
    change_rows(path, lambda line: line.replace(f'{{"N":"{moment}"}}', str(moment)))
    (record,) = read(ReadDynamoDBExport(path))
    assert record.creation_micros == moment


def test_a_full_and_incremental_exports_together_rebuild_the_table(orders: Table, tmp_path: Path, clock: Clock) -> None:
    at = START + timedelta(hours=1)
    paths = [orders.export_full(tmp_path / "a")]
    for hour in range(3):
        for n in range(hour, 20, 3):
            orders.delete({"id": f"o-{n}", "line": n}) if n % 2 else orders.update(
                {"id": f"o-{n}", "line": n}, {"h": hour}
            )
        clock.advance(3600)
        since, at = at, at + timedelta(hours=1)
        paths.append(orders.export_incremental(tmp_path / "b", since, at))
    latest: dict[str, ChangeRecord] = {}
    for record in read(ReadDynamoDBExport(paths)):
        assert record.keys.keys() == {"id", "line"}  # an incremental export says them
        known = latest.get(record.keys["id"])
        if known is None or known.version < record.version:
            latest[record.keys["id"]] = record
    mirror = [record.new_image for record in latest.values() if record.event_name != "REMOVE"]
    assert sorted(mirror, key=str) == sorted(orders.items(), key=str)


def test_batches_have_the_rows_of_the_records(orders: Table, tmp_path: Path) -> None:
    export = ReadDynamoDBExport(orders.export_full(tmp_path), keys=["id", "line"])
    records = sorted(read(export), key=lambda record: record.event_id)
    from beam_dynamodb_streams.records import records_from_batch

    batches: list[pa.RecordBatch] = read(export.as_batches())
    assert sorted((r for batch in batches for r in records_from_batch(batch)), key=lambda r: r.event_id) == records
    schema = Schema(
        pa.schema([("id", pa.string()), ("line", pa.int64()), ("total", pa.decimal128(9, 2))]), ("id", "line")
    )
    typed = pa.Table.from_batches(read(ReadDynamoDBExport(orders.export_full(tmp_path)).as_batches(schema)))
    assert sorted(row["new_image"]["total"] for row in typed.to_pylist()) == [Decimal("1.50") * n for n in range(20)]
    assert {row["version"] for row in typed.to_pylist()} == {records[0].version}
    assert typed.column("keys").to_pylist()[0].keys() == {"id", "line"}


def change_rows(path: str, change: Callable[[str], str], *, items: int | None = None) -> None:
    """Rewrite the data files of an export, and the manifest with their checksums."""
    folder = Path(path)
    lines = []
    for line in (folder / "manifest-files.json").read_text().splitlines():
        file = json.loads(line)
        data = Path(path).parent.parent / file["dataFileS3Key"]
        body = gzip.compress(change(gzip.decompress(data.read_bytes()).decode()).encode())
        data.write_bytes(body)
        file["md5Checksum"] = base64.b64encode(hashlib.md5(body).digest()).decode()  # noqa: S324
        lines.append(json.dumps(file))
    write_manifest(folder, "manifest-files", "\n".join(lines), "checksum")


def write_manifest(folder: Path, name: str, text: str, ending: str) -> None:
    (folder / f"{name}.json").write_text(text)
    (folder / f"{name}.{ending}").write_text(base64.b64encode(hashlib.md5(text.encode()).digest()).decode())  # noqa: S324


def change_summary(path: str, **members: object) -> None:
    summary = json.loads((Path(path) / "manifest-summary.json").read_text()) | members
    write_manifest(Path(path), "manifest-summary", json.dumps(summary), "md5")


@pytest.mark.parametrize(
    "bad",
    [
        '{"Item":{"id":{"S":"x"}',
        "[]",
        "",
        '{"Items":{}}',
        '{"Item":5}',
        '{"Item":{"line":{"N":"1"}}}',
        '{"Item":{"id":{"S":"bad"},"line":{"N":"1"},"total":{"X":"1"}}}',
    ],
)
def test_a_malformed_row_is_a_dead_letter_with_its_bytes(orders: Table, tmp_path: Path, bad: str) -> None:
    path = orders.export_full(tmp_path, files=1)
    change_rows(path, lambda text: text.replace(text.splitlines()[3], bad or "{}"))
    export = ReadDynamoDBExport(path, keys=["id", "line"])
    changes, letters = [[each for each, _ in output] for output in outputs_of(tmp_path, export.with_outputs())]
    assert [letter.payload for letter in letters] == [(bad or "{}").encode()]
    assert letters[0].shard_id.endswith(".json.gz")
    assert len(changes) == 19
    assert all(isinstance(letter, DeadLetter) for letter in letters)
    assert len(read(ReadDynamoDBExport(path, keys=["id", "line"], on_malformed="skip"))) == 19
    if '"X"' not in bad:
        with pytest.raises(MalformedRecordError, match=r"malformed row .* on_malformed=.skip"):
            fails(export)


def fails(export: ReadDynamoDBExport) -> None:
    """Run the read in this process, so that its error is the one that is raised."""
    with beam.Pipeline("FnApiRunner") as pipeline:
        _ = pipeline | export


def test_a_filtered_export_is_no_snapshot(orders: Table, tmp_path: Path) -> None:
    path = orders.export_full(tmp_path)
    change_summary(path, filterSpecification={"FilterExpression": "total > :t"})
    with pytest.raises(ExportError, match=r"filterSpecification=.* not a snapshot of the table: export again"):
        fails(ReadDynamoDBExport(path))


def test_an_export_in_ion_is_refused(orders: Table, tmp_path: Path) -> None:
    path = orders.export_full(tmp_path)
    change_summary(path, outputFormat="ION")
    with pytest.raises(ExportError, match="the format is ION, and only DYNAMODB_JSON is read"):
        fails(ReadDynamoDBExport(path))


def test_a_data_file_that_is_missing_is_named(orders: Table, tmp_path: Path) -> None:
    path = orders.export_full(tmp_path)
    missing = sorted(Path(path).glob("data/*"))[0]
    missing.unlink()
    with pytest.raises(ExportError, match=f"{missing.name} does not exist, though its manifest names it"):
        fails(ReadDynamoDBExport(path))


@pytest.mark.parametrize("name", ["manifest-summary.json", "manifest-files.json", "data"])
def test_a_checksum_that_does_not_fit_is_refused_before_a_row_is_read(orders: Table, tmp_path: Path, name: str) -> None:
    path = orders.export_full(tmp_path)
    file = Path(path) / name if name != "data" else sorted(Path(path).glob("data/*"))[0]
    file.write_bytes(file.read_bytes() + b" ")
    with pytest.raises(ExportError, match=r"checksum .* does not fit"):
        fails(ReadDynamoDBExport(path))


def test_a_table_id_of_another_table_is_refused(orders: Table, tmp_path: Path) -> None:
    path = orders.export_full(tmp_path)
    assert len(read(ReadDynamoDBExport(path, table_id=orders.table_id))) == 20
    with pytest.raises(ExportError, match=f"the id {orders.table_id}, and the table to read has the id another"):
        fails(ReadDynamoDBExport(path, table_id="another"))
    later = orders.export_incremental(tmp_path, START, START + timedelta(hours=2))
    change_summary(later, tableId="another")
    with pytest.raises(ExportError, match="deleted and created again is another table"):
        fails(ReadDynamoDBExport([path, later]))


def test_exports_that_do_not_follow_each_other_are_refused(orders: Table, tmp_path: Path) -> None:
    hours = [START + timedelta(hours=n) for n in range(9)]
    full = orders.export_full(tmp_path)  # at hour 1
    one, two, four = (orders.export_incremental(tmp_path, hours[n], hours[n + 1]) for n in (1, 2, 4))
    with pytest.raises(ExportError, match=r"there is a hole .* from 2026-01-31T15:00:00Z to 2026-01-31T16:00:00Z"):
        fails(ReadDynamoDBExport([full, one, two, four]))
    with pytest.raises(ExportError, match="give the exports in the order of their times"):
        fails(ReadDynamoDBExport([full, two, one]))
    with pytest.raises(ExportError, match="only the first export may be a full one"):
        fails(ReadDynamoDBExport([one, full]))


def test_counts_of_items_that_do_not_add_up_are_refused(orders: Table, tmp_path: Path) -> None:
    path = orders.export_full(tmp_path)
    change_summary(path, itemCount=21)
    with pytest.raises(ExportError, match=r"counts 21 items, and the data files .* 20"):
        fails(ReadDynamoDBExport(path))
    path = orders.export_full(tmp_path / "more", files=1)
    change_rows(path, lambda text: text + '{"Item":{"id":{"S":"x"}}}\n')
    with pytest.raises(ExportError, match="has 21 rows, and its manifest counts 20"):
        fails(ReadDynamoDBExport(path))


def test_a_folder_without_a_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"it has no manifest-summary.json: give the folder AWSDynamoDB/<ExportId>/"):
        fails(ReadDynamoDBExport(tmp_path))


def test_an_export_is_found_wherever_it_was_copied_to(orders: Table, tmp_path: Path) -> None:
    path = Path(orders.export_full(tmp_path))
    assert len(read(ReadDynamoDBExport(path / "manifest-summary.json", keys=["id", "line"]))) == 20
    path.rename(tmp_path / "copied")
    assert len(read(ReadDynamoDBExport(tmp_path / "copied"))) == 20


@pytest.mark.parametrize("path", [5, "", [], ["a", 7], "nosuch://bucket/AWSDynamoDB/1/"])
def test_a_path_of_no_use_is_refused_at_once(path: object) -> None:
    with pytest.raises(InvalidOptionError, match="path="):
        ReadDynamoDBExport(path)


def test_elements_have_the_moment_of_the_export_as_their_event_time(orders: Table, tmp_path: Path) -> None:
    with beam.Pipeline("FnApiRunner") as pipeline:
        times = (
            pipeline
            | ReadDynamoDBExport(orders.export_full(tmp_path))
            | beam.Map(lambda _, at=beam.DoFn.TimestampParam: at.micros)
            | beam.Distinct()
        )
        assert_that(times, equal_to([round((START + timedelta(hours=1)).timestamp() * 1e6)]))
