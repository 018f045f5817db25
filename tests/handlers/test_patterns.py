"""Event patterns: each operator, what the service refuses, and the cases that surprise people."""

from __future__ import annotations

import json
from typing import Any

import pytest

from beam_dynamodb_streams.handlers.pattern import compile_pattern
from beam_dynamodb_streams.handlers.pattern_match import matches
from beam_dynamodb_streams.handlers.pattern_values import PatternError

#: What surprises people, with the reason: (case, pattern, event, whether it matches).
SURPRISES: list[tuple[str, Any, Any, bool]] = [
    ("numeric never matches an N, which is text", {"n": {"N": [{"numeric": [">", 100]}]}}, {"n": {"N": "101"}}, False),
    ("an N is matched as text", {"n": {"N": ["101"]}}, {"n": {"N": "101"}}, True),
    ("a number in a pattern does not match an N", {"n": {"N": [101]}}, {"n": {"N": "101"}}, False),
    ("numeric matches the creation time", {"t": [{"numeric": [">=", 1_700_000_000]}]}, {"t": 1_700_000_001}, True),
    ("exists false matches an attribute: it is an object", {"x": [{"exists": False}]}, {"x": {"S": "a"}}, True),
    ("exists true does not match an attribute", {"x": [{"exists": True}]}, {"x": {"S": "a"}}, False),
    ("exists looks at an attribute's value", {"x": {"S": [{"exists": True}]}}, {"x": {"S": "a"}}, True),
    ("exists false of an empty list matches", {"x": [{"exists": False}]}, {"x": []}, True),
    ("null exists", {"x": [{"exists": True}]}, {"x": None}, True),
    ("an absent field never matches anything-but", {"x": {"S": [{"anything-but": "a"}]}}, {"y": {"S": "b"}}, False),
    ("another type is anything but a text", {"x": [{"anything-but": "a"}]}, {"x": 5}, True),
    ("anything-but of a list needs one other element", {"x": [{"anything-but": "a"}]}, {"x": ["a", "b"]}, True),
    ("elements of an array match one by one", {"x": {"SS": ["b"]}}, {"x": {"SS": ["a", "b"]}}, True),
    ("two paths must match in one element", {"l": {"a": ["1"], "b": ["2"]}}, {"l": [{"a": "1"}, {"b": "2"}]}, False),
    ("two paths in one element", {"l": {"a": ["1"], "b": ["2"]}}, {"l": [{"a": "1", "b": "2"}]}, True),
    ("two paths in two arrays", {"k": {"a": ["1"]}, "l": {"b": ["2"]}}, {"k": [{"a": "1"}], "l": [{"b": "2"}]}, True),
    ("true is not the text true", {"x": [True]}, {"x": "true"}, False),
    ("null is not the text null", {"x": [None]}, {"x": "null"}, False),
    ("300, 300.0 and 3.0e2 are one number", {"x": [300]}, {"x": 3.0e2}, True),
    ("a text is not its number", {"x": ["300"]}, {"x": 300}, False),
    ("an address matches in another spelling", {"x": ["10.0.0.1"]}, {"x": "010.0.0.1"}, True),
    ("a dot joins names", {"a.b": ["x"]}, {"a": {"b": "x"}}, True),
    ("the empty prefix matches texts", {"x": [{"prefix": ""}]}, {"x": ""}, True),
    ("the empty prefix matches no number", {"x": [{"prefix": ""}]}, {"x": 1}, False),
    ("a wildcard stands for nothing too", {"x": [{"wildcard": "a*"}]}, {"x": "a"}, True),
    ("a wildcard matches no number", {"x": [{"wildcard": "*"}]}, {"x": 1}, False),
    ("members of the event that no pattern names do not matter", {"x": ["a"]}, {"x": "a", "y": "b"}, True),
    ("the elements of one list are alternatives", {"x": ["a", {"prefix": "b"}]}, {"x": "bc"}, True),
    ("exists false or a value", {"x": [{"exists": False}, "a"]}, {"y": "b"}, True),
    ("a letter matches in either case", {"x": [{"equals-ignore-case": "STRASSE"}]}, {"x": "strasse"}, True),
    ("sharp s is not ss", {"x": [{"equals-ignore-case": "STRASSE"}]}, {"x": "straße"}, False),
    ("anything-but a prefix", {"x": [{"anything-but": {"prefix": "a"}}]}, {"x": "ab"}, False),
    ("anything-but suffixes", {"x": [{"anything-but": {"suffix": ["a", "b"]}}]}, {"x": "ac"}, True),
    ("anything-but a wildcard", {"x": [{"anything-but": {"wildcard": "a*b"}}]}, {"x": "acb"}, False),
    ("a suffix in either case", {"x": [{"suffix": {"equals-ignore-case": ".PNG"}}]}, {"x": "a.png"}, True),
    ("a network", {"x": [{"cidr": "10.0.0.0/24"}]}, {"x": "10.0.0.255"}, True),
    ("an address outside of a network", {"x": [{"cidr": "10.0.0.0/24"}]}, {"x": "10.0.1.0"}, False),
    ("exactly", {"x": [{"exactly": "10.0.0.1"}]}, {"x": "010.0.0.1"}, False),
    ("$or with a condition beside it", {"y": ["b"], "$or": [{"x": ["a"]}, {"z": ["c"]}]}, {"y": "b", "z": "c"}, True),
    ("$or without its condition", {"y": ["b"], "$or": [{"x": ["a"]}, {"z": ["c"]}]}, {"y": "c", "z": "c"}, False),
    ("an open end", {"x": [{"numeric": [">", 0, "<", 5]}]}, {"x": 5}, False),
    ("a closed end", {"x": [{"numeric": [">=", 0, "<=", 5]}]}, {"x": 5}, True),
]


