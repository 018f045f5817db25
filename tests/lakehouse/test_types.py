"""The types and names of typed columns in Iceberg and Delta tables, and schemas that change between runs."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import apache_beam as beam
import polars
import pytest

from beam_dynamodb_streams import (
    ChangeRecord,
    CommitToDelta,
    CommitToIceberg,
    Schema,
    WriteChangesToParquet,
    read_schema,
)
from beam_dynamodb_streams.columns import infer
from beam_dynamodb_streams.errors import InvalidOptionError
from beam_dynamodb_streams.records.values import encode_image
from tests.lakehouse.lake import delta_rows, iceberg_table, properties_of
from tests.sinks.change_source import START

TYPES: dict[str, Any] = {
    "id": "string",
    "total": "decimal128(38, 2)",
    "big": "decimal128(38, 0)",
    "whole": "int64",
    "ratio": "float64",
    "paid": "bool",
    "raw": "binary",
    "names": ["string"],
    "numbers": ["decimal128(38, 5)"],
    "blobs": ["binary"],
    "counts": {"*": "int64"},
    "deep": {"list": [{"x": "string", "more": {"*": ["bool"]}}]},
    "anything": "json",
    "never": "string",
    "order-id": "string",
    "aws:rep:updatetime": "decimal128(38, 6)",
}
ITEM: dict[str, Any] = {
    "id": "o-1",
    "total": Decimal("999999999999999999999999999999999999.99"),
    "big": Decimal(10**38 - 1),
    "whole": -(2**63),
    "ratio": Decimal("0.5"),
    "paid": True,
    "raw": b"\x00\xff",
    "names": {"b", "a"},
    "numbers": {Decimal("1.5"), Decimal(2)},
    "blobs": {b"\xff", b"\x00"},
    "counts": {"apple": 1},
    "deep": {"list": [{"x": "y", "more": {"k": [True, False]}}, {"x": None}]},
    "anything": [1, {"a": None}],
    "order-id": "n-1",
    "aws:rep:updatetime": Decimal("1.000001"),
    "unknown": {"q": 1},
}
IN_COLUMNS: dict[str, Any] = {
    **ITEM,
    "ratio": 0.5,
    "names": ["a", "b"],
    "numbers": [Decimal("1.50000"), Decimal("2.00000")],
    "blobs": [b"\x00", b"\xff"],
    "counts": [("apple", 1)],
    "deep": {"list": [{"x": "y", "more": [("k", [True, False])]}, {"x": None, "more": None}]},
    "anything": '{"L":[{"N":"1"},{"M":{"a":{"NULL":true}}}]}',
    "never": None,
    "other_attributes": '{"unknown":{"M":{"q":{"N":"1"}}}}',
}
del IN_COLUMNS["unknown"]


def change(number: int, item: dict[str, Any]) -> ChangeRecord:
    return ChangeRecord(
        event_id=f"event-{number}",
        event_name="INSERT",
        keys={"id": item["id"]},
        new_image=item,
        sequence_number=str(10**20 + number),
        shard_id="shardId-1",
        approximate_creation_time=START + timedelta(seconds=number),
    )


def commit(place: Path, output: str, schema: Schema, items: Iterable[dict[str, Any]], first: int = 1) -> None:
    sink = WriteChangesToParquet(place / output, schema=schema, partitions="date")
    with sink.resume(), beam.Pipeline("FnApiRunner") as pipeline:
        files = pipeline | beam.Create([change(number, item) for number, item in enumerate(items, first)]) | sink
        _ = files | CommitToIceberg(properties_of(place), "db.orders")
        _ = files | CommitToDelta(place / "delta")


def images(place: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The new images in both tables, in the order of the changes."""
    tables = iceberg_table(place).scan().to_arrow(), delta_rows(place / "delta")
    iceberg, delta = (table.sort_by("sequence_number").column("new_image").to_pylist() for table in tables)
    return iceberg, delta


def test_each_type_comes_back_whole_from_both_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit(tmp_path, "out", read_schema(TYPES, keys=["id"]), [ITEM])
    iceberg, delta = images(tmp_path)
    assert iceberg == delta == [IN_COLUMNS]
    for rows in (iceberg_table(tmp_path).scan().to_arrow(), delta_rows(tmp_path / "delta")):
        assert rows.column("keys").to_pylist() == [{"id": "o-1"}]
        (created,) = rows.column("approximate_creation_time").to_pylist()
        assert (created, created.utcoffset()) == (START + timedelta(seconds=1), timedelta(0))
    monkeypatch.setenv("POLARS_ICEBERG_PLANNER", "pyiceberg")
    frames = (polars.scan_iceberg(iceberg_table(tmp_path)).collect(), polars.read_delta(str(tmp_path / "delta")))
    for frame in frames:
        image = frame.select(polars.col("new_image").struct.unnest())
        assert image["total"].to_list() == [ITEM["total"]]
        assert image["big"].to_list() == [ITEM["big"]]


def test_an_inferred_schema_with_safe_names_is_taken_as_it_is(tmp_path: Path) -> None:
    odd = {**ITEM, "order id": "space", "a.b": "dot", "userId": "1", "userid": "2", "{x}": {"y=z": "nested"}}
    found = infer([encode_image(odd)], {"id": "S"}, rename="safe").schema
    commit(tmp_path, "out", found, [odd])
    iceberg, delta = images(tmp_path)
    assert iceberg == delta
    names = ("order_id", "order_id_2", "a_b", "userId", "userid_2")
    assert sorted(str(iceberg[0][name]) for name in names) == ["1", "2", "dot", "n-1", "space"]


