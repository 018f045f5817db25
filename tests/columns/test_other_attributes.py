"""Attributes without a column beside typed columns: which way they are read changes nothing."""

from __future__ import annotations

from datetime import datetime, timezone

import msgspec
import pyarrow as pa
import pytest

from beam_dynamodb_streams.columns import Columns, Schema, json_field
from beam_dynamodb_streams.columns.scalar import convert_image
from beam_dynamodb_streams.records.fields import EPOCH, MICROSECOND
from beam_dynamodb_streams.records.record import ChangeRecord, make_record
from beam_dynamodb_streams.records.versions import UNKNOWN_BASE

ATTRIBUTES = [pa.field("id", pa.string()), pa.field("count", pa.int64())]
TIME = (datetime(2026, 1, 31, tzinfo=timezone.utc) - EPOCH) // MICROSECOND


def change(image: bytes, place: int = 0) -> ChangeRecord:
    keys = b'{"id":{"S":"a"}}'
    return make_record(
        f"e{place}", "INSERT", "1" * 21, UNKNOWN_BASE, "shardId-1", TIME, 1, "NEW_IMAGE", keys, image, None, None
    )


def check(columns: Columns, images: list[bytes]) -> list[dict]:
    """The new images of a batch, held to be what the rule for single images says."""
    batch = columns.of_records([change(image, place) for place, image in enumerate(images)])
    fits = [convert_image(columns.schema, image) for image in images]
    assert batch.rows.column("new_image").equals(pa.array([row for row, _ in fits], columns.schema.image))
    assert [(each.attribute, each.payload) for each in batch.misfits] == [
        (misfit.attribute, misfit.payload) for _, found in fits for misfit in found
    ]
    return batch.rows.column("new_image").to_pylist()


def image(**attributes: object) -> bytes:
    return msgspec.json.encode({"id": {"S": "a"}, **attributes})


ODD_SPELLINGS = {
    "attributes in another order": b'{"zebra":{"S":"z"},"id":{"S":"a"},"ant":{"S":"b"}}',
    "no attribute with a column": b'{"ant":{"S":"b"}}',
    "no attribute at all": b"{}",
    "spaces between": b'{ "id": {"S":"a"}, "ant": {"S":"b"} }',
    "a line end between": b'{"id":{"S":"a"},\n"ant":{"S":"b"}}',
    "a column's name twice": b'{"id":{"S":"b"},"id":{"S":"a"},"ant":{"S":"b"}}',
    "another name twice": b'{"id":{"S":"a"},"ant":{"S":"c"},"ant":{"S":"b"}}',
    "an escaped letter in a name": b'{"i\\u0064":{"S":"a"},"\\u0061nt":{"S":"b"}}',
    "a quote in a name": b'{"id":{"S":"a"},"a\\"b":{"S":"c"},"ant":{"S":"b"}}',
    "a name of no letters": b'{"id":{"S":"a"},"":{"S":"c"}}',
    "a misfit beside others": b'{"id":{"S":"a"},"count":{"N":"1.5"},"ant":{"S":"b"}}',
    "two tags": b'{"id":{"S":"a","N":"1"},"ant":{"S":"b"}}',
    "no object": b"[]",
    "no attribute value": b'{"id":7,"ant":{"S":"b"}}',
}


@pytest.mark.parametrize("spelling", ODD_SPELLINGS.values(), ids=ODD_SPELLINGS)
@pytest.mark.parametrize("opened", [False, True], ids=["typed columns", "typed and json columns"])
@pytest.mark.parametrize("other", ["other_attributes", None])
def test_an_image_is_read_the_same_alone_after_others_and_among_them(spelling: bytes, opened: bool, other: str | None):
    fields = [*ATTRIBUTES, json_field("ant")] if opened else ATTRIBUTES
    columns = Columns(Schema(pa.schema(fields), keys=("id",), other=other))
    plain = image(ant={"S": "b"}, count={"N": "1"}, zebra={"BOOL": True})
    for images in ([spelling], [plain], [spelling], [plain, spelling, image()], [image()], [spelling, image()]):
        check(columns, images)


def test_others_are_in_the_order_of_their_names():
    columns = Columns(Schema(pa.schema(ATTRIBUTES), keys=("id",)))
    for _ in range(2):
        (row,) = check(columns, [image(b={"S": "2"}, é={"S": "4"}, a={"S": "1"}, c={"S": "3"})])
        assert row["other_attributes"] == '{"a":{"S":"1"},"b":{"S":"2"},"c":{"S":"3"},"é":{"S":"4"}}'


def test_a_table_whose_attribute_names_are_data_is_read_as_any_other():
    columns = Columns(Schema(pa.schema(ATTRIBUTES), keys=("id",)))
    for start in range(0, 1000, 100):
        rows = check(columns, [image(**{f"name {start + place}": {"N": str(place)}}) for place in range(100)])
        assert rows[7]["other_attributes"] == f'{{"name {start + 7}":{{"N":"7"}}}}'


def test_a_long_image_among_many_is_parsed_as_they_are():
    columns = Columns(Schema(pa.schema(ATTRIBUTES), keys=("id",)))
    images = [image(count={"N": str(place)}) for place in range(20_000)]
    images[11_000] = msgspec.json.encode({"id": {"S": "é" * 300_000}, "count": {"N": "11000"}})
    for _ in range(2):
        assert [row["count"] for row in check(columns, images)] == list(range(20_000))
