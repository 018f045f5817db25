"""What is saved of an application's progress, and what a store of progress must guarantee.

Positions only move forward: in each shard by its sequence number, compared as an integer (trap 4). Only the run that
holds the application's lease moves them. The holder renews its lease from time to time to show that it is alive.

Progress is kept by stream and shard. A stream that is disabled and enabled again is another stream with another ARN
(trap 14), so the positions of the two are never mixed, even if both have a shard of the same id.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

from beam_dynamodb_streams.errors import FencedError
from beam_dynamodb_streams.shards.generations import is_data_stream
from beam_dynamodb_streams.shards.position import (
    TRIM_HORIZON,
    After,
    AtTime,
    End,
    Position,
    ScanPlaces,
    StartPosition,
    is_at_or_past,
)
from beam_dynamodb_streams.shards.segments import is_snapshot_mark
from beam_dynamodb_streams.shards.stream_position import StreamPosition

#: Seconds. A shard's position is forgotten once the application has moved on for this long without moving it: a shard
#: lives about four hours, and a record one day. While the whole application pauses, nothing is forgotten.
SHARD_RETENTION_SECONDS: Final = 3 * 24 * 3600
#: The same for a Kinesis data stream: it keeps a record for a year at most, and its shards live for as long as they are
#: not split or merged, however seldom one has a record.
DATA_STREAM_SECONDS: Final = 367 * 24 * 3600
#: Seconds. A lease that was not renewed for this long has expired, unless its holder has set another length.
TAKEOVER_SECONDS: Final = 30.0
LONGEST_SECONDS: Final = 253_402_300_800  # the year 10000


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """The lease of an application, as it is stored.

    `owner` names the run that holds it and `stream_arn` the stream that this run reads. `renewed_at` is when it was
    last renewed, in seconds since the epoch; 0 once it is released. `takeover_after` is the holder's own time: the
    lease expires this many seconds after its last renewal, whatever time the run that looks at it was given.
    """

    owner: str
    stream_arn: str
    renewed_at: float
    takeover_after: float = TAKEOVER_SECONDS

    @property
    def released(self) -> bool:
        return self.renewed_at == 0

    def is_expired(self, now: float) -> bool:
        """Return whether another run may acquire the lease at `now`."""
        return now - self.renewed_at >= self.takeover_after


@dataclass(frozen=True, slots=True)
class SavedShard:
    """A shard's position, and the second at which it last moved (since the epoch)."""

    position: Position
    moved_at: int


def _kept_seconds(stream_arn: str) -> int:
    return DATA_STREAM_SECONDS if is_data_stream(stream_arn) else SHARD_RETENTION_SECONDS


@dataclass(frozen=True, slots=True)
class SavedProgress:
    """What is saved of one stream.

    `start` is where shards without a saved position begin. `until` is the second up to which everything had been
    delivered when this progress began, see `StreamPosition`.
    """

    start: StartPosition = TRIM_HORIZON
    shards: Mapping[str, SavedShard] = field(default_factory=dict)
    until: int | None = None

    def position(self, stream_arn: str) -> StreamPosition:
        """Return the position to resume from.

        It holds `until` only while positions of that time may be saved: `until` is not updated when shards move.
        """
        shards = {shard: saved.position for shard, saved in self.shards.items()}
        recent = self.until is not None and self.until >= self.last_move - _kept_seconds(stream_arn)
        return StreamPosition(stream_arn, self.start, shards, self.until if recent else None)

    def advanced(self, shards: Mapping[str, Position], second: int) -> SavedProgress:
        """Return this progress with each shard at the further of its two positions."""
        moved = {
            shard: SavedShard(position, second)
            for shard, position in shards.items()
            if (known := self.shards.get(shard)) is None or is_further(position, known.position)
        }
        return replace(self, shards={**self.shards, **moved}) if moved else self

    def expired_shards(self, stream_arn: str = "") -> list[str]:
        """Return the shards whose positions no reader needs any more, see `SHARD_RETENTION_SECONDS`."""
        oldest = self.last_move - _kept_seconds(stream_arn)
        old = [shard for shard, saved in self.shards.items() if saved.moved_at < oldest]
        return [shard for shard in old if not is_snapshot_mark(shard)]

    @property
    def last_move(self) -> int:
        """The second at which a shard moved last; 0 if none has."""
        return max((saved.moved_at for saved in self.shards.values()), default=0)

    def without(self, shards: Collection[str]) -> SavedProgress:
        """Return this progress without the positions of `shards`."""
        if not shards:
            return self
        forgotten = set(shards)
        return replace(self, shards={shard: saved for shard, saved in self.shards.items() if shard not in forgotten})


