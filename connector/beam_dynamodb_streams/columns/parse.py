"""Images to Arrow structs by Arrow's JSON parser, which is fast where all images look as the schema says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.json

from beam_dynamodb_streams.columns.schema import Schema
from beam_dynamodb_streams.columns.split import ImageSplitter, Json
from beam_dynamodb_streams.columns.types import is_open, tags
from beam_dynamodb_streams.columns.uniform import uniform_images
from beam_dynamodb_streams.columns.vectorized import Paths, Recheck, paths_in, tagged_type, untag

Indices: TypeAlias = npt.NDArray[np.intp]
_NONE: Indices = np.zeros(0, np.intp)
_MAX_BYTES = 1 << 28  # at once: Arrow's offsets in a text have 31 bits
_MIN_IMAGES_FOR_SHAPES = 64
_PAGES_WITHOUT_SHAPES = 15  # to parse without a search for shapes, after a page with few images of a shape


class ImageParser:
    """Parses images. It returns which rows to convert again by `convert_image`, because they may be null or wrong."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._closed = [column for column in schema.attributes if not is_open(column)]
        self._open = [column for column in schema.attributes if is_open(column)]
        self._names = [column.name for column in (*self._closed, *self._open)]
        self._splitter = ImageSplitter(schema, self._closed, self._open)
        self._splits = bool(self._open)  # whether the images before had to be split
        self._pages_to_parse = 0  # how many more pages to parse without a search for shapes
        self._seen_paths: Paths = frozenset()
        self._strict = pa.schema([])  # of the paths that were seen so far
        self._conforms = msgspec.json.Decoder(_conforming(self._closed)).decode

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._schema,)

    def parse(self, images: Sequence[Json]) -> tuple[pa.StructArray, Indices]:
        """Return a row for each image in the type `schema.image`, and the indices to convert again, ascending."""
        if not images:
            return pa.array([], self._schema.image), _NONE
        if len(images) > 1 and sum(map(len, images)) > _MAX_BYTES:
            half = len(images) // 2
            (first, recheck), (second, more) = self.parse(images[:half]), self.parse(images[half:])
            return pa.concat_arrays([first, second]), np.concatenate([recheck, more + half])
        if self._splits:
            return self._split(images)
        return self._by_shape(images, lambda columns, rows: self._struct(columns, None, rows), self._parse_or_split)

    def _by_shape(
        self,
        images: Sequence[Json],
        struct: Callable[[list[pa.Array], int], pa.StructArray],
        parse: Callable[[Sequence[Json]], tuple[pa.StructArray, Indices]],
    ) -> tuple[pa.StructArray, Indices]:
        """Cut images of frequent shapes and make a struct of their columns; parse the others."""
        if len(images) < _MIN_IMAGES_FOR_SHAPES or self._pages_to_parse > 0:
            self._pages_to_parse -= 1
            return parse(images)
        pieces, indices, recheck = [], [], [_NONE]
        for found in uniform_images(images, self._closed):
            pieces.append(struct(found.columns, len(found.indices)))
            indices.append(found.indices)
            if found.recheck is not None:
                recheck.append(found.indices[found.recheck])
        count = sum(map(len, indices))
        self._pages_to_parse = 0 if count > len(images) // 2 else _PAGES_WITHOUT_SHAPES
        if not pieces:
            return parse(images)
        if count < len(images):
            rest = np.setdiff1d(np.arange(len(images)), np.concatenate(indices), assume_unique=True)
            rows, more = parse([images[index] for index in rest.tolist()])
            pieces.append(rows)
            indices.append(rest)
            recheck.append(rest[more])
        if len(pieces) == 1:
            return pieces[0], np.concatenate(recheck)
        in_order = pa.concat_arrays(pieces).take(pa.array(np.argsort(np.concatenate(indices))))
        return in_order, np.sort(np.concatenate(recheck))

    def _parse_or_split(self, images: Sequence[Json]) -> tuple[pa.StructArray, Indices]:
        table = self._parse_strictly(images)
        if table is None:
            return self._split(images, refused=True)
        columns, recheck = self._untag(table)
        return self._struct(columns, None, len(images)), _indices(recheck)

    def _split(self, images: Sequence[Json], *, refused: bool = False) -> tuple[pa.StructArray, Indices]:
        """Split the images, then convert them. `refused`: whether the strict parser refused them as they are."""
        parts = self._splitter.split(images)
        self._splits = bool(self._open) or sum(map(len, parts.closed)) < sum(map(len, images))
        columns, recheck = [], _indices(parts.recheck)
        if self._closed:
            parse = self._parse_and_learn if refused and not self._splits else self._parse_closed
            rows, more = self._by_shape(parts.closed, lambda columns, _: self._closed_struct(columns), parse)
            columns, recheck = rows.flatten(), np.union1d(recheck, more)
        return self._struct([*columns, *parts.opened], parts.others, len(images)), recheck

    def _parse_closed(self, images: Sequence[Json]) -> tuple[pa.StructArray, Indices]:
        """Parse images that hold attributes of closed columns alone."""
        table = self._parse_strictly(images)
        if table is None:
            return self._parse_and_learn(images)
        columns, recheck = self._untag(table)
        return self._closed_struct(columns), _indices(recheck)

    def _struct(self, columns: list[pa.Array], others: pa.Array | None, rows: int) -> pa.StructArray:
        """Return the images of these columns: the closed ones, then the open ones."""
        by_name = dict(zip(self._names, columns, strict=True))
        in_order = [by_name[name] for name in self._schema.attributes.names]
        if self._schema.other is not None:
            in_order.append(pa.nulls(rows, pa.string()) if others is None else others)
        return pa.StructArray.from_arrays(in_order, fields=list(self._schema.image))

    def _closed_struct(self, columns: list[pa.Array]) -> pa.StructArray:
        return pa.StructArray.from_arrays(columns, fields=self._closed)

    def _parse_strictly(self, images: Sequence[Json]) -> pa.Table | None:
        """Return the table, or None if an image holds a member not seen before: Arrow stops at the first one."""
        try:
            return _read(images, self._strict, "error") if len(self._strict) else None
        except pa.ArrowInvalid:
            return None

    def _learn(self, tagged: pa.Table) -> None:
        seen = self._seen_paths.union(
            *(paths_in(tagged.column(each.name).chunk(0), each.name) for each in self._closed)
        )
        if seen != self._seen_paths:
            self._seen_paths, self._strict = seen, self._tagged(seen)

    def _tagged(self, expected: Paths | None) -> pa.Schema:
        types = [(column.name, tagged_type(column.type, column.name, expected)) for column in self._closed]
        return pa.schema([(name, kind) for name, kind in types if kind.num_fields])

    def _untag(self, table: pa.Table) -> tuple[list[pa.Array], Recheck]:
        columns = []
        recheck: Recheck = None
        for column in self._closed:
            if column.name not in table.column_names:
                columns.append(pa.nulls(table.num_rows, column.type))
                continue
            values, more = untag(table.column(column.name).chunk(0), column.type)
            columns.append(values)
            recheck = more if recheck is None else recheck if more is None else recheck | more
        return columns, recheck

    def _parse_and_learn(self, images: Sequence[Json]) -> tuple[pa.StructArray, Indices]:
        """Parse the images that conform to the schema. They hold attributes of closed columns alone."""
        recheck = np.zeros(len(images), np.bool_)
        texts: list[Json] = []
        for index, image in enumerate(images):
            try:
                self._conforms(image)
            except (msgspec.DecodeError, RecursionError):
                recheck[index] = True
            texts.append(b"{}" if recheck[index] else image)
        try:
            table = _read(texts, self._tagged(None), "ignore")
        except pa.ArrowInvalid:  # Arrow refuses some JSON that msgspec takes, such as a line end between two attributes
            nulls: list[pa.Array] = [pa.nulls(len(images), column.type) for column in self._closed]
            return self._closed_struct(nulls), np.arange(len(images))
        self._learn(table)
        columns, more = self._untag(table)
        return self._closed_struct(columns), _indices(recheck if more is None else recheck | more)


