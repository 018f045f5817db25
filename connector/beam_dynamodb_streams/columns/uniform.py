"""Columns of images that have the same shape: they differ only in quoted texts.

Such images have the same attributes in the same order with the same tags, and most images of a table have one of a few
shapes. The quotes of an attribute then have the same numbers in all of them, so its texts are cut out of all images at
once. The bytes between the texts show whether anything else differs. A shape is read as JSON once, from its first
image. Images of rare shapes are left to the parser, and so are images with a backslash, whose quotes may be escaped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from beam_dynamodb_streams.columns.types import tags
from beam_dynamodb_streams.columns.vectorized import Recheck, content_of_tag, either_mask, lists_of_texts, sets_of_texts

_MIN_IMAGES = 32  # of a shape: the parser is faster for fewer
_MAX_SHAPES = 8
Indices = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class UniformImages:
    """Images of one shape: their indices, their columns in the order of the fields, and which to convert again."""

    indices: Indices
    columns: list[pa.Array]
    recheck: Recheck


class _ShapeError(Exception):
    """The image does not have the shape of a row with these columns."""


def uniform_images(images: Sequence[bytes | msgspec.Raw], fields: Sequence[pa.Field]) -> Iterator[UniformImages]:
    """Yield the images of the most frequent shapes; images of other shapes are in none of the results."""
    return by_shape(images, lambda group: _of_first_shape(group, fields))


class _Found(Protocol):
    @property
    def indices(self) -> Indices: ...


_FoundT = TypeVar("_FoundT", bound=_Found)


def by_shape(
    images: Sequence[bytes | msgspec.Raw], of_first_shape: Callable[[Group], _FoundT | None]
) -> Iterator[_FoundT]:
    """Yield what is found of the most frequent shapes.

    Args:
        images: The images.
        of_first_shape: Returns what it finds in the images of a group that have the shape of its first one, or None.
    """
    text = b"\n".join(images)
    characters = np.frombuffer(text, np.uint8)
    if np.count_nonzero(characters < _SPACE) != len(images) - 1 or not _is_unicode(text):
        return  # the texts are cut out without a check, so all must be valid
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
    groups = [np.flatnonzero(counts == size) for size in frequent[:_MAX_SHAPES] if size]
    for _ in range(_MAX_SHAPES):
        groups = [indices for indices in groups if len(indices) >= _MIN_IMAGES]
        if not groups:
            return
        indices = groups.pop(0)
        count = int(counts[indices[0]])
        group = Group(text, quotes, indices, starts[indices], ends[indices], first[indices], count)
        found = of_first_shape(group)
        if found is not None:
            yield found
            if len(found.indices) < len(indices):
                groups.append(np.setdiff1d(indices, found.indices, assume_unique=True))


@dataclass(frozen=True, slots=True)
class Group:
    """Images with the same count of quotes: their indices, begins and ends in the text, and numbers of first quotes.

    `text` and `quotes` are those of all images.
    """

    text: bytes
    quotes: Indices
    indices: Indices
    begins: Indices
    ends: Indices
    first: Indices
    count: int

    def limits(self, texts: Sequence[int], bools: Sequence[int]) -> npt.NDArray[np.int32]:
        """Return for each image its begin, the begin and the end of each of its texts, and its end.

        Args:
            texts: The number of the quote at which each text begins, ascending.
            bools: The numbers of the texts that are true or false; they follow this quote.
        """
        limits = np.empty((len(self.indices), 2 * len(texts) + 2), np.int32)
        limits[:, 0], limits[:, -1] = self.begins, self.ends
        turns = np.array(texts, np.intp)
        opening = self.quotes[self.first[:, None] + turns]
        limits[:, 1:-1:2] = opening + 1
        limits[:, 2:-1:2] = self.quotes[self.first[:, None] + (turns + 1) % self.count]
        characters = np.frombuffer(self.text, np.uint8)
        for index in bools:  # 4 or 5 letters follow "BOOL":, and are compared later
            begins = opening[:, index] + 2
            limits[:, 2 * index + 1], limits[:, 2 * index + 2] = (
                begins,
                begins + 4 + (characters.take(begins, mode="clip") == _F),
            )
        return limits


def _is_unicode(text: bytes) -> bool:
    try:
        return text.isascii() or bool(text.decode())
    except UnicodeDecodeError:
        return False


_SPACE, _QUOTE, _BACKSLASH, _F = b' "\\f'


def _of_first_shape(group: Group, fields: Sequence[pa.Field]) -> UniformImages | None:
    """Return the images of the group that have the shape of its first one, or None if that has none."""
    try:
        shape = _Shape(group.text[group.begins[0] : group.ends[0]], fields)
    except _ShapeError:
        return None
    if shape.quotes != group.count:
        return None  # an attribute occurs twice
    limits = group.limits(shape.texts, shape.bools)
    alike = have_first_shape(group.text, limits)
    indices = group.indices
    if not alike.all():
        indices, limits = indices[alike], limits[alike]
    cut = _CutTexts(group.text, limits, shape.leaves)
    columns, recheck = [], None
    for field in fields:
        column, more = cut.column(shape.columns.get(field.name), field.type)
        columns.append(column)
        recheck = either_mask(recheck, more)
    return UniformImages(indices, columns, recheck)


def have_first_shape(text: bytes, limits: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
    """Return for each image whether the bytes between its texts are those of the first image."""
    starts, ends = limits[:, ::2], limits[:, 1::2]
    alike: npt.NDArray[np.bool_] = (ends - starts == ends[0] - starts[0]).all(axis=1)
    pieces = pieces_of(text, limits if alike.all() else limits[alike])
    first = np.arange(0, len(pieces), limits.shape[1], dtype=np.int32)
    indices = (first[:, None] + np.arange(0, limits.shape[1] - 1, 2, dtype=np.int32)).ravel()
    size = int((ends[0] - starts[0]).sum())
    content = pieces.take(pa.array(indices)).buffers()[2]
    between = np.frombuffer(content, np.uint8, size * len(first))
    if np.array_equal(between[size:], between[: len(between) - size]):
        return alike
    rows = between.reshape(len(first), size)
    same = (rows == rows[0]).all(axis=1)
    alike[alike] = same
    return alike


class _Shape:
    """Where the texts of each attribute are in an image.

    Attributes:
        columns: For each attribute, its tag and where its texts are.
        texts: The number of the quote at which each text begins, ascending.
        bools: The numbers of the texts that are true or false; they follow this quote.
        leaves: The first text of each attribute, and the count of its texts.
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

    def _leaf(self, count: int) -> tuple[int, int]:
        """Assign the last texts, of this count, to one attribute. Return where they begin, and the count."""
        self.leaves.append((len(self.texts) - count, count))
        return self.leaves[-1]