@dataclass(frozen=True, slots=True)
class Application:
    """Everything that is saved of an application: its lease, and its progress by stream ARN."""

    lease: LeaseRecord | None = None
    streams: Mapping[str, SavedProgress] = field(default_factory=dict)


class Store(Protocol):
    """The saved progress of one application. Thread-safe.

    Every moment and second is of the caller's clock, since the epoch. Every call raises `DelayError` for a fault that
    may pass by itself, and another connector error for one that does not. A call that names an `owner` raises
    `FencedError` unless that owner holds the lease.
    """

    @property
    def name(self) -> str:
        """The address of the store, for people."""

    def read(self) -> Application:
        """Return everything that is saved now; an empty `Application` where nothing was ever written."""

    def swap_lease(self, known: LeaseRecord | None, lease: LeaseRecord) -> bool:
        """Replace the lease `known` by `lease`. Return False, and change nothing, if another run was faster."""

    def renew(self, owner: str, moment: float) -> None:
        """Set the moment at which the lease was last renewed."""

    def release(self, owner: str) -> None:
        """Release the lease, so that the next run need not wait for it to expire.

        The last holder stays recorded, so that a step behind its read may still write.
        """

    def begin(self, owner: str, position: StreamPosition, second: int) -> None:
        """Save the position of a stream that has none."""

    def advance(self, owner: str, stream_arn: str, shards: Mapping[str, Position], second: int) -> None:
        """Move shards of one stream forward.

        A position that is not further is ignored, without an error. A stream that was not begun, or was forgotten,
        stays without progress.
        """

    def forget(self, owner: str, stream_arn: str, shards: list[str] | None) -> None:
        """Forget the positions of `shards`, or with None the whole stream."""


def is_further(new: Position, known: Position) -> bool:
    """Return whether a shard at `new` has read more than one at `known`."""
    return is_at_or_past(new, known) and not is_at_or_past(known, new)


def move_forward(known: dict[str, Position], shards: Mapping[str, Position]) -> None:
    """Update `known` in place: each shard to the further of the two positions."""
    for shard, position in shards.items():
        if shard not in known or is_further(position, known[shard]):
            known[shard] = position


def rank(position: Position) -> str:
    """Return a text that sorts as the positions of one shard do. A sequence number has at most 64 digits."""
    match position:
        case AtTime(second):
            return f"1{second:020d}"
        case After(sequence_number):
            return f"2{int(sequence_number):064d}"
        case ScanPlaces(moved, _):
            return f"2{moved:064d}"
        case End():
            return "3"
        case _:
            return "0"


def seconds_of(stored: Any) -> float:
    """Return a stored number of seconds. Raises ValueError for one that no clock shows: a lease would never expire."""
    seconds = float(stored)
    if not 0 <= seconds < LONGEST_SECONDS:
        raise ValueError(f"{stored!r:.60} is not a number of seconds")
    return seconds


def fenced_error(name: str, owner: str, lease: LeaseRecord | None) -> FencedError:
    """Return the error of a run that lost its lease. `lease` is what is stored in its place."""
    holder = "nobody: it was removed by hand" if lease is None else f"run {lease.owner}"
    return FencedError(
        f"the progress in {name} is no longer held by this run ({owner}) but by {holder}: "
        "this run ends, and saves no more progress"
    )
