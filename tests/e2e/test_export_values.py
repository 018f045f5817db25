"""Changes of all ten types, written in every format, layout and form, and read back equal by those who will read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import apache_beam as beam
import duckdb
import fastavro
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pytest

from beam_dynamodb_streams import ReadFromDynamoDBStreams
from beam_dynamodb_streams.columns import Columns, Schema, from_avro_row, json_field
from beam_dynamodb_streams.records import CHANGE_SCHEMA, ChangeRecord, records_from_batch, to_arrow
from beam_dynamodb_streams.records.versions import version_base
from beam_dynamodb_streams.sinks import WriteChangesToAvro, WriteChangesToJsonLines, WriteChangesToParquet
from beam_dynamodb_streams.sinks.layouts import RowLayout
from beam_dynamodb_streams.testing import LocalStreams, Table

SCHEMA = Schema(
    pa.schema(
        [
            ("id", pa.string()),
            ("at", pa.decimal128(38, 0)),
            ("text", pa.string()),
            ("exact", pa.string()),
            ("raw", pa.binary()),
            ("flag", pa.bool_()),
            ("tags", pa.list_(pa.string())),
            ("sizes", pa.list_(pa.decimal128(38, 9))),
            ("blobs", pa.list_(pa.binary())),
            ("lines", pa.list_(pa.struct([("article", pa.string()), ("pieces", pa.int64())]))),
            ("address", pa.map_(pa.string(), pa.string())),
            json_field("any"),
        ]
    ),
    ("id", "at"),
)
FORMS: dict[str, tuple[Any, str, Schema | None]] = {
    f"{name}-{layout}{'-typed' if schema else ''}": (make, layout, schema)
    for name, make in (("parquet", WriteChangesToParquet), ("avro", WriteChangesToAvro))
    for layout in ("change_log", "latest_image")
    for schema in (None, SCHEMA)
} | {f"jsonl-{layout}": (WriteChangesToJsonLines, layout, None) for layout in ("change_log", "latest_image")}

NUMBERS = [Decimal(text) for text in ("0", "-0.5", "9" * 38, "1E-130", "-9.99E+125", "1.10", "12345678901234567890.5")]


def item(random: Random, number: int) -> dict[str, object]:
    """All ten types; what an attribute may be besides is left to the property tests of values."""
    made: dict[str, object] = {
        "id": f"o-{random.randrange(400)}",
        "at": Decimal(random.choice([1, 10**37, -5])),
        "text": random.choice(["", "plain", "ümläut 🔔", 'tab\t"quote" \\ \n\u2028', "x" * 300]),
        "exact": random.choice(NUMBERS),
        "raw": random.randbytes(random.randrange(5)),
        "flag": random.random() < 0.5,
        "tags": {f"t{n}" for n in range(random.randrange(1, 4))} | {"", "ß"},
        "sizes": {Decimal(n) / 8 for n in range(random.randrange(1, 4))},
        "blobs": {bytes([n]) * n for n in range(random.randrange(1, 4))},
        "lines": [{"article": f"a{n}", "pieces": n} for n in range(random.randrange(3))],
        "address": {"city": "Ulm", **({"zip": "89073"} if number % 2 else {})},
        "any": {"deep": [[], {}, {"": [None, True, random.choice(NUMBERS), {b"\x00"}]}]},
        "null": None,
        "unknown name.é": random.choice(NUMBERS),
    }
    for name in random.sample(list(made)[2:], random.randrange(3)):
        del made[name]
    return made


def write_changes(table: Table, changes: int) -> None:
    random = Random(changes)
    for number in range(changes):
        written = item(random, number)
        table.put(written)
        if random.random() < 0.1:
            table.delete({"id": written["id"], "at": written["at"]}, by=random.choice(["user", "ttl"]))
        if number % (changes // 4) == changes // 8:
            table.split(random.choice(table.open_shard_ids))
    assert len(table.changes) >= changes


def records_of(table: Table) -> list[ChangeRecord]:
    """What was written, by the service's own account of it."""
    return [
        ChangeRecord.from_json(
            json.dumps(
                {
                    "event_id": change.event_id,
                    "event_name": change.record["eventName"],
                    "sequence_number": change.sequence_number,
                    "version": f"{version_base(change.stream_arn)}{change.sequence_number:>040}",
                    "shard_id": change.shard_id,
                    "approximate_creation_time": _time(change.record["dynamodb"]["ApproximateCreationDateTime"]),
                    "size_bytes": change.record["dynamodb"]["SizeBytes"],
                    "stream_view_type": change.record["dynamodb"]["StreamViewType"],
                    "user_identity": change.record.get("userIdentity"),
                    "keys": change.record["dynamodb"]["Keys"],
                    "new_image": change.record["dynamodb"].get("NewImage"),
                    "old_image": change.record["dynamodb"].get("OldImage"),
                },
                separators=(",", ":"),
                ensure_ascii=False,
            )
        )
        for change in sorted(table.changes, key=lambda change: change.event_id)
    ]


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat()


