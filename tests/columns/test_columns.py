"""Changes as typed columns, by example. That all values agree is in tests/properties/test_column_agreement.py."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

import msgspec
import pyarrow as pa
import pytest

from beam_dynamodb_streams.columns import Columns, Misfit, Schema, json_field
from beam_dynamodb_streams.errors import InvalidOptionError, MisfitError
from beam_dynamodb_streams.records import CHANGE_SCHEMA, to_arrow
from beam_dynamodb_streams.records.envelope import change_records
from beam_dynamodb_streams.wire import RawChange, RawRecord

ATTRIBUTES = pa.schema(
    [
        ("order_id", pa.string()),
        ("total", pa.decimal128(10, 2)),
        ("quantity", pa.int64()),
        ("signature", pa.binary()),
        ("tags", pa.list_(pa.string())),
        ("address", pa.struct([("city", pa.string()), ("lines", pa.list_(pa.string()))])),
    ]
)
SCHEMA = Schema(ATTRIBUTES, keys=("order_id",))


def raw(
    new: str | None = None, old: str | None = None, keys: str = '{"order_id":{"S":"o1"}}', **more: Any
) -> RawRecord:
    change = RawChange(
        creation_time=1_770_000_000.25,
        keys=msgspec.Raw(keys.encode()),
        sequence_number="421584500000000017450439091",
        stream_view_type="NEW_AND_OLD_IMAGES",
        size_bytes=None,
        new_image=None if new is None else msgspec.Raw(new.encode()),
        old_image=None if old is None else msgspec.Raw(old.encode()),
    )
    return RawRecord("e1", "MODIFY", change, **more)


def new_images(columns: Columns, *images: str) -> tuple[list[Any], list[Misfit]]:
    """The rows of a page's new images; read twice, because the second page of its kind takes the fast way."""
    records = [raw(image) for image in images]
    first, second = (columns.of_page(records, "shardId-1") for _ in range(2))
    assert first.rows.equals(second.rows)
    assert first.misfits == second.misfits
    return second.rows.column("new_image").to_pylist(), second.misfits


def image(**attributes: object) -> str:
    return msgspec.json.encode({"order_id": {"S": "o1"}, **attributes}).decode()


def test_a_page_becomes_rows_of_metadata_keys_and_typed_images():
    new = (
        '{"order_id":{"S":"o1"},"total":{"N":"12.5"},"quantity":{"N":"3"},"signature":{"B":"AAE="},'
        '"tags":{"SS":["b","a"]},"address":{"M":{"city":{"S":"Oulu"},"lines":{"L":[{"S":"x"},{"NULL":true}]}}}}'
    )
    columns = Columns(SCHEMA)
    for _ in range(2):
        batch = columns.of_page([raw(new)], "shardId-1")
        assert batch.rows.schema == SCHEMA.arrow
        assert batch.misfits == []
        assert batch.rows.to_pylist() == [
            {
                "event_id": "e1",
                "event_name": "MODIFY",
                "sequence_number": "421584500000000017450439091",
                "version": f"{0:013}-{0:020}-{421584500000000017450439091:040}",
                "shard_id": "shardId-1",
                "approximate_creation_time": datetime(2026, 2, 2, 2, 40, 0, 250_000, tzinfo=timezone.utc),
                "size_bytes": None,
                "stream_view_type": "NEW_AND_OLD_IMAGES",
                "user_identity": None,
                "keys": {"order_id": "o1"},
                "new_image": {
                    "order_id": "o1",
                    "total": Decimal("12.50"),
                    "quantity": 3,
                    "signature": b"\x00\x01",
                    "tags": ["a", "b"],
                    "address": {"city": "Oulu", "lines": ["x", None]},
                    "other_attributes": None,
                },
                "old_image": None,
            }
        ]


def test_a_page_and_its_records_have_the_same_metadata_with_and_without_a_schema():
    page = [raw(image(), image(), user_identity=msgspec.Raw(b'{"Type":"Service"}')), raw(), raw(None, image())]
    records = list(change_records(page, "shardId-1"))
    columns = Columns(SCHEMA)
    rows = columns.of_page(page, "shardId-1").rows
    assert rows.equals(columns.of_records(records).rows)
    for name in CHANGE_SCHEMA.names[:8]:
        assert rows.column(name).equals(to_arrow(records).column(name))


