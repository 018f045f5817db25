"""The six filters of ListShards, and the shards of an answer. Pure.

A *cut* is a set of shards with exactly one shard of every line of descent: the shards that were open at one moment. The
hash ranges of a cut tile the whole space, which a KCL checks.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from beam_dynamodb_streams.kinesis.faults import invalid_argument
from beam_dynamodb_streams.kinesis.hash_ranges import HashRange, tiling
from beam_dynamodb_streams.kinesis.known_shards import KnownShards

#: The filters whose shards were open at one moment.
_POINTS: Final = frozenset({"AT_TRIM_HORIZON", "AT_LATEST", "AT_TIMESTAMP"})


def filtered(known: KnownShards, shard_filter: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Return the shards of an answer to ListShards, in the order of their discovery.

    Raises:
      KinesisFault: the filter lacks what its type needs.
    """
    if shard_filter is None:
        return [described(known, shard, known.hash_range(shard)) for shard in known]
    kind = shard_filter["Type"]
    _check(kind, shard_filter)
    match kind:
        case "AT_TRIM_HORIZON":
            chosen = set(known.roots())
        case "AT_LATEST":
            chosen = {shard for shard in known if known.is_open(shard)}
        case "AT_TIMESTAMP":
            chosen = set(_open_at(known, shard_filter["Timestamp"]))
        case "FROM_TIMESTAMP":
            chosen = _with_descendants(known, _open_at(known, shard_filter["Timestamp"]))
        case "AFTER_SHARD_ID":
            chosen = _after(known, shard_filter["ShardId"])
        case _:  # FROM_TRIM_HORIZON
            chosen = set(known)
    ranges = {shard: known.hash_range(shard) for shard in known if shard in chosen}
    if kind in _POINTS and ranges:
        ranges = tiling(ranges)
    return [described(known, shard, ranges[shard]) for shard in known if shard in chosen]


def shards_after(known: KnownShards, shard_id: str) -> list[dict[str, Any]]:
    """Return the shards that were discovered after one (ExclusiveStartShardId)."""
    chosen = _after(known, shard_id)
    return [described(known, shard, known.hash_range(shard)) for shard in known if shard in chosen]


def described(known: KnownShards, shard: str, hash_range: HashRange) -> dict[str, Any]:
    """Return a shard as ListShards and DescribeStream show it."""
    first, last = known.numbers(shard)
    numbers = {"StartingSequenceNumber": first} | ({"EndingSequenceNumber": last} if last is not None else {})
    answer: dict[str, Any] = {"ShardId": shard}
    if (parent := known.parent(shard)) is not None:
        answer["ParentShardId"] = parent
    return {**answer, "HashKeyRange": hash_range.to_dict(), "SequenceNumberRange": numbers}


def child_shards(known: KnownShards, parent: str) -> list[dict[str, Any]]:
    """Return the children of an ended shard as GetRecords shows them.

    Every KCL takes a child with one parent for half of a split, and refuses it for ever if it has no sibling. A child
    that continues its parent alone therefore names it twice, as a merge of the shard with itself would.
    """
    children = known.children(parent)
    parents = [parent, parent] if len(children) == 1 else [parent]
    return [
        {"ShardId": child, "ParentShards": parents, "HashKeyRange": known.hash_range(child).to_dict()}
        for child in children
    ]


def _check(kind: str, shard_filter: dict[str, Any]) -> None:
    needed = {"AFTER_SHARD_ID": "ShardId", "AT_TIMESTAMP": "Timestamp", "FROM_TIMESTAMP": "Timestamp"}.get(kind)
    if needed is not None and needed not in shard_filter:
        raise invalid_argument(f"ShardFilter of type {kind} needs {needed}")
    for name in ("ShardId", "Timestamp"):
        if name in shard_filter and name != needed:
            raise invalid_argument(f"ShardFilter of type {kind} takes no {name}")


def _open_at(known: KnownShards, second: float) -> list[str]:
    """Return the cut at a moment. A shard whose age its id does not show is taken for younger than that."""
    cut: list[str] = []
    ahead = known.roots()
    for shard in ahead:
        children = known.children(shard)
        if children and all((born := known.created(child)) is not None and born <= second for child in children):
            ahead.extend(children)
        else:
            cut.append(shard)
    return cut


def _with_descendants(known: KnownShards, shards: Iterable[str]) -> set[str]:
    found: set[str] = set()
    ahead = list(shards)
    for shard in ahead:
        if shard not in found:
            found.add(shard)
            ahead.extend(known.children(shard))
    return found


def _after(known: KnownShards, shard_id: str) -> set[str]:
    """Return what was discovered after a shard. One that is forgotten has the place that its id would have."""
    number = known.number(shard_id)
    if number is None:
        return {shard for shard in known if shard > shard_id}
    return {shard for shard in known if (known.number(shard) or 0) > number}
