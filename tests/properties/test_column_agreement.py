"""The columnar path and the record path agree on every value of every type."""

from __future__ import annotations

import math
from datetime import datetime, timezone
from decimal import Decimal, localcontext

import msgspec
import pyarrow as pa
from attribute_values import binaries, images, numbers, texts, values
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_dynamodb_streams.columns import Columns, Schema, json_field
from beam_dynamodb_streams.columns.scalar import convert_image
from beam_dynamodb_streams.records import ChangeRecord, Value

CLOSED = [
    pa.field("id", pa.string()),
    pa.field("text", pa.string()),
    pa.field("whole", pa.int64()),
    pa.field("real", pa.float64()),
    pa.field("money", pa.decimal128(10, 2)),
    pa.field("exact", pa.decimal128(38, 0)),
    pa.field("flag", pa.bool_()),
    pa.field("blob", pa.binary()),
    pa.field("words", pa.list_(pa.string())),
    pa.field("counts", pa.list_(pa.int64())),
    pa.field("prices", pa.list_(pa.decimal128(10, 2))),
    pa.field("blobs", pa.list_(pa.binary())),
    pa.field(
        "point",
        pa.struct([("x", pa.float64()), ("tags", pa.list_(pa.string())), ("in", pa.struct([("n", pa.int64())]))]),
    ),
    pa.field("path", pa.list_(pa.struct([("x", pa.float64()), ("name", pa.string())]))),
]
OPEN = [*CLOSED, pa.field("bag", pa.map_(pa.string(), pa.int64())), json_field("any")]

small = st.integers(-(10**6), 10**6).map(Decimal)
cents = st.integers(-(10**9), 10**9).map(lambda number: Decimal(number).scaleb(-2))
whole = st.integers(-(2**63), 2**63 - 1).map(Decimal)
point = st.fixed_dictionaries(
    {},
    optional={"x": cents, "tags": st.lists(texts, max_size=3), "in": st.fixed_dictionaries({}, optional={"n": whole})},
)
FITTING: dict[str, st.SearchStrategy[Value]] = {
    "text": st.one_of(texts, numbers(), st.none()),
    "whole": st.one_of(whole, st.none()),
    "real": st.one_of(small, numbers()),
    "money": cents,
    "exact": st.integers(-(10**38) + 1, 10**38 - 1).map(Decimal),
    "flag": st.booleans(),
    "blob": binaries,
    "words": st.one_of(
        st.lists(texts, max_size=3), st.sets(texts, min_size=1, max_size=4), st.sets(numbers(), min_size=1)
    ),
    "counts": st.one_of(st.lists(whole, max_size=3), st.sets(whole, min_size=1, max_size=4)),
    "prices": st.one_of(st.lists(cents, max_size=3), st.sets(cents, min_size=1, max_size=4)),
    "blobs": st.one_of(st.lists(binaries, max_size=3), st.sets(binaries, min_size=1, max_size=4)),
    "point": point,
    "path": st.lists(st.fixed_dictionaries({}, optional={"x": cents, "name": texts}), max_size=3),
    "bag": st.dictionaries(texts.filter(bool), whole, max_size=3),
    "any": values,
}
fitting_images = st.fixed_dictionaries({"id": texts.filter(bool)}, optional=FITTING)
any_images = st.builds(
    lambda extra, known: {**extra, **known},
    images,
    st.fixed_dictionaries(
        {"id": texts.filter(bool)}, optional={name: st.one_of(each, values) for name, each in FITTING.items()}
    ),
)
pages = st.lists(st.tuples(st.none() | fitting_images, st.none() | fitting_images), max_size=4)
wild_pages = st.lists(st.tuples(st.none() | any_images, st.none() | any_images), max_size=3)
few = settings(max_examples=60, deadline=None)


def read(page: list[tuple[dict[str, Value] | None, dict[str, Value] | None]]) -> list[ChangeRecord]:
    return [
        ChangeRecord(
            event_id=f"e{place}",
            event_name="MODIFY",
            keys={"id": (new or old or {"id": "bare"})["id"]},
            new_image=new,
            old_image=old,
            sequence_number=str(100 + place),
            shard_id="shardId-1",
            approximate_creation_time=datetime(2026, 1, 31, tzinfo=timezone.utc),
        )
        for place, (new, old) in enumerate(page)
    ]


def held(kind: pa.DataType, value: Value) -> object:
    """Return what a column of this type holds of a value, computed from the value alone."""
    if value is None:
        return None
    if pa.types.is_string(kind):
        return value if isinstance(value, str) else str(value) if isinstance(value, Decimal) else None
    if isinstance(value, bool):
        return value if kind == pa.bool_() else None
    if isinstance(value, Decimal):
        if kind == pa.float64():
            return float(value)
        if kind == pa.int64():
            return int(value) if value == int(value) and -(2**63) <= value < 2**63 else None
        if pa.types.is_decimal(kind):
            with localcontext(prec=300):
                scaled = value.scaleb(kind.scale)
                fits = scaled == scaled.to_integral_value() and abs(scaled) < Decimal(10) ** kind.precision
            return value if fits else None
        return None
    if isinstance(value, bytes):
        return value if kind == pa.binary() else None
    if isinstance(value, dict):
        if pa.types.is_map(kind):
            return [(name, held(kind.item_type, each)) for name, each in value.items()]
        if pa.types.is_struct(kind):
            return {member.name: held(member.type, value.get(member.name)) for member in kind}
        return None
    if not pa.types.is_list(kind):
        return None
    elements = [held(kind.value_type, element) for element in value]
    if isinstance(value, set):
        return None if None in elements else sorted(elements)  # type: ignore[type-var]
    return elements


