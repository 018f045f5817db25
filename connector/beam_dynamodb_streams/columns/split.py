"""Images split without decoding a value: the attributes of typed columns, and all others as JSON text.

The parser extracts the attributes that it knows as undecoded bytes, for all images in one call, and they are encoded
again. The length alone shows whether that was all of an image: the encoded text is never longer than the image, and is
as long only if each attribute was extracted, once, without spaces between. Other images are split one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from beam_dynamodb_streams.columns.scalar import convert_attribute
from beam_dynamodb_streams.columns.schema import Schema
from beam_dynamodb_streams.columns.types import is_json, needs_escape

Json: TypeAlias = bytes | msgspec.Raw
_Counts: TypeAlias = npt.NDArray[np.int64]
_MAX_LEARNED = 200  # names: a table whose attribute names are data has any number of them
_encode = msgspec.json.Encoder().encode
_parse_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


@dataclass(frozen=True, slots=True)
class SplitImages:
    """Images in parts, with one element of each part for each image, in their order.

    Attributes:
        closed: The image with the attributes of closed columns alone.
        opened: The json and map columns.
        others: The JSON text of the attributes that have no column, by name; None if no image has any.
        recheck: Whether to convert the image again: it is not an object, or a json or map column does not hold its
            attribute.
    """

    closed: list[Json]
    opened: list[pa.Array]
    others: pa.Array | None
    recheck: npt.NDArray[np.bool_]


class _AttributeExtractor:
    """Extracts the attributes of these names from images, undecoded."""

    def __init__(self, names: Sequence[str]) -> None:
        self.fields = {name: f"field_{index}" for index, name in enumerate(names)}
        members = [(field, msgspec.Raw, None) for field in self.fields.values()]
        rename = {field: name for name, field in self.fields.items()}
        image = msgspec.defstruct("Image", members, rename=rename, omit_defaults=True, gc=False)
        self._of_one = msgspec.json.Decoder(image).decode
        self._of_all: Callable[[bytes], list[Any]] = msgspec.json.Decoder(list[image]).decode  # type: ignore[valid-type]  # a type made here

    def extract(self, images: Sequence[Json]) -> list[Any]:
        """Return the attributes of each image, or None for an image that is not an object of attributes."""
        try:
            extracted = self._of_all(b"[" + b",".join(images) + b"]")
            if len(extracted) == len(images):
                return extracted
        except (msgspec.DecodeError, RecursionError):
            pass
        return [self._extract(image) for image in images]

    def _extract(self, image: Json) -> Any:
        try:
            return self._of_one(image)
        except (msgspec.DecodeError, RecursionError):
            return None


class ImageSplitter:
    """Splits images. It learns the names of attributes without a column, which changes only its speed."""

    def __init__(self, schema: Schema, closed: Iterable[pa.Field], opened: Sequence[pa.Field]) -> None:
        self._names = frozenset(schema.attributes.names)
        self._keeps_others = schema.other is not None
        self._closed = _AttributeExtractor([column.name for column in closed])
        self._opened = opened
        self._rest = _AttributeExtractor([column.name for column in opened if not needs_escape(column.name)])

    def split(self, images: Sequence[Json]) -> SplitImages:
        extracted = self._closed.extract(images)
        recheck = np.array([each is None for each in extracted])
        if recheck.any():
            images = [b"{}" if each is None else image for image, each in zip(images, extracted, strict=True)]
            extracted = self._closed.extract(images)
        closed: list[Json] = list(map(_encode, extracted))
        if not self._opened and not self._keeps_others:
            return SplitImages(closed, [], None, recheck)
        written = _lengths(closed)
        indices = np.flatnonzero(written != _lengths(images))
        values, texts = self._extract_rest([images[index] for index in indices.tolist()], written[indices])
        columns = []
        for column, found in zip(self._opened, values, strict=True):
            fitted, misfits = _converted(column, found)
            recheck[indices[misfits]] = True
            columns.append(pa.array(_spread(fitted, indices, len(images)), column.type))
        others = pa.array(_spread(texts, indices, len(images)), pa.string()) if any(texts) else None
        return SplitImages(closed, columns, others, recheck)

    def _extract_rest(
        self, images: Sequence[Json], written: _Counts
    ) -> tuple[list[list[msgspec.Raw | None]], list[bytes | None]]:
        """Return the values of each open column, and the texts of the attributes that have no column."""
        rest = self._rest
        extracted = rest.extract(images)
        texts = list(map(_encode, extracted))
        # Between the braces of an image are the attributes of columns, the others, and a comma if there are both.
        left, written = _lengths(texts) - 2, written - 2
        whole = left + written + ((left > 0) & (written > 0)) + 2 == _lengths(images)
        fields = [rest.fields.get(column.name) for column in self._opened]
        values: list[list[msgspec.Raw | None]] = [
            [getattr(each, field or "", None) for each in extracted] for field in fields
        ]
        if self._opened:
            for each in extracted:
                for field in filter(None, fields):
                    setattr(each, field, None)
            texts = list(map(_encode, extracted))
            whole &= None not in fields
        found_names: set[str] = set()
        for index in np.flatnonzero(~whole).tolist():
            members = _parse_members(images[index])
            for column, found in zip(self._opened, values, strict=True):
                found[index] = members.get(column.name)
            names = sorted(members.keys() - self._names)
            found_names.update(names)
            texts[index] = _encode({name: members[name] for name in names})
        if not self._keeps_others:
            return values, [None] * len(texts)
        self._learn(found_names)
        return values, [None if text == b"{}" else text for text in texts]

    def _learn(self, found_names: set[str]) -> None:
        columns = [name for name in self._rest.fields if name in self._names]
        known = self._rest.fields.keys() - self._names
        learned = sorted(name for name in known | found_names if name and not needs_escape(name))
        if len(known) < len(learned) <= _MAX_LEARNED:
            self._rest = _AttributeExtractor([*columns, *learned])


def _lengths(texts: Sequence[Json]) -> _Counts:
    return np.fromiter(map(len, texts), np.int64, len(texts))


def _converted(column: pa.Field, values: list[msgspec.Raw | None]) -> tuple[list[Any], list[int]]:
    """Return what the column holds of each value, and the indices of those that it does not hold whole."""
    if is_json(column):
        return [None if value is None else bytes(value) for value in values], []
    converted = [(None, None) if value is None else convert_attribute(column, value) for value in values]
    return [value for value, _ in converted], [
        index for index, (_, reason) in enumerate(converted) if reason is not None
    ]


def _spread(values: list[Any], indices: _Counts, rows: int) -> list[Any]:
    """Return a list of `rows` elements: the values at their indices, None elsewhere."""
    if len(values) == rows:
        return values
    spread: list[Any] = [None] * rows
    for index, value in zip(indices.tolist(), values, strict=True):
        spread[index] = value
    return spread
