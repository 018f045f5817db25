"""The position from which one shard is read: four closed cases, and the order between them. A scan has one of its own.

A position says which records were delivered. A shard iterator that is stored beside it is only a hint; see
`shards.frontier.Hint`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias


@dataclass(frozen=True, slots=True)
class Horizon:
    """The oldest record that the service still has (TRIM_HORIZON)."""

    def __str__(self) -> str:
        return "TRIM_HORIZON"


@dataclass(frozen=True, slots=True)
class AtTime:
    """The first record created at or after `second` (whole seconds since the epoch, the service's clock).

    The service floors creation times to the second (trap 19), so whole seconds lose nothing. Everything after that
    first record is read, whatever its time, because times are only roughly monotonic.
    """

    second: int

    def __str__(self) -> str:
        return f"AT_TIMESTAMP {self.second}"


@dataclass(frozen=True, slots=True)
class After:
    """The record after `sequence_number`, the last one that was delivered from this shard."""

    sequence_number: str

    def __str__(self) -> str:
        return f"AFTER_SEQUENCE_NUMBER {self.sequence_number}"


@dataclass(frozen=True, slots=True)
class End:
    """Every record was delivered; the children begin at `children`.

    That is TRIM_HORIZON (trap 2), or the start moment if the parent had no record as young as that.
    """

    children: Horizon | AtTime

    def __str__(self) -> str:
        return "SHARD_END"


@dataclass(frozen=True, slots=True)
class ScanPlaces:
    """How far the scan of a table was delivered. It stands beside the shards where progress is saved.

    `moved` only grows, and orders two of them. `scan` is the stored form of the scan (`shards.encoding`).
    """

    moved: int
    scan: bytes

    def __str__(self) -> str:
        return f"SCAN {self.moved}"


TRIM_HORIZON: Final = Horizon()
SHARD_END: Final = End(TRIM_HORIZON)

Position: TypeAlias = Horizon | AtTime | After | End | ScanPlaces
StartPosition: TypeAlias = Horizon | AtTime


def is_at_or_past(later: Position, earlier: Position) -> bool:
    """Return whether a shard at `later` has read at least as far as one at `earlier`. Positions only move forward.

    Sequence numbers are integers in text, and compare only inside one shard's lineage (trap 4).
    """
    match later, earlier:
        case (End(), _) | (_, Horizon()):
            return True
        case (After(new), After(old)):
            return int(new) >= int(old)
        case (After(), AtTime()):
            return True
        case (ScanPlaces(new_moved, _), ScanPlaces(old_moved, _)):
            return new_moved >= old_moved
        case (AtTime(new_second), AtTime(old_second)):
            return new_second >= old_second
        case _:
            return False
