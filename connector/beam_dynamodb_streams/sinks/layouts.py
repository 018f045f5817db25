"""What a row of a file is: a change, or the latest image of an item. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, cast

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from beam_dynamodb_streams.columns import Schema, avro_rows, avro_schema
from beam_dynamodb_streams.errors import InvalidOptionError
from beam_dynamodb_streams.records import CHANGE_SCHEMA
from beam_dynamodb_streams.records.user_identity import is_time_to_live
from beam_dynamodb_streams.sinks.changed_attributes import NAMES, changed_attributes
from beam_dynamodb_streams.sinks.coverage import padded

Layout: TypeAlias = Literal["change_log", "latest_image"]
LAYOUTS: Final = ("change_log", "latest_image")

_CHANGE_LOG: Final = [
    pa.field("changed_attributes", NAMES),
    pa.field("is_ttl_delete", pa.bool_(), nullable=False),
    pa.field("is_replication", pa.bool_()),
]
_AVRO_CHANGE_LOG: Final = [
    {"name": "changed_attributes", "type": ["null", {"type": "array", "items": "string"}], "default": None},
    {"name": "is_ttl_delete", "type": "boolean"},
    {"name": "is_replication", "type": ["null", "boolean"], "default": None},
]
_REPLICATED: Final = "aws:rep:updatetime"


@dataclass(frozen=True, slots=True)
class Rows:
    """The columns of a file, by layout and schema; changes to such rows, in Arrow or as Avro's records.

    - ``change_log``: the columns of a change, then

      - ``changed_attributes``: their names, sorted; see `sinks.changed_attributes`;
      - ``is_ttl_delete``: as `ChangeRecord.is_ttl_delete`;
      - ``is_replication``: a global table of version 2017.11.29 wrote it, for it changed ``aws:rep:updatetime``; null
        where the images that tell are not there. Version 2019.11.21 leaves no mark, so there it is false: to tell
        replicated writes, write the region into the item.

    - ``latest_image``: one row a key: the metadata and keys of its last change, ``image``, which is its new image, and
      ``is_deleted``, with which the image is null: a tombstone. A key that its column does not hold is null there;
      each change of such a key, and of one that is malformed, has a row. Key columns of float64 are refused: they make
      one key of several.
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
    def of_changes(self) -> pa.Schema:
        """The columns of the changes that the rows are made of."""
        return CHANGE_SCHEMA if self.schema is None else self.schema.arrow

    @property
    def arrow(self) -> pa.Schema:
        fields = list(self.of_changes)
        if self.layout == "change_log":
            return pa.schema([*fields, *_CHANGE_LOG])
        return pa.schema([*fields[:-2], fields[-2].with_name("image"), pa.field("is_deleted", pa.bool_(), False)])

    @property
    def avro(self) -> dict[str, Any]:
        schema = dict(avro_schema(self.schema))
        fields = cast("list[dict[str, Any]]", schema["fields"])
        if self.layout == "change_log":
            return {**schema, "fields": [*fields, *_AVRO_CHANGE_LOG]}
        return {
            **schema,
            "name": "LatestImage",
            "fields": [*fields[:-2], {**fields[-2], "name": "image"}, {"name": "is_deleted", "type": "boolean"}],
        }

    def only(self, changes: pa.RecordBatch) -> pa.RecordBatch:
        """The changes that have a row; those in ``changes`` are by shard and sequence number."""
        return changes if self.layout == "change_log" else latest(changes, self.schema)

    def to_arrow(self, changes: pa.RecordBatch) -> pa.RecordBatch:
        columns = changes.columns
        if self.layout == "change_log":
            columns = [*columns, *self._marks(changes)]
        else:
            columns = [*columns[:-1], _is_deleted(changes)]
        return pa.RecordBatch.from_arrays(columns, schema=self.arrow)

    def to_avro(self, changes: pa.RecordBatch) -> Iterator[dict[str, Any]]:
        rows = avro_rows(changes, self.schema)
        if self.layout == "change_log":
            marks = zip(*(column.to_pylist() for column in self._marks(changes)), strict=True)
            for row, (changed, ttl, replication) in zip(rows, marks, strict=True):
                row |= {"changed_attributes": changed, "is_ttl_delete": ttl, "is_replication": replication}
                yield row
        else:
            for row, deleted in zip(rows, _is_deleted(changes).to_pylist(), strict=True):
                row["image"] = row.pop("new_image")
                del row["old_image"]
                row["is_deleted"] = deleted
                yield row

    def _marks(self, changes: pa.RecordBatch) -> list[pa.Array]:
        changed = changed_attributes(changes, self.schema)
        return [changed, is_ttl_delete(changes), _is_replication(changes, changed)]