def _indices(recheck: Recheck) -> Indices:
    return _NONE if recheck is None else np.flatnonzero(recheck)


def _read(images: Sequence[Json], schema: pa.Schema, unexpected: Literal["error", "ignore"]) -> pa.Table:
    text = b"\n".join(images)
    table = pyarrow.json.read_json(
        pa.BufferReader(text),
        # Arrow's own threads take 3 to 5 % more CPU. Pages of other shards run meanwhile: the interpreter lock is free.
        read_options=pyarrow.json.ReadOptions(use_threads=False, block_size=len(text) + 1),
        parse_options=pyarrow.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior=unexpected),
    )
    if table.num_rows != len(images):
        raise pa.ArrowInvalid(f"{table.num_rows} rows of {len(images)} images")
    return table.combine_chunks()


def _conforming(columns: Sequence[pa.Field]) -> type[msgspec.Struct]:
    """Return a type of images whose attributes have the tags of their columns; they may have other attributes."""
    fields = [(f"field_{index}", _conforming_value(column.type), None) for index, column in enumerate(columns)]
    rename = {f"field_{index}": column.name for index, column in enumerate(columns)}
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
        members = [(f"field_{index}", _conforming_value(member.type), None) for index, member in enumerate(kind)]
        rename = {f"field_{index}": member.name for index, member in enumerate(kind)}
        contents["M"] = msgspec.defstruct("Members", members, rename=rename, forbid_unknown_fields=True, gc=False)
    elif pa.types.is_list(kind):
        contents["L"] = list[_conforming_value(kind.value_type)]  # type: ignore[misc]  # a type made here
    tagged = [(tag, contents[tag], None) for tag in tags(kind)]
    return msgspec.defstruct("Tagged", [*tagged, ("NULL", bool, None)], forbid_unknown_fields=True, gc=False)
