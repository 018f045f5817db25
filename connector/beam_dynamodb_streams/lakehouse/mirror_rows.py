"""What a row of a mirror is: the latest state of an item. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from beam_dynamodb_streams.columns import Schema
from beam_dynamodb_streams.errors import InvalidOptionError, LakehouseError
from beam_dynamodb_streams.sinks.layouts import RowLayout, canonical_keys

VERSION: Final = "_version"
CHANGED: Final = "_changed_at"
DELETED: Final = "_deleted"
KEY: Final = "_key"
"""The last two are columns of the rows to merge, and not of the table."""

_OWN: Final = (pa.field(VERSION, pa.string()), pa.field(CHANGED, pa.timestamp("us", tz="UTC")))
_TEXT: Final = (pa.field("keys", pa.string()), pa.field("image", pa.string()))


@dataclass(frozen=True, slots=True)
class MirrorRows:
    """The columns of a mirror, and changes as rows of them.

    - With a schema, a column for each attribute, with the name that it has in files, and the schema's `other`.
      Without one, `keys` and `image`, which are DynamoDB JSON.
    - `_version` is the `version` of the item's last change, and `_changed_at` its creation time.
    """

    schema: Schema | None
    layout: RowLayout = field(init=False)
    columns: pa.Schema = field(init=False)
    keys: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        layout = RowLayout("latest_image", self.schema)
        object.__setattr__(self, "layout", layout)
        if self.schema is None:
            object.__setattr__(self, "columns", pa.schema([*_TEXT, *_OWN]))
            object.__setattr__(self, "keys", ("keys",))
            return
        image = [_plain(member) for member in layout.columns.field("image").type]
        own = {column.name for column in _OWN} | {DELETED, KEY}
        if taken := sorted(member.name for member in image if member.name.lower() in own):
            raise InvalidOptionError(
                f"the attribute {taken[0]!r} has the name of a column that the mirror itself needs: give it another"
                f' one with rename={{"{taken[0]}": "…"}} of the schema'
            )
        object.__setattr__(self, "columns", pa.schema([*image, *_OWN]))
        object.__setattr__(self, "keys", tuple(member.name for member in layout.columns.field("keys").type))

    def of(self, changes: pa.RecordBatch) -> pa.Table:
        """Return a row for the last of the changes of each key: `columns`, and whether it is deleted, and its key.

        A key that its column cannot hold is a misfit, which has no row.

        Raises:
            LakehouseError: A change has no new image, so the state of its item is unknown.
        """
        rows = self.layout.rows(self.layout.changes_with_a_row(changes.replace_schema_metadata(None)))
        keys, image, deleted = rows.column("keys"), rows.column("image"), rows.column("is_deleted")
        unknown = pc.and_(pc.invert(deleted), image.is_null())
        if pc.any(unknown).as_py():
            number = rows.filter(unknown).column("sequence_number")[0]
            raise LakehouseError(
                f"the change {number} has no new image, so the state of its item is unknown: a mirror needs a stream"
                " with NEW_IMAGE or NEW_AND_OLD_IMAGES"
            )
        own = [rows.column("version"), rows.column("approximate_creation_time")]
        if self.schema is None:
            text: pa.Array = canonical_keys(keys).cast(pa.string())
            made = [text, image, *own]
        else:
            key_columns = dict(zip(self.keys, keys.flatten(), strict=True))
            members = zip((member.name for member in image.type), image.flatten(), strict=True)
            made = [*(key_columns.get(name, column) for name, column in members), *own]
            text = _key_text(list(key_columns.values()))
        columns = [*self.columns, pa.field(DELETED, pa.bool_()), pa.field(KEY, pa.string())]
        table = pa.Table.from_arrays([*made, deleted, text], schema=pa.schema(columns))
        return table.filter(pc.is_valid(table[KEY]))


def latest(tables: list[pa.Table]) -> pa.Table:
    """Return one table with the row of the greatest version of each key."""
    rows = pa.concat_tables(tables)
    order = pc.sort_indices(rows, sort_keys=[(KEY, "ascending"), (VERSION, "descending")])
    keys = rows[KEY].take(order).combine_chunks()
    if len(keys) < 2:
        return rows
    first = pa.concat_arrays([pa.array([True]), pc.not_equal(keys[1:], keys[:-1])])
    return rows.take(order.filter(first))


def _key_text(columns: list[pa.Array]) -> pa.Array:
    """Return one text for each key; null where a part of it is null."""
    texts = []
    for column in columns:
        if pa.types.is_binary(column.type):
            found = [None if value is None else value.hex() for value in column.to_pylist()]
            texts.append(pa.array(found, pa.string()))
        else:
            texts.append(column.cast(pa.string()))
    # The length of the first part keeps ("a", "b|c") and ("a|b", "c") apart.
    parts = [pc.binary_length(texts[0]).cast(pa.string()), *texts]
    return pc.binary_join_element_wise(*parts, "|") if len(texts) > 1 else texts[0]


def _plain(member: pa.Field) -> pa.Field:
    return pa.field(member.name, member.type)