def pieces_of(text: bytes, limits: npt.NDArray[np.int32]) -> pa.StringArray:
    """Return the images cut at their limits: for each, in turn bytes between texts and a text, then what follows it."""
    buffers = [None, pa.py_buffer(np.append(limits.ravel(), limits[-1, -1])), pa.py_buffer(text)]
    return pa.Array.from_buffers(pa.string(), limits.size, buffers)


class _CutTexts:
    """The texts of all images, by attribute."""

    def __init__(self, text: bytes, limits: npt.NDArray[np.int32], leaves: Sequence[tuple[int, int]]) -> None:
        self.rows = len(limits)
        first = np.arange(1, limits.size, limits.shape[1], dtype=np.int32)
        indices = [
            (first[:, None] + np.arange(2 * start, 2 * (start + count), 2, dtype=np.int32)).ravel()
            for start, count in leaves
        ]
        at = np.concatenate([*indices, np.zeros(0, np.int32)])
        self._all = pieces_of(text, limits).take(pa.array(at))

    def _texts(self, start: int, count: int) -> pa.StringArray:
        return self._all.slice(self.rows * start, self.rows * count)

    def column(self, where: tuple[str, Any] | None, kind: pa.DataType) -> tuple[pa.Array, Recheck]:
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
            recheck: Recheck = None
            for _, more in found:
                recheck = either_mask(recheck, more)
            return pa.StructArray.from_arrays([column for column, _ in found], fields=list(kind)), recheck
        if tag in ("S", "N", "B"):
            texts = self._texts(content, 1)
            if kind == pa.string():
                return content_of_tag(texts, tag, kind)
            return self._once(texts, lambda some, _: content_of_tag(some, tag, kind))
        inner, start, count = content
        if not count:
            return pa.array([[]] * self.rows, kind), None
        texts = self._texts(start, count)
        if tag == "L":
            return self._once(texts, lambda some, rows: lists_of_texts(some, inner, kind, rows))
        return self._once(texts, lambda some, rows: sets_of_texts(some, tag, kind, rows))

    def _once(
        self, texts: pa.StringArray, convert: Callable[[pa.StringArray, int], tuple[pa.Array, Recheck]]
    ) -> tuple[pa.Array, Recheck]:
        """Convert texts whose second half repeats the first one only once: most attributes are in both images alike."""
        if not _repeats(texts, self.rows):
            return convert(texts, self.rows)
        column, recheck = convert(texts.slice(0, len(texts) // 2), self.rows // 2)
        return pa.concat_arrays([column, column]), None if recheck is None else np.tile(recheck, 2)


def _repeats(texts: pa.StringArray, rows: int) -> bool:
    """Return whether the texts of the second half of the rows are those of the first one."""
    if rows % 2:
        return False
    half = len(texts) // 2
    _, offsets, content = texts.buffers()
    limits = np.frombuffer(offsets, np.int32, len(texts) + 1, texts.offset * 4)
    first, middle, last = (int(limits[at]) for at in (0, half, 2 * half))
    if middle - first != last - middle or not np.array_equal(limits[: half + 1] + (middle - first), limits[half:]):
        return False
    characters = np.frombuffer(content or b"", np.uint8)
    return np.array_equal(characters[first:middle], characters[middle:last])
