"""A whole listing of a stream's shards, page by page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from scripted_endpoint import ScriptedEndpoint, Turn

from beam_dynamodb_streams.source.start import list_lineage
from beam_dynamodb_streams.wire import Client

ARN = "arn:aws:dynamodb:eu-west-1:000000000000:table/orders/stream/2026-01-01T00:00:00.000"


def turn(*shards: str, last: str | None = None) -> Turn:
    listing: dict[str, Any] = {"StreamArn": ARN, "Shards": [{"ShardId": shard} for shard in shards]}
    return Turn({"StreamDescription": listing | ({} if last is None else {"LastEvaluatedShardId": last})})


def test_a_listing_continues_after_the_last_evaluated_shard_until_none_is_named(
    endpoint: ScriptedEndpoint, make_client: Callable[..., Client]
) -> None:
    """Trap 6: a page of any length may be followed by another, an empty one too."""
    endpoint.script = [turn("a", last="a"), turn(last="b"), turn("c")]
    pages = list(make_client().listing(ARN))
    assert [[shard.shard_id for shard in page.shards] for page in pages] == [["a"], [], ["c"]]
    assert [call.parameters.get("ExclusiveStartShardId") for call in endpoint.received] == [None, "a", "b"]


@pytest.mark.parametrize("last", ["a", "b"])
def test_a_listing_ends_where_it_would_go_in_circles(
    endpoint: ScriptedEndpoint, make_client: Callable[..., Client], last: str
) -> None:
    """Trap 6: LastEvaluatedShardId may repeat, at once or by turns."""
    endpoint.script = [*[turn("a", last="a"), turn("b", last=last)] * 10, turn()]
    assert [page.shards[0].shard_id for page in make_client().listing(ARN)] == (
        ["a", "b", "a"] if last == "b" else ["a", "b"]
    )
    endpoint.received.clear()
    assert set(list_lineage(make_client(), ARN)) == {"a", "b"}
