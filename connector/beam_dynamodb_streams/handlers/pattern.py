"""Event patterns, compiled from their JSON: the language of `FilterCriteria` and of EventBridge.

A pattern is a set of alternatives (`$or`), each with a list of comparisons for each path. What AWS's own engine
(event-ruler) refuses is refused; tests/handlers/test_ruler.py compares both. A path is the names of nested members,
joined by dots, so `{"a": {"b": […]}}` and `{"a.b": […]}` are the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from beam_dynamodb_streams.handlers.pattern_values import (
    Absent,
    Comparison,
    Exactly,
    Exists,
    InRange,
    NoneOf,
    NotANumberOf,
    PatternError,
    comparable,
    ends_with,
    ignoring_case,
    network,
    one_address,
    starts_with,
    wildcard,
)

#: The comparisons of each path; all paths must match.
Alternative = Mapping[str, tuple[Comparison, ...]]

_OR: Final = "$or"
_LARGEST: Final = 1.7976931348623157e308
#: Names that cannot be a member inside `$or`: they are operators, or reserved for some.
_RESERVED_IN_OR: Final = frozenset(
    {
        *("exactly", "equals-ignore-case", "prefix", "suffix", "anything-but", "exists", "wildcard", "numeric", "cidr"),
        *("=", "<", "<=", ">", ">=", "regex", "not-wildcard", "not-equals-ignore-case"),
        *("date-after", "date-on-or-after", "date-before", "date-on-or-before", "in-date-range"),
        *("ip-address-in-range", "ip-address-not-in-range"),
    }
)


class _Number(str):
    """A number's own text: 3.0e2 and 300 are the same number, and not the same text."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class _Object:
    """The members of a JSON object in their order, repeated names included."""

    members: list[tuple[str, Any]]


@dataclass(frozen=True, slots=True)
class Pattern:
    """A compiled pattern: it matches if one of the alternatives does."""

    alternatives: tuple[Alternative, ...]


def compile_pattern(pattern: str | Mapping[str, Any]) -> Pattern:
    """Return the compiled pattern of JSON text, or of the same as a dict.

    Raises:
        PatternError: The service refuses the pattern.
    """
    text = pattern if isinstance(pattern, str) else _json_of(pattern)
    try:
        parsed = json.loads(
            text, object_pairs_hook=_Object, parse_int=_Number, parse_float=_Number, parse_constant=_no_constant
        )
    except ValueError as error:
        raise PatternError(f"it is not JSON: {error}") from None
    if not isinstance(parsed, _Object):
        raise PatternError("it is not an object")
    alternatives: list[dict[str, tuple[Comparison, ...]]] = []
    _add_object(alternatives, (), parsed, inside_or=False)
    return Pattern(tuple(alternatives))


def _json_of(pattern: Any) -> str:
    try:
        return json.dumps(pattern)
    except (TypeError, ValueError) as error:
        raise PatternError(f"it is not JSON: {error}") from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")


def _add_object(
    alternatives: list[dict[str, tuple[Comparison, ...]]], path: tuple[str, ...], found: _Object, *, inside_or: bool
) -> None:
    """Add the comparisons of an object's members to all alternatives; `$or` multiplies these."""
    if not found.members:
        raise PatternError("empty objects are not allowed")
    for name, member in found.members:
        if name == _OR:
            _add_or(alternatives, path, member)
            continue
        if inside_or and name in _RESERVED_IN_OR:
            raise PatternError(f"{name!r} is reserved, and cannot be used inside {_OR}")
        if isinstance(member, _Object):
            _add_object(alternatives, (*path, name), member, inside_or=inside_or)
        elif isinstance(member, list):
            comparisons = _comparisons(member)
            if not alternatives:
                alternatives.append({})
            for alternative in alternatives:
                alternative[".".join((*path, name))] = comparisons
        else:
            raise PatternError(f"{name!r} must be an object or an array")


def _add_or(alternatives: list[dict[str, tuple[Comparison, ...]]], path: tuple[str, ...], member: Any) -> None:
    if not isinstance(member, list):
        raise PatternError(f"an array must follow {_OR}")
    before = list(alternatives)
    alternatives.clear()
    for choice in member:
        if not isinstance(choice, _Object):
            raise PatternError(f"only objects are allowed in the array of {_OR}")
        chosen = [dict(alternative) for alternative in before] or [{}]
        _add_object(chosen, path, choice, inside_or=True)
        alternatives.extend(chosen)
    if len(member) < 2:
        raise PatternError(f"{_OR} needs at least two objects")


