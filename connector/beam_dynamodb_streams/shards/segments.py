"""The scan of a table as part of a frontier: which segments are left, and after which key each one continues.

The number of segments is fixed when the scan begins, because a key after which a page begins belongs to its segment and
to the number of segments. Only rows that were delivered move a place: a page that was read and not yet released is in
no stored frontier, so a restored read asks for it again.

Segments begin in their order. Those that have not begun are one number, so a stored scan is as long as the segments
that are being read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from beam_dynamodb_streams.shards.position import Position

#: In place of a key: the segment's first page has not been delivered.
SEGMENT_START: Final = b""

MOST_SEGMENTS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class TableScan:
    """How far the scan of a table has been delivered.

    Attributes:
        table: The table's ARN, or its name where the stream's ARN has none.
        keys: The names of the key attributes, the partition key first.
        epoch: When the snapshot began, in milliseconds of the service's clock. It is the epoch of all versions.
        total: The number of segments.
        begun: The segments before this number have begun; those from it on have not.
        places: Each segment that has begun and not ended, with the last key that was delivered, as the service's JSON.
        rows: The number of rows that were delivered.
        replaced: The number of rows that were not delivered, because a newer change of their item was.
        estimate: How many items the table had, by its description, which may be 6 hours old.
        consistent_since: Once the scan is complete, the event time from which the delivered rows and changes together
            are the whole table, in microseconds since the epoch; 0 before.
    """

    table: str
    keys: tuple[str, ...]
    epoch: int
    total: int
    begun: int = 0
    places: Mapping[int, bytes] = field(default_factory=dict)
    rows: int = 0
    replaced: int = 0
    estimate: int = 0
    consistent_since: int = 0

    @property
    def complete(self) -> bool:
        """Whether every segment was delivered to its end."""
        return self.begun == self.total and not self.places

    @property
    def fraction(self) -> float:
        """How much of the table was read, by its estimated size and by its segments: below 1 until it is complete."""
        if self.complete:
            return 1.0
        ended = (self.begun - len(self.places)) / self.total
        return min(0.99, max(ended, (self.rows + self.replaced) / max(1, self.estimate) if self.estimate else 0.0))

    def place(self, segment: int) -> bytes | None:
        """Return the key after which a segment continues, `SEGMENT_START`, or None for a segment that has ended."""
        return SEGMENT_START if segment >= self.begun else self.places.get(segment)

    def delivered(self, segment: int, place: bytes | None, *, rows: int, replaced: int, moment: int) -> TableScan:
        """Return the scan after a page of a segment was delivered.

        Args:
            segment: The segment.
            place: The key after which its next page begins; None if this was the last one.
            rows: How many rows were delivered.
            replaced: How many rows of the page were left out.
            moment: The event time that is kept as `consistent_since` if the scan is complete now.

        Raises:
            ValueError: The segment has ended already.
        """
        if self.place(segment) is None:
            raise ValueError(f"segment {segment} of {self.total} was delivered to its end before")
        begun = max(self.begun, segment + 1)
        places = {**self.places, **dict.fromkeys(range(self.begun, begun), SEGMENT_START)}
        if place is None:
            del places[segment]
        else:
            places[segment] = place
        moved = replace(self, begun=begun, places=places, rows=self.rows + rows, replaced=self.replaced + replaced)
        return replace(moved, consistent_since=moment) if moved.complete else moved


def segment_name(segment: int, total: int) -> str:
    """Return the name of a segment, which its rows have in place of a shard."""
    return f"segment-{segment:06d}-of-{total:06d}"


def seconds_left(scan: TableScan, now: float) -> float | None:
    """Return about how many seconds the scan still takes at its pace so far; None while that cannot be estimated."""
    fraction = scan.fraction
    if fraction in (0.0, 1.0):
        return 0.0 if fraction else None
    return max(0.0, now - scan.epoch / 1000) * (1 - fraction) / fraction


_MARK: Final = "snapshot-"


def snapshot_mark(epoch: int) -> str:
    """Return the name under which a position notes that the snapshot of this epoch is complete.

    It stands beside the shards, and its position is the moment since which the output is consistent.
    """
    return f"{_MARK}{epoch}"


def is_snapshot_mark(name: str) -> bool:
    """Return whether a saved position says that a snapshot is complete, and is not of a shard."""
    return name.startswith(_MARK) and name.removeprefix(_MARK).isdecimal()


_SCAN: Final = "scan-"


def scan_name(epoch: int) -> str:
    """Return the name under which a position keeps the places of a scan of this epoch, beside the shards."""
    return f"{_SCAN}{epoch}"


def is_of_snapshot(name: str) -> bool:
    """Return whether a saved position is of a snapshot, and not of a shard."""
    return is_snapshot_mark(name) or (name.startswith(_SCAN) and name.removeprefix(_SCAN).isdecimal())


def without_marks(saved: Mapping[str, Position]) -> tuple[dict[str, Position], int]:
    """Return the saved positions of shards, and the epoch of the latest complete snapshot; 0 if none is."""
    epochs = [int(name.removeprefix(_MARK)) for name in saved if is_snapshot_mark(name)]
    shards = {name: position for name, position in saved.items() if not is_of_snapshot(name)}
    return shards, max(epochs, default=0)
