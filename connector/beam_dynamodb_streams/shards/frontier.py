"""The restriction: for every shard that is being read, where to read on, and what must be known to find the rest.

A frontier is a value; every method is a pure function to the next one. Its laws, held by ``tests/properties``:

* a shard is in it, or finished, or not yet reached, and never two of these;
* a child enters in the same step in which its parent's end leaves (fact 20), never earlier (fact 8);
* positions and watermarks only move forward;
* :meth:`Frontier.split` gives two frontiers that share no shard and together are the whole.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from beam_dynamodb_streams.shards.position import TRIM_HORIZON, AtTime, End, Position, StartPosition, is_at_or_past

#: Watermark of a shard of which nothing is known yet: Beam's smallest timestamp, in microseconds.
EARLIEST: Final = -9_223_372_036_854_775_000


@dataclass(frozen=True, slots=True)
class Hint:
    """A shard iterator and the second it was handed out. Worth one saved call while it is young; never a position."""

    iterator: str
    second: int


@dataclass(frozen=True, slots=True)
class Reading:
    """One shard of a frontier. ``watermark``: microseconds since the epoch that its further records reach or pass."""

    position: Position
    watermark: int = EARLIEST
    hint: Hint | None = field(default=None, compare=False)

    @property
    def ended(self) -> bool:
        return isinstance(self.position, End)


@dataclass(frozen=True, slots=True)
class Finished:
    """A shard that needs no more reading but may stay listed for hours (fact 12), and the second it became so.

    ``children`` is where a child that shows up late begins; None if its children are not for this frontier: they are
    past the stop, or another frontier's.
    """

    second: int
    children: StartPosition | None


@dataclass(frozen=True, slots=True)
class Frontier:
    """See the module. ``start`` is where a shard begins whose parent was not read by us; ``saved`` holds positions of
    an earlier run for shards that are not reached yet; ``remaining`` counts the records left under ``stop=N``.
    ``adopts``: whether shards without any known relative are this frontier's (exactly one of a split's parts).
    ``awaited``: of one that does not adopt, the known descendants that are not reached yet, each with its parent: after
    a pause in which the links between were trimmed, no listing tells any more whose they are. ``unconfirmed``: of the
    one that adopts, those of the others' shards that it saw so lately that their own frontier may not have: what it
    may never see, if a pause begins now, is adopted."""

    start: StartPosition = TRIM_HORIZON
    shards: Mapping[str, Reading] = field(default_factory=dict)
    finished: Mapping[str, Finished] = field(default_factory=dict)
    saved: Mapping[str, Position] = field(default_factory=dict)
    remaining: int | None = None
    adopts: bool = True
    closed: bool = False
    awaited: Mapping[str, str] = field(default_factory=dict)
    unconfirmed: frozenset[str] = frozenset()

    @property
    def open_shards(self) -> tuple[str, ...]:
        """The shards that have more to read; the others are ended and await their children."""
        return tuple(shard for shard, reading in self.shards.items() if not reading.ended)

    @property
    def ended_shards(self) -> tuple[str, ...]:
        return tuple(shard for shard, reading in self.shards.items() if reading.ended)

    @property
    def shared(self) -> bool:
        """Whether another frontier may be reading shards of this stream."""
        return not self.adopts or any(done.children is None for done in self.finished.values())

    @property
    def watermark(self) -> int:
        """The minimum over the frontier, ended shards included: their children's records are still to come."""
        return min((reading.watermark for reading in self.shards.values()), default=EARLIEST)

    def advance(
        self,
        shard: str,
        position: Position,
        *,
        watermark: int = EARLIEST,
        hint: Hint | None = None,
        records: int = 0,
    ) -> Frontier:
        """The shard was read up to ``position``, with ``records`` delivered. Never moves anything backwards."""
        before = self.shards[shard]
        if not is_at_or_past(position, before.position):
            raise ValueError(f"{shard} cannot go back from {before.position} to {position}")
        after = Reading(position, max(watermark, before.watermark), hint)
        remaining = None if self.remaining is None else self.remaining - records
        return replace(self, shards={**self.shards, shard: after}, remaining=remaining)

    def end(self, shard: str) -> Frontier:
        """The shard was read to its end. Its children begin where it began if it met no record that young (fact 2)."""
        position = self.shards[shard].position
        return self.advance(shard, End(position if isinstance(position, AtTime) else TRIM_HORIZON))

    def finish(self, shard: str, *, second: int, children: StartPosition | None = None) -> Frontier:
        """The shard needs no (more) reading; with ``children=None`` its descendants need none either."""
        shards = {other: state for other, state in self.shards.items() if other != shard}
        return replace(self, shards=shards, finished={**self.finished, shard: Finished(second, children)})

    def refreshed(self, hints: Mapping[str, Hint], watermarks: Mapping[str, int]) -> Frontier:
        """Newer iterators and watermarks of shards that brought no record: no position moves."""
        shards = dict(self.shards)
        for shard in hints.keys() | watermarks.keys():
            if (reading := shards.get(shard)) is not None:
                watermark = max(reading.watermark, watermarks.get(shard, EARLIEST))
                shards[shard] = Reading(reading.position, watermark, hints.get(shard, reading.hint))
        return replace(self, shards=shards)

    def forget_finished(self, *, before: int, listed: Container[str], gone: Container[str]) -> Frontier:
        """Drops shards that finished before a second and are no longer listed: the frontier follows its open shards.

        One that was not read to its end by this frontier may be read by another still, so it is remembered until the
        service itself denies it: a listing that leaves it out proves nothing (fact 6). One that is unconfirmed stays.
        """
        kept = {
            shard: done
            for shard, done in self.finished.items()
            if done.second >= before
            or shard in listed
            or (done.children is None and shard not in gone)
            or shard in self.unconfirmed
        }
        return self if len(kept) == len(self.finished) else replace(self, finished=kept)

    def confirm(self, *, before: int, listed: Container[str]) -> Frontier:
        """What was first seen before a second and is still listed, every frontier of the stream has listed by now."""
        left = frozenset(
            shard for shard in self.unconfirmed if self.finished[shard].second >= before or shard not in listed
        )
        return self if left == self.unconfirmed else replace(self, unconfirmed=left)

    def fading(self, *, before: int, listed: Container[str]) -> set[str]:
        """The shards of which only the service's own denial is missing to forget them."""
        return {
            shard
            for shard, done in self.finished.items()
            if done.children is None and done.second < before and shard not in listed
        }

    def close(self) -> Frontier:
        """Nothing is left to read: the stream is disabled and read, or the stop is met."""
        return replace(self, closed=True, shards={}, finished={}, saved={}, awaited={}, unconfirmed=frozenset())

    def split(self, mine: Iterable[str], *, second: int) -> tuple[Frontier, Frontier]:
        """``(kept, given)``: ``mine`` and what descends from it stays, the rest is given.

        Each part knows the other's shards as finished without followed children, so whatever a listing shows later,
        exactly one part reads it. Shards without a known relative stay with the part that already adopts. Both know
        what a run has saved for shards that are not reached yet.
        """
        keep = set(mine)
        kept = {shard: state for shard, state in self.shards.items() if shard in keep}
        given = {shard: state for shard, state in self.shards.items() if shard not in keep}
        foreign_to_kept = {shard: Finished(second, None) for shard in given}
        foreign_to_given = {shard: Finished(second, None) for shard in [*kept, *self.finished]}
        theirs = {shard for shard in self.awaited if top(self.awaited, shard) in given}
        return (
            replace(
                self,
                shards=kept,
                finished={**self.finished, **foreign_to_kept},
                awaited={shard: parent for shard, parent in self.awaited.items() if shard not in theirs},
            ),
            replace(
                self,
                shards=given,
                finished=foreign_to_given,
                adopts=False,
                awaited={shard: self.awaited[shard] for shard in theirs},
                unconfirmed=frozenset(),
            ),
        )


def top(awaited: Mapping[str, str], shard: str) -> str:
    """The eldest that the awaited links lead to from ``shard``."""
    while (parent := awaited.get(shard)) is not None:
        shard = parent
    return shard


def begin(
    start: StartPosition, *, saved: Mapping[str, Position] | None = None, remaining: int | None = None
) -> Frontier:
    """The frontier of a read that has not listed the stream yet: empty, and not closed."""
    return Frontier(start=start, saved=dict(saved or {}), remaining=remaining)