def last_of_each_key(records: list[ChangeRecord]) -> list[ChangeRecord]:
    last: dict[tuple[object, ...], ChangeRecord] = {}
    for record in sorted(records, key=lambda record: int(record.sequence_number)):
        last[record.keys["id"], record.keys["at"]] = record
    return sorted(last.values(), key=_event_id)


class Written:
    """The outputs of one export to all forms, and what they should hold."""

    def __init__(self, directory: Path, changes: int) -> None:
        self.directory = directory
        with LocalStreams() as service:
            table = service.create_table("orders", keys={"id": "S", "at": "N"}, shards=3)
            write_changes(table, changes)
            self.records = records_of(table)
            with beam.Pipeline("FnApiRunner") as pipeline:
                read = ReadFromDynamoDBStreams(
                    table="orders",
                    stop="NOW",
                    endpoint_url=service.endpoint_url,
                    region_name="us-east-1",
                    watermark_slack=timedelta(seconds=1),
                    quiet_pages=8,
                    quiet_time=timedelta(seconds=1),
                )
                sinks = {
                    name: make(
                        directory / name, layout=layout, partitions="hour", **({"schema": schema} if schema else {})
                    )
                    for name, (make, layout, schema) in FORMS.items()
                }
                changes = pipeline | read
                for name, sink in sinks.items():
                    changes | name >> sink

    def files(self, name: str) -> list[Path]:
        return sorted((self.directory / name).rglob("changes-*"))

    def expected(self, layout: str) -> list[ChangeRecord]:
        return self.records if layout == "change_log" else last_of_each_key(self.records)

    def rows(self, name: str) -> pa.Table:
        """What the files hold, read by the formats' own libraries, by event id as all that is compared here."""
        make, layout, schema = FORMS[name]
        columns = RowLayout(layout, schema).columns
        if make is WriteChangesToParquet:
            table = pa.concat_tables(ds.dataset(path, format="parquet").to_table() for path in self.files(name))
        else:
            table = pa.Table.from_pylist(list(self._avro(name, schema)), columns)
        return table.sort_by("event_id")

    def _avro(self, name: str, schema: Schema | None) -> Iterator[dict[str, Any]]:
        for path in self.files(name):
            with path.open("rb") as file:
                for row in fastavro.reader(file):
                    image = {"new_image": row.pop("image"), "old_image": None} if "image" in row else {}
                    extras = {
                        key: row[key]
                        for key in ("changed_attributes", "is_ttl_delete", "is_replication", "is_deleted")
                        if key in row
                    }
                    change = from_avro_row({**row, **image}, schema)
                    yield {**change, **({"image": change["new_image"]} if image else {}), **extras}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    return Written(tmp_path_factory.mktemp("values"), 5_000)


