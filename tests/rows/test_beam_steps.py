"""Rows in Beam's relational steps: DataFrames, SqlTransform, and a schema that other SDKs know."""

from __future__ import annotations

import os
import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.dataframe.convert import to_dataframe, to_pcollection
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms.sql import SqlTransform
from apache_beam.typehints.schemas import schema_from_element_type

from beam_dynamodb_streams import AsRows, Schema, read_schema
from beam_dynamodb_streams.rows import row_hint
from beam_dynamodb_streams.testing import LocalStreams
from tests.e2e.collected import read_orders

SCHEMA = read_schema(
    {
        "id": "string",
        "total": "decimal128(12, 2)",
        "n": "int64",
        "ratio": "float64",
        "paid": "bool",
        "raw": "binary",
        "tags": ["string"],
        "address": {"city": "string", "lines": [{"text": "string"}]},
        "counts": {"*": "int64"},
    },
    keys=["id"],
)


def written(service: LocalStreams) -> None:
    orders = service.create_table("orders", keys={"id": "S"})
    orders.put({"id": "a", "total": Decimal("1.50"), "n": 1})
    orders.put({"id": "b", "total": Decimal(300), "n": 2})
    orders.delete({"id": "a"})


@pytest.mark.parametrize("schema", [None, SCHEMA], ids=["text", "typed"])
def test_a_schema_of_rows_has_no_type_that_python_alone_knows(schema: Schema | None) -> None:
    """Java's SqlTransform decodes them: a pickled object it could not."""
    shown = str(schema_from_element_type(row_hint(schema)))
    assert "pythonsdk" not in shown
    assert "beam:logical_type:micros_instant:v1" in shown
    assert ("beam:logical_type:decimal:v1" in shown) == (schema is not None)


@pytest.mark.parametrize("schema", [None, SCHEMA], ids=["text", "typed"])
def test_a_dataframe_groups_rows(service: LocalStreams, schema: Schema | None) -> None:
    written(service)
    with beam.Pipeline("FnApiRunner") as pipeline:
        frame = to_dataframe(pipeline | read_orders(service, stop=3).as_rows(schema))
        sizes = frame.groupby("event_name")[["size_bytes"]].sum()
        made = to_pcollection(sizes, include_indexes=True) | beam.Map(
            lambda row: (row.event_name, int(row.size_bytes) > 0)
        )
        assert_that(made, equal_to([("INSERT", True), ("REMOVE", True)]))


def test_select_and_group_by_take_nested_fields(service: LocalStreams) -> None:
    written(service)
    with beam.Pipeline("FnApiRunner") as pipeline:
        rows = pipeline | read_orders(service, stop=3) | AsRows(SCHEMA)
        totals = (
            rows
            | beam.Filter(lambda row: row.new_image is not None)
            | beam.Select(id=lambda row: str(row.keys.id), total=lambda row: Decimal(row.new_image.total))
            | beam.GroupBy("id").aggregate_field("total", sum, "total")
        )
        assert_that(
            totals | beam.Map(lambda row: (row.id, row.total)), equal_to([("a", Decimal("1.50")), ("b", Decimal(300))])
        )


def test_sql_counts_rows(service: LocalStreams, tmp_path: Path) -> None:
    """Set CONNECTOR_SQL to Beam's expansion service for SQL: its jar, or the address of one that runs."""
    place = os.environ.get("CONNECTOR_SQL")
    if not place or not shutil.which("java"):
        pytest.skip("NOT RUN: SqlTransform needs Java and Beam's expansion service for SQL (CONNECTOR_SQL)")
    written(service)
    expansion: Any = place
    if place.endswith(".jar"):
        from apache_beam.transforms.external import JavaJarExpansionService

        expansion = JavaJarExpansionService(place)
    query = "SELECT event_name, COUNT(*) AS n FROM PCOLLECTION GROUP BY event_name"
    with beam.Pipeline("DirectRunner") as pipeline:
        rows = pipeline | read_orders(service, stop=3).as_rows(SCHEMA)
        counted = rows | SqlTransform(query, expansion_service=expansion)
        assert_that(counted | beam.Map(lambda row: (row.event_name, row.n)), equal_to([("INSERT", 2), ("REMOVE", 1)]))
