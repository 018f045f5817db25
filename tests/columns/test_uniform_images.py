"""Images of one shape are cut, not parsed: every value is what the rule for single images says."""

from __future__ import annotations

import random
from datetime import datetime, timezone

import msgspec
import pyarrow as pa
import pytest

from beam_dynamodb_streams.columns import Columns, Schema
from beam_dynamodb_streams.columns.scalar import convert_image
from beam_dynamodb_streams.columns.uniform import uniform_images
from beam_dynamodb_streams.records.fields import EPOCH, MICROSECOND
from beam_dynamodb_streams.records.record import make_record
from beam_dynamodb_streams.records.versions import UNKNOWN_BASE

ATTRIBUTES = pa.schema(
    [
        ("id", pa.string()),
        ("count", pa.int64()),
        ("price", pa.decimal128(10, 2)),
        ("paid", pa.bool_()),
        ("blob", pa.binary()),
        ("words", pa.list_(pa.string())),
        ("sizes", pa.list_(pa.float64())),
        ("place", pa.struct([("city", pa.string()), ("open", pa.bool_()), ("at", pa.list_(pa.float64()))])),
    ]
)
TIME = (datetime(2026, 1, 31, tzinfo=timezone.utc) - EPOCH) // MICROSECOND


def item(number: int) -> dict[str, object]:
    return {
        "id": {"S": f"item {number}"},
        "count": {"N": str(number - 50)},
        "price": {"N": f"{number}.25"},
        "paid": {"BOOL": number % 3 == 0},
        "blob": {"B": ["", "YQ==", "YWI=", "YWJj"][number % 4]},
        "words": {"SS": ["b" * (number % 5), "a"]},
        "sizes": {"L": [{"N": str(number)}, {"N": "1E3"}]},
        "place": {"M": {"city": {"S": "Łódź"}, "open": {"BOOL": number % 2 == 0}, "at": {"NS": ["3", "1.5"]}}},
    }


def check(images: list[bytes], *, cut: int | None = None) -> list[dict]:
    """Return the rows of these images; that many of them must have been cut."""
    columns = Columns(Schema(ATTRIBUTES, keys=("id",)))
    records = [
        make_record(
            f"e{place}",
            "INSERT",
            "1" * 21,
            UNKNOWN_BASE,
            "s",
            TIME,
            1,
            "NEW_IMAGE",
            b'{"id":{"S":"a"}}',
            image,
            None,
            None,
        )
        for place, image in enumerate(images)
    ]
    fits = [convert_image(columns.schema, image) for image in images]
    expected = pa.array([row for row, _ in fits], columns.schema.image)
    for _ in range(3):
        batch = columns.of_records(records)
        batch.rows.validate(full=True)
        assert batch.rows.column("new_image").equals(expected)
        assert [(each.attribute, each.payload) for each in batch.misfits] == [
            (misfit.attribute, misfit.payload) for _, found in fits for misfit in found
        ]
    if cut is not None:
        assert sum(len(found.indices) for found in uniform_images(images, list(ATTRIBUTES))) == cut
    return expected.to_pylist()


encode = msgspec.json.encode


def test_images_that_differ_in_their_texts_alone_are_cut():
    rows = check([encode(item(number)) for number in range(100)], cut=100)
    assert rows[99]["count"] == 49
    assert rows[99]["words"] == ["a", "bbbb"]


def test_each_of_the_frequent_shapes_is_cut_and_the_rest_is_parsed():
    order = random.Random(1)
    images = []
    for number in range(300):
        one = item(number)
        if number % 3 == 1:
            one = dict(reversed(one.items()))  # another order, with as many quotes
        if number % 3 == 2:
            del one["place"]
        if number % 50 == 7:
            one["words"] = {"L": [{"S": "x"}, {"NULL": True}, {"S": "y"}]}
        images.append(encode(one))
    order.shuffle(images)
    check(images, cut=294)


BESIDE = {
    "an escaped quote": item(1) | {"id": {"S": 'a"b'}},
    "a text that looks like the next attribute": item(1) | {"id": {"S": '"},"count":{"N":"7'}},
    "a backslash": item(1) | {"id": {"S": "a\\b"}},
    "another tag": item(1) | {"count": {"S": "7"}},
    "a bool that is a text": item(1) | {"paid": {"BOOL": "true"}},
    "a bool that is null": item(1) | {"paid": {"BOOL": None}},
    "a bool that is a number": item(1) | {"paid": {"BOOL": 1000}},
    "a null": item(1) | {"paid": {"NULL": True}},
    "a null that is false": item(1) | {"paid": {"NULL": False}},
    "a misfit": item(1) | {"count": {"N": "1.5"}},
    "a number that is none": item(1) | {"count": {"N": "seven"}},
    "a tiny decimal": item(1) | {"price": {"N": "1E-130"}},
    "no base64": item(1) | {"blob": {"B": "ab=c"}},
    "an attribute without a column": item(1) | {"other": {"S": "x"}},
    "a member without a column": item(1) | {"place": {"M": {"town": {"S": "x"}}}},
    "a text with no tag": item(1) | {"id": "x"},
    "a name that is a tag": {"S": {"S": "x"}} | item(1),
    "nothing": {},
}


@pytest.mark.parametrize("beside", BESIDE.values(), ids=BESIDE)
@pytest.mark.parametrize("place", [0, 50, 99])
def test_an_image_of_another_kind_among_them_is_what_it_is_alone(beside: dict[str, object], place: int):
    images = [encode(item(number)) for number in range(100)]
    images[place] = encode(beside)
    check(images)


@pytest.mark.parametrize("beside", BESIDE.values(), ids=BESIDE)
def test_images_that_are_all_of_another_kind_are_what_they_are_alone(beside: dict[str, object]):
    check([encode(beside)] * 70)


SPELT = {
    "a space": b'{"id": {"S":"a"},"paid": {"BOOL": true}}',
    "a line end": b'{"id":{"S":"a"},\n"paid":{"BOOL":true}}',
    "an attribute twice": b'{"id":{"S":"a"},"id":{"S":"b"}}',
    "an escaped name": b'{"\\u0069d":{"S":"a"}}',
    "no object": b'["a"]',
    "a text": b'"a"',
    "a control character": b'{"id":{"S":"a\x01"}}',
    "cut off behind a bool": b'{"id":{"S":"a"},"paid":{"BOOL":f"',
}


@pytest.mark.parametrize("spelling", SPELT.values(), ids=SPELT)
def test_an_unusual_spelling_is_read_as_it_is_alone(spelling: bytes):
    usual = b'{"id":{"S":"a"},"paid":{"BOOL":false}}'
    for images in ([spelling] * 70, [usual] * 70 + [spelling], [spelling] + [usual] * 70):
        check(images)


@pytest.mark.parametrize("wrong", [{}, {"count": {"N": "1.5"}}, {"blob": {"B": "?"}}, {"price": {"N": "0.001"}}])
@pytest.mark.parametrize("differs", [None, 0, 63, 64, 127])
def test_values_that_the_second_half_repeats_are_those_of_single_images(wrong: dict, differs: int | None) -> None:
    items = [item(number) | (wrong if number == 7 else {}) for number in range(64)] * 2
    if differs is not None:
        items[differs] = {**items[differs], "count": {"N": "77"}, "sizes": {"L": [{"N": "7"}, {"N": "1E3"}]}}
    check([msgspec.json.encode(each) for each in items])
