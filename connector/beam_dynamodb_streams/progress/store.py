"""What is kept of an application, and what a store of it promises.

Positions only move forward, in each shard by its sequence number as an integer (fact 4), and only by the run that holds
the application. Whoever holds it shows from time to time that it is alive.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from beam_dynamodb_streams.errors import FencedError
from beam_dynamodb_streams.shards.position import (
    TRIM_HORIZON,
    After,
    AtTime,
    End,
    Position,
    StartPosition,
    is_at_or_past,
)
from beam_dynamodb_streams.shards.stream_position import StreamPosition

#: A shard's position is dropped once the application moved on for so long without it: shards live some four hours, and
#: records a day. A pause of the whole application drops nothing.
KEPT_SECONDS: Final = 3 * 24 * 3600
#: How long a run is taken for alive after its last sign, where it did not say otherwise.
TAKEOVER_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Hold:
    """Who has the application: ``owner`` names the run, ``beat`` is its last sign of life (epoch seconds; 0 once it
    has ended), ``stream_arn`` what it reads. ``takeover_after``: the seconds after which the run itself counts as dead,
    whatever the one that looks has."""

    owner: str
    stream_arn: str
    beat: float
    takeover_after: float = TAKEOVER_SECONDS

    def is_stale(self, now: float) -> bool:
        return now - self.beat >= self.takeover_after


@dataclass(frozen=True, slots=True)
class Mark:
    """A shard's position and the second at which it was last moved."""

    position: Position
    second: int


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of one stream. ``start`` is where the shards begin that have no mark, and ``until`` the second up to
    which all was delivered when it began to be kept, see :class:`StreamPosition`."""

    start: StartPosition = TRIM_HORIZON
    marks: Mapping[str, Mark] = field(default_factory=dict)
    until: int | None = None

    def position(self, stream_arn: str) -> StreamPosition:
        """``until`` is told for as long as marks of then are kept: it says nothing of those that were moved since."""
        shards = {shard: mark.position for shard, mark in self.marks.items()}
        recent = self.until is not None and self.until >= self._newest() - KEPT_SECONDS
        return StreamPosition(stream_arn, self.start, shards, self.until if recent else None)

    def advanced(self, shards: Mapping[str, Position], second: int) -> Kept:
        """With each shard at the further of the two positions."""
        moved = {
            shard: Mark(position, second)
            for shard, position in shards.items()
            if (known := self.marks.get(shard)) is None or is_further(position, known.position)
        }
        return replace(self, marks={**self.marks, **moved}) if moved else self

    def outlived(self) -> list[str]:
        """The shards whose marks no reader needs any more."""
        newest = self._newest()
        return [shard for shard, mark in self.marks.items() if mark.second < newest - KEPT_SECONDS]

    def _newest(self) -> int:
        return max((mark.second for mark in self.marks.values()), default=0)

    def without(self, shards: Collection[str]) -> Kept:
        if not shards:
            return self
        forgotten = set(shards)
        return replace(self, marks={shard: mark for shard, mark in self.marks.items() if shard not in forgotten})


@dataclass(frozen=True, slots=True)
class Application:
    """All that is kept of an application. A table's stream that was enabled anew is another stream (fact 14)."""

    hold: Hold | None = None
    streams: Mapping[str, Kept] = field(default_factory=dict)


class Store(Protocol):
    """One application's progress. Thread-safe. ``now`` and seconds are of the caller's clock, since the epoch.

    Every call raises :class:`DelayError` for what passes by itself, and other connector errors for what does not.
    """

    @property
    def name(self) -> str:
        """Where it is, for people."""

    def read(self) -> Application:
        """All of it, as it is now; empty where nothing was ever written."""

    def swap(self, known: Hold | None, hold: Hold) -> bool:
        """Puts ``hold`` in the place of ``known``; False if another run was faster, and nothing changed."""

    def beat(self, owner: str, moment: float) -> None:
        """Notes a sign of life; 0 tells that the run has ended. Raises :class:`FencedError` unless it is ``owner``'s.

        What held it last stays known, so that a step behind the read may still write.
        """

    def begin(self, owner: str, position: StreamPosition, second: int) -> None:
        """Keeps a stream's position that was not kept. Raises :class:`FencedError` unless it is ``owner``'s."""

    def advance(self, owner: str, stream_arn: str, shards: Mapping[str, Position], second: int) -> None:
        """Moves each shard forward; a position that is not further changes nothing, and is no error. Of a stream that
        was not begun, or was forgotten, nothing counts.

        Raises :class:`FencedError` unless it is ``owner``'s.
        """

    def drop(self, owner: str, stream_arn: str, shards: list[str] | None) -> None:
        """Forgets the shards' positions, or with None all of the stream. Raises :class:`FencedError` like the rest."""


def is_further(new: Position, known: Position) -> bool:
    return is_at_or_past(new, known) and not is_at_or_past(known, new)


def raise_to(known: dict[str, Position], shards: Mapping[str, Position]) -> None:
    """Puts each shard at the further of the two positions."""
    for shard, position in shards.items():
        if shard not in known or is_further(position, known[shard]):
            known[shard] = position


def rank(position: Position) -> str:
    """Text that sorts as the positions of one shard do. Legal sequence numbers have 40 digits at most."""
    match position:
        case AtTime(second):
            return f"1{second:020d}"
        case After(sequence_number):
            return f"2{int(sequence_number):064d}"
        case End():
            return "3"
        case _:
            return "0"


def fenced(name: str, owner: str, hold: Hold | None) -> FencedError:
    """The error of a run that lost the application."""
    by = "nobody: it was taken away by hand" if hold is None else f"run {hold.owner}"
    return FencedError(
        f"the progress in {name} is no longer held by this run ({owner}) but by {by}: "
        "this run ends, and nothing of its progress is written any more"
    )
