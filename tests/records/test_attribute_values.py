"""Attribute values, by example. The laws are in tests/properties/test_values.py."""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation, localcontext

import pytest

from beam_dynamodb_streams.errors import InvalidValueError, MalformedRecordError
from beam_dynamodb_streams.records import decode_image, decode_value, encode_image, encode_value

BOTH_WAYS = [
    ('{"S":"a \\u00e9"}', "a é"),
    ('{"S":""}', ""),
    ('{"N":"12.50"}', Decimal("12.50")),
    ('{"N":"-1E-130"}', Decimal("-1E-130")),
    ('{"N":"9.9999999999999999999999999999999999999E+125"}', Decimal("9." + "9" * 37 + "E+125")),
    ('{"B":"AAE="}', b"\x00\x01"),
    ('{"B":""}', b""),
    ('{"BOOL":false}', False),
    ('{"NULL":true}', None),
    ('{"M":{}}', {}),
    ('{"M":{"a":{"L":[{"BOOL":true},{"M":{"b":{"NULL":true}}}]}}}', {"a": [True, {"b": None}]}),
    ('{"L":[]}', []),
    ('{"SS":["","b"]}', {"", "b"}),
    ('{"NS":["-1","2.5"]}', {Decimal(-1), Decimal("2.5")}),
    ('{"BS":["","AA=="]}', {b"", b"\x00"}),
]


@pytest.mark.parametrize(("tagged", "value"), BOTH_WAYS, ids=[tagged for tagged, _ in BOTH_WAYS])
def test_each_type_has_one_python_value_and_goes_back_to_the_same_json(tagged: str, value: object):
    decoded = decode_value(tagged.encode())
    assert decoded == value
    assert type(decoded) is type(value)
    assert json.loads(encode_value(value)) == json.loads(tagged)


def test_a_value_nested_to_32_levels_is_decoded():
    raw = b'{"L":[' * 32 + b'{"S":"deep"}' + b"]}" * 32
    value = decode_value(raw)
    for _ in range(32):
        assert isinstance(value, list)
        (value,) = value
    assert value == "deep"


def test_numbers_in_other_spellings_are_the_same_number():
    for text, number in [
        ("+5", 5),
        ("007", 7),
        (".5", Decimal("0.5")),
        ("5.", 5),
        ("1e3", 1000),
        ("-0", 0),
        ("1_0", 10),
    ]:
        assert decode_value(json.dumps({"N": text}).encode()) == number


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b'{"X":"a"}', "unknown"),
        (b'{"S":"a","N":"1"}', "more than one type tag"),
        (b"{}", "no type tag"),
        (b'{"S":5}', "Expected `str`, got `int`"),
        (b'{"N":"twelve"}', "Invalid decimal"),
        (b'{"N":"NaN"}', "finite"),
        (b'{"N":"sNaN"}', "finite"),
        (b'{"N":"-Infinity"}', "finite"),
        (b'{"N":""}', "Invalid decimal"),
        (b'{"N":"1E99999999999999999999"}', "Invalid decimal"),
        (b'{"B":"?"}', "base64"),
        (b'{"B":"QQ"}', "base64"),
        (b'{"B":"QQ==QQ=="}', "base64"),
        (b'{"B":"QQ==\\n"}', "base64"),
        (b'{"B":"Q Q="}', "base64"),
        (b'{"B":null}', "Expected `bytes`, got `null`"),
        (b'{"NULL":false}', "NULL is true or absent"),
        (b'{"BOOL":"true"}', "Expected `bool`, got `str`"),
        (b'{"SS":["a",1]}', "Expected `str`, got `int`"),
        (b'{"SS":"ab"}', "Expected `array`, got `str`"),
        (b'{"NS":["1","x"]}', "Invalid decimal"),
        (b'{"NS":["1","NaN"]}', "finite"),
        (b'{"NS":["sNaN"]}', "hash"),
        (b'{"BS":["?"]}', "base64"),
        (b'{"M":[]}', "Expected `object`, got `array`"),
        (b'{"L":{}}', "Expected `array`, got `object`"),
        (b"[]", "object"),
        (b'"a"', "object"),
        (b'{"S":"a"', "truncated"),
        (b"\xff", "malformed"),
        (b'{"L":[' * 5000 + b"]}" * 5000, "nested"),
    ],
    ids=lambda part: part[:24] if isinstance(part, bytes) else "",
)
def test_what_is_not_an_attribute_value_is_a_malformed_record_with_its_bytes(raw: bytes, reason: str):
    with pytest.raises(MalformedRecordError, match=reason) as caught:
        decode_value(raw)
    assert caught.value.payload == raw


def test_a_fault_inside_an_image_is_named_by_its_attribute_and_quotes_no_content():
    with pytest.raises(MalformedRecordError, match=r"attribute 'address': no type tag, or an unknown one") as caught:
        decode_image(b'{"id":{"S":"secret"},"address":{"M":{"lines":{"L":[{"S":"secret"},{"Q":"secret"}]}}}}')
    assert "secret" not in str(caught.value)


def test_encoding_takes_the_python_values_that_stand_for_the_same_thing():
    assert encode_value(7) == b'{"N":"7"}'
    assert encode_value(True) == b'{"BOOL":true}'
    assert encode_value(bytearray(b"\x00")) == b'{"B":"AA=="}'
    assert encode_value(("a", 1)) == b'{"L":[{"S":"a"},{"N":"1"}]}'
    assert encode_value(frozenset({2, Decimal(1)})) == b'{"NS":["1","2"]}'
    assert encode_value(Decimal("0E-5000")) == b'{"N":"0"}'
    assert encode_image({"a": None}) == b'{"a":{"NULL":true}}'


def test_sets_are_encoded_in_one_order():
    assert encode_value(set("cab")) == encode_value(set("bca")) == b'{"SS":["a","b","c"]}'


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (1.5, r"1\.5 is a float.*Decimal\('1\.5'\)"),
        (set(), "at least one element"),
        ({1, "a"}, "all str, all numbers or all bytes"),
        ({True}, "all str, all numbers or all bytes"),
        (Decimal("NaN"), "not a number that DynamoDB holds"),
        (Decimal("-Infinity"), "not a number that DynamoDB holds"),
        (10**38 + 1, "38 significant digits"),
        (Decimal("1E126"), "38 significant digits"),
        (Decimal("9E-131"), "38 significant digits"),
        ({1: "a"}, "1 is not an attribute name"),
        (object(), "is a object"),
    ],
    ids=lambda part: repr(part)[:24],
)
def test_a_python_value_that_no_item_holds_is_refused_by_name(value: object, reason: str):
    with pytest.raises(InvalidValueError, match=reason):
        encode_value({"somewhere": [value]})


def test_not_a_number_is_refused_whatever_the_decimal_context_says():
    with localcontext() as context:
        context.traps[InvalidOperation] = False
        for raw in (b'{"N":"twelve"}', b'{"N":"NaN"}', b'{"NS":["twelve"]}'):
            with pytest.raises(MalformedRecordError):
                decode_value(raw)
