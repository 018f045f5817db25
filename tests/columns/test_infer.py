"""The schema that is inferred from a sample of items, and the conflicts that it reports."""

from __future__ import annotations

import sys
from decimal import Decimal

import pyarrow as pa
import pytest

from beam_dynamodb_streams.columns import Schema, infer, json_field, read_schema
from beam_dynamodb_streams.errors import InvalidOptionError
from beam_dynamodb_streams.records import Value, encode_image
from beam_dynamodb_streams.sinks import WriteChangesToAvro, WriteChangesToParquet

KEY = {"id": "S"}


def items(*several: dict[str, Value]) -> list[bytes]:
    return [encode_image({"id": str(place), **item}) for place, item in enumerate(several)]


def test_each_type_has_its_column_and_numbers_are_text_unless_asked():
    sample = items(
        {
            "text": "",
            "whole": Decimal(2**63 - 1),
            "money": Decimal("-12.50"),
            "long": Decimal("1E-130"),
            "flag": True,
            "blob": b"",
            "words": {"b", "a"},
            "sizes": {Decimal(1), Decimal("2.5")},
            "hashes": {b"\x00"},
            "list": [{"n": Decimal(1)}, None],
            "map": {"city": "Oulu", "geo": [Decimal("65.01")]},
            "nothing": None,
            "empty list": [],
        },
        {"money": Decimal(10) ** 30, "whole": Decimal(0), "map": {"zip": None}},
    )
    text = infer(sample, KEY)
    names = ["blob", "empty list", "flag", "hashes", "list", "long", "map", "money", "nothing", "sizes", "text"]
    assert text.schema.attributes.names == ["id", *names, "whole", "words"]
    assert text.schema == read_schema(
        {
            "id": "string",
            "blob": "binary",
            "empty list": ["string"],
            "flag": "bool",
            "hashes": ["binary"],
            "list": [{"n": "string"}],
            "long": "string",
            "map": {"city": "string", "geo": ["string"], "zip": "string"},
            "money": "string",
            "nothing": "string",
            "sizes": ["string"],
            "text": "string",
            "whole": "string",
            "words": ["string"],
        },
        keys=["id"],
    )
    narrow = infer(sample, KEY, numbers="narrow").schema.attributes
    assert narrow.field("whole").type == pa.int64()
    assert narrow.field("money").type == pa.decimal128(38, 1)
    assert narrow.field("long").type == pa.string()
    assert narrow.field("sizes").type == pa.list_(pa.decimal128(38, 1))
    assert narrow.field("list").type == pa.list_(pa.struct([("n", pa.int64())]))
    for inferred in (text, infer(sample, KEY, numbers="narrow")):
        assert (inferred.items, inferred.fitting, inferred.conflicts) == (2, 2, ())
    assert (text.seen["id"], text.seen["money"], text.seen["flag"]) == (2, 2, 1)


def test_texts_and_numbers_together_are_text_and_sets_and_lists_are_lists():
    inferred = infer(items({"a": "x", "b": {"x"}}, {"a": Decimal(1), "b": ["y"]}), KEY, numbers="narrow")
    assert inferred.schema == read_schema({"id": "string", "a": "string", "b": ["string"]}, keys=["id"])
    assert inferred.fitting == 2
    assert [(conflict.place, conflict.counts) for conflict in inferred.conflicts] == [
        ("a", {"S": 1, "N": 1}),
        ("b", {"SS": 1, "L": 1}),
    ]


def test_a_rare_other_type_does_not_fit_and_a_frequent_one_makes_a_json_column():
    rare = infer(items(*[{"a": Decimal(1)}] * 95, *[{"a": True}] * 5), KEY, numbers="narrow")
    assert rare.schema.attributes.field("a").type == pa.int64()
    assert (rare.items, rare.fitting) == (100, 95)
    often = infer(items(*[{"a": Decimal(1)}] * 94, *[{"a": True}] * 6), KEY, numbers="narrow")
    assert often.schema.attributes.field("a").equals(json_field("a"), check_metadata=True)
    assert often.fitting == 100
    assert [(conflict.place, conflict.counts) for conflict in often.conflicts] == [("a", {"N": 94, "BOOL": 6})]