def test_no_changes_make_an_empty_batch():
    batch = Columns(SCHEMA).of_page([], "shardId-1")
    assert batch.rows.num_rows == 0
    assert batch.rows.schema == SCHEMA.arrow


def test_keys_come_from_either_image_or_from_the_keys_alone():
    """Trap 17: views and kinds of change leave images out."""
    page = [raw(image()), raw(None, image()), raw(keys='{"order_id":{"S":"bare"}}')]
    columns = Columns(SCHEMA)
    for _ in range(2):
        rows = columns.of_page(page, "shardId-1").rows.to_pylist()
        assert [row["keys"]["order_id"] for row in rows] == ["o1", "o1", "bare"]
        assert [row["new_image"] is None for row in rows] == [False, True, True]
        assert [row["old_image"] is None for row in rows] == [True, False, True]


@pytest.mark.parametrize(
    ("attribute", "value", "column", "reason"),
    [
        ("total", {"N": "1.234"}, None, "more digits than decimal128(10, 2)"),
        ("total", {"N": "123456789.5"}, None, "more digits than decimal128(10, 2)"),
        ("total", {"N": "1E-130"}, None, "more digits than decimal128(10, 2)"),
        ("total", {"S": "12.5"}, None, "S is not decimal128(10, 2)"),
        ("quantity", {"N": "1.5"}, None, "not a whole number of 64 bits"),
        ("quantity", {"N": "9223372036854775808"}, None, "not a whole number of 64 bits"),
        ("quantity", {"N": "1E+125"}, None, "not a whole number of 64 bits"),
        ("quantity", {"N": "twelve"}, None, "a text that is not a number"),
        ("quantity", {"N": "NaN"}, None, "a number is finite"),
        ("quantity", {"N": 5}, None, "not a value of type N"),
        ("quantity", {}, None, "not an attribute value with one type tag"),
        ("quantity", {"N": "1", "S": "a"}, None, "not an attribute value with one type tag"),
        ("order_id", {"N": "1", "S": "a"}, None, "not an attribute value with one type tag"),
        ("signature", {"B": "?"}, None, "a text that is not base64"),
        ("signature", {"B": "A==="}, None, "a text that is not base64"),
        ("tags", {"SS": ["a", 1]}, None, "1: not a value of type S"),
        ("tags", {"L": [{"S": "a"}, {"BOOL": True}]}, ["a", None], "1: BOOL is not string"),
        (
            "address",
            {"M": {"city": {"S": "Oulu"}, "zip": {"S": "90"}}},
            {"city": "Oulu", "lines": None},
            "no such member",
        ),
        ("address", {"M": {"city": {"BOOL": True}}}, {"city": None, "lines": None}, "city: BOOL is not string"),
    ],
)
def test_a_misfit_is_null_in_its_column_and_a_dead_letter_beside_it(
    attribute: str, value: Mapping[str, object], column: object, reason: str
):
    wrong = image(**{attribute: value})
    (first, row, last), misfits = new_images(Columns(SCHEMA), image(quantity={"N": "7"}), wrong, image())
    assert row[attribute] == column
    assert (first["quantity"], last["quantity"]) == (7, None)
    (misfit,) = misfits
    assert (misfit.event_id, misfit.shard_id, misfit.image, misfit.attribute) == (
        "e1",
        "shardId-1",
        "new_image",
        attribute,
    )
    assert reason in misfit.reason
    assert msgspec.json.decode(misfit.payload) == value


def test_an_image_that_is_not_an_object_is_a_misfit_as_a_whole():
    (first, second), misfits = new_images(Columns(SCHEMA), "[]", image())
    assert first is None
    assert second["order_id"] == "o1"
    assert [(misfit.attribute, misfit.payload) for misfit in misfits] == [(None, b"[]")]


def test_numbers_in_unusual_spellings_fit_all_the_same():
    columns = Columns(SCHEMA)
    for text, total in [("1E+3", 1000), ("1.50E1", 15), ("0.100", Decimal("0.1")), ("-0", 0), ("0E-9", 0), ("007", 7)]:
        (row,), misfits = new_images(columns, image(total={"N": text}))
        assert (row["total"], misfits) == (total, [])
    for text in ("12.0", "1.2E1", "12E0"):
        (row,), misfits = new_images(columns, image(quantity={"N": text}))
        assert (row["quantity"], misfits) == (12, [])