@few
@given(pages, st.booleans())
def test_values_that_fit_are_the_same_in_columns_as_in_records(page, with_open_columns: bool):
    columns = Columns(Schema(pa.schema(OPEN if with_open_columns else CLOSED), keys=("id",)))
    records = read(
        page
        if with_open_columns
        else [
            tuple(image and {name: image[name] for name in image if name not in ("bag", "any")} for image in both)
            for both in page
        ]
    )
    first = columns.of_records(records)
    second = columns.of_records(records)  # now it knows the tags, and takes the fast way
    assert first.rows.equals(second.rows)
    assert first.misfits == second.misfits == []
    first.rows.validate(full=True)
    for row, record in zip(second.rows.to_pylist(), records, strict=True):
        assert row["keys"] == record.keys
        assert row["event_id"] == record.event_id
        assert row["approximate_creation_time"] == record.approximate_creation_time
        for name in ("new_image", "old_image"):
            image = getattr(record, name)
            if image is None:
                assert row[name] is None
                continue
            assert row[name]["other_attributes"] is None
            for column in columns.schema.attributes:
                if column.name != "any":
                    assert row[name][column.name] == held(column.type, image.get(column.name)), column
                elif "any" in image:
                    assert ChangeRecord.from_json(record.to_json()) == record
                    tagged = msgspec.json.decode(getattr(record, f"{name}_json"))["any"]
                    assert msgspec.json.decode(row[name]["any"]) == tagged


@few
@given(wild_pages, st.booleans(), st.sampled_from(["dead_letter", "text"]))
def test_whatever_images_hold_the_columns_are_what_the_one_by_one_rule_says(page, with_open_columns: bool, policy):
    schema = Schema(pa.schema(OPEN if with_open_columns else CLOSED), keys=("id",), on_misfit=policy)
    columns = Columns(schema)
    records = read(page)
    batch = columns.of_records(records)
    again = columns.of_records(records)
    assert batch.rows.equals(again.rows)
    assert batch.misfits == again.misfits
    expected_misfits = []
    for name in ("new_image", "old_image"):
        fits = [
            None if (raw := getattr(record, f"{name}_json")) is None else convert_image(schema, raw)
            for record in records
        ]
        rows = pa.array([fit and fit[0] for fit in fits], schema.image)
        assert batch.rows.column(name).equals(rows)
        for record, fit in zip(records, fits, strict=True):
            expected_misfits += [
                (record.event_id, name, misfit.attribute, misfit.reason, misfit.payload)
                for misfit in (fit[1] if fit else ())
            ]
    if policy == "text":
        assert batch.misfits == []
    else:
        assert [
            (misfit.event_id, misfit.image, misfit.attribute, misfit.reason, misfit.payload) for misfit in batch.misfits
        ] == expected_misfits


@few
@given(wild_pages)
def test_no_attribute_is_lost_under_the_text_policy(page):
    schema = Schema(pa.schema(CLOSED), keys=("id",), on_misfit="text")
    for row, record in zip(Columns(schema).of_records(read(page)).rows.to_pylist(), read(page), strict=True):
        for name in ("new_image", "old_image"):
            image = getattr(record, name)
            if image is None:
                continue
            others = msgspec.json.decode(row[name]["other_attributes"] or "{}")
            tagged = msgspec.json.decode(getattr(record, f"{name}_json"))
            for attribute, value in image.items():
                column = row[name].get(attribute)
                in_other = others.get(attribute) == tagged[attribute]
                assert in_other or (column is None) == (value is None), attribute


@few
@given(st.lists(numbers(), min_size=1, max_size=5))
def test_a_double_is_the_nearest_to_the_number(each):
    schema = Schema(pa.schema([pa.field("id", pa.string()), pa.field("real", pa.float64())]), keys=("id",))
    columns = Columns(schema)
    records = read([({"id": "a", "real": number}, None) for number in each])
    for _ in range(2):
        reals = [row["new_image"]["real"] for row in columns.of_records(records).rows.to_pylist()]
        assert all(
            math.isclose(real, float(number), rel_tol=0, abs_tol=0) for real, number in zip(reals, each, strict=True)
        )


@few
@given(st.lists(any_images, min_size=1, max_size=3), st.lists(fitting_images, min_size=1, max_size=2), st.randoms())
def test_images_of_one_shape_are_what_the_one_by_one_rule_says(wild, fitting, order):
    schema = Schema(pa.schema(CLOSED), keys=("id",))
    images = [*wild, *fitting] * 40  # enough of each to be cut and not parsed
    order.shuffle(images)
    records = read([(image, None) for image in images])
    batch = Columns(schema).of_records(records)
    fits = [convert_image(schema, record.new_image_json) for record in records]
    assert batch.rows.column("new_image").equals(pa.array([row for row, _ in fits], schema.image))
    assert [(misfit.attribute, misfit.reason, misfit.payload) for misfit in batch.misfits] == [
        (misfit.attribute, misfit.reason, misfit.payload) for _, found in fits for misfit in found
    ]