@pytest.mark.parametrize(("pattern", "event", "expected"), [c[1:] for c in SURPRISES], ids=[c[0] for c in SURPRISES])
def test_a_surprising_case_is_decided_as_aws_decides_it(pattern: Any, event: Any, expected: bool) -> None:
    assert matches(compile_pattern(pattern), event) is expected


REFUSED: list[tuple[str, str]] = [
    ("an empty object", "{}"),
    ("an empty object inside", '{"a": {}}'),
    ("an empty array", '{"a": []}'),
    ("an array", "[]"),
    ("a bare text", '"a"'),
    ("a bare scalar of a field", '{"a": "b"}'),
    ("a bare number of a field", '{"a": 1}'),
    ("null of a field", '{"a": null}'),
    ("not JSON", "{a: 1}"),
    ("what follows the object", '{"a": ["b"]} x'),
    ("NaN", '{"a": [NaN]}'),
    ("an array in an array", '{"a": [["b"]]}'),
    ("an unknown operator", '{"a": [{"regex": "b"}]}'),
    ("two operators", '{"a": [{"prefix": "b", "suffix": "c"}]}'),
    ("no operator", '{"a": [{}]}'),
    ("a number as a prefix", '{"a": [{"prefix": 1}]}'),
    ("exists with a text", '{"a": [{"exists": "true"}]}'),
    ("numeric without a number", '{"a": [{"numeric": [">", "5"]}]}'),
    ("numeric with one more", '{"a": [{"numeric": ["=", 5, 6]}]}'),
    ("numeric without an operator", '{"a": [{"numeric": [5]}]}'),
    ("an empty numeric", '{"a": [{"numeric": []}]}'),
    ("a range without numbers in it", '{"a": [{"numeric": [">", 5, "<", 5]}]}'),
    ("a range in the wrong order", '{"a": [{"numeric": ["<", 5, ">", 0]}]}'),
    ("anything-but of two types", '{"a": [{"anything-but": ["b", 1]}]}'),
    ("anything-but null", '{"a": [{"anything-but": null}]}'),
    ("anything-but of nothing", '{"a": [{"anything-but": []}]}'),
    ("anything-but an empty prefix", '{"a": [{"anything-but": {"prefix": ""}}]}'),
    ("anything-but numeric", '{"a": [{"anything-but": {"numeric": ["=", 1]}}]}'),
    ("two wildcards in a row", '{"a": [{"wildcard": "b**"}]}'),
    ("a wildcard's wrong escape", r'{"a": [{"wildcard": "b\\c"}]}'),
    ("a network without a mask", '{"a": [{"cidr": "10.0.0.0"}]}'),
    ("a network with too long a mask", '{"a": [{"cidr": "10.0.0.0/32"}]}'),
    ("$or of one", '{"$or": [{"a": ["b"]}]}'),
    ("$or of texts", '{"$or": ["a", "b"]}'),
    ("$or that is an object", '{"$or": {"a": ["b"]}}'),
    ("an operator's name inside $or", '{"$or": [{"prefix": ["a"]}, {"b": ["c"]}]}'),
]


@pytest.mark.parametrize("pattern", [text for _, text in REFUSED], ids=[case for case, _ in REFUSED])
def test_what_aws_refuses_is_refused(pattern: str) -> None:
    with pytest.raises(PatternError):
        compile_pattern(pattern)


def test_a_dict_is_the_same_pattern_as_its_json() -> None:
    pattern = {"a": [{"prefix": "b"}], "$or": [{"c": [1]}, {"c": [None]}]}
    assert compile_pattern(pattern) == compile_pattern(json.dumps(pattern))
