"""Images to Arrow structs by Arrow's own JSON parser. It is fast where all images look as the schema says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.json

from connector.records.column_types import is_open, tags
from connector.records.fit import fit_attribute
from connector.records.schema import Schema
from connector.records.vector import Odd, Paths, paths_in, tagged_type, untag

_Json = bytes | msgspec.Raw
_parse_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class ImageParser:
    """Parses images and says which rows it is not sure of; those are null or wrong, and `fit_image` decides them."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._closed = [column for column in schema.attributes if not is_open(column)]
        self._open = [column for column in schema.attributes if is_open(column)]
        self._met: Paths = frozenset()
        self._strict = pa.schema([])  # of what was met so far
        self._conforms = msgspec.json.Decoder(_conforming(self._closed)).decode

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._schema,)

    def parse(self, raws: Sequence[_Json]) -> tuple[pa.StructArray, npt.NDArray[np.intp]]:
        """One row an image in the type ``schema.image``, and the places of the odd ones, ascending."""
        if not raws:
            return pa.array([], self._schema.image), np.zeros(0, np.intp)
        text = b"\n".join(raws)
        parsed = None if self._open else self._parse_strictly(text, len(raws))
        if parsed is not None:
            columns, odd = self._untag(parsed)
            others: pa.Array = pa.nulls(len(raws), pa.string())
        else:
            columns, odd, others = self._parse_one_by_one(raws)
        by_name = dict(zip((column.name for column in (*self._closed, *self._open)), columns, strict=True))
        in_order = [by_name[column.name] for column in self._schema.attributes]
        if self._schema.other is not None:
            in_order.append(others)
        images = pa.StructArray.from_arrays(in_order, fields=list(self._schema.image))
        return images, np.zeros(0, np.intp) if odd is None else np.flatnonzero(odd)

    def _parse_strictly(self, text: bytes, rows: int) -> pa.Table | None:
        """None if any image holds what was not met before: Arrow stops at the first such member."""
        try:
            return _read(text, rows, self._strict, "error") if len(self._strict) else None
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

    def _parse_one_by_one(self, raws: Sequence[_Json]) -> tuple[list[pa.Array], Odd, pa.Array]:
        """The images that conform by Arrow; json and map columns, and attributes without a column, in Python."""
        odd = np.zeros(len(raws), np.bool_)
        texts: list[_Json] = []
        opened: list[list[Any]] = [[] for _ in self._open]
        others: list[str | None] = []
        names = set(self._schema.attributes.names)
        for place, raw in enumerate(raws):
            try:
                self._conforms(raw)
                members = _parse_members(raw)
            except (msgspec.DecodeError, RecursionError):
                odd[place] = True
                members = {}
            texts.append(b"{}" if odd[place] else raw)
            for column, values in zip(self._open, opened, strict=True):
                value, reason = (None, None) if (it := members.get(column.name)) is None else fit_attribute(column, it)
                values.append(value)
                odd[place] |= reason is not None
            rest = members.keys() - names if self._schema.other is not None else ()
            others.append(
                msgspec.json.encode({name: members[name] for name in members if name in rest}).decode()
                if rest
                else None
            )
        columns = [pa.array(values, column.type) for column, values in zip(self._open, opened, strict=True)]
        if not self._closed:
            return columns, odd, pa.array(others, pa.string())
        try:
            table = _read(b"\n".join(texts), len(raws), self._tagged(None), "ignore")
        except pa.ArrowInvalid:  # a name twice in an image, which Arrow refuses
            closed: list[pa.Array] = [pa.nulls(len(raws), column.type) for column in self._closed]
            return [*closed, *columns], np.ones(len(raws), np.bool_), pa.array(others, pa.string())
        self._learn(table)
        closed, more = self._untag(table)
        return [*closed, *columns], odd if more is None else odd | more, pa.array(others, pa.string())


def _read(text: bytes, rows: int, schema: pa.Schema, unexpected: str) -> pa.Table:
    table = pyarrow.json.read_json(
        pa.BufferReader(text),
        read_options=pyarrow.json.ReadOptions(use_threads=False, block_size=len(text) + 1),
        parse_options=pyarrow.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior=unexpected),
    )
    if table.num_rows != rows:
        raise pa.ArrowInvalid(f"{table.num_rows} rows of {rows} images")
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
