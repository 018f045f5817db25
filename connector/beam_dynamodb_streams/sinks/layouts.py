"""What a row of a file is: a change, or the latest image of an item. Pure.

The columns of each layout are written here once, in Arrow. Each format encodes the same Arrow rows: Parquet as they
are, Avro by `columns.avro`, JSON lines by `records.json_lines`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from beam_dynamodb_streams.columns import Schema
from beam_dynamodb_streams.errors import InvalidOptionError
from beam_dynamodb_streams.records import CHANGE_SCHEMA
from beam_dynamodb_streams.records.user_identity import is_time_to_live
from beam_dynamodb_streams.sinks.changed_attributes import NAMES, changed_attributes, has_attribute

Layout: TypeAlias = Literal["change_log", "latest_image"]
LAYOUTS: Final = ("change_log", "latest_image")

_CHANGE_LOG: Final = (
    pa.field("changed_attributes", NAMES),
    pa.field("is_ttl_delete", pa.bool_(), nullable=False),
    pa.field("is_replication", pa.bool_()),
)
_IS_DELETED: Final = pa.field("is_deleted", pa.bool_(), nullable=False)
_REPLICATED: Final = "aws:rep:updatetime"


@dataclass(frozen=True, slots=True)
class RowLayout:
    """The columns of a file, and changes as rows of them.

    - `change_log`: the columns of a change, then

      - `changed_attributes`: their names, sorted; see `sinks.changed_attributes`;
      - `is_ttl_delete`: as `ChangeRecord.is_ttl_delete`;
      - `is_replication`: whether a global table of version 2017.11.29 wrote the change, which sets or changes
        `aws:rep:updatetime`. A user's own write leaves it as it is, or removes it where it replaces the whole item. It
        is null where the images that show it are missing. Version 2019.11.21 leaves no mark, so the
        column is false there: write the region into the item to recognise replicated writes.

    Where the schema has `rename`, `keys` and the images have these names; `changed_attributes` has the table's.

    - `latest_image`: one row for each key: the metadata and keys of its last change; `image`, its new image; and
      `is_deleted`, true for a tombstone, whose image is null. A key that its column cannot hold is null. Each change of
      such a key, or of a malformed one, has a row. Key columns of float64 are refused, because rounding could make
      several keys one.
    """

    layout: Layout
    schema: Schema | None

    def __post_init__(self) -> None:
        if self.layout == "latest_image" and self.schema is not None:
            for name in self.schema.keys:
                if self.schema.attributes.field(name).type == pa.float64():
                    raise InvalidOptionError(
                        f"layout='latest_image' with the key attribute {name!r} as float64, which rounds, so that two"
                        " items would be one: declare decimal128, int64 or string for it"
                    )

    @property
    def change_columns(self) -> pa.Schema:
        """The columns of the changes that the rows are made of."""
        return CHANGE_SCHEMA if self.schema is None else self.schema.arrow

    @property
    def columns(self) -> pa.Schema:
        """The columns of the file."""
        fields = list(self.change_columns)
        if self.schema is not None and self.schema.rename:
            kinds = [self.schema.in_files(each.type) if pa.types.is_struct(each.type) else each.type for each in fields]
            fields = [each.with_type(kind) for each, kind in zip(fields, kinds, strict=True)]
        if self.layout == "change_log":
            return pa.schema([*fields, *_CHANGE_LOG])
        *others, new_image, _ = fields
        return pa.schema([*others, new_image.with_name("image"), _IS_DELETED])

    def changes_with_a_row(self, changes: pa.RecordBatch) -> pa.RecordBatch:
        """Return the changes that have a row, by shard and sequence number as `changes` are."""
        return changes if self.layout == "change_log" else latest_changes(changes, self.schema)

    def rows(self, changes: pa.RecordBatch) -> pa.RecordBatch:
        """Return a row of `columns` for each change."""
        if self.layout == "change_log":
            changed = changed_attributes(changes, self.schema)
            added = [changed, is_ttl_delete(changes), _is_replication(changes, changed, self.schema)]
            return pa.RecordBatch.from_arrays([*self._in_files(changes), *added], schema=self.columns)
        return pa.RecordBatch.from_arrays([*self._in_files(changes)[:-1], _is_deleted(changes)], schema=self.columns)

    def _in_files(self, changes: pa.RecordBatch) -> list[pa.Array]:
        """Return the columns of the changes with the names that they have in files."""
        if self.schema is None or not self.schema.rename:
            return list(changes.columns)
        return [
            column.view(self.schema.in_files(column.type)) if pa.types.is_struct(column.type) else column
            for column in changes.columns
        ]


def check_layout(layout: object) -> Layout:
    """Return the layout, or raise `InvalidOptionError` if there is no such layout."""
    if layout == "change_log" or layout == "latest_image":
        return layout
    raise InvalidOptionError(f"layout={layout!r} is unknown: use one of {', '.join(map(repr, LAYOUTS))}")


def _is_deleted(changes: pa.RecordBatch) -> pa.Array:
    return pc.equal(changes.column("event_name"), "REMOVE")


def is_ttl_delete(changes: pa.RecordBatch) -> pa.Array:
    """Return `ChangeRecord.is_ttl_delete` of each change; few identities differ, so each is decoded once."""
    identities = changes.column("user_identity").dictionary_encode()
    by_ttl = pa.array([is_time_to_live(text) for text in identities.dictionary.to_pylist()], pa.bool_())
    found = pc.fill_null(by_ttl.take(identities.indices), False) if len(by_ttl) else pa.repeat(False, len(changes))
    return pc.and_(_is_deleted(changes), found)


def _is_replication(changes: pa.RecordBatch, changed: pa.ListArray, schema: Schema | None) -> pa.Array:
    found = np.zeros(len(changes), np.bool_)
    parents = pc.list_parent_indices(changed).to_numpy(zero_copy_only=False)
    found[parents[pc.equal(changed.flatten(), _REPLICATED).to_numpy(zero_copy_only=False)]] = True
    rows = np.flatnonzero(found)
    found[rows] = has_attribute(changes.column("new_image").take(pa.array(rows)), _REPLICATED, schema)
    return pa.array(found, mask=changed.is_null().to_numpy(zero_copy_only=False))


def latest_changes(changes: pa.RecordBatch, schema: Schema | None) -> pa.RecordBatch:
    """Return the last change of each key.

    The version decides (`records.versions`): it compares for one key, over streams and snapshots. A key in a table is
    never NULL: a null here is a malformed key, or one that its column cannot hold. Then nobody knows which items are
    the same, so each such change stays.
    """
    if not len(changes):
        return changes
    columns = key_columns(changes, schema)
    keys = [*columns, _numbers_of_unknown(columns)]
    order = pc.sort_indices(changes.column("version"))
    names = [f"key{number}" for number in range(len(keys))]
    table = pa.table([column.take(order) for column in keys] + [order.cast(pa.int64())], names=[*names, "row"])
    last = table.group_by(names, use_threads=False).aggregate([("row", "last")])["row_last"]
    return changes.take(last.combine_chunks().sort())


def key_columns(changes: pa.RecordBatch, schema: Schema | None) -> list[pa.Array]:
    """Return the columns that name the item of a change, null in part where the key is malformed or does not fit."""
    columns = [canonical_keys(changes.column("keys"))] if schema is None else changes.column("keys").flatten()
    return [column.cast(pa.string()) if pa.types.is_decimal(column.type) else column for column in columns]


def _numbers_of_unknown(columns: list[pa.Array]) -> pa.Array:
    """Return a unique number for each row whose key is null in part, and null for all other rows."""
    known = np.logical_and.reduce([column.is_valid().to_numpy(zero_copy_only=False) for column in columns])
    return pa.array(np.arange(len(known)), mask=known)


def canonical_keys(keys: pa.StringArray) -> pa.Array:
    """Return one text for each key: the JSON of one key may differ in spaces and in the order of its members."""
    texts = keys.dictionary_encode()
    return pa.array([_canonical_key(text) for text in texts.dictionary.to_pylist()], pa.string()).take(texts.indices)


_decode_key = msgspec.json.Decoder(dict[str, dict[str, str]]).decode
_encode_key = msgspec.json.Encoder(order="sorted").encode


def _canonical_key(text: str) -> bytes | None:
    try:
        return _encode_key(_decode_key(text))
    except (msgspec.DecodeError, RecursionError):
        return None
