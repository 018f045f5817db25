"""Changes in the form of Debezium's change events: JSON without schemas, which many consumers read. Pure.

    {"before": {…}, "after": {…}, "source": {…}, "op": "u", "ts_ms": 1769860800000, …, "transaction": null}

| change | `op` | `before` | `after` |
|---|---|---|---|
| INSERT | c | null | the new image |
| MODIFY | u | the old image; null where the stream has none | the new image |
| REMOVE | d | the old image; the keys where the stream has none | null |
| READ, an item of a snapshot | r | null | the item |

Without a schema an image is plain JSON: N is a number with all of its digits, B is base64, NULL is null, a set is a
sorted array. With one it has the columns of the schema, under their names in files.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, NamedTuple

import msgspec
import pyarrow as pa

from beam_dynamodb_streams.columns.json_rows import plain_values
from beam_dynamodb_streams.columns.schema import Schema
from beam_dynamodb_streams.errors import InvalidOptionError, MalformedRecordError
from beam_dynamodb_streams.records.user_identity import is_time_to_live
from beam_dynamodb_streams.records.values import decode_image

FORM_VERSION: Final = "1"
"""The version of this form, as `source.version`. Debezium puts the release of its connector there."""

_OPERATIONS: Final = {"INSERT": "c", "MODIFY": "u", "REMOVE": "d", "READ": "r"}
_FIELDS: Final = (
    *("event_id", "event_name", "sequence_number", "version", "shard_id", "user_identity"),
    "approximate_creation_time",
)
_encode: Final = msgspec.json.Encoder().encode
_encode_lines: Final = msgspec.json.Encoder().encode_lines


@dataclass(frozen=True, slots=True)
class DebeziumSource:
    """Where the changes come from.

    Attributes:
        name: The name of the pipeline that captures them, which Debezium calls the topic prefix.
        table: The name of the table; None where it is unknown.
    """

    name: str = "dynamodb"
    table: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise InvalidOptionError(f"name={self.name!r} is not a name: give a text such as 'orders-prod'")
        if self.table is not None and (not isinstance(self.table, str) or not self.table):
            raise InvalidOptionError(f"table={self.table!r} is not the name of a table: give a text, or None")


class DebeziumEvent(NamedTuple):
    """The key of a change, and its event, as an encoder of JSON takes them."""

    key: dict[str, Any]
    value: dict[str, Any]

    def key_json(self) -> bytes:
        return _encode(self.key)

    def value_json(self) -> bytes:
        return _encode(self.value)


def encode_debezium_lines(changes: pa.RecordBatch, source: DebeziumSource, schema: Schema | None) -> bytes:
    """Return the event of each change as a line, with its line end."""
    return _encode_lines([event.value for event in debezium_events(changes, source, schema)])


def debezium_events(changes: pa.RecordBatch, source: DebeziumSource, schema: Schema | None) -> Iterator[DebeziumEvent]:
    """Yield the event of each change in a batch of `schema.arrow`, or of `CHANGE_SCHEMA`, in their order.

    Raises:
        InvalidOptionError: A change that is not a REMOVE has no new image.
        MalformedRecordError: An image is not one.
    """
    images = [_images(changes, name, schema) for name in ("keys", "new_image", "old_image")]
    columns = {name: changes.column(name) for name in _FIELDS}
    columns["approximate_creation_time"] = columns["approximate_creation_time"].view(pa.int64())
    for change, key, new, old in zip(
        zip(*(column.to_pylist() for column in columns.values()), strict=True), *images, strict=True
    ):
        yield _event(dict(zip(_FIELDS, change, strict=True)), key, new, old, source)


def _event(
    change: dict[str, Any],
    key: dict[str, Any],
    new: dict[str, Any] | None,
    old: dict[str, Any] | None,
    source: DebeziumSource,
) -> DebeziumEvent:
    operation = _OPERATIONS[change["event_name"]]
    if operation == "d":
        old = key if old is None else old
    elif new is None:
        raise InvalidOptionError(
            f"change {change['sequence_number']} of {change['shard_id']} has no new image, and Debezium's form holds "
            "the item after a change: enable the stream with NEW_AND_OLD_IMAGES or NEW_IMAGE"
        )
    micros = change["approximate_creation_time"]
    times = {"ts_ms": micros // 1000, "ts_us": micros, "ts_ns": micros * 1000}
    return DebeziumEvent(
        key,
        {
            "before": old if operation in "ud" else None,
            "after": None if operation == "d" else new,
            "source": {
                "version": FORM_VERSION,
                "connector": "dynamodb",
                "name": source.name,
                **times,
                "snapshot": "true" if operation == "r" else "false",
                "db": "dynamodb",
                "sequence": _encode([change["version"]]).decode(),
                "table": source.table,
                "event_id": change["event_id"],
                "shard_id": change["shard_id"],
                "sequence_number": change["sequence_number"],
                "item_version": change["version"],
                "is_ttl_delete": operation == "d" and is_time_to_live(change["user_identity"]),
            },
            "op": operation,
            **times,
            "transaction": None,
        },
    )


def _images(changes: pa.RecordBatch, name: str, schema: Schema | None) -> list[Any]:
    column = changes.column(name)
    if schema is not None:
        kind = schema.in_files(column.type)
        return plain_values(
            column.view(kind), pa.field(name, kind), schema.other if name != "keys" else None, numbers=True
        )
    return [
        None if raw is None else _plain_image(raw, name, changes, row)
        for row, raw in enumerate(column.view(pa.binary()).to_pylist())
    ]


def _plain_image(raw: bytes, name: str, changes: pa.RecordBatch, row: int) -> dict[str, Any]:
    try:
        return {attribute: _plain(value) for attribute, value in decode_image(raw).items()}
    except MalformedRecordError as error:
        error.message = f"{name} is {error.message}"
        error.shard = changes.column("shard_id")[row].as_py()
        error.position = changes.column("sequence_number")[row].as_py()
        raise


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return msgspec.Raw(f"{value:f}")
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, set):  # a set has no order, and equal changes are to have equal bytes
        return [_plain(each) for each in sorted(value)]
    return [_plain(each) for each in value] if isinstance(value, list) else value
