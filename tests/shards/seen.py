"""Discoveries by keywords, where a test names only what it is about."""

from __future__ import annotations

from collections.abc import Iterable

from beam_dynamodb_streams.shards import discovery
from beam_dynamodb_streams.shards.discovery import Discovery
from beam_dynamodb_streams.shards.frontier import Frontier
from beam_dynamodb_streams.shards.lineage import Lineage, Seen


def discover(
    frontier: Frontier, lineage: Lineage, *, second: int, gone: Iterable[str] = (), leaves: Iterable[str] = ()
) -> Discovery:
    return discovery.discover(frontier, Seen(lineage, second, gone=frozenset(gone), leaves=tuple(leaves)))


def take_over(frontier: Frontier, lineage: Lineage, *, second: int, gone: Iterable[str] = ()) -> Discovery:
    return discovery.take_over(frontier, Seen(lineage, second, gone=frozenset(gone)))
