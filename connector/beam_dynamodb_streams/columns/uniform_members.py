"""The attributes of images that have the same shape, compared image by image without decoding one.

As in `columns.uniform`, but without a schema: the attributes are cut out of the images as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from beam_dynamodb_streams.columns.uniform import Group, Indices, by_shape, have_first_shape, pieces_of

#: Numbers in this form have one text for each value.
_CANONICAL: Final = r"^(0|-?[1-9][0-9]*|-?(0|[1-9][0-9]*)\.[0-9]*[1-9])$"
_AT_ONCE: Final = 4_000  # images: what fits a cache, and has offsets of 31 bits


@dataclass(frozen=True, slots=True)
class Differing:
    """What differs between pairs of images that have one shape.

    Attributes:
        pairs: The numbers of the pairs.
        names: The names of their attributes.
        rows: The pair of each attribute that differs.
        columns: The name of each, by its place in `names`.
        unsure: The attributes, by their place in `rows`, whose texts differ although their values may be equal.
        values: The two texts of each attribute that is unsure.
    """

    pairs: Indices
    names: list[str]
    rows: Indices
    columns: Indices
    unsure: Indices
    values: list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class _Members:
    """Images of one shape: the names and the tags of their attributes, and where each value begins and ends."""

    indices: Indices
    text: bytes
    names: list[str]
    tags: list[str]
    limits: npt.NDArray[np.int32]


def differing_attributes(new: Sequence[bytes], old: Sequence[bytes]) -> Iterator[Differing]:
    """Yield what differs between the images of each pair, where both have the same frequent shape."""
    for start in range(0, len(new), _AT_ONCE // 2):
        some, others = new[start : start + _AT_ONCE // 2], old[start : start + _AT_ONCE // 2]
        for members in by_shape([*some, *others], _of_first_shape):
            places = np.full(2 * len(some), -1)
            places[members.indices] = np.arange(len(members.indices))
            pairs = np.flatnonzero((places[: len(some)] >= 0) & (places[len(some) :] >= 0))
            if len(pairs):
                yield _compare(members, start, pairs, places[pairs], places[len(some) + pairs])


def attributes_by_shape(images: Sequence[bytes]) -> Iterator[tuple[Indices, list[str]]]:
    """Yield the images of each frequent shape, and the names of their attributes."""
    for start in range(0, len(images), _AT_ONCE):
        for members in by_shape(images[start : start + _AT_ONCE], _of_first_shape):
            yield members.indices + start, members.names


def _compare(members: _Members, start: int, pairs: Indices, new: Indices, old: Indices) -> Differing:
    width = len(members.names)
    # In turn: what stands before a value, and a value.
    ones, others = (pieces_of(members.text, members.limits[rows]) for rows in (new, old))
    unequal = pc.not_equal(ones, others).to_numpy(zero_copy_only=False)
    rows, columns = np.nonzero(unequal.reshape(len(pairs), 2 * width + 2)[:, 1:-1:2])
    places = pa.array(rows * (2 * width + 2) + 2 * columns + 1)
    values = [each.take(places) for each in (ones, others)]
    tags = np.array(members.tags, object)[columns]
    sure = (tags == "S") | (tags == "BOOL") | (tags == "NULL")
    numbers = np.flatnonzero(tags == "N")
    if len(numbers):
        canonical = [pc.match_substring_regex(_content(each.take(pa.array(numbers))), _CANONICAL) for each in values]
        sure[numbers] = pc.and_(*canonical).to_numpy(zero_copy_only=False)
    unsure = np.flatnonzero(~sure)
    doubtful = [each.take(pa.array(unsure)).view(pa.binary()).to_pylist() for each in values]
    values_of_both = list(zip(*doubtful, strict=True))
    return Differing(pairs + start, members.names, pairs[rows] + start, columns, unsure, values_of_both)


def _content(values: pa.StringArray) -> pa.StringArray:
    """Return the number of each value `{"N":"12"}`."""
    return pc.utf8_slice_codeunits(values, len('{"N":"'), -len('"}'))


def _of_first_shape(group: Group) -> _Members | None:
    """Return the images of the group that have the shape of its first one, or None if that has none."""
    image = group.text[group.begins[0] : group.ends[0]]
    try:
        parsed = msgspec.json.decode(image, type=dict[str, msgspec.Raw])
        shape = _Shape()
        tags = [shape.member(msgspec.json.decode(raw)) for raw in parsed.values()]
    except (msgspec.DecodeError, RecursionError, ValueError):
        return None
    compact = b"{" + b",".join(b'"%s":%s' % (name.encode(), raw) for name, raw in parsed.items()) + b"}"
    if shape.quotes != group.count or compact != image or not parsed:
        return None  # an attribute occurs twice, or there are spaces between the tokens
    alike = have_first_shape(group.text, group.limits(shape.texts, shape.bools))
    begins, ends, first = group.begins[alike], group.ends[alike], group.first[alike]
    limits = np.empty((len(begins), 2 * len(parsed) + 2), np.int32)
    limits[:, 0], limits[:, -1] = begins, ends
    # A value begins behind the name, its closing quote and the colon, and ends before the comma, or the last brace.
    names = group.quotes[first[:, None] + np.array(shape.names, np.intp)]
    limits[:, 1:-1:2] = group.quotes[first[:, None] + np.array(shape.names, np.intp) + 1] + 2
    limits[:, 2:-2:2] = names[:, 1:] - 1
    limits[:, -2] = ends - 1
    return _Members(group.indices[alike], group.text, list(parsed), tags, limits)


class _Shape:
    """Where the texts of an image are; see `columns.uniform`. `names`: the number of the first quote of each name."""

    def __init__(self) -> None:
        self.quotes = 0
        self.names: list[int] = []
        self.texts: list[int] = []
        self.bools: list[int] = []

    def member(self, tagged: Any) -> str:
        """Add an attribute and return its tag."""
        self.names.append(self.quotes)
        self.quotes += 2
        return self._value(tagged)

    def _value(self, tagged: Any) -> str:
        if not isinstance(tagged, dict) or len(tagged) != 1:
            raise ValueError("not an attribute value")
        ((tag, content),) = tagged.items()
        self.quotes += 2
        match tag, content:
            case "NULL", True:
                pass
            case "BOOL", bool():
                self.bools.append(len(self.texts))
                self.texts.append(self.quotes - 1)
            case (("S" | "N" | "B"), str()):
                self._texts(1)
            case (("SS" | "NS" | "BS"), list()) if all(isinstance(element, str) for element in content):
                self._texts(len(content))
            case "M", dict():
                for each in content.values():
                    self.quotes += 2
                    self._value(each)
            case "L", list():
                for each in content:
                    self._value(each)
            case _:
                raise ValueError("not an attribute value")
        return str(tag)

    def _texts(self, count: int) -> None:
        self.texts += range(self.quotes, self.quotes + 2 * count, 2)
        self.quotes += 2 * count
