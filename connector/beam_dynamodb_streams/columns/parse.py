"""Images to Arrow structs by Arrow's own JSON parser. It is fast where all images look as the schema says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.json

from beam_dynamodb_streams.columns.schema import Schema
from beam_dynamodb_streams.columns.split import Json, Splitter
from beam_dynamodb_streams.columns.types import is_open, tags
from beam_dynamodb_streams.columns.uniform import shaped
from beam_dynamodb_streams.columns.vectorized import Odd, Paths, paths_in, tagged_type, untag

Places: TypeAlias = npt.NDArray[np.intp]
_NONE: Places = np.zeros(0, np.intp)
_MOST_BYTES = 1 << 28  # at once: Arrow keeps the places in a text in 31 bits
_FEWEST_OF_SHAPES = 64  # images
_PAGES_WITHOUT_SHAPES = 15


class ImageParser:
    """Parses images and says which rows it is not sure of; those are null or wrong, and `fit_image` decides them."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._closed = [column for column in schema.attributes if not is_open(column)]
        self._open = [column for column in schema.attributes if is_open(column)]
        self._names = [column.name for column in (*self._closed, *self._open)]
        self._splitter = Splitter(schema, self._closed, self._open)
        self._splits = bool(self._open)  # whether the images before had to be taken apart
        self._shapeless = 0  # how many pages more are not looked at for shapes, because few were of one
        self._met: Paths = frozenset()
        self._strict = pa.schema([])  # of what was met so far
        self._conforms = msgspec.json.Decoder(_conforming(self._closed)).decode

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._schema,)

    def parse(self, images: Sequence[Json]) -> tuple[pa.StructArray, Places]:
        """One row an image in the type ``schema.image``, and the places of the odd ones, ascending."""
        if not images:
            return pa.array([], self._schema.image), _NONE
        if len(images) > 1 and sum(map(len, images)) > _MOST_BYTES:
            half = len(images) // 2
            (first, odd), (second, more) = self.parse(images[:half]), self.parse(images[half:])
            return pa.concat_arrays([first, second]), np.concatenate([odd, more + half])
        if self._splits:
            return self._split(images)
        return self._by_shape(images, lambda columns, rows: self._struct(columns, None, rows), self._parse_or_split)

    def _by_shape(
        self,
        images: Sequence[Json],
        struct: Callable[[list[pa.Array], int], pa.StructArray],
        parse: Callable[[Sequence[Json]], tuple[pa.StructArray, Places]],
    ) -> tuple[pa.StructArray, Places]:
        """The images of frequent shapes are cut and made a struct, the others parsed."""
        if len(images) < _FEWEST_OF_SHAPES or self._shapeless > 0:
            self._shapeless -= 1
            return parse(images)
        pieces, places, odd = [], [], [_NONE]
        for found in shaped(images, self._closed):
            pieces.append(struct(found.columns, len(found.places)))
            places.append(found.places)
            if found.odd is not None:
                odd.append(found.places[found.odd])
        many = sum(map(len, places))
        self._shapeless = 0 if many > len(images) // 2 else _PAGES_WITHOUT_SHAPES
        if not pieces:
            return parse(images)
        if many < len(images):
            rest = np.setdiff1d(np.arange(len(images)), np.concatenate(places), assume_unique=True)
            rows, more = parse([images[place] for place in rest.tolist()])
            pieces.append(rows)
            places.append(rest)
            odd.append(rest[more])
        if len(pieces) == 1:
            return pieces[0], np.concatenate(odd)
        in_order = pa.concat_arrays(pieces).take(pa.array(np.argsort(np.concatenate(places))))
        return in_order, np.sort(np.concatenate(odd))

    def _parse_or_split(self, images: Sequence[Json]) -> tuple[pa.StructArray, Places]:
        table = self._parse_strictly(images)
        if table is None:
            return self._split(images, refused=True)
        columns, odd = self._untag(table)
        return self._struct(columns, None, len(images)), _places(odd)

    def _split(self, images: Sequence[Json], *, refused: bool = False) -> tuple[pa.StructArray, Places]:
        """``refused``: by the strict parser, as they are."""
        parts = self._splitter.split(images)
        self._splits = bool(self._open) or sum(map(len, parts.closed)) < sum(map(len, images))
        columns, odd = [], _places(parts.odd)
        if self._closed:
            parse = self._parse_and_learn if refused and not self._splits else self._parse_closed
            rows, more = self._by_shape(parts.closed, lambda columns, _: self._closed_struct(columns), parse)
            columns, odd = rows.flatten(), np.union1d(odd, more)
        return self._struct([*columns, *parts.opened], parts.others, len(images)), odd

    def _parse_closed(self, images: Sequence[Json]) -> tuple[pa.StructArray, Places]:
        """Images that hold attributes of closed columns alone."""
        table = self._parse_strictly(images)
        if table is None:
            return self._parse_and_learn(images)
        columns, odd = self._untag(table)
        return self._closed_struct(columns), _places(odd)

    def _struct(self, columns: list[pa.Array], others: pa.Array | None, rows: int) -> pa.StructArray:
        """``columns``: the closed ones, then the open ones."""
        by_name = dict(zip(self._names, columns, strict=True))
        in_order = [by_name[name] for name in self._schema.attributes.names]
        if self._schema.other is not None:
            in_order.append(pa.nulls(rows, pa.string()) if others is None else others)
        return pa.StructArray.from_arrays(in_order, fields=list(self._schema.image))

    def _closed_struct(self, columns: list[pa.Array]) -> pa.StructArray:
        return pa.StructArray.from_arrays(columns, fields=self._closed)

    def _parse_strictly(self, images: Sequence[Json]) -> pa.Table | None:
        """None if any image holds what was not met before: Arrow stops at the first such member."""
        try:
            return _read(images, self._strict, "error") if len(self._strict) else None
        except pa.ArrowInvalid:
            return None

    def _learn(self, tagged: pa.Table) -> None:
        met = self._met.union(*(paths_in(tagged.column(each.name).chunk(0), each.name) for each in self._closed))
        if met != self._met:
            self._met, self._strict = met, self._tagged(met)

    def _tagged(self, expected: Paths | None) -> pa.Schema:
        types = [(column.name, tagged_type(column.type, column.name, expected)) for column in self._closed]
        return pa.schema([(name, kind) for name, kind in types if kind.num_fields])

    def _untag(self, table: pa.Table) -> tuple[list[pa.Array], Odd]:
        columns = []
        odd: Odd = None
        for column in self._closed:
            if column.name not in table.column_names:
                columns.append(pa.nulls(table.num_rows, column.type))
                continue
            values, more = untag(table.column(column.name).chunk(0), column.type)
            columns.append(values)
            odd = more if odd is None else odd if more is None else odd | more
        return columns, odd

    def _parse_and_learn(self, images: Sequence[Json]) -> tuple[pa.StructArray, Places]:
        """The images that conform by Arrow. Nothing but attributes of closed columns is in them."""
        odd = np.zeros(len(images), np.bool_)
        texts: list[Json] = []
        for place, image in enumerate(images):
            try:
                self._conforms(image)
            except (msgspec.DecodeError, RecursionError):
                odd[place] = True
            texts.append(b"{}" if odd[place] else image)
        try:
            table = _read(texts, self._tagged(None), "ignore")
        except pa.ArrowInvalid:  # what msgspec takes and Arrow does not, such as a line end between two attributes
            nulls: list[pa.Array] = [pa.nulls(len(images), column.type) for column in self._closed]
            return self._closed_struct(nulls), np.arange(len(images))
        self._learn(table)
        columns, more = self._untag(table)
        return self._closed_struct(columns), _places(odd if more is None else odd | more)