def test_conflicts_inside_lists_and_maps_are_reported_by_their_path():
    inferred = infer(items({"a": [{"b": "x"}, {"b": True}, "y"]}, {"a": None}), KEY)
    assert [(conflict.place, conflict.counts) for conflict in inferred.conflicts] == [
        ("a[]", {"M": 2, "S": 1}),
        ("a[].b", {"S": 1, "BOOL": 1}),
    ]
    assert inferred.schema == read_schema({"id": "string", "a": "json"}, keys=["id"])


def test_a_map_of_many_names_is_a_map_of_any():
    counts: Value = {f"user-{number}": Decimal(number) for number in range(51)}
    inferred = infer(items({"counts": counts, "few": {"a": "x"}}), KEY, numbers="narrow")
    assert inferred.schema.attributes.field("counts").type == pa.map_(pa.string(), pa.int64())
    assert inferred.schema.attributes.field("few").type == pa.struct([("a", pa.string())])
    assert inferred.fitting == 1
    mixed = infer(items({"counts": counts | {"all": "many"}}), KEY, numbers="narrow")
    assert [conflict.place for conflict in mixed.conflicts] == ["counts.*"]
    assert mixed.schema.attributes.field("counts").type == pa.map_(pa.string(), pa.string())


def test_keys_have_the_tables_type_whatever_was_seen():
    key_types = {"a": "S", "b": "N", "c": "B"}
    nothing = infer([], key_types, numbers="narrow")
    assert nothing.schema.keys == ("a", "b", "c")
    assert nothing.schema.attributes.types == [pa.string(), pa.string(), pa.binary()]
    assert (nothing.items, nothing.fitting) == (0, 0)
    some = infer([encode_image({"a": "x", "b": Decimal(7), "c": b"y"})], key_types, numbers="narrow")
    assert some.schema.attributes.types == [pa.string(), pa.int64(), pa.binary()]
    assert some.schema.keys == ("a", "b", "c")


def test_the_rarest_of_very_many_attributes_have_no_column():
    one: dict[str, Value] = {f"rare-{number}": "x" for number in range(600)}
    inferred = infer(items(one, *[{"often": "x"}] * 9), KEY)
    assert len(inferred.schema.attributes) == 500
    assert "often" in inferred.schema.attributes.names
    assert inferred.fitting == 9


def test_the_column_for_others_has_a_name_that_no_attribute_has():
    assert infer(items({"other_attributes": "x"}), KEY).schema.other == "other_attributes_"


def test_text_that_is_not_an_item_counts_and_does_not_fit():
    broken = [b"[]", b'{"id":{"S":"1"},"a":5}', b'{"id":{"S":"1"},"a":{"N":"NaN"}}', b'{"id":{"S":"1"},"a":{"N":"x"}}']
    inferred = infer([*broken, *items({"a": Decimal(1)})] + items({"a": Decimal(1)}) * 60, KEY, numbers="narrow")
    assert (inferred.items, inferred.fitting) == (65, 61)


def test_what_numbers_shall_be_is_one_of_two():
    with pytest.raises(InvalidOptionError, match="numbers='float'"):
        infer([], KEY, numbers="float")  # type: ignore[arg-type]


def test_attributes_that_differ_only_in_case_are_reported_and_one_has_a_column():
    inferred = infer(items(*[{"userId": "right"}] * 9, {"userid": "typo"}), KEY)
    assert inferred.schema.attributes.names == ["id", "userId"]
    (conflict,) = inferred.case_conflicts
    assert conflict.counts == {"userId": 9, "userid": 1}
    assert inferred.fitting == 10
    assert Schema.from_json(inferred.schema.to_json()) == inferred.schema


