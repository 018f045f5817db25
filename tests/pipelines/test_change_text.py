"""The line of a change that `tail` prints for people."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_dynamodb_streams import ChangeRecord
from beam_dynamodb_streams.commands.change_text import MOST_ATTRIBUTES, MOST_COLUMNS, change_text, columns_of

Image = Mapping[str, Any] | None


def change(event: str, old: Image, new: Image, keys: tuple[str, ...] = ("id",), **options: Any) -> ChangeRecord:
    image = new or old or {"id": "o-9", "line": Decimal(1)}
    return ChangeRecord(
        event_id="1",
        event_name=event,
        keys={name: image[name] for name in keys},
        old_image=old,
        new_image=new,
        sequence_number="100",
        shard_id="shardId-00000001",
        approximate_creation_time=datetime(2026, 1, 31, tzinfo=timezone.utc),
        **options,
    )


def modified(old: dict[str, Any], new: dict[str, Any]) -> str:
    return change_text(change("MODIFY", {"id": "o-9", **old}, {"id": "o-9", **new})).partition("  ")[2]


def test_it_names_the_item_and_what_differs() -> None:
    old = {"id": "o-9", "total": Decimal(9), "state": "new", "same": [1]}
    new = {"id": "o-9", "total": Decimal(1009), "state": "paid", "same": [1]}
    assert change_text(change("MODIFY", old, new)) == "MODIFY o-9  total 9 → 1009, state new → paid"
    assert change_text(change("INSERT", None, old)) == "INSERT o-9  total 9, state new, same [1]"
    assert change_text(change("REMOVE", old, None)) == "REMOVE o-9  total 9, state new, same [1]"
    expired = {"type": "Service", "principalId": "dynamodb.amazonaws.com"}
    assert change_text(change("REMOVE", old, None, user_identity=expired)).startswith("REMOVE o-9 (time to live)  ")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ({}, {"note": "hello"}, "+note hello"),
        ({"note": "hello"}, {}, "-note hello"),
        ({"a": 1, "b": 2}, {"b": 2, "c": 3}, "-a 1, +c 3"),
        ({"n": "9"}, {"n": Decimal(9)}, 'n "9" → 9'),
        ({"n": None}, {"n": "null"}, 'n null → "null"'),
        ({"n": True}, {"n": False}, "n true → false"),
        ({"n": ""}, {"n": " a"}, 'n "" → " a"'),
        ({"n": Decimal("1.50")}, {"n": Decimal("1E+30")}, "n 1.50 → 1E+30"),
        ({"n": b"\x01\x02"}, {"n": bytes(99)}, f"n <2 bytes 0102> → <99 bytes {'00' * 16}…>"[:200]),
        ({"tags": {"b", "a"}}, {"tags": {"a"}}, "tags {a, b} → {a}"),
        ({"l": [1, {"x": None}]}, {"l": []}, "l [1, {x: null}] → []"),
        ({"at": {"city": "Bonn", "zip": 1}}, {"at": {"city": "Köln", "zip": 1, "to": "A"}}, "at.city Bonn → Köln, +at.to A"),  # noqa: E501
    ],
)  # fmt: skip
def test_values_of_each_type_and_attributes_that_come_and_go(old: dict, new: dict, says: str) -> None:  # type: ignore[type-arg]
    if "bytes" in says:
        assert modified(old, new).startswith("n <2 bytes 0102> → <99 bytes 0000")
    else:
        assert modified(old, new) == says


def test_two_keys_are_both_shown_and_other_views_say_what_they_know() -> None:
    image = {"id": "o-9", "line": Decimal(1), "total": Decimal(9)}
    two = ("id", "line")
    assert change_text(change("INSERT", None, image, two)) == "INSERT o-9/1  total 9"
    assert change_text(change("MODIFY", None, image, two)) == "MODIFY o-9/1  total → 9"
    assert change_text(change("MODIFY", image, None, two)) == "MODIFY o-9/1  total 9"
    assert change_text(change("MODIFY", None, None, two)) == "MODIFY o-9/1"


def test_long_values_are_cut_to_the_part_that_differs() -> None:
    before, _, after = modified({"t": "a" * 100 + "old" + "z" * 100}, {"t": "a" * 100 + "new" + "z" * 100}).partition(
        " → "
    )
    assert columns_of(before) <= MOST_COLUMNS + 2
    assert "aaold" in before
    assert "aanew" in after
    assert before.startswith("t …")
    assert before.endswith("…")
    line = modified({}, {f"a{n}": n for n in range(MOST_ATTRIBUTES + 3)})
    assert line.endswith("… and 3 more")


def test_wide_characters_count_twice_and_escapes_do_nothing() -> None:
    assert (columns_of("ab"), columns_of("日本"), columns_of("e\u0301"), columns_of("🔔")) == (2, 4, 1, 2)
    assert columns_of(modified({}, {"t": "日" * 100})[len("+t ") :]) <= MOST_COLUMNS
    assert modified({}, {"t\x1b": "\x1b[31m\u202e\n"}) == r'+t\x1b "\x1b[31m\u202e\x0a"'


def test_colours_add_nothing_but_colours() -> None:
    one = change("MODIFY", {"id": "o-9", "a": 1}, {"id": "o-9", "b": 1})
    coloured = change_text(one, colours=True)
    assert "\x1b[33mMODIFY\x1b[0m" in coloured
    assert re.sub("\x1b\\[\\d+m", "", coloured) == change_text(one)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30).map(Decimal) | st.text() | st.binary(),
    lambda each: st.lists(each, max_size=4) | st.dictionaries(st.text(), each, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), VALUES), st.dictionaries(st.text(), VALUES))
def test_any_change_is_one_printable_line_with_each_attribute_that_differs(old: dict, new: dict) -> None:  # type: ignore[type-arg]
    line = change_text(change("MODIFY", {**old, "id": "o-9"}, {**new, "id": "o-9"}))
    assert line.startswith("MODIFY o-9")
    assert not re.search("[\x00-\x1f\x7f-\x9f\u202e\ud800-\udfff]", line)
    if old == {} and new:
        assert line.count("+") >= min(len(new.keys() - {"id"}), MOST_ATTRIBUTES)
    assert change_text(change("MODIFY", {**old, "id": "o-9"}, {**old, "id": "o-9"})) == "MODIFY o-9"
