"""What the listings mean for a frontier: which shard begins, waits, is not read, or must be probed first.

The cases are a table in `growth`.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, field

from beam_dynamodb_streams.shards.frontier import Frontier
from beam_dynamodb_streams.shards.growth import Growth
from beam_dynamodb_streams.shards.lineage import Lineage, Seen
from beam_dynamodb_streams.shards.loss import Loss, children_missed


@dataclass(frozen=True, slots=True)
class Discovery:
    """The next `frontier`, with all that may begin now.

    `opened`: the shards that began, in this order. `doubtful`: shards, each with a parent that no listing has shown;
    the shard begins once the parent is known to be gone (trap 8). `fading`: finished shards that are forgotten once
    they are known to be gone. The service must be asked about the doubtful parents and the fading shards. `losses`:
    children that were trimmed before any listing showed them.
    """

    frontier: Frontier
    opened: tuple[str, ...] = ()
    doubtful: dict[str, str] = field(default_factory=dict)
    fading: frozenset[str] = frozenset()
    losses: tuple[Loss, ...] = ()


def discover(frontier: Frontier, seen: Seen) -> Discovery:
    """Return `frontier` moved by what was `seen`. Pure and idempotent; the order of the listing does not matter."""
    if frontier.closed:
        return Discovery(frontier)
    growth = Growth(frontier, seen)
    lineage = seen.lineage
    for ended in frontier.ended_shards:
        growth.hand_over(ended)
    for leaf in seen.leaves:
        growth.leave(leaf)
    for shard in sorted(frontier.unconfirmed):
        parent = lineage.first_parent(shard)
        if parent in growth.unconfirmed and shard in growth.unconfirmed:
            growth.inherit(shard, parent)
    for shard in _parents_first(lineage, growth.passed):
        if shard not in growth.shards:  # a child may have just taken its parent's place
            growth.decide(shard)
    for shard in growth.opened:  # an earlier run may have saved that it was read to its end
        growth.hand_over(shard)
    moved = growth.frontier().confirm(before=seen.confirm_before, listed=seen.listed)
    if moved is not frontier:
        # Until the listings settle, one may still show a child of a shard that is gone, and whose it is.
        gone = seen.gone if seen.settled else frozenset[str]()
        moved = moved.forget_finished(
            before=seen.forget_before, listed=seen.listed, gone=gone, borders=_borders(moved, lineage)
        )
    return Discovery(
        moved,
        tuple(growth.opened),
        growth.doubtful,
        frozenset(frontier.fading(before=seen.forget_before, listed=seen.listed) - seen.gone),
        tuple(
            children_missed(frontier.stream_arn, leaf, frontier.shards[leaf], retention=seen.retention)
            for leaf in seen.leaves
            if leaf in seen.gone and leaf in frontier.shards
        ),
    )


def take_over(frontier: Frontier, seen: Seen) -> Discovery:
    """Return what `discover` would, if since the last discovery only shards have ended and children replace them.

    It takes time in proportion to the frontier, not to the lineage.
    """
    growth = Growth(frontier, seen)
    for ended in frontier.ended_shards:
        growth.hand_over(ended)
    for shard in growth.opened:  # an earlier run may have saved that it was read to its end
        growth.hand_over(shard)
    return Discovery(growth.frontier(), tuple(growth.opened))


def _borders(frontier: Frontier, lineage: Lineage) -> set[str]:
    if not frontier.shared:
        return set()
    return {
        parent
        for shard in [*frontier.shards, *frontier.finished]
        for parent in lineage.parents(shard)
        if frontier.is_border(parent, shard)
    }


def _parents_first(lineage: Lineage, passed: Set[str]) -> list[str]:
    fresh = [shard for shard in lineage if shard not in passed]
    return sorted(fresh, key=lambda shard: sum(1 for _ in lineage.ancestors(shard)))
