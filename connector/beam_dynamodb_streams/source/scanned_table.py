"""A table of DynamoDB as the reader scans it: its pages, the keys that join rows with changes, and rows as entries."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from hashlib import blake2b
from typing import Final, Protocol, cast

import msgspec

from beam_dynamodb_streams.errors import ServiceError
from beam_dynamodb_streams.reader.items import ItemKey, Row, RowsPage
from beam_dynamodb_streams.reader.read_budget import UNIT_BYTES
from beam_dynamodb_streams.reader.stream import Entry
from beam_dynamodb_streams.records.envelope import entry_keys
from beam_dynamodb_streams.shards.loss import MICROS
from beam_dynamodb_streams.shards.segments import SEGMENT_START, TableScan
from beam_dynamodb_streams.wire import RawRecord
from beam_dynamodb_streams.wire.dynamodb import ScanPage
from beam_dynamodb_streams.wire.envelope import row_record

_item: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_value: Final = msgspec.json.Decoder(dict[str, str])
_keys: Final = msgspec.json.Decoder(dict[str, dict[str, str]])
_FAULTS: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError, ValueError)


class Scans(Protocol):
    """The call of `wire.Client` that a scan needs."""

    def scan_page(
        self, table: str, *, segment: int, total: int, start: bytes | None, limit: int | None
    ) -> ScanPage: ...


class ScannedTable:
    """A `reader.items.ItemTable`. Thread-safe, since it has no state.

    Args:
        calls: The client.
        table: The table's name or ARN.
        keys: The names of its key attributes, the partition key first.
    """

    def __init__(self, calls: Scans, table: str, keys: Sequence[str]) -> None:
        self._calls = calls
        self._table = table
        self._names = tuple(keys)
        self._members = [(name, b"%b:" % msgspec.json.encode(name)) for name in keys]

    def scan(self, segment: int, total: int, place: bytes, limit: int | None) -> RowsPage:
        start = None if place == SEGMENT_START else place
        page = self._calls.scan_page(self._table, segment=segment, total=total, start=start, limit=limit)
        units = page.units if page.units is not None else float(-(-page.size // UNIT_BYTES))
        return RowsPage([self._row(item) for item in page.items], page.last, units, page.size)

    def _row(self, item: msgspec.Raw) -> Row:
        try:
            values = _item.decode(item)
            raws = [(member, values[name]) for name, member in self._members]
            key = tuple(_comparable(_value.decode(raw)) for _, raw in raws)
        except _FAULTS as error:
            raise ServiceError(
                f"Scan of table {self._table!r} returned an item without the keys {', '.join(self._names)} "
                f"({type(error).__name__}): check the endpoint"
            ) from error
        return Row(key, b"{%b}" % b",".join(member + bytes(raw) for member, raw in raws), bytes(item))

    def key_of(self, entry: Entry) -> ItemKey | None:
        try:
            values = _keys.decode(entry_keys(cast("RawRecord", entry)))
            return tuple(_comparable(values[name]) for name in self._names)
        except _FAULTS:
            return None  # it is malformed, and no row can be found by it

    def entries(self, rows: Sequence[Row], scan: TableScan, micros: int) -> Sequence[Entry]:
        prefix = f"{scan.table}\n{scan.epoch}\n".encode()
        seconds = micros / MICROS
        return [row_record(_event_id(prefix, row.key), seconds, row.keys, row.image) for row in rows]


def _comparable(value: dict[str, str]) -> tuple[str, object]:
    """Return a value of a key in a form in which equal values are equal: a number may be written in several ways."""
    ((kind, text),) = value.items()
    try:
        return kind, Decimal(text) if kind == "N" else text
    except InvalidOperation as error:
        raise ValueError(text) from error


def _event_id(prefix: bytes, key: ItemKey) -> str:
    """Return the id of a row: the same whenever the same item is read for the same snapshot."""
    text = "\n".join(f"{kind} {value}" for kind, value in cast("tuple[tuple[str, object], ...]", key))
    return blake2b(prefix + text.encode(), digest_size=16).hexdigest()
