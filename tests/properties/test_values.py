"""Attribute values survive the way to DynamoDB JSON and back, whatever the decimal context."""

from __future__ import annotations

import copy
import json
import pickle
from datetime import datetime, timezone
from decimal import ROUND_DOWN, Clamped, Context, Decimal, Inexact, Rounded, Underflow, localcontext
from typing import Any

import pytest
from attribute_values import images, keys, numbers, values
from boto3.dynamodb.types import TypeDeserializer
from hypothesis import example, given, settings
from hypothesis import strategies as st

from beam_dynamodb_streams.errors import MalformedRecordError
from beam_dynamodb_streams.records import (
    ChangeRecord,
    ChangeRecordCoder,
    Image,
    Value,
    decode_image,
    decode_value,
    encode_image,
    encode_value,
)
from beam_dynamodb_streams.records.values import same_values

few = settings(max_examples=150, deadline=None)


def without_set_order(tagged: dict[str, Any]) -> tuple[str, object]:
    """A parsed DynamoDB JSON value with its sets as frozensets and its numbers as numbers."""
    ((tag, content),) = tagged.items()
    match tag:
        case "NS":
            return tag, frozenset(map(Decimal, content))
        case "SS" | "BS":
            return tag, frozenset(content)
        case "N":
            return tag, Decimal(content)
        case "L":
            return tag, list(map(without_set_order, content))
        case "M":  # whose names may be those of tags
            return tag, {name: without_set_order(value) for name, value in content.items()}
    return tag, content


@few
@given(values)
def test_a_value_is_the_same_after_encoding_and_decoding(value: Value):
    assert same_values(decode_value(encode_value(value)), value)


@few
@given(images)
def test_an_image_is_the_same_after_encoding_and_decoding_in_its_order(image: Image):
    decoded = decode_image(encode_image(image))
    assert same_values(decoded, image)
    assert list(decoded) == list(image)


@few
@given(values)
@example({"NS": None, "N": "text"})
def test_encoding_what_was_decoded_gives_the_same_json(value: Value):
    received = encode_value(value)
    again = encode_value(decode_value(received))
    assert without_set_order(json.loads(again)) == without_set_order(json.loads(received))


@few
@given(numbers())
def test_no_decimal_context_changes_a_number_or_makes_it_raise(number: Decimal):
    """Trap 16."""
    text = str(number)
    with localcontext(Context(prec=1, rounding=ROUND_DOWN, Emin=-1, Emax=1, traps=[Inexact, Rounded])):
        decoded = decode_value(json.dumps({"N": text}).encode())
        in_a_set = decode_value(json.dumps({"NS": [text]}).encode())
    assert isinstance(decoded, Decimal)
    assert decoded.as_tuple() == number.as_tuple()
    assert in_a_set == {number}


tags = st.sampled_from(["S", "N", "B", "M", "L", "SS", "NS", "BS", "NULL", "BOOL", "x"])
anything = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=3)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(tags, inner, max_size=2)),
    max_leaves=8,
)


@few
@given(anything)
def test_any_json_is_a_value_or_a_malformed_record_with_its_bytes(parsed: object):
    raw = json.dumps(parsed).encode()
    payload: bytes | None = raw
    for decode in (decode_value, decode_image):
        try:
            decode(raw)
        except MalformedRecordError as error:
            payload = error.payload
        assert payload == raw


@few
@given(
    keys,
    st.none() | images,
    st.none() | images,
    st.none() | st.integers(0, 2**40),
    st.datetimes(timezones=st.just(timezone.utc)),
)
def test_a_record_is_equal_after_every_way_out_and_in(
    keys: Image, new_image: Image | None, old_image: Image | None, size_bytes: int | None, created: datetime
):
    record = ChangeRecord(
        event_id="e1",
        event_name="MODIFY",
        keys=keys,
        new_image=new_image,
        old_image=old_image,
        sequence_number="421584500000000017450439091",
        shard_id="shardId-00000001763000000000-a1b2c3d4",
        approximate_creation_time=created,
        size_bytes=size_bytes,
    )
    coder = ChangeRecordCoder()
    for other in (
        ChangeRecord.from_json(record.to_json()),
        ChangeRecord(**record.to_dict()),
        coder.decode(coder.encode(record)),
        pickle.loads(pickle.dumps(record)),  # noqa: S301
        copy.deepcopy(record),
    ):
        assert other == record
        assert hash(other) == hash(record)
        assert other.approximate_creation_time == created
    assert "\n" not in record.to_json()


@pytest.mark.parametrize(
    "text",
    [
        "1" * 38 + "0",
        "1" * 38 + ".0",
        "1." + "0" * 38,
        "1" + "0" * 125,
        "-9" + "0" * 125,
        "0E-200",
        "1.2345678901234567890123456789012345678E-130",
    ],
    ids=lambda text: f"{text[:12]}… of {len(text)}",
)
def test_legal_numbers_that_boto3_raises_on_are_decoded_exactly(text: str):
    """Trap 16: its context traps Rounded and Clamped, also where only zeros would be cut."""
    with pytest.raises((Clamped, Rounded, Underflow)):
        TypeDeserializer().deserialize({"N": text})
    decoded = decode_value(b'{"N":"%s"}' % text.encode())
    assert isinstance(decoded, Decimal)
    assert decoded.as_tuple() == Decimal(text).as_tuple()