def test_a_key_keeps_its_column_beside_a_more_frequent_name_in_another_case():
    inferred = infer(items(*[{"ID": "a", "Other_Attributes": "b"}] * 3), KEY)
    assert inferred.schema.attributes.names == ["id", "Other_Attributes"]
    assert inferred.schema.other == "other_attributes_"
    assert [conflict.counts for conflict in inferred.case_conflicts] == [{"ID": 3, "id": 3}]


@pytest.mark.parametrize(
    ("wrap", "place"),
    [
        (lambda members: {"a": members}, "a"),
        (lambda members: {"a": [members]}, "a[]"),
        (lambda members: {"a": {"b": {"c": members}}}, "a.b.c"),
        (lambda members: {"a": {str(n): members for n in range(60)}}, "a.*"),
    ],
)
@pytest.mark.parametrize("write", [WriteChangesToParquet, WriteChangesToAvro])
def test_members_that_differ_only_in_case_are_reported_and_refused_in_a_struct(tmp_path, wrap, place, write):
    sample = items(*[wrap({"City": "Ulm"})] * 2, wrap({"city": "Ulm"}))
    inferred = infer(sample, KEY)
    (conflict,) = inferred.case_conflicts
    assert set(conflict.counts) == {f"{place}.City", f"{place}.city"}
    assert inferred.fitting == 3
    write(tmp_path, schema=inferred.schema)
    declared = read_schema({"id": "string", "a": [{"b": {"City": "string", "city": "string"}}]}, keys=["id"])
    with pytest.raises(InvalidOptionError, match=r"'a\[\]\.b\.City' and 'a\[\]\.b\.city', which differ only in case"):
        write(tmp_path, schema=declared)


@pytest.mark.parametrize("names", [("userId", "userid"), ("Other_attributes", "n")])
def test_a_sink_refuses_columns_that_differ_only_in_case(tmp_path, names):
    schema = read_schema({"id": "string", **dict.fromkeys(names, "string")}, keys=["id"])
    with pytest.raises(InvalidOptionError, match=r"differ only in case.*Leave one attribute out"):
        WriteChangesToParquet(tmp_path, schema=schema)


def test_keys_that_differ_only_in_case_both_have_a_column_and_one_another_name_in_files():
    inferred = infer(items(*[{"ID": "a", "id_2": "b"}] * 3), {"id": "S", "ID": "S"})
    assert inferred.schema.attributes.names == ["id", "ID", "id_2"]
    assert inferred.schema.rename == {"id": "id_3"}
    assert inferred.fitting == 3
    assert [conflict.handling for conflict in inferred.case_conflicts] == ["none without a column; id renamed in files"]
    assert Schema.from_json(inferred.schema.to_json()) == inferred.schema


@pytest.mark.parametrize("levels", [101, 300, 450])
@pytest.mark.parametrize(("before", "after"), [('{"M":{"a":', "}}"), ('{"L":[', "]}")])
def test_a_value_of_hundreds_of_levels_becomes_a_json_column(levels, before, after):
    deep = f'{{"id":{{"S":"1"}},"deep":{before * levels}{{"S":"x"}}{after * levels}}}'.encode()
    inferred = infer([deep] * 3, KEY)
    assert inferred.schema.attributes.field("deep").equals(json_field("deep"), check_metadata=True)
    assert inferred.fitting == 3


def test_a_value_that_no_parser_follows_is_an_item_that_does_not_fit():
    """At 900 levels the inference fails (not on Python 3.13), and at 100,000 the parser of JSON does."""
    for levels in (900, 100_000) if sys.version_info < (3, 13) else (100_000,):
        value = '{"L":[' * levels + "]}" * levels
        inferred = infer([f'{{"id":{{"S":"1"}},"deep":{value}}}'.encode(), *items({"n": "x"})], KEY)
        assert (inferred.items, inferred.fitting) == (2, 1)
