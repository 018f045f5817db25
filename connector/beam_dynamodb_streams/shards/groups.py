"""One stream read by several frontiers: who begins with what.

Ownership needs no agreement later: each frontier holds the roots that it was dealt and knows those of all others, and
what descends from a shard belongs to the frontier that holds the shard. A shard without any known relative, which only
a pause longer than the retention or a hole in the first listings leaves behind, belongs to the first frontier.
"""

from __future__ import annotations

from beam_dynamodb_streams.shards.frontier import Frontier
from beam_dynamodb_streams.shards.lineage import Lineage


def deal(frontier: Frontier, lineage: Lineage, groups: int, *, second: int) -> tuple[Frontier, ...]:
    """``frontier`` as at most ``groups`` frontiers that share no shard and together are the whole.

    Each holds a shard at least, and about as many of the youngest known shards as any other. The first one adopts.
    """
    hands: list[set[str]] = [set() for _ in range(max(1, min(groups, len(frontier.shards))))]
    weights = [0] * len(hands)
    leaves = _leaves(frontier, lineage)
    for shard in sorted(frontier.shards, key=lambda shard: (-leaves[shard], shard)):
        lightest = weights.index(min(weights))
        hands[lightest].add(shard)
        weights[lightest] += leaves[shard]
    parts = []
    for hand in hands[1:]:
        frontier, given = frontier.split(frontier.shards.keys() - hand, second=second)
        parts.append(given)
    return (frontier, *parts)


def _leaves(frontier: Frontier, lineage: Lineage) -> dict[str, int]:
    """How many shards without known children descend from each shard of the frontier: what it will have to read."""
    counts = dict.fromkeys(frontier.shards, 0)
    for shard in dict.fromkeys([*lineage, *frontier.shards]):
        if not lineage.children(shard):
            for ancestor in (shard, *lineage.ancestors(shard)):
                if ancestor in counts:
                    counts[ancestor] += 1
                    break
    return counts
