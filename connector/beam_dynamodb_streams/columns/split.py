"""Images taken apart without decoding a value: the typed columns' attributes, and all others as JSON text.

The parser takes the attributes that it knows as undecoded bytes, for all images in one call, and writes them out again.
Whether that was all of an image is seen from its length alone: what is written is never longer than what was read, and
as long only if each attribute was taken, once, with no space between. Images that fail this are taken apart one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from beam_dynamodb_streams.columns.scalar import fit_attribute
from beam_dynamodb_streams.columns.schema import Schema
from beam_dynamodb_streams.columns.types import is_json, needs_escape

Json: TypeAlias = bytes | msgspec.Raw
_Counts: TypeAlias = npt.NDArray[np.int64]
_MOST_LEARNED = 200  # names; a table whose attribute names are data has no end of them
_encode = msgspec.json.Encoder().encode
_parse_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


@dataclass(frozen=True, slots=True)
class Parts:
    """One entry an image, in their order.

    ``closed``: the image without all other attributes; ``opened``: the json and map columns; ``others``: the JSON text
    of the attributes that have no column, by name, or None if no image has any; ``odd``: images that are no objects,
    and those with an attribute that its json or map column does not hold.
    """

    closed: list[Json]
    opened: list[pa.Array]
    others: pa.Array | None
    odd: npt.NDArray[np.bool_]


class _Known:
    """Takes the attributes of these names out of images."""

    def __init__(self, names: Sequence[str]) -> None:
        self.fields = {name: f"field_{place}" for place, name in enumerate(names)}
        members = [(field, msgspec.Raw, None) for field in self.fields.values()]
        rename = {field: name for name, field in self.fields.items()}
        image = msgspec.defstruct("Image", members, rename=rename, omit_defaults=True, gc=False)
        self._of_one = msgspec.json.Decoder(image).decode
        self._of_all: Callable[[bytes], list[Any]] = msgspec.json.Decoder(list[image]).decode  # type: ignore[valid-type]  # a type made here

    def take(self, images: Sequence[Json]) -> list[Any]:
        """None in the place of an image that is no object of attributes."""
        try:
            taken = self._of_all(b"[" + b",".join(images) + b"]")
            if len(taken) == len(images):
                return taken
        except (msgspec.DecodeError, RecursionError):
            pass
        return [self._take(image) for image in images]

    def _take(self, image: Json) -> Any:
        try:
            return self._of_one(image)
        except (msgspec.DecodeError, RecursionError):
            return None


class Splitter:
    """Takes images apart. It learns the names of attributes without a column, which changes its speed alone."""

    def __init__(self, schema: Schema, closed: Iterable[pa.Field], opened: Sequence[pa.Field]) -> None:
        self._names = frozenset(schema.attributes.names)
        self._keeps_others = schema.other is not None
        self._closed = _Known([column.name for column in closed])
        self._opened = opened
        self._rest = _Known([column.name for column in opened if not needs_escape(column.name)])

    def split(self, images: Sequence[Json]) -> Parts:
        taken = self._closed.take(images)
        odd = np.array([each is None for each in taken])
        if odd.any():
            images = [b"{}" if each is None else image for image, each in zip(images, taken, strict=True)]
            taken = self._closed.take(images)
        closed: list[Json] = list(map(_encode, taken))
        if not self._opened and not self._keeps_others:
            return Parts(closed, [], None, odd)
        written = _lengths(closed)
        places = np.flatnonzero(written != _lengths(images))
        values, texts = self._take_rest([images[place] for place in places.tolist()], written[places])
        columns = []
        for column, found in zip(self._opened, values, strict=True):
            fitted, misfits = _fit(column, found)
            odd[places[misfits]] = True
            columns.append(pa.array(_spread(fitted, places, len(images)), column.type))
        others = pa.array(_spread(texts, places, len(images)), pa.string()) if any(texts) else None
        return Parts(closed, columns, others, odd)

    def _take_rest(
        self, images: Sequence[Json], written: _Counts
    ) -> tuple[list[list[msgspec.Raw | None]], list[bytes | None]]:
        """The values of each open column, and the texts of the attributes that have no column."""
        rest = self._rest
        taken = rest.take(images)
        texts = list(map(_encode, taken))
        # Between the braces of an image stands what the columns take, what is left, and a comma if there are both.
        left, written = _lengths(texts) - 2, written - 2
        whole = left + written + ((left > 0) & (written > 0)) + 2 == _lengths(images)
        fields = [rest.fields.get(column.name) for column in self._opened]
        values: list[list[msgspec.Raw | None]] = [
            [getattr(each, field or "", None) for each in taken] for field in fields
        ]
        if self._opened:
            for each in taken:
                for field in filter(None, fields):
                    setattr(each, field, None)
            texts = list(map(_encode, taken))
            whole &= None not in fields
        met: set[str] = set()
        for place in np.flatnonzero(~whole).tolist():
            members = _parse_members(images[place])
            for column, found in zip(self._opened, values, strict=True):
                found[place] = members.get(column.name)
            names = sorted(members.keys() - self._names)
            met.update(names)
            texts[place] = _encode({name: members[name] for name in names})
        if not self._keeps_others:
            return values, [None] * len(texts)
        self._learn(met)
        return values, [None if text == b"{}" else text for text in texts]

    def _learn(self, met: set[str]) -> None:
        columns = [name for name in self._rest.fields if name in self._names]
        known = self._rest.fields.keys() - self._names
        learned = sorted(name for name in known | met if name and not needs_escape(name))
        if len(known) < len(learned) <= _MOST_LEARNED:
            self._rest = _Known([*columns, *learned])


def _lengths(texts: Sequence[Json]) -> _Counts:
    return np.fromiter(map(len, texts), np.int64, len(texts))


def _fit(column: pa.Field, values: list[msgspec.Raw | None]) -> tuple[list[Any], list[int]]:
    """What the column holds of each value, and the places of those that it does not hold whole."""
    if is_json(column):
        return [None if value is None else bytes(value) for value in values], []
    fits = [(None, None) if value is None else fit_attribute(column, value) for value in values]
    return [value for value, _ in fits], [place for place, (_, reason) in enumerate(fits) if reason is not None]


def _spread(values: list[Any], places: _Counts, rows: int) -> list[Any]:
    """The values at their places among so many rows, None at all others."""
    if len(values) == rows:
        return values
    spread: list[Any] = [None] * rows
    for place, value in zip(places.tolist(), values, strict=True):
        spread[place] = value
    return spread
