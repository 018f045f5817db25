"""What the reader knows of a table's items: a page of a scan, and what joins a row with the changes of its item."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from beam_dynamodb_streams.reader.stream import Entry
from beam_dynamodb_streams.shards.segments import TableScan

#: A primary key, in a form in which equal keys are equal.
ItemKey: TypeAlias = Hashable


@dataclass(frozen=True, slots=True)
class Row:
    """An item as a scan read it: its key, and the JSON of its key and of the whole item."""

    key: ItemKey
    keys: bytes
    image: bytes


@dataclass(frozen=True, slots=True)
class RowsPage:
    """One answer to Scan. Only an absent `last` ends the segment: a page may have no rows and not be the last one.

    `units` are the read units that it consumed, `size` its bytes.
    """

    rows: Sequence[Row]
    last: bytes | None
    units: float
    size: int


class ItemTable(Protocol):
    """A table whose items can be scanned. Thread-safe: the fetcher's threads call it."""

    def scan(self, segment: int, total: int, place: bytes, limit: int | None) -> RowsPage:
        """Return the next page of a segment, read consistently."""

    def key_of(self, entry: Entry) -> ItemKey | None:
        """Return the primary key of a change; None if it cannot be read."""

    def entries(self, rows: Sequence[Row], scan: TableScan, micros: int) -> Sequence[Entry]:
        """Return rows as entries that are created at `micros`."""
