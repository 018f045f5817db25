"""The restriction: the position of every shard that is being read, and what is needed to find the other shards.

A frontier is a value; every method is pure and returns the next one. Its laws, tested by `tests/properties`:

* a shard is in it, or finished, or not yet reached, and never two of these;
* a child enters once all its parents have ended (trap 8). A parent leaves in the same step in which the last of its
  known children enters (trap 20), so that no stored frontier has lost one without the other;
* positions and watermarks only move forward;
* `Frontier.split` returns two frontiers that share no shard and together are the whole.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from beam_dynamodb_streams.shards.position import TRIM_HORIZON, AtTime, End, Position, StartPosition, is_at_or_past
from beam_dynamodb_streams.shards.segments import TableScan

#: The watermark of a shard about which nothing is known yet: Beam's smallest timestamp, in microseconds.
EARLIEST: Final = -9_223_372_036_854_775_000


@dataclass(frozen=True, slots=True)
class Hint:
    """A shard iterator and the second at which it was issued: it may save a call, and is not a position."""

    iterator: str
    second: int


@dataclass(frozen=True, slots=True)
class Reading:
    """One shard of a frontier. `watermark`: microseconds since the epoch that no further record of it precedes."""

    position: Position
    watermark: int = EARLIEST
    hint: Hint | None = field(default=None, compare=False)

    @property
    def ended(self) -> bool:
        return isinstance(self.position, End)


@dataclass(frozen=True, slots=True)
class Finished:
    """A shard that needs no more reading but may stay listed for hours (trap 12), and the `second` at which it
    finished.

    `children` is where a child begins that is listed late. It is None if this frontier does not read the children,
    because they are past the stop or belong to another frontier.
    """

    second: int
    children: StartPosition | None


@dataclass(frozen=True, slots=True)
class Frontier:
    """The state of a read; see the module.

    Args:
        stream_arn: The stream whose shards these are.
        start: Where a shard begins if this read did not read its parents.
        shards: The shards that are being read, and the ended ones that wait for their children.
        finished: The shards that need no more reading.
        saved: Positions of an earlier run, for shards that are not reached yet.
        remaining: The number of records left under `stop=N`.
        adopts: Whether this frontier reads shards without any known relative. Exactly one part of a split does.
        closed: Whether nothing is left to read.
        awaited: In a frontier that does not adopt: the known descendants that are not reached yet, each with its first
            parent. They are stored because after a pause the links between may be trimmed, and then no listing shows
            which frontier they belong to.
        unconfirmed: In the frontier that adopts: shards of other frontiers that it saw so recently that those frontiers
            may not have seen them yet. If a pause begins now, they may never see them, and this frontier adopts the
            shards.
        unlinked: The shards that began as roots because no listing showed them or their parents. If a later listing
            shows a parent of one, that parent was not read.
        floor: Microseconds that no record of this stream precedes, because it follows another one: shards without a
            known parent begin with it as their watermark. `EARLIEST` in the stream in which the read began.
        read_to: The watermark with which the last shard was left, while none is read. Changes from there on are in no
            stream until the next stream of the table begins.
        scan: How far the scan of the table was delivered, where a snapshot of it is joined with the stream.
    """

    stream_arn: str = ""
    start: StartPosition = TRIM_HORIZON
    shards: Mapping[str, Reading] = field(default_factory=dict)
    finished: Mapping[str, Finished] = field(default_factory=dict)
    saved: Mapping[str, Position] = field(default_factory=dict)
    remaining: int | None = None
    adopts: bool = True
    closed: bool = False
    awaited: Mapping[str, str] = field(default_factory=dict)
    unconfirmed: frozenset[str] = frozenset()
    unlinked: frozenset[str] = frozenset()
    floor: int = EARLIEST
    read_to: int = EARLIEST
    scan: TableScan | None = None

    @property
    def open_shards(self) -> tuple[str, ...]:
        """Return the shards that have more to read; the others have ended and wait for their children."""
        return tuple(shard for shard, reading in self.shards.items() if not reading.ended)

    @property
    def ended_shards(self) -> tuple[str, ...]:
        return tuple(shard for shard, reading in self.shards.items() if reading.ended)

    @property
    def shared(self) -> bool:
        """Return whether another frontier may be reading shards of this stream."""
        return not self.adopts or any(done.children is None for done in self.finished.values())

    @property
    def watermark(self) -> int:
        """Return the minimum over the shards, ended ones included: their children's records are still to come."""
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
        """Return the frontier after `shard` was read up to `position`, with `records` delivered.

        Raises:
            ValueError: The position is before the shard's own.
        """
        before = self.shards[shard]
        if not is_at_or_past(position, before.position):
            raise ValueError(f"{shard} cannot go back from {before.position} to {position}")
        after = Reading(position, max(watermark, before.watermark), hint)
        remaining = None if self.remaining is None else self.remaining - records
        return replace(self, shards={**self.shards, shard: after}, remaining=remaining)

    def end(self, shard: str) -> Frontier:
        """Return the frontier after `shard` was read to its end.

        Its children begin at TRIM_HORIZON, or where it began itself if it had no record as young as that (trap 2).
        """
        position = self.shards[shard].position
        return self.advance(shard, End(position if isinstance(position, AtTime) else TRIM_HORIZON))

    def deliver_rows(self, scan: TableScan, records: int) -> Frontier:
        """Return the frontier after a page of the table's rows was delivered. Rows count as records."""
        remaining = None if self.remaining is None else self.remaining - records
        after = replace(self, scan=scan, remaining=remaining)
        return after.close() if remaining == 0 else after

    def finish(self, shard: str, *, second: int, children: StartPosition | None = None) -> Frontier:
        """Return the frontier in which `shard` needs no more reading.

        With `children=None` its descendants need none either.
        """
        shards = {other: state for other, state in self.shards.items() if other != shard}
        return replace(self, shards=shards, finished={**self.finished, shard: Finished(second, children)})

    def refresh(self, hints: Mapping[str, Hint], watermarks: Mapping[str, int]) -> Frontier:
        """Return the frontier with newer iterators and watermarks of shards that returned no record."""
        shards = dict(self.shards)
        for shard in hints.keys() | watermarks.keys():
            if (reading := shards.get(shard)) is not None:
                watermark = max(reading.watermark, watermarks.get(shard, EARLIEST))
                shards[shard] = Reading(reading.position, watermark, hints.get(shard, reading.hint))
        return replace(self, shards=shards)

    def forget_finished(
        self, *, before: int, listed: Container[str], gone: Container[str], borders: Container[str] = ()
    ) -> Frontier:
        """Return the frontier without the shards that finished before the second `before` and are no longer listed.

        So the size of a frontier follows its open shards. A shard that this frontier did not read to its end may still
        be read by another one. It is kept until the service says that it is gone, because a listing that leaves it out
        proves nothing (trap 6). Unconfirmed shards are kept, and so are shards that lead to awaited shards that are
        listed, and the `borders` (see `is_border`).
        """
        leading = {top(self.awaited, shard) for shard in self.awaited if shard in listed}
        kept = {
            shard: done
            for shard, done in self.finished.items()
            if done.second >= before
            or shard in listed
            or (done.children is None and shard not in gone)
            or shard in self.unconfirmed
            or shard in leading
            or shard in borders
        }
        if len(kept) == len(self.finished):
            return self
        return replace(self, finished=kept, unlinked=self.unlinked & (self.shards.keys() | kept.keys()))

    def is_border(self, parent: str, child: str) -> bool:
        """Return whether exactly one of two known shards is this frontier's own.

        Such a parent must not be forgotten before the child. A sibling that is listed late belongs to the frontier that
        read the parent, and without the parent each of the two frontiers would take it for the other one's.
        """
        if (done := self.finished.get(parent)) is None:
            return False
        other = self.finished.get(child)
        if other is None:
            return child in self.shards and done.children is None
        return (other.children is None) != (done.children is None)

    def confirm(self, *, before: int, listed: Container[str]) -> Frontier:
        """Return the frontier without the unconfirmed shards that all frontiers of the stream have listed by now.

        These are the shards that were first seen before the second `before` and are still listed.
        """
        left = frozenset(
            shard for shard in self.unconfirmed if self.finished[shard].second >= before or shard not in listed
        )
        return self if left == self.unconfirmed else replace(self, unconfirmed=left)

    def fading(self, *, before: int, listed: Container[str]) -> set[str]:
        """Return the shards that are forgotten once the service says that they are gone."""
        return {
            shard
            for shard, done in self.finished.items()
            if done.children is None and done.second < before and shard not in listed
        }

    def close(self) -> Frontier:
        """Return the frontier with nothing left to read: at the stop, or at the end of a disabled stream."""
        none: frozenset[str] = frozenset()
        return replace(self, closed=True, shards={}, finished={}, saved={}, awaited={}, unconfirmed=none, unlinked=none)

    def follow(self, stream_arn: str, *, floor: int, saved: Mapping[str, Position] | None = None) -> Frontier:
        """Return the frontier that has left its stream, read to its end, and begins the next one of the table.

        It is one step: no stored frontier has left the one stream without being in the other. The new stream is read
        from its trim horizon, and what is left of `remaining` counts on.

        Args:
            stream_arn: The next stream.
            floor: Microseconds that no record of it precedes.
            saved: Positions of an earlier run in it.

        Raises:
            ValueError: Shards of this stream are still to be read, or the frontier is not the one that follows: of all
                frontiers that share a stream, that is the one that adopts.
        """
        if self.shards or self.closed or not self.adopts or stream_arn == self.stream_arn:
            raise ValueError(f"this frontier of {self.stream_arn} cannot continue in {stream_arn}: {self}")
        return Frontier(
            stream_arn=stream_arn,
            saved=dict(saved or {}),
            remaining=self.remaining,
            floor=max(self.floor, self.read_to, floor),
            scan=self.scan,
        )

    def scan_again(self, scan: TableScan | None) -> Frontier:
        """Return the frontier with a new scan in place of the one that it had. Its epoch is later than that one's."""
        if scan is not None and self.scan is not None and scan.epoch <= self.scan.epoch:
            scan = replace(scan, epoch=self.scan.epoch + 1)
        return replace(self, scan=scan)

    def split(self, mine: Iterable[str], *, second: int) -> tuple[Frontier, Frontier]:
        """Return `(kept, given)`: the frontier of `mine` and its descendants, and the frontier of the rest.

        Each part has the other's shards as finished, with children that are not its own. So exactly one part reads each
        shard that a listing shows later: a descendant belongs to the part of its first parent. Shards without a known
        relative stay with the part that already adopts. Both parts have the saved positions of shards that are not
        reached yet.

        The child of a merge may have a parent in each part. It belongs to the part of its first parent. That part
        cannot know when the other part has read the other parent, so between the two parts there is no order.
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
                unlinked=frozenset(),
                scan=None,
            ),
        )


def top(awaited: Mapping[str, str], shard: str) -> str:
    """Return the oldest ancestor to which the awaited links lead from `shard`."""
    while (parent := awaited.get(shard)) is not None:
        shard = parent
    return shard


def begin(
    start: StartPosition,
    *,
    stream_arn: str = "",
    saved: Mapping[str, Position] | None = None,
    remaining: int | None = None,
    scan: TableScan | None = None,
) -> Frontier:
    """Return the frontier of a read that has not listed its stream yet: empty, and not closed."""
    return Frontier(stream_arn=stream_arn, start=start, saved=dict(saved or {}), remaining=remaining, scan=scan)