def _places(odd: Odd) -> Places:
    return _NONE if odd is None else np.flatnonzero(odd)


def _read(images: Sequence[Json], schema: pa.Schema, unexpected: Literal["error", "ignore"]) -> pa.Table:
    text = b"\n".join(images)
    table = pyarrow.json.read_json(
        pa.BufferReader(text),
        # Arrow's own threads would cost 3 to 5 % more CPU; the lock is free for other shards' pages meanwhile.
        read_options=pyarrow.json.ReadOptions(use_threads=False, block_size=len(text) + 1),
        parse_options=pyarrow.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior=unexpected),
    )
    if table.num_rows != len(images):
        raise pa.ArrowInvalid(f"{table.num_rows} rows of {len(images)} images")
    return table.combine_chunks()


def _conforming(columns: Sequence[pa.Field]) -> type[msgspec.Struct]:
    """A type of images whose attributes have the tags of their columns; other attributes may stand beside them."""
    fields = [(f"field_{place}", _conforming_value(column.type), None) for place, column in enumerate(columns)]
    rename = {f"field_{place}": column.name for place, column in enumerate(columns)}
    return msgspec.defstruct("Image", fields, rename=rename, gc=False)


def _conforming_value(kind: pa.DataType) -> Any:
    contents: dict[str, Any] = {
        "S": str,
        "N": str,
        "B": str,
        "BOOL": bool,
        "SS": list[str],
        "NS": list[str],
        "BS": list[str],
    }
    if pa.types.is_struct(kind):
        members = [(f"field_{place}", _conforming_value(member.type), None) for place, member in enumerate(kind)]
        rename = {f"field_{place}": member.name for place, member in enumerate(kind)}
        contents["M"] = msgspec.defstruct("Members", members, rename=rename, forbid_unknown_fields=True, gc=False)
    elif pa.types.is_list(kind):
        contents["L"] = list[_conforming_value(kind.value_type)]  # type: ignore[misc]  # a type made here
    tagged = [(tag, contents[tag], None) for tag in tags(kind)]
    return msgspec.defstruct("Tagged", [*tagged, ("NULL", bool, None)], forbid_unknown_fields=True, gc=False)
