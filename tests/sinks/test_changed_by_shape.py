"""The changed attributes of many images at once are those of the images one by one."""

from __future__ import annotations

import json
import random

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_dynamodb_streams.records import CHANGE_SCHEMA
from beam_dynamodb_streams.sinks.changed_attributes import _changed_members, changed_attributes

VALUES = [
    {"S": "a"},
    {"S": "b"},
    {"S": ""},
    {"S": 'a "quoted" \\ text'},
    {"S": "größe"},
    {"N": "1"},
    {"N": "1.0"},
    {"N": "-0"},
    {"N": "0"},
    {"N": "1E+2"},
    {"N": "100"},
    {"B": "YQ=="},
    {"BOOL": True},
    {"BOOL": False},
    {"NULL": True},
    {"SS": ["a", "b"]},
    {"SS": ["b", "a"]},
    {"NS": ["1", "2"]},
    {"M": {"x": {"S": "1"}, "y": {"BOOL": True}}},
    {"M": {"y": {"BOOL": True}, "x": {"S": "1"}}},
    {"M": {"x": {"M": {"z": {"BOOL": True}}}}},
    {"L": [{"S": "1"}, {"N": "2"}]},
    {"L": []},
    {"S": 5},
    {"X": "unknown"},
    "not an attribute value",
]
NAMES = ["id", "b", "a", "é", "x"]
ODD = [b"{}", b"[]", b"not JSON", b'{"id":{"S":"a"},"id":{"S":"b"}}', b'{ "id": {"S": "a"} }']


def batch_of(pairs: list[tuple[bytes | None, bytes | None]]) -> pa.RecordBatch:
    kinds = ["REMOVE" if new is None else "INSERT" if old is None else "MODIFY" for new, old in pairs]
    fields = {"new_image": [new for new, _ in pairs], "old_image": [old for _, old in pairs], "event_name": kinds}
    schema = pa.schema([CHANGE_SCHEMA.field(name) for name in fields])
    return pa.RecordBatch.from_arrays([pa.array(each, pa.string()) for each in fields.values()], schema=schema)


def one_by_one(pairs: list[tuple[bytes | None, bytes | None]]) -> list[list[str] | None]:
    return [None if new is None and old is None else _changed_members(new, old) for new, old in pairs]


def some_pairs(source: random.Random, shapes: int, rows: int) -> list[tuple[bytes | None, bytes | None]]:
    def image(names: list[str], usual: list[object]) -> bytes:
        values = [source.choice(VALUES) if source.random() < 0.2 else value for value in usual]
        return json.dumps(dict(zip(names, values, strict=True)), separators=(",", ":"), ensure_ascii=False).encode()

    templates = []
    for _ in range(shapes):
        names = source.sample(NAMES, source.randrange(1, len(NAMES)))
        templates.append((names, [source.choice(VALUES) for _ in names]))
    pairs: list[tuple[bytes | None, bytes | None]] = []
    for _ in range(rows):
        names, usual = source.choice(templates)
        pair = [image(names, usual), image(*(templates[0] if source.random() < 0.05 else (names, usual)))]
        if source.random() < 0.3:
            pair[source.randrange(2)] = source.choice([None, *ODD, image(names, usual)])
        pairs.append((pair[0], pair[1]))
    return pairs


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 3), st.sampled_from([40, 200]))
def test_many_images_at_once_are_compared_as_one_by_one(seed: int, shapes: int, rows: int) -> None:
    pairs = some_pairs(random.Random(seed), shapes, rows)
    assert changed_attributes(batch_of(pairs), None).to_pylist() == one_by_one(pairs)


@pytest.mark.parametrize("value", VALUES)
def test_a_value_that_changes_in_every_row(value: object) -> None:
    pairs: list[tuple[bytes | None, bytes | None]] = [
        tuple(json.dumps({"id": {"S": "a"}, "a": each}, separators=(",", ":")).encode() for each in (value, other))  # type: ignore[misc]
        for other in VALUES
        for _ in range(40)
    ]
    assert changed_attributes(batch_of(pairs), None).to_pylist() == one_by_one(pairs)


def test_more_images_than_are_compared_at_once() -> None:
    pairs = some_pairs(random.Random(7), 2, 9_000)
    assert changed_attributes(batch_of(pairs), None).to_pylist() == one_by_one(pairs)