def assert_equal(written: Written, name: str) -> None:
    make, layout, schema = FORMS[name]
    expected = written.expected(layout)
    if make is WriteChangesToJsonLines:
        lines = [line for path in written.files(name) for line in path.read_text("utf-8").split("\n") if line]
        if layout == "change_log":
            assert sorted(map(ChangeRecord.from_json, lines), key=_event_id) == expected
        else:
            found = {row["event_id"]: (row["image"], row["is_deleted"]) for row in map(json.loads, lines)}
            assert found == {
                record.event_id: (
                    None if record.new_image_json is None else json.loads(record.new_image_json),
                    record.event_name == "REMOVE",
                )
                for record in expected
            }
        return
    rows = written.rows(name)
    made = to_arrow(expected) if schema is None else Columns(schema).of_records(expected).rows
    made = pa.Table.from_batches([RowLayout(layout, schema).rows(made)])
    if schema is not None or layout == "latest_image":
        texts = [] if schema else [("image", made), ("keys", made)]
        assert rows.drop([column for column, _ in texts]).equals(made.drop([column for column, _ in texts]))
        for column, table in texts:
            assert _values(rows[column]) == _values(table[column])
        return
    changes = rows.select(CHANGE_SCHEMA.names).combine_chunks().to_batches()
    assert [record for batch in changes for record in records_from_batch(batch)] == expected
    assert rows["changed_attributes"].to_pylist() == made["changed_attributes"].to_pylist()
    assert rows["is_ttl_delete"].to_pylist() == made["is_ttl_delete"].to_pylist()


def _event_id(record: ChangeRecord) -> str:
    return record.event_id


def _values(texts: pa.ChunkedArray) -> list[Any]:
    return [None if text is None else json.loads(text) for text in texts.to_pylist()]


@pytest.mark.parametrize("name", FORMS)
def test_what_was_written_is_read_back_equal(written: Written, name: str) -> None:
    assert_equal(written, name)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_fifty_thousand_changes_are_read_back_equal_from_every_form(tmp_path: Path) -> None:
    written = Written(tmp_path, 50_000)
    for name in FORMS:
        assert_equal(written, name)


def test_pyarrow_reads_the_partitions_and_skips_those_it_does_not_need(written: Written) -> None:
    hour = written.records[0].approximate_creation_time.strftime("%H")
    for name in ("parquet-change_log", "parquet-change_log-typed"):
        dataset = ds.dataset(written.directory / name, format="parquet", partitioning="hive")
        assert dataset.count_rows() == len(written.records)
        here = dataset.to_table(filter=ds.field("hour") == int(hour), columns=["event_id"])
        assert len(here) == sum(record.approximate_creation_time.strftime("%H") == hour for record in written.records)


def test_duckdb_reads_what_was_written(written: Written) -> None:
    latest = last_of_each_key(written.records)
    with duckdb.connect() as sql:

        def table(name: str) -> duckdb.DuckDBPyRelation:
            return sql.read_parquet(f"{written.directory / name}/**/*.parquet", hive_partitioning=True)

        changes, typed = table("parquet-change_log"), table("parquet-change_log-typed")
        day = min(record.approximate_creation_time for record in written.records).strftime("%Y-%m-%d")
        count = changes.aggregate("count(*), count(DISTINCT event_id), min(date)::VARCHAR").fetchall()
        assert count == [(len(written.records), len(written.records), day)]
        tagged = sum("ß" in (record.new_image or {}).get("tags", ()) for record in written.records)
        assert len(typed.filter("list_contains(new_image.tags, 'ß')").fetchall()) == tagged
        assert changes.filter("list_contains(changed_attributes, 'text')").limit(1).fetchall()
        alive = table("parquet-latest_image-typed").filter("NOT is_deleted").fetchall()
        assert len(alive) == sum(record.event_name != "REMOVE" for record in latest)
        lines = sql.read_json(f"{written.directory}/jsonl-change_log/**/*.jsonl", maximum_depth=1)
        assert lines.aggregate("count(DISTINCT event_id)").fetchall() == [(len(written.records),)]


def test_pandas_reads_what_was_written(written: Written) -> None:
    frame = pd.read_parquet(written.directory / "parquet-change_log-typed")
    assert sorted(frame["event_id"]) == sorted(record.event_id for record in written.records)
    assert frame["approximate_creation_time"].dt.tz is not None
    assert frame["is_ttl_delete"].sum() == sum(record.is_ttl_delete for record in written.records)
    lines = pd.concat(pd.read_json(path, lines=True) for path in written.files("jsonl-latest_image"))
    assert len(lines) == len(last_of_each_key(written.records))