def check_layout(layout: object) -> Layout:
    if layout == "change_log" or layout == "latest_image":
        return layout
    raise InvalidOptionError(f"layout={layout!r} is unknown: use one of {', '.join(map(repr, LAYOUTS))}")


def _is_deleted(changes: pa.RecordBatch) -> pa.Array:
    return pc.equal(changes.column("event_name"), "REMOVE")


def is_ttl_delete(changes: pa.RecordBatch) -> pa.Array:
    identities = changes.column("user_identity").dictionary_encode()
    by_ttl = pa.array([is_time_to_live(text) for text in identities.dictionary.to_pylist()], pa.bool_())
    found = pc.fill_null(by_ttl.take(identities.indices), False) if len(by_ttl) else pa.repeat(False, len(changes))
    return pc.and_(_is_deleted(changes), found)


def _is_replication(changes: pa.RecordBatch, changed: pa.ListArray) -> pa.Array:
    found = np.zeros(len(changes), np.bool_)
    parents = pc.list_parent_indices(changed).to_numpy(zero_copy_only=False)
    found[parents[pc.equal(changed.flatten(), _REPLICATED).to_numpy(zero_copy_only=False)]] = True
    found &= pc.not_equal(changes.column("event_name"), "REMOVE").to_numpy(zero_copy_only=False)
    return pa.array(found, mask=changed.is_null().to_numpy(zero_copy_only=False))


def latest(changes: pa.RecordBatch, schema: Schema | None) -> pa.RecordBatch:
    """The last change of each key. Numbers compare inside a lineage alone (fact 4), and a key has one lineage.

    A key is never NULL in a table: where it is null, its column does not hold it, or it is malformed, and nobody can
    tell which items are the same. Each such change stays.
    """
    if not len(changes):
        return changes
    columns = [_plain_keys(changes.column("keys"))] if schema is None else changes.column("keys").flatten()
    keys = [column.cast(pa.string()) if pa.types.is_decimal(column.type) else column for column in columns]
    keys.append(_places_of_unknown(columns))
    order = pc.sort_indices(padded(changes.column("sequence_number")))
    names = [f"key{number}" for number in range(len(keys))]
    table = pa.table([column.take(order) for column in keys] + [order.cast(pa.int64())], names=[*names, "place"])
    last = table.group_by(names, use_threads=False).aggregate([("place", "last")])["place_last"]
    return changes.take(last.combine_chunks().sort())


def _places_of_unknown(columns: list[pa.Array]) -> pa.Array:
    """A number of its own for each row of which a part of the key is null, and null for all others."""
    known = np.logical_and.reduce([column.is_valid().to_numpy(zero_copy_only=False) for column in columns])
    return pa.array(np.arange(len(known)), mask=known)


def _plain_keys(keys: pa.StringArray) -> pa.Array:
    """One text a key: JSON of the same key may differ in spaces and in the order of its members."""
    texts = keys.dictionary_encode()
    return pa.array([_plain_key(text) for text in texts.dictionary.to_pylist()], pa.string()).take(texts.indices)


_decode_key = msgspec.json.Decoder(dict[str, dict[str, str]]).decode
_encode_key = msgspec.json.Encoder(order="sorted").encode


def _plain_key(text: str) -> bytes | None:
    try:
        return _encode_key(_decode_key(text))
    except msgspec.DecodeError:
        return None
