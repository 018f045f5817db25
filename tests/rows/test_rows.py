"""Changes as rows with a Beam schema: through the coder, through Beam's own steps, and against plain records."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam import coders
from apache_beam.testing.util import assert_that, equal_to

from beam_dynamodb_streams import AsRows, ReadFromDynamoDBStreams, read_schema
from beam_dynamodb_streams.errors import InvalidOptionError
from beam_dynamodb_streams.rows import row_hint
from beam_dynamodb_streams.testing import LocalStreams
from tests.e2e.collected import outputs_of, read_orders

SCHEMA = read_schema(
    {
        "id": "string",
        "total": "decimal128(12, 2)",
        "tags": ["string"],
        "address": {"city": "string"},
    },
    keys=["id"],
)


def written(service: LocalStreams) -> None:
    orders = service.create_table("orders", keys={"id": "S"})
    orders.put({"id": "a", "total": Decimal("1.50"), "tags": ["x", None], "address": {"city": "B"}})
    orders.put({"id": "b", "total": Decimal(2), "extra": 1})
    orders.delete({"id": "a"})


def test_rows_of_text_are_those_of_the_records(service: LocalStreams, tmp_path: Path) -> None:
    written(service)
    (changes,) = outputs_of(tmp_path, read_orders(service, stop=3))
    (rows,) = outputs_of(tmp_path, read_orders(service, stop=3).as_rows())
    assert [tuple(row) for row, _ in rows] == [tuple(change.to_row()) for change, _ in changes]
    assert [stamp for _, stamp in rows] == [stamp for _, stamp in changes]


def test_typed_rows_have_nested_fields_and_survive_their_coder(service: LocalStreams, tmp_path: Path) -> None:
    written(service)
    (rows,) = outputs_of(tmp_path, read_orders(service, stop=3).as_rows(SCHEMA))
    first, second, third = (row for row, _ in rows)
    assert (first.keys.id, first.new_image.total, first.new_image.tags) == ("a", Decimal("1.50"), ["x", None])
    assert (first.new_image.address.city, first.old_image, third.new_image) == ("B", None, None)
    assert (second.new_image.tags, second.new_image.other_attributes) == (None, '{"extra":{"N":"1"}}')
    coder = coders.registry.get_coder(row_hint(SCHEMA))
    assert isinstance(coder, coders.RowCoder)
    assert [coder.decode(coder.encode(row)) for row, _ in rows] == [row for row, _ in rows]


def city(row: Any) -> str | None:
    return row.new_image and row.new_image.address and row.new_image.address.city


def test_select_and_group_by_take_rows_of_the_step_and_of_the_read(service: LocalStreams) -> None:
    written(service)
    read = ReadFromDynamoDBStreams("orders", endpoint_url=service.endpoint_url, region_name="us-east-1", stop=3)
    with beam.Pipeline("FnApiRunner") as pipeline:
        rows = pipeline | "Changes" >> read | AsRows(SCHEMA)
        selected = rows | beam.Select("event_name", city=city)
        assert dict(selected.element_type._fields)["event_name"] is str
        counts = (
            pipeline | "Rows" >> read.as_rows() | beam.GroupBy("event_name").aggregate_field("version", len_of(), "n")
        )
        assert_that(
            selected | "Tuples" >> beam.Map(tuple_of), equal_to([("INSERT", "B"), ("INSERT", None), ("REMOVE", None)])
        )
        assert_that(
            counts | beam.Map(lambda r: (r.event_name, r.n)), equal_to([("INSERT", 2), ("REMOVE", 1)]), "counts"
        )


def len_of() -> Any:
    return beam.combiners.CountCombineFn()


def tuple_of(row: Any) -> tuple[Any, ...]:
    return (row.event_name, row.city)


@pytest.mark.parametrize("name", ["order-id", "class", "_x"])
def test_a_name_that_no_field_can_have_is_refused_unless_it_is_renamed(name: str) -> None:
    with pytest.raises(InvalidOptionError, match="rename"):
        AsRows(read_schema({"id": "string", name: "string"}, keys=["id"]))
    AsRows(read_schema({"id": "string", name: "string"}, keys=["id"], rename={name: "other_name"}))