def _comparisons(elements: list[Any]) -> tuple[Comparison, ...]:
    if not elements:
        raise PatternError("empty arrays are not allowed")
    return tuple(each for element in elements for each in _comparison(element))


def _comparison(element: Any) -> Iterator[Comparison]:
    if isinstance(element, _Object):
        yield _operator(element)
    elif isinstance(element, _Number):
        number = comparable(element)
        if number is not None:
            yield InRange(number, number)
        yield Exactly(str(element))
    elif isinstance(element, str):
        yield one_address(element) or Exactly(f'"{element}"')
    elif element is None or isinstance(element, bool):
        yield Exactly({None: "null", True: "true", False: "false"}[element])
    else:
        raise PatternError("a value is a string, a number, true, false, null or an operator")


def _operator(found: _Object) -> Comparison:
    name, operand = _only_member(found)
    match name:
        case "exactly":
            return Exactly(f'"{_text(name, operand)}"')
        case "prefix" if isinstance(operand, _Object):
            return ignoring_case(_ignored_case(name, operand), after=".*")
        case "prefix":
            return starts_with(_text(name, operand))
        case "suffix" if isinstance(operand, _Object):
            return ignoring_case(_ignored_case(name, operand), before=".*")
        case "suffix":
            return ends_with(_text(name, operand))
        case "equals-ignore-case":
            return ignoring_case(_text(name, operand))
        case "wildcard":
            return wildcard(_text(name, operand))
        case "cidr":
            return network(_text(name, operand))
        case "numeric":
            return _numeric(operand)
        case "exists":
            if not isinstance(operand, bool):
                raise PatternError("exists is either true or false")
            return Exists() if operand else Absent()
        case "anything-but":
            return _anything_but(operand)
    raise PatternError(f"unrecognized match type {name}")


def _only_member(found: _Object) -> tuple[str, Any]:
    if len(found.members) != 1:
        raise PatternError("a match expression has exactly one member")
    return found.members[0]


def _text(operator: str, operand: Any) -> str:
    if not isinstance(operand, str) or isinstance(operand, _Number):
        raise PatternError(f"the value of {operator} must be a string")
    return operand


def _ignored_case(operator: str, found: _Object) -> str:
    name, operand = _only_member(found)
    if name != "equals-ignore-case":
        raise PatternError(f"unsupported {operator} pattern: {name}")
    return _text(name, operand)


def _numeric(operand: Any) -> Comparison:
    if not isinstance(operand, list):
        raise PatternError("the value of numeric must be an array")
    match operand:
        case ["=", number]:
            equal = _number(number)
            return InRange(equal, equal)
        case ["<", top]:
            return InRange(-_LARGEST, _number(top), top_open=True)
        case ["<=", top]:
            return InRange(-_LARGEST, _number(top))
        case [(">" | ">=") as lower, bottom]:
            return InRange(_number(bottom), _LARGEST, bottom_open=lower == ">")
        case [(">" | ">=") as lower, bottom, ("<" | "<=") as upper, top]:
            if not _number(bottom) < _number(top):
                raise PatternError("bottom must be less than top in a numeric range")
            return InRange(_number(bottom), _number(top), bottom_open=lower == ">", top_open=upper == "<")
    raise PatternError(f"{operand!r} is not a numeric range: use such as ['>', 0, '<=', 5]")


def _number(operand: Any) -> float:
    number = comparable(operand) if isinstance(operand, _Number) else None
    if number is None:
        raise PatternError(f"{operand!r} is not a number that can be compared")
    return number


def _anything_but(operand: Any) -> Comparison:
    if isinstance(operand, _Object):
        return _none_like(operand)
    values = operand if isinstance(operand, list) else [operand]
    if values and all(isinstance(value, _Number) for value in values):
        return NotANumberOf(frozenset(map(_number, values)))
    if not values or not all(isinstance(value, str) and not isinstance(value, _Number) for value in values):
        raise PatternError("the value of anything-but is a string or a number, or an array of either")
    return NoneOf(tuple(Exactly(f'"{value}"') for value in values))


def _none_like(found: _Object) -> Comparison:
    name, operand = _only_member(found)
    makers = {"equals-ignore-case": ignoring_case, "prefix": starts_with, "suffix": ends_with, "wildcard": wildcard}
    if name not in makers:
        raise PatternError(f"unsupported anything-but pattern: {name}")
    texts = [_text(name, each) for each in (operand if isinstance(operand, list) else [operand])]
    if name in ("prefix", "suffix") and "" in texts:
        raise PatternError("an empty prefix or suffix is not allowed in anything-but")
    return NoneOf(tuple(makers[name](text) for text in texts))
