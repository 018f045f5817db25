"""Whether an event matches a pattern: AWS's rules for nested members and for arrays.

An event is taken apart into its values. A value is a scalar: an object or an array is not one, so `exists` sees scalars
alone. The elements of an array are values of the array's path. Where a pattern has several paths through one array, all
of them must match in the same element of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from beam_dynamodb_streams.handlers.pattern import Alternative, Pattern
from beam_dynamodb_streams.handlers.pattern_values import Absent

#: The element of each array in which a value is: its index by the array's number.
Elements = Mapping[int, int]

_json_text = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Paths:
    """The paths of some alternatives, and the paths on the way to them."""

    names: frozenset[str]
    ways: frozenset[str]

    @staticmethod
    def of(names: frozenset[str]) -> Paths:
        ways = {name[:end] for name in names for end, letter in enumerate(name) if letter == "."}
        return Paths(names, frozenset(ways))


def matches(pattern: Pattern, event: Mapping[str, Any]) -> bool:
    """Return whether the event, as parsed from its JSON, matches. A number may be a `NumberText`."""
    paths = Paths.of(frozenset(path for alternative in pattern.alternatives for path in alternative))
    found = values_of(event, paths)
    return any(holds(alternative, found) for alternative in pattern.alternatives)


class NumberText(str):
    """A number of an event with its own text, which decides where two numbers cannot be compared by value."""

    __slots__ = ()


Values = Mapping[str, list[tuple[str, Elements]]]


def values_of(event: Mapping[str, Any], paths: Paths, path: str | None = None) -> Values:
    """Return the values of the event at the paths, each with the elements of arrays in which it is.

    Args:
        event: An object of the event, or the event itself.
        paths: The paths to look for.
        path: The path of the object; None for the event itself.
    """
    found: dict[str, list[tuple[str, Elements]]] = {}
    _Walk(paths, found).add_object(event, path, {})
    return found


@dataclass(slots=True)
class _Walk:
    paths: Paths
    found: dict[str, list[tuple[str, Elements]]]
    arrays: int = 0

    def add_object(self, members: Mapping[str, Any], path: str | None, elements: Elements) -> None:
        for name, member in members.items():
            below = name if path is None else f"{path}.{name}"
            if below in self.paths.names or below in self.paths.ways:
                self._add(member, below, elements)

    def _add(self, member: Any, path: str, elements: Elements) -> None:
        if isinstance(member, dict):
            self.add_object(member, path, elements)
        elif isinstance(member, list):
            number = self.arrays
            self.arrays += 1
            for index, element in enumerate(member):
                nested = isinstance(element, dict | list)
                self._add(element, path, {**elements, number: index} if nested else elements)
        elif path in self.paths.names:
            self.found.setdefault(path, []).append((value_text(member), elements))


def value_text(scalar: Any) -> str:
    """Return the text of a scalar as `pattern_values` compares it."""
    if isinstance(scalar, NumberText):
        return str(scalar)
    if isinstance(scalar, str):
        return f'"{scalar}"'
    return _json_text(scalar).decode()


def holds(alternative: Alternative, found: Values) -> bool:
    """Return whether all paths of the alternative match, in the order of their names, as AWS's engine looks at them."""
    return _holds(sorted(alternative.items()), found, 0, {})


def _holds(paths: list[tuple[str, Any]], found: Values, number: int, elements: Elements) -> bool:
    if number == len(paths):
        return True
    path, comparisons = paths[number]
    together = [
        (value, joined) for value, other in found.get(path, ()) if (joined := _joined(elements, other)) is not None
    ]
    seen: list[Elements] = []
    for _value, joined in _accepted(comparisons, together):
        if joined not in seen:
            seen.append(joined)
            if _holds(paths, found, number + 1, joined):
                return True
    absent = not together and any(isinstance(each, Absent) for each in comparisons)
    return absent and _holds(paths, found, number + 1, elements)


def _accepted(comparisons: Any, values: list[tuple[str, Elements]]) -> Iterator[tuple[str, Elements]]:
    for value, joined in values:
        if any(comparison.accepts(value) for comparison in comparisons):
            yield value, joined


def _joined(elements: Elements, others: Elements) -> Elements | None:
    """Return the elements of both; None if they are two elements of one array."""
    if not others:
        return elements
    if not elements:
        return others
    if any(elements.get(array, index) != index for array, index in others.items()):
        return None
    return {**elements, **others}