def test_columns_of_a_new_schema_are_added_at_every_depth(tmp_path: Path) -> None:
    first = read_schema({"id": "string", "a": "int64", "m": {"x": "string"}, "l": [{"p": "string"}]}, keys=["id"])
    commit(tmp_path, "v1", first, [{"id": "1", "a": 1, "m": {"x": "1"}, "l": [{"p": "1"}]}])
    wider = {
        "id": "string",
        "b": "binary",
        "m": {"x": "string", "y": {"z": "bool"}},
        "l": [{"p": "string", "q": "int64"}],
    }
    second = read_schema(wider, keys=["id"])
    commit(
        tmp_path, "v2", second, [{"id": "2", "b": b"2", "m": {"x": "2", "y": {"z": True}}, "l": [{"q": 2}]}], first=2
    )
    commit(tmp_path, "v1", first, [{"id": "3", "a": 3}], first=3)
    _, delta = images(tmp_path)
    assert delta[2]["l"] is None
    for found in images(tmp_path):
        assert [image["a"] for image in found] == [1, None, 3]
        assert [image["b"] for image in found] == [None, b"2", None]
        assert [image["m"] for image in found] == [{"x": "1", "y": None}, {"x": "2", "y": {"z": True}}, None]
        # pyiceberg (0.12) reads a null list of structs as an empty one, where its struct has grown since.
        lists = [image["l"] or None for image in found]
        assert lists == [[{"p": "1", "q": None}], [{"p": None, "q": 2}], None]


def test_a_contradiction_is_refused_by_name_before_anything_runs(tmp_path: Path) -> None:
    held = {"id": "string", "n": "int64", "m": {"x": "string"}, "d": "decimal128(12, 2)", "Name": "string"}
    commit(tmp_path, "out", read_schema(held, keys=["id"]), [{"id": "1"}])
    other = {"id": "string", "n": "string", "m": {"x": ["string"]}, "d": "decimal128(12, 3)", "name": "string"}
    sink = WriteChangesToParquet(tmp_path / "other", schema=read_schema(other, keys=["id"]), partitions="date")
    files = beam.Pipeline("FnApiRunner") | beam.Create([change(1, {"id": "1"})]) | sink
    steps = (CommitToIceberg(properties_of(tmp_path), "db.orders"), CommitToDelta(tmp_path / "delta"))
    for number, step in enumerate(steps):
        with pytest.raises(InvalidOptionError) as refused:
            _ = files | str(number) >> step
        for difference in (
            "new_image.n is int64 there, and string in the files",
            "new_image.m.x is string there, and list in the files",
            "new_image.d is decimal128(12, 2) there, and decimal128(12, 3) in the files",
            "new_image.name differs from new_image.Name there only in case",
        ):
            assert difference in str(refused.value)
    plain = WriteChangesToParquet(tmp_path / "plain", schema=read_schema(held, keys=["id"]))
    files = beam.Pipeline("FnApiRunner") | beam.Create([change(1, {"id": "1"})]) | plain
    with pytest.raises(InvalidOptionError, match=r"exists with the partitions \['date'\], and the files have \[\]"):
        _ = files | CommitToDelta(tmp_path / "delta")


def test_wider_decimals_are_taken_by_iceberg_and_refused_for_delta(tmp_path: Path) -> None:
    narrow, wide = (read_schema({"id": "string", "d": f"decimal128({p}, 2)"}, keys=["id"]) for p in (12, 38))
    commit(tmp_path, "narrow", narrow, [{"id": "1", "d": Decimal("1.25")}])
    sink = WriteChangesToParquet(tmp_path / "wide", schema=wide, partitions="date")
    with beam.Pipeline("FnApiRunner") as pipeline:
        files = pipeline | beam.Create([change(2, {"id": "2", "d": Decimal(10**35)})]) | sink
        _ = files | CommitToIceberg(properties_of(tmp_path), "db.orders")
        with pytest.raises(InvalidOptionError, match=r"d is decimal128\(12, 2\) there, and decimal128\(38, 2\)"):
            _ = files | CommitToDelta(tmp_path / "delta")
    rows = iceberg_table(tmp_path).scan().to_arrow().sort_by("sequence_number")
    assert [image["d"] for image in rows.column("new_image").to_pylist()] == [Decimal("1.25"), Decimal(10**35)]


def test_names_that_a_table_refuses_are_named_with_the_fix(tmp_path: Path) -> None:
    schema = read_schema(
        {"id": "string", "m": {"order id": "string"}, "a.b": "string", "a": {"b": "int64"}}, keys=["id"]
    )
    files = beam.Pipeline("FnApiRunner") | beam.Create([]) | WriteChangesToParquet(tmp_path, schema=schema)
    with pytest.raises(InvalidOptionError, match=r"as in 'new_image.m.order id': give the schema rename=\"safe\""):
        _ = files | CommitToDelta()
    with pytest.raises(InvalidOptionError, match=r"'new_image.a.b' would name two columns: .* rename=\"safe\""):
        _ = files | CommitToIceberg(properties_of(tmp_path), "db.orders")
