"""One schema from every form in which it can be declared, and what contradicts itself."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any, Optional

import fastavro
import pyarrow as pa
import pytest

from beam_dynamodb_streams.columns import Schema, check_keys, json_field, read_schema
from beam_dynamodb_streams.errors import InvalidOptionError

ARROW = pa.schema(
    [
        ("order-id", pa.string()),
        ("line", pa.int64()),
        ("total", pa.decimal128(12, 2)),
        ("weight", pa.float64()),
        ("paid", pa.bool_()),
        ("signature", pa.binary()),
        ("tags", pa.list_(pa.string())),
        ("address", pa.struct([("city", pa.string()), ("geo", pa.list_(pa.float64()))])),
        ("counts", pa.map_(pa.string(), pa.int64())),
        json_field("document"),
    ]
)
MAPPING = {
    "order-id": "string",
    "line": "int64",
    "total": "decimal128(12,2)",
    "weight": "double",
    "paid": "bool",
    "signature": "binary",
    "tags": ["string"],
    "address": {"city": "string", "geo": ["float64"]},
    "counts": {"*": "int64"},
    "document": "json",
}
PYTHON = {
    "order-id": str,
    "line": int,
    "total": pa.decimal128(12, 2),
    "weight": Optional[float],  # noqa: UP045 - the older spelling of the same
    "paid": bool | None,
    "signature": bytes,
    "tags": set[str],
    "address": {"city": Decimal, "geo": list[float]},
    "counts": dict[str, int],
    "document": object,
}
AVRO = {
    "type": "record",
    "name": "Order",
    "namespace": "shop",
    "fields": [
        {"name": "order_x002D_id", "type": "string"},
        {"name": "line", "type": "int"},
        {"name": "total", "type": {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}},
        {"name": "weight", "type": ["null", "double"], "default": None},
        {"name": "paid", "type": "boolean"},
        {"name": "signature", "type": ["bytes", "null"]},
        {"name": "tags", "type": {"type": "array", "items": {"type": "string", "logicalType": "uuid"}}},
        {
            "name": "address",
            "type": {
                "type": "record",
                "name": "Address",
                "fields": [
                    {"name": "city", "type": {"type": "enum", "name": "City", "symbols": ["Oulu", "Porto"]}},
                    {"name": "geo", "type": ["null", {"type": "array", "items": ["null", "float"]}]},
                ],
            },
        },
        {"name": "counts", "type": {"type": "map", "values": "long"}},
        {"name": "document", "type": {"type": "string", "dynamodb": "json"}},
    ],
}
KEYS = ("order-id", "line")
SCHEMA = Schema(ARROW, KEYS)


@pytest.mark.parametrize("source", [SCHEMA, ARROW, MAPPING, PYTHON, AVRO, fastavro.parse_schema(AVRO)])
def test_every_form_is_the_same_schema(source: Any):
    assert read_schema(source, keys=KEYS) == SCHEMA


@pytest.mark.parametrize("text", [json.dumps(MAPPING), json.dumps(AVRO), SCHEMA.to_json()])
@pytest.mark.parametrize("name", ["orders.avsc", "orders.json"])
def test_a_file_may_hold_each_form_whatever_its_name(tmp_path: Path, text: str, name: str):
    (tmp_path / name).write_text(text, "utf-8")
    assert read_schema(tmp_path / name, keys=KEYS) == SCHEMA
    assert read_schema(str(tmp_path / name), keys=KEYS) == SCHEMA


def test_options_win_over_those_of_a_schema_and_its_saved_form(tmp_path: Path):
    (tmp_path / "saved").write_text(Schema(ARROW, KEYS, on_misfit="raise", other="rest").to_json(), "utf-8")
    read = read_schema(tmp_path / "saved", on_misfit_in={"total": "text"})
    assert (read.on_misfit, read.other, read.policy("total"), read.policy("line")) == ("raise", "rest", "text", "raise")
    assert read_schema(MAPPING, keys=KEYS, other=None).other is None
    assert read_schema({"id": "string"}, keys="id").keys == ("id",)


def test_a_saved_schema_may_leave_out_what_has_a_default():
    text = '{"version": 1, "keys": ["id"], "attributes": {"id": "string"}}'
    assert Schema.from_json(text) == read_schema({"id": str}, keys=["id"])


def test_schemas_are_equal_by_all_that_they_say_and_metadata_says_nothing():
    described = pa.schema([pa.field("id", pa.string(), metadata={"PARQUET:field_id": "1"})], metadata={"a": "b"})
    plain = pa.schema([("id", pa.string())])
    assert Schema(described, ("id",)) == Schema(plain, ("id",))
    assert Schema(described, ("id",)).arrow.equals(Schema(plain, ("id",)).arrow, check_metadata=True)
    text = pa.schema([("id", pa.string()), ("any", pa.string())])
    assert Schema(text, ("id",)) != read_schema({"id": "string", "any": "json"}, keys=["id"])
    assert Schema(text, ("id",)) != Schema(text, ("id",), on_misfit_in={"any": "raise"})
    assert len({Schema(text, ("id",)), Schema(text, ("id",)), Schema(plain, ("id",))}) == 2
    assert Schema(text, ("id",)) != "another thing"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ({"id": "text"}, r"'id' is declared 'text': use 'string', 'int64'"),
        ({"id": "string", "a": {"b": ["number"]}}, r"'a\.b\[\]' is declared 'number'"),
        ({"id": "string", "a": []}, r"'a' is declared \[\]"),
        ({"id": "string", "a": {}}, r"'a' is declared \{\}"),
        ({"id": "string", "a": {1: "string"}}, "1 is not an attribute name"),
        ({"id": "string", "a": list}, "'a' is declared <class 'list'>"),
        ({"id": "string", "a": dict[int, str]}, r"'a' is declared dict\[int, str\]"),
        ({"id": "string", "a": str | int}, r"'a' is declared str \| int"),
        ({"id": "string", "a": None}, "'a' is declared None"),
        ({"id": "string", "a": "decimal128(39, 2)"}, "has 1 to 38 digits"),
        ({"id": "string", "a": "decimal128(2, 5)"}, "0 <= s <= p"),
        ({"id": "string", "a": ["json"]}, "whole attribute with json_field"),
        ({"id": "string", "a": pa.int8()}, "'a' is declared int8"),
        ({"id": "string", "a": {"*": "string", "b": "string"}}, "has an empty name"),
        (pa.schema([("id", pa.string()), ("a", pa.struct([("b", pa.string())] * 2))]), "each name once"),
        (["id"], r"schema=\['id'\]: give a Schema, a pyarrow.Schema"),
        ("no such file", "'no such file' cannot be read: No such file"),
        ({"version": 2}, "has version 2, and this release reads version 1"),
        ({"version": 1, "keys": ["id"], "attributes": {"id": "string"}, "more": 1}, "unknown field `more`"),
        ({"version": 1, "keys": ["id"], "attributes": {"id": "string"}, "on_misfit": "drop"}, "Invalid enum value"),
    ],
)
def test_a_notation_that_is_not_a_type_is_refused_with_its_path_and_the_fix(source: Any, reason: str):
    with pytest.raises(InvalidOptionError, match=reason):
        read_schema(source, keys=["id"])


@pytest.mark.parametrize(
    ("avro", "reason"),
    [
        (["null", "string", "long"], r"'a' is declared \['null', 'string', 'long'\] in Avro"),
        ({"type": "long", "logicalType": "timestamp-millis"}, "timestamp-millis"),
        ({"type": "bytes", "logicalType": "decimal", "precision": 50}, "'precision': 50"),
        ({"type": "array", "items": ["null"]}, r"'a\[\]' is declared"),
        ("Unknown", "'Unknown'"),
        ({"type": 5}, "'type': 5"),
        (
            {"type": "record", "name": "A", "fields": [{"name": "b", "type": ["null", "A"]}]},
            r"'a\.b' is a A inside a A",
        ),
        ({"type": "record", "name": "A", "fields": ["b"]}, "give it a name and a type"),
        ("null", "'null'"),
        ("fixed", "'fixed'"),
    ],
)
def test_avro_types_that_no_attribute_has_are_refused(avro: object, reason: str):
    fields = [{"name": "id", "type": "string"}, {"name": "a", "type": avro}]
    with pytest.raises(InvalidOptionError, match=reason):
        read_schema({"type": "record", "name": "Item", "fields": fields}, keys=["id"])


def test_a_named_avro_type_may_be_used_again():
    point = {"type": "record", "name": "Point", "namespace": "geo", "fields": [{"name": "x", "type": "double"}]}
    fields = [
        {"name": "id", "type": "string"},
        {"name": "a", "type": point},
        {"name": "b", "type": ["null", "geo.Point"]},
        {"name": "c", "type": {"type": "fixed", "name": "Hash", "size": 4}},
        {"name": "d", "type": "Hash"},
    ]
    point_form = {"x": "float64"}
    assert read_schema({"type": "record", "name": "Item", "fields": fields}, keys=["id"]) == read_schema(
        {"id": "string", "a": point_form, "b": point_form, "c": "binary", "d": "binary"}, keys=["id"]
    )


def test_a_name_without_a_namespace_is_first_looked_for_in_the_one_around_it():
    def point(namespace: str, member: str) -> dict[str, Any]:
        fields = [{"name": member, "type": "long"}]
        return {"type": "record", "name": "Point", "namespace": namespace, "fields": fields}

    fields = [
        {"name": "id", "type": {"type": "string", "avro.java.string": "String"}},
        {"name": "a", "type": point("", "x")},
        {"name": "b", "type": point("shop", "y")},
        {"name": "c", "type": "Point"},
    ]
    item = {"type": "record", "name": "Item", "namespace": "shop", "fields": fields}
    assert read_schema(item, keys=["id"]).attributes.field("c").type == pa.struct([("y", pa.int64())])


def test_keys_are_needed_where_the_form_has_none_and_must_agree_where_it_has():
    with pytest.raises(InvalidOptionError, match="keys= is needed"):
        read_schema(MAPPING)
    with pytest.raises(InvalidOptionError, match=r"keys=\['id'\]: the schema has the keys \['order-id', 'line'\]"):
        read_schema(SCHEMA, keys=["id"])
    assert read_schema(SCHEMA, keys=["line", "order-id"]) == SCHEMA


@pytest.mark.parametrize(
    ("key_types", "reason"),
    [
        ({"order-id": "S", "line": "S"}, "'line' is declared int64, but is S in the table: declare string"),
        ({"order-id": "B", "line": "N"}, "'order-id' is declared string, but is B in the table: declare binary"),
        ({"order-id": "S"}, r"has the keys \['order-id', 'line'\], the table \['order-id'\]"),
    ],
)
def test_a_schema_that_contradicts_the_tables_key_is_refused(key_types: dict[str, str], reason: str):
    with pytest.raises(InvalidOptionError, match=reason):
        check_keys(SCHEMA, key_types)


@pytest.mark.parametrize("key_types", [{"order-id": "S", "line": "N"}, {"line": "N", "order-id": "N"}])
def test_a_schema_that_takes_the_tables_key_is_not(key_types: dict[str, str]):
    check_keys(SCHEMA, key_types)


@pytest.mark.parametrize("levels", [101, 450, 900, 3000])
@pytest.mark.parametrize("wrap", [pa.list_, lambda kind: pa.struct([("a", kind)])])
def test_a_type_of_hundreds_of_levels_is_refused_with_what_to_declare(levels, wrap):
    kind = pa.string()
    for _ in range(levels):
        kind = wrap(kind)
    with pytest.raises(InvalidOptionError, match=r"'deep' is declared with more than 100 levels.*as 'json'"):
        read_schema(pa.schema([("id", pa.string()), ("deep", kind)]), keys=["id"])


@pytest.mark.parametrize(
    ("rename", "reason"),
    [
        ({"nobody": "n"}, "map attributes among"),
        ({"a": ""}, "texts that are not empty"),
        ({"a": "id"}, "'id' is then the name of two columns"),
        ({"a": "other_attributes"}, "'other_attributes' is then the name of two columns"),
        (["a"], "map attributes among"),
    ],
)
def test_a_renaming_that_makes_no_sense_is_refused(rename, reason):
    with pytest.raises(InvalidOptionError, match=f"rename=.*{reason}"):
        read_schema({"id": "string", "a": "string"}, keys=["id"], rename=rename)


def test_a_renaming_is_saved_and_read_back():
    schema = read_schema({"ID": "string", "id": "string"}, keys=["ID", "id"], rename={"id": "id_2"})
    assert Schema.from_json(schema.to_json()) == schema
    assert read_schema(schema, rename={}) != schema
    assert '"rename"' not in read_schema(schema, rename={}).to_json()
