"""When the children of an ended shard are known, on a clock that the test moves: no service."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from beam_dynamodb_streams.errors import ShardFilterError, ThrottledError
from beam_dynamodb_streams.kinesis.shard_listing import Children, ShardListing
from beam_dynamodb_streams.wire import ListedShard, StreamPage

PARENT, LEFT, RIGHT = "shardId-0-p", "shardId-1-l", "shardId-1-r"


@dataclass
class Service:
    """Lists what a test says, and counts its calls."""

    shown: list[str] = field(default_factory=lambda: [PARENT])
    status: str = "ENABLED"
    knows_filter: bool = True
    throttles: bool = False
    calls: list[str | None] = field(default_factory=list)
    now: float = 1000.0

    def describe_stream(
        self, stream_arn: str, *, exclusive_start_shard_id: str | None = None, children_of: str | None = None
    ) -> StreamPage:
        assert exclusive_start_shard_id is None
        self.calls.append(children_of)
        if self.throttles:
            raise ThrottledError("slow down")
        if children_of is not None and not self.knows_filter:
            raise ShardFilterError("no filter")
        shards = [
            ListedShard(shard, () if shard == PARENT else (PARENT,), "1", "9" if shard == PARENT else None)
            for shard in self.shown
            if children_of is None or shard != PARENT
        ]
        return StreamPage(stream_arn, "orders", self.status, "NEW_IMAGE", tuple(shards), None)


def listing_of(service: Service) -> ShardListing:
    found = ShardListing(service, "arn", lambda: service.now)
    found.refresh()
    return found


def asked(service: Service, listing: ShardListing, seconds: float) -> Children:
    """Ask twice a second for as long as the answer is to wait."""
    end = service.now + seconds
    while (answer := listing.children(PARENT)) is Children.WAIT and service.now < end:
        service.now += 0.5
    return answer


@pytest.mark.parametrize("knows_filter", [True, False])
def test_an_only_child_is_known_after_three_listings_over_five_seconds(knows_filter: bool) -> None:
    service = Service(knows_filter=knows_filter)
    listing = listing_of(service)
    service.shown = [PARENT, LEFT]
    began = service.now
    assert asked(service, listing, 20.0) is Children.KNOWN
    assert 5.0 <= service.now - began <= 8.0
    assert listing.known.children(PARENT) == (LEFT,)


@pytest.mark.parametrize("knows_filter", [True, False])
def test_a_sibling_that_a_listing_left_out_is_among_the_children(knows_filter: bool) -> None:
    """A listing may show one half of a split (trap 6): a consumer that gets one child alone never reads the other."""
    service = Service(knows_filter=knows_filter)
    listing = listing_of(service)
    service.shown = [PARENT, LEFT]
    assert asked(service, listing, 3.0) is Children.WAIT
    service.shown = [PARENT, LEFT, RIGHT]
    assert asked(service, listing, 3.0) is Children.KNOWN
    assert listing.known.children(PARENT) == (LEFT, RIGHT)


def test_a_shard_without_children_waits_and_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    """Unless its stream is disabled, its children may still appear (trap 27)."""
    service = Service()
    listing = listing_of(service)
    assert asked(service, listing, 100.0) is Children.WAIT
    assert len(caplog.records) == 2
    assert PARENT in caplog.text
    assert len(service.calls) < 30, "the service allows ten listings a second, for all readers"
    service.shown = [PARENT, LEFT, RIGHT]
    assert asked(service, listing, 20.0) is Children.KNOWN


def test_the_last_shard_of_a_disabled_stream_has_no_children() -> None:
    service = Service()
    listing = listing_of(service)
    service.status = "DISABLED"
    assert asked(service, listing, 20.0) is Children.NONE


def test_a_throttled_listing_is_made_again_later() -> None:
    service = Service()
    listing = listing_of(service)
    service.throttles = True
    with pytest.raises(ThrottledError):
        asked(service, listing, 3.0)
    service.throttles = False
    service.shown = [PARENT, LEFT, RIGHT]
    service.now += 15.0
    assert asked(service, listing, 20.0) is Children.KNOWN


def test_listings_are_a_second_apart() -> None:
    service = Service()
    listing = listing_of(service)
    service.calls.clear()
    for _ in range(20):
        listing.refresh()
    assert service.calls == []
    service.now += 1.0
    listing.refresh()
    assert service.calls == [None]
