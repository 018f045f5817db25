"""How several frontiers share one stream: which shards each begins with.

The frontiers need no agreement later. Each holds the roots that were assigned to it and knows those of all others, and
a shard belongs to the frontier that holds its first parent. A shard without any known relative belongs to the first
frontier. Such a shard exists only after a pause longer than the retention, or if the first listings left a shard out.
"""

from __future__ import annotations

from beam_dynamodb_streams.shards.frontier import Frontier
from beam_dynamodb_streams.shards.lineage import Lineage


def deal(frontier: Frontier, lineage: Lineage, groups: int, *, second: int) -> tuple[Frontier, ...]:
    """Return `frontier` as at most `groups` frontiers that share no shard and together are the whole.

    Each holds at least one shard. All hold about the same number of the youngest known shards. The first one adopts.
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
    """Return, for each shard of the frontier, how many of its descendants have no known children: its work."""
    counts = dict.fromkeys(frontier.shards, 0)
    for shard in dict.fromkeys([*lineage, *frontier.shards]):
        if not lineage.children(shard):
            for ancestor in (shard, *lineage.first_ancestors(shard)):
                if ancestor in counts:
                    counts[ancestor] += 1
                    break
    return counts
