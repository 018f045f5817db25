"""Images of one shape: the same attributes in the same order with the same tags, which differ only in quoted texts.

Most images of a table are of a few shapes. The quotes in them are all at the same turn, so the texts of an attribute
are cut out of all images at once. That nothing else differs is seen from the bytes between the texts. A shape is read
once, as JSON, from its first image; so are all images of which there are too few, or that hold a backslash, since its
quotes may be escaped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from beam_dynamodb_streams.columns.types import tags
from beam_dynamodb_streams.columns.vectorized import Odd, content_of_tag, either, lists_of_texts, sets_of_texts

_FEWEST = 32  # images of a shape: fewer cost more here than in a parser
_MOST_SHAPES = 8
_Places = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Shaped:
    """Images of one shape: their places, their columns in the order of the fields, and which are odd among them."""

    places: _Places
    columns: list[pa.Array]
    odd: Odd


class _ShapeError(Exception):
    """An image does not have the shape of a row with these columns."""


def shaped(images: Sequence[bytes | msgspec.Raw], fields: Sequence[pa.Field]) -> Iterator[Shaped]:
    """The images of the most frequent shapes. Those of no shape are in none of the results."""
    text = b"\n".join(images)
    characters = np.frombuffer(text, np.uint8)
    if np.count_nonzero(characters < _SPACE) != len(images) - 1 or not _is_unicode(text):
        return  # the texts are taken as they stand, so all must be whole
    lengths = np.fromiter(map(len, images), np.intp, len(images))
    ends = np.cumsum(lengths + 1) - 1
    starts = ends - lengths
    quotes = np.flatnonzero(characters == _QUOTE)
    first = np.searchsorted(quotes, starts)
    counts = np.diff(first, append=len(quotes))
    if b"\\" in text:
        escapes = np.flatnonzero(characters == _BACKSLASH)
        counts[np.searchsorted(starts, escapes, side="right") - 1] = 0
    sizes, members = np.unique(counts, return_counts=True)
    frequent = sizes[np.argsort(-members)].tolist()
    groups = [np.flatnonzero(counts == size) for size in frequent[:_MOST_SHAPES] if size]
    for _ in range(_MOST_SHAPES):
        groups = [places for places in groups if len(places) >= _FEWEST]
        if not groups:
            return
        places = groups.pop(0)
        group = _Group(places, starts[places], ends[places], first[places], counts[places[0]])
        found = _of_one_shape(text, quotes, group, fields)
        if found is not None:
            yield found
            groups.append(np.setdiff1d(places, found.places, assume_unique=True))


@dataclass(frozen=True, slots=True)
class _Group:
    """Images with as many quotes: their places, where they begin and end in the text, and the turns of their quotes."""

    places: _Places
    begins: _Places
    ends: _Places
    first: _Places
    count: int


def _is_unicode(text: bytes) -> bool:
    try:
        return text.isascii() or bool(text.decode())
    except UnicodeDecodeError:
        return False


_SPACE, _QUOTE, _BACKSLASH, _F = b' "\\f'


def _of_one_shape(text: bytes, quotes: _Places, group: _Group, fields: Sequence[pa.Field]) -> Shaped | None:
    """The images of the group that have the shape of its first."""
    characters = np.frombuffer(text, np.uint8)
    try:
        shape = _Shape(text[group.begins[0] : group.ends[0]], fields)
    except _ShapeError:
        return None
    if shape.quotes != group.count:
        return None  # an attribute twice
    # Where a text begins or ends, in turn, between where the image begins and ends.
    limits = np.empty((len(group.places), 2 * len(shape.texts) + 2), np.int32)
    limits[:, 0], limits[:, -1] = group.begins, group.ends
    turns = np.array(shape.texts, np.intp)
    opening = quotes[group.first[:, None] + turns]
    limits[:, 1:-1:2] = opening + 1
    limits[:, 2:-1:2] = quotes[group.first[:, None] + (turns + 1) % shape.quotes]
    for place in shape.bools:  # what follows "BOOL": is 4 or 5 letters, and is looked at later
        begins = opening[:, place] + 2
        limits[:, 2 * place + 1], limits[:, 2 * place + 2] = (
            begins,
            begins + 4 + (characters.take(begins, mode="clip") == _F),
        )
    alike = _are_alike(text, limits)
    places = group.places
    if not alike.all():
        places, limits = places[alike], limits[alike]
    cut = _Cut(text, limits, shape.leaves)
    columns, odd = [], None
    for field in fields:
        column, more = cut.column(shape.columns.get(field.name), field.type)
        columns.append(column)
        odd = either(odd, more)
    return Shaped(places, columns, odd)


def _are_alike(text: bytes, limits: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
    """Whether what stands between the texts of an image is what stands there in the first."""
    starts, ends = limits[:, ::2], limits[:, 1::2]
    alike: npt.NDArray[np.bool_] = (ends - starts == ends[0] - starts[0]).all(axis=1)
    pieces = _pieces(text, limits if alike.all() else limits[alike])
    first = np.arange(0, len(pieces), limits.shape[1], dtype=np.int32)
    indices = (first[:, None] + np.arange(0, limits.shape[1] - 1, 2, dtype=np.int32)).ravel()
    size = int((ends[0] - starts[0]).sum())
    between: bytes = pieces.take(pa.array(indices)).buffers()[2].to_pybytes()[: size * len(first)]
    if between == between[:size] * len(first):
        return alike
    rows = np.frombuffer(between, np.uint8).reshape(len(first), size)
    same = (rows == rows[0]).all(axis=1)
    alike[alike] = same
    return alike


class _Shape:
    """``columns``: of each attribute where its texts are.

    ``texts``: by which quote each begins, ascending; ``bools``: which of them are true or false, behind this quote;
    ``leaves``: the first text of each attribute, and how many it has.
    """

    def __init__(self, image: bytes, fields: Sequence[pa.Field]) -> None:
        self.quotes = 0
        self.texts: list[int] = []
        self.bools: list[int] = []
        self.leaves: list[tuple[int, int]] = []
        try:
            members = msgspec.json.decode(image, type=dict[str, dict[str, Any]])
        except (msgspec.DecodeError, RecursionError):
            raise _ShapeError from None
        self.columns = self._members(members, {field.name: field.type for field in fields})

    def _members(self, members: Mapping[str, Any], kinds: Mapping[str, pa.DataType]) -> dict[str, Any]:
        found = {}
        for name, tagged in members.items():
            if name not in kinds:
                raise _ShapeError
            self.quotes += 2
            found[name] = self._value(tagged, kinds[name])
        return found

    def _value(self, tagged: Any, kind: pa.DataType) -> tuple[str, Any] | None:
        if not isinstance(tagged, dict) or len(tagged) != 1:
            raise _ShapeError
        ((tag, content),) = tagged.items()
        self.quotes += 2
        match tag, content:
            case "NULL", True:
                return None
            case _ if tag not in tags(kind):
                raise _ShapeError
            case "BOOL", bool():
                self.bools.append(len(self.texts))
                self.texts.append(self.quotes - 1)
                return tag, self._leaf(1)[0]
            case (("S" | "N" | "B"), str()):
                self.texts.append(self.quotes)
                self.quotes += 2
                return tag, self._leaf(1)[0]
            case "M", dict():
                return tag, self._members(content, {member.name: member.type for member in kind})
            case "L", list():
                elements = [self._value(element, kind.value_type) for element in content]
                inner = {element[0] if element else "NULL" for element in elements}
                if len(inner) > 1 or not inner <= {"S", "N", "B"}:
                    raise _ShapeError
                del self.leaves[len(self.leaves) - len(elements) :]
                return tag, (inner.pop() if inner else "", *self._leaf(len(elements)))
            case (("SS" | "NS" | "BS"), list()) if all(isinstance(element, str) for element in content):
                self.texts += range(self.quotes, self.quotes + 2 * len(content), 2)
                self.quotes += 2 * len(content)
                return tag, (tag[0], *self._leaf(len(content)))
        raise _ShapeError

    def _leaf(self, many: int) -> tuple[int, int]:
        """The last texts, so many, as those of one attribute: where they begin."""
        self.leaves.append((len(self.texts) - many, many))
        return self.leaves[-1]


def _pieces(text: bytes, limits: npt.NDArray[np.int32]) -> pa.StringArray:
    """Images cut at their limits: what stands between texts and a text in turn, and last what follows the image."""
    buffers = [None, pa.py_buffer(np.append(limits.ravel(), limits[-1, -1])), pa.py_buffer(text)]
    return pa.Array.from_buffers(pa.string(), limits.size, buffers)


class _Cut:
    """The texts of images, those of an attribute after those of the one before it."""

    def __init__(self, text: bytes, limits: npt.NDArray[np.int32], leaves: Sequence[tuple[int, int]]) -> None:
        self.rows = len(limits)
        first = np.arange(1, limits.size, limits.shape[1], dtype=np.int32)
        indices = [
            (first[:, None] + np.arange(2 * start, 2 * (start + many), 2, dtype=np.int32)).ravel()
            for start, many in leaves
        ]
        at = np.concatenate([*indices, np.zeros(0, np.int32)])
        self._all = _pieces(text, limits).take(pa.array(at))

    def _texts(self, start: int, many: int) -> pa.StringArray:
        return self._all.slice(self.rows * start, self.rows * many)

    def column(self, where: tuple[str, Any] | None, kind: pa.DataType) -> tuple[pa.Array, Odd]:
        if where is None:
            return pa.nulls(self.rows, kind), None
        tag, content = where
        if tag == "BOOL":
            texts = self._texts(content, 1)
            is_true, is_false = pc.equal(texts, "true"), pc.equal(texts, "false")
            unknown = ~pc.or_(is_true, is_false).to_numpy(zero_copy_only=False)
            return is_true, unknown if unknown.any() else None
        if tag == "M":
            found = [self.column(content.get(member.name), member.type) for member in kind]
            odd: Odd = None
            for _, more in found:
                odd = either(odd, more)
            return pa.StructArray.from_arrays([column for column, _ in found], fields=list(kind)), odd
        if tag in ("S", "N", "B"):
            return content_of_tag(self._texts(content, 1), tag, kind)
        inner, start, many = content
        if not many:
            return pa.array([[]] * self.rows, kind), None
        if tag == "L":
            return lists_of_texts(self._texts(start, many), inner, kind, self.rows)
        return sets_of_texts(self._texts(start, many), tag, kind, self.rows)