def test_text_keeps_misfits_with_the_attributes_that_have_no_column():
    columns = Columns(Schema(ATTRIBUTES, keys=("order_id",), on_misfit="text"))
    wrong = {"total": {"S": "much"}, "note": {"S": "é"}, "quantity": {"N": "1"}}
    (row, plain), misfits = new_images(columns, image(**wrong), image())
    assert misfits == []
    assert row["quantity"] == 1
    assert row["other_attributes"] == '{"note":{"S":"é"},"total":{"S":"much"}}'
    assert plain["other_attributes"] is None


def test_a_column_may_have_a_policy_of_its_own():
    schema = Schema(ATTRIBUTES, keys=("order_id",), on_misfit_in={"total": "text", "tags": "raise"})
    columns = Columns(schema)
    (row,), misfits = new_images(columns, image(total={"S": "much"}, quantity={"S": "many"}))
    assert row["other_attributes"] == '{"total":{"S":"much"}}'
    assert [misfit.attribute for misfit in misfits] == ["quantity"]
    with pytest.raises(MisfitError, match=r"new_image\.tags"):
        columns.of_page([raw(image(quantity={"S": "many"}, tags={"S": "a"}))], "shardId-1")


def test_text_that_no_image_can_keep_is_a_dead_letter():
    """Under KEYS_ONLY there is no image (trap 17), and an image that is not an object has no column for others."""
    columns = Columns(Schema(pa.schema([("order_id", pa.int64())]), keys=("order_id",), on_misfit="text"))
    batch = columns.of_page([raw(), raw("[]")], "shardId-1")
    assert [(misfit.image, misfit.attribute, misfit.payload) for misfit in batch.misfits] == [
        ("new_image", None, b"[]"),
        ("keys", "order_id", b'{"S":"o1"}'),
    ]


def test_raise_names_the_attribute_the_reason_the_place_and_the_fix():
    columns = Columns(Schema(ATTRIBUTES, keys=("order_id",), on_misfit="raise"))
    with pytest.raises(MisfitError, match=r"new_image\.total does not fit its column: S is not decimal128") as caught:
        columns.of_page([raw(image(total={"S": "much"}))], "shardId-1")
    assert caught.value.shard == "shardId-1"
    assert caught.value.position == "421584500000000017450439091"


def test_attributes_without_a_column_are_kept_as_json_or_left_out_if_asked():
    images = [image(note={"S": "a"}, more={"L": []}), image()]
    rows, misfits = new_images(Columns(SCHEMA), *images)
    assert [row["other_attributes"] for row in rows] == ['{"more":{"L":[]},"note":{"S":"a"}}', None]
    assert misfits == []
    rows, misfits = new_images(Columns(Schema(ATTRIBUTES, keys=("order_id",), other=None)), *images)
    assert rows[0] == rows[1]
    assert misfits == []


def test_null_and_absent_attributes_are_null():
    rows, misfits = new_images(
        Columns(SCHEMA), image(total={"NULL": True}, address={"M": {"city": {"NULL": True}}}), image()
    )
    assert rows[0]["total"] is None
    assert rows[0]["address"] == {"city": None, "lines": None}
    assert rows[1]["address"] is None
    assert misfits == []


def test_maps_and_json_columns_take_any_names():
    attributes = pa.schema([("id", pa.string()), ("counts", pa.map_(pa.string(), pa.int64())), json_field("document")])
    columns = Columns(Schema(attributes, keys=("id",)))
    document = '{"M":{"a":{"L":[{"N":"1.50"}]}}}'
    (row, bad), misfits = new_images(
        columns,
        '{"id":{"S":"1"},"counts":{"M":{"x":{"N":"1"},"y":{"N":"2"}}},"document":' + document + "}",
        '{"id":{"S":"2"},"counts":{"M":{"x":{"S":"1"}}}}',
    )
    assert row["counts"] == [("x", 1), ("y", 2)]
    assert row["document"] == document
    assert bad["counts"] == [("x", None)]
    assert [misfit.reason for misfit in misfits] == ["x: S is not int64"]


def test_images_may_hold_line_ends_and_any_text():
    pretty = '{\n  "order_id": {\r\n "S": "a\\n\\"}b\\u00e9\\ud83d\\ude00" },\n"tags": {"SS": ["\\u0000", "é"]} }'
    rows, misfits = new_images(Columns(SCHEMA), pretty, image())
    assert rows[0]["order_id"] == 'a\n"}bé😀'
    assert rows[0]["tags"] == ["\x00", "é"]
    assert misfits == []


