"""Readers that know little of Avro read its files: polars, Beam's own `ReadFromAvro(as_rows=True)`, fastavro."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import apache_beam as beam
import fastavro
import pyarrow as pa
import pytest
from apache_beam.io.avroio import ReadFromAvro
from hypothesis import given
from hypothesis import strategies as st

from beam_dynamodb_streams import ChangeRecord, Schema, WriteChangesToAvro, read_schema
from beam_dynamodb_streams.columns import avro_schema_of
from beam_dynamodb_streams.sinks.layouts import RowLayout

AVRO_FOR_JAVA = Path(__file__).parents[2] / ".build" / "avro" / "classpath.txt"

polars = pytest.importorskip("polars")

KINDS = {
    "order-id": "string",
    "n": "int64",
    "f": "float64",
    "paid": "bool",
    "raw": "binary",
    "total": "decimal128(12, 2)",
    "doc": "json",
    "tags": ["string"],
    "address": {"city": "string", "geo": {"lat": "float64"}},
    "lines": [{"sku": "string", "address": {"city": "string"}}],
    "Image": {"NewImage": "string"},
}
ITEM: dict[str, Any] = {
    "order-id": "o-1",
    "n": 7,
    "f": Decimal("1.5"),
    "paid": True,
    "raw": b"\x00\xff",
    "total": Decimal("12.5"),
    "doc": {"a": [1]},
    "tags": ["x", "y"],
    "address": {"city": "Ulm", "geo": {"lat": 48}},
    "lines": [{"sku": "a", "address": {"city": "Ulm"}}, {"sku": "b", "address": {"city": "Bonn"}}],
    "Image": {"NewImage": "z"},
    "more": 1,
}
TIME = datetime(2026, 1, 31, 12, tzinfo=timezone.utc)
SCHEMA = read_schema(KINDS, keys=["order-id"], rename="safe")


def of(number: int, new: dict[str, Any] | None, old: dict[str, Any] | None) -> ChangeRecord:
    name = "INSERT" if old is None else "REMOVE" if new is None else "MODIFY"
    return ChangeRecord(
        event_id=str(number),
        event_name=name,
        keys={"order-id": (new or old or {})["order-id"]},
        new_image=new,
        old_image=old,
        sequence_number=str(number),
        shard_id="shardId-1",
        approximate_creation_time=TIME,
    )


CHANGES = [of(1, ITEM, None), of(2, {"order-id": "o-2"}, ITEM), of(3, None, {"order-id": "o-3"})]
WHOLE = [of(1, ITEM, ITEM), of(2, ITEM, ITEM)]


def written(path: Path, changes: list[ChangeRecord], **options: Any) -> str:
    with beam.Pipeline("FnApiRunner") as pipeline:
        _ = pipeline | beam.Create(changes) | WriteChangesToAvro(path, **options)
    (file,) = path.glob("*.avro")
    return str(file)


def read_by_beam(file: str, check: Callable[[Any], Any]) -> None:
    with beam.Pipeline("FnApiRunner") as pipeline:
        _ = pipeline | ReadFromAvro(file, as_rows=True) | beam.Reshuffle() | beam.Map(check)


@pytest.mark.parametrize("layout", ["change_log", "latest_image"])
@pytest.mark.parametrize("schema", [SCHEMA, None], ids=["typed", "text"])
def test_polars_reads_every_value(tmp_path: Path, layout: str, schema: Schema | None) -> None:
    file = written(tmp_path, CHANGES, layout=layout, schema=schema)
    read = polars.read_avro(file).to_dicts()
    with open(file, "rb") as opened:
        expected = list(fastavro.reader(opened))
    assert len(read) == 3
    for row, other in zip(read, expected, strict=True):
        moment = row.pop("approximate_creation_time")
        assert moment.replace(tzinfo=timezone.utc) == other.pop("approximate_creation_time") == TIME
        assert row == other
    if schema is not None:
        image = read[0]["new_image" if layout == "change_log" else "image"]
        assert image["total"] == Decimal("12.50")
        assert image["lines"][1] == {"sku": "b", "address": {"city": "Bonn"}}
        assert image["order_id"] == "o-1"


def test_avro_for_java_reads_it_with_its_names_checked_and_its_logical_types(tmp_path: Path) -> None:
    if not AVRO_FOR_JAVA.exists():
        pytest.skip("NOT RUN: no Avro for Java; `make avro` resolves it where Java and Maven are installed")
    whole = read_schema({**KINDS, "counts": {"*": {"n-1": "int64"}}}, keys=["order-id"])  # as Avro spells the names
    changes = [of(1, {**ITEM, "counts": {"a": {"n-1": 5}}}, None), *CHANGES[1:]]
    file = written(tmp_path, changes, schema=whole)
    source = Path(__file__).parent / "avro_java" / "ReadAvro.java"
    command = ["java", "-cp", AVRO_FOR_JAVA.read_text().strip(), source, file]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    inserted, modified, removed = done.stdout.splitlines()
    assert inserted.startswith(f'INSERT {int(TIME.timestamp()) * 1000} {{"order_x002D_id": "o-1"}} ')
    assert '"total": 12.50' in inserted
    assert '"counts": {"a": {"n_x002D_1": 5}}' in inserted
    assert modified.startswith("MODIFY ")
    assert removed.endswith("null")


def row_is_whole(row: Any) -> None:
    assert row.approximate_creation_time == int(TIME.timestamp()) * 1_000_000
    assert row.new_image.total == "12.50"
    assert row.new_image.address.geo.lat == 48.0
    assert [line.address.city for line in row.old_image.lines] == ["Ulm", "Bonn"]
    assert row.keys.order_id == "o-1"


def text_row_is_whole(row: Any) -> None:
    assert (row.old_image is None) == (row.event_name == "INSERT")
    assert (row.new_image is None) == (row.event_name == "REMOVE")
    assert row.approximate_creation_time == int(TIME.timestamp()) * 1_000_000


def test_beam_reads_rows_without_logical_types(tmp_path: Path) -> None:
    read_by_beam(written(tmp_path / "typed", WHOLE, schema=SCHEMA, logical_types=False), row_is_whole)
    read_by_beam(written(tmp_path / "text", CHANGES, logical_types=False), text_row_is_whole)


@pytest.mark.parametrize(
    ("changes", "options", "says"),
    [
        (WHOLE, {"logical_types": True}, "an integer is required"),
        (CHANGES, {"schema": SCHEMA, "logical_types": False}, "NoneType|not subscriptable|None"),
    ],
    ids=["logical types", "nested nulls"],
)
def test_what_beam_cannot_read_it_still_cannot(
    tmp_path: Path, changes: list[ChangeRecord], options: dict[str, Any], says: str
) -> None:
    """docs/files.md says so (2.77): its rows ignore logical types, and take no null record or array."""
    with pytest.raises((TypeError, RuntimeError), match=says):
        read_by_beam(written(tmp_path, changes, **options), str)


def definitions(kind: Any) -> Iterator[str]:
    """Yield the name of each record; a reference to one would not be a definition or a primitive."""
    if isinstance(kind, list):
        for each in kind:
            yield from definitions(each)
    elif isinstance(kind, str):
        assert kind in ("null", "string", "long", "double", "boolean", "bytes"), kind
    elif kind["type"] == "record":
        assert kind["namespace"] == "dynamodb.streams"
        yield kind["name"]
        for field in kind["fields"]:
            yield from definitions(field["type"])
    else:
        yield from definitions(kind.get("items") or kind.get("values") or kind["type"])


NAMES = st.sampled_from(["a", "A", "b", "a_b", "a-b", "Image", "NewImage", "Keys", "Change", "é", "1"])
TYPES = st.recursive(
    st.just(pa.string()),
    lambda inner: (
        inner.map(pa.list_)
        | inner.map(lambda kind: pa.map_(pa.string(), kind))
        | st.dictionaries(NAMES, inner, min_size=1, max_size=3).map(lambda members: pa.struct([*members.items()]))
    ),
    max_leaves=8,
)


@given(st.dictionaries(NAMES, TYPES, max_size=4), st.booleans(), st.sampled_from(["change_log", "latest_image"]))
def test_every_record_is_defined_once_where_it_stands(
    columns: dict[str, pa.DataType], logical_types: bool, layout: Any
) -> None:
    schema = Schema(pa.schema([("id", pa.string()), *columns.items()]), ("id",))
    avro = avro_schema_of(RowLayout(layout, schema).columns, "Change", logical_types=logical_types)
    names = [name.lower() for name in definitions(avro)]
    assert len(set(names)) == len(names)
    fastavro.parse_schema(avro)
    fastavro.writer(io.BytesIO(), avro, [], strict=True, strict_allow_default=False)