def test_a_name_that_is_twice_in_an_image_counts_once():
    rows, misfits = new_images(Columns(SCHEMA), '{"order_id":{"S":"a"},"order_id":{"S":"b"}}', image())
    assert [row["order_id"] for row in rows] == ["b", "o1"]
    assert misfits == []


def test_a_set_is_sorted_by_its_columns_values():
    attributes = pa.schema([("id", pa.string()), ("numbers", pa.list_(pa.float64())), ("texts", pa.list_(pa.string()))])
    columns = Columns(Schema(attributes, keys=("id",)))
    numbers = '{"id":{"S":"1"},"numbers":{"NS":["10","9","-1"]},"texts":{"NS":["10","9"]}}'
    rows, _ = new_images(columns, numbers, numbers)
    assert [(row["numbers"], row["texts"]) for row in rows] == [([-1.0, 9.0, 10.0], ["10", "9"])] * 2


def test_schema_and_columns_are_pickled():
    columns = pickle.loads(pickle.dumps(Columns(SCHEMA)))  # noqa: S301
    assert columns.schema == SCHEMA
    assert columns.of_page([raw(image())], "shardId-1").rows.equals(
        Columns(SCHEMA).of_page([raw(image())], "shardId-1").rows
    )


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"attributes": pa.schema([])}, "at least one attribute"),
        ({"attributes": pa.schema([("a", pa.string()), ("a", pa.int64())])}, "each name once"),
        ({"attributes": pa.schema([("a", pa.int16())])}, "'a' is declared int16"),
        ({"attributes": pa.schema([("a", pa.map_(pa.int64(), pa.string()))])}, "'a' is declared map<int64, string>"),
        ({"attributes": pa.schema([("a", pa.struct([]))])}, "'a' is declared struct<>"),
        (
            {"attributes": pa.schema([("a", pa.list_(pa.struct([("b", pa.date32())])))])},
            r"'a\[\]\.b' is declared date32",
        ),
        ({"attributes": pa.schema([("a", pa.struct([json_field("b")]))])}, "whole attribute with json_field"),
        ({"keys": ()}, r"keys=\(\)"),
        ({"keys": ("unknown",)}, r"keys=\('unknown',\)"),
        ({"keys": ("tags",)}, "key attribute 'tags'"),
        ({"other": "total"}, "other='total'"),
        ({"other": ""}, "other=''"),
        ({"on_misfit": "drop"}, "on_misfit='drop'"),
        ({"on_misfit": "text", "other": None}, "give other a name"),
        ({"on_misfit_in": {"total": "text"}, "other": None}, "give other a name"),
        ({"on_misfit_in": {"total": "drop"}}, "on_misfit='drop'"),
        ({"on_misfit_in": {"sum": "raise"}}, "name attributes among"),
        ({"attributes": {"total": "string"}}, "use read_schema for other forms"),
        ({"attributes": pa.schema([("a", pa.decimal128(5, -2))])}, "0 <= s <= p"),
        ({"attributes": pa.schema([("", pa.string())])}, "has an empty name"),
        ({"keys": "order_id"}, "keys='order_id'"),
    ],
)
def test_a_schema_that_cannot_work_is_refused_with_the_fix(options: dict[str, Any], reason: str):
    with pytest.raises(InvalidOptionError, match=reason):
        Schema(**{"attributes": ATTRIBUTES, "keys": ("order_id",), **options})


def test_more_bytes_of_images_than_arrow_has_offsets_for_are_parsed_in_parts(monkeypatch):
    """An offset in a text has 31 bits in Arrow, but a sample or a filtered bundle has any number of changes."""
    made = [image(total={"N": str(n)}, quantity={"N": "1.5" if n % 7 == 0 else "1"}) for n in range(200)]
    records = list(change_records([raw(new) for new in made], "shardId-1"))
    whole = Columns(SCHEMA).of_records(records)
    monkeypatch.setattr("beam_dynamodb_streams.columns.parse._MAX_BYTES", 1_000)
    parts = Columns(SCHEMA).of_records(records)
    assert parts.rows.equals(whole.rows)
    assert parts.misfits == whole.misfits
    assert len(parts.misfits) == 29
