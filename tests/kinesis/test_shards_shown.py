"""Hash ranges, the order of discovery, and the six filters: pure."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_dynamodb_streams.kinesis.faults import KinesisFault
from beam_dynamodb_streams.kinesis.hash_ranges import LAST, WHOLE, HashRange, is_tiling, tiling
from beam_dynamodb_streams.kinesis.known_shards import UNKNOWN_END, KnownShards
from beam_dynamodb_streams.kinesis.shard_filters import child_shards, filtered
from beam_dynamodb_streams.shards.lineage import Shard


def shard_id(second: int, name: str) -> str:
    return f"shardId-{second * 1000:020d}-{name}"


def shard(second: int, name: str, parent: str | None = None, *, end: str | None = None) -> Shard:
    return Shard(shard_id(second, name), (parent,) if parent else (), "100", end)


A, B = shard(10, "a", end="199"), shard(10, "b")
C, D = shard(20, "c", A.shard_id), shard(20, "d", A.shard_id, end="400")
E = shard(30, "e", D.shard_id)


def known(*shards: Shard) -> KnownShards:
    found = KnownShards()
    found.take(shards, 0.0)
    found.begin()
    return found


def ids(shards: list[dict]) -> list[str]:
    return [each["ShardId"] for each in shards]


def tiles(shards: list[dict]) -> bool:
    ranges = [each["HashKeyRange"] for each in shards]
    return is_tiling(HashRange(int(each["StartingHashKey"]), int(each["EndingHashKey"])) for each in ranges)


@given(st.integers(1, 300))
def test_the_parts_of_a_range_tile_it(count: int) -> None:
    assert is_tiling(WHOLE.parts(count))
    assert WHOLE.parts(count)[-1].last == LAST


def test_ranges_that_do_not_tile_the_space_are_made_anew_in_their_order() -> None:
    half = HashRange(0, LAST // 2)
    assert not is_tiling([half, half])
    made = tiling({"x": half, "y": half})
    assert is_tiling(made.values())
    assert made["x"].first == 0


def test_roots_share_the_space_and_children_share_their_parents_range() -> None:
    found = known(A, B, C, D, E)
    whole = found.hash_range(A.shard_id)
    parts = [found.hash_range(each.shard_id) for each in (C, D)]
    assert [parts[0].first, parts[-1].last] == [whole.first, whole.last]
    assert parts[0].last + 1 == parts[1].first
    assert found.hash_range(E.shard_id) == found.hash_range(D.shard_id)


@pytest.mark.parametrize(
    ("shard_filter", "expected"),
    [
        ({"Type": "AT_TRIM_HORIZON"}, [A, B]),
        ({"Type": "AT_LATEST"}, [B, C, E]),
        ({"Type": "FROM_TRIM_HORIZON"}, [A, B, C, D, E]),
        ({"Type": "AT_TIMESTAMP", "Timestamp": 15.0}, [A, B]),
        ({"Type": "AT_TIMESTAMP", "Timestamp": 25.0}, [B, C, D]),
        ({"Type": "AT_TIMESTAMP", "Timestamp": 1e9}, [B, C, E]),
        ({"Type": "AT_TIMESTAMP", "Timestamp": 0.0}, [A, B]),
        ({"Type": "FROM_TIMESTAMP", "Timestamp": 25.0}, [B, C, D, E]),
        ({"Type": "AFTER_SHARD_ID", "ShardId": C.shard_id}, [D, E]),
        ({"Type": "AFTER_SHARD_ID", "ShardId": shard_id(15, "trimmed")}, [C, D, E]),
        (None, [A, B, C, D, E]),
    ],
)
def test_each_filter_chooses_its_shards(shard_filter: dict | None, expected: list[Shard]) -> None:
    shards = filtered(known(A, B, C, D, E), shard_filter)
    assert ids(shards) == [each.shard_id for each in expected]
    if shard_filter and shard_filter["Type"].startswith("AT_"):
        assert tiles(shards)


@pytest.mark.parametrize(
    "shard_filter",
    [
        {"Type": "AT_TIMESTAMP"},
        {"Type": "AFTER_SHARD_ID"},
        {"Type": "AT_LATEST", "ShardId": A.shard_id},
        {"Type": "FROM_TRIM_HORIZON", "Timestamp": 1.0},
    ],
)
def test_a_filter_without_what_its_type_needs_is_refused(shard_filter: dict) -> None:
    with pytest.raises(KinesisFault, match=shard_filter["Type"]) as refused:
        filtered(known(A, B), shard_filter)
    assert refused.value.code == "InvalidArgumentException"


def test_a_shard_that_appears_late_with_an_older_id_comes_after_the_last_one_known() -> None:
    """Flink asks for what is after the last id of its listing: it never reads a shard that is inserted before that."""
    found = known(A, B, C, D)
    late = shard(5, "late")
    found.take([late], 1.0)
    found.admit(frozenset())
    after = filtered(found, {"Type": "AFTER_SHARD_ID", "ShardId": D.shard_id})
    assert ids(after) == [late.shard_id]


def test_one_child_alone_is_shown_only_when_listings_have_proven_that_it_is_alone() -> None:
    found = known(A, B)
    found.take([C], 1.0)
    found.admit(frozenset())
    assert C.shard_id not in found
    assert found.is_open(A.shard_id)
    found.admit({A.shard_id})
    assert C.shard_id in found
    assert not found.is_open(A.shard_id)


def test_two_children_are_shown_at_once() -> None:
    found = known(A, B)
    found.take([C], 1.0)
    found.admit(frozenset())
    found.take([D], 2.0)
    found.admit(frozenset())
    assert found.children(A.shard_id) == (C.shard_id, D.shard_id)
    assert tiles(filtered(found, {"Type": "AT_LATEST"}))


def test_an_only_child_names_its_parent_twice_and_a_child_with_a_sibling_once() -> None:
    """Any KCL refuses an only child with one parent for ever."""
    found = known(A, B, C, D, E)
    assert [each["ParentShards"] for each in child_shards(found, D.shard_id)] == [[D.shard_id, D.shard_id]]
    assert [each["ParentShards"] for each in child_shards(found, A.shard_id)] == [[A.shard_id], [A.shard_id]]


def test_the_ends_that_are_shown_follow_from_the_children() -> None:
    """An open parent with children ends somewhere, and a shard without children is open, whatever a listing says."""
    open_parent = Shard(A.shard_id, (), "100", None)
    closed_leaf = shard(20, "leaf", A.shard_id, end="300")
    shards = {each["ShardId"]: each for each in filtered(known(open_parent, closed_leaf), None)}
    assert shards[A.shard_id]["SequenceNumberRange"]["EndingSequenceNumber"] == UNKNOWN_END
    assert "EndingSequenceNumber" not in shards[closed_leaf.shard_id]["SequenceNumberRange"]


def test_a_forgotten_root_leaves_its_children_as_roots_with_their_ranges() -> None:
    found = known(A, B, C, D, E)
    before = {each.shard_id: found.hash_range(each.shard_id) for each in (B, C, D, E)}
    found.take([B, C, D, E], 100.0)
    found.forget(50.0)
    assert {each: found.hash_range(each) for each in found} == before
    assert set(found.roots()) == {B.shard_id, C.shard_id, D.shard_id}
    assert tiles(filtered(found, {"Type": "AT_TRIM_HORIZON"}))


@st.composite
def histories(draw: st.DrawFn) -> list[list[Shard]]:
    """Listings of a stream that rolls and splits. Each listing may leave shards out."""
    leaves = [shard(1, f"r{number}") for number in range(draw(st.integers(1, 4)))]
    everything, listings = list(leaves), []
    for step in range(draw(st.integers(0, 6))):
        parent = leaves.pop(draw(st.integers(0, len(leaves) - 1)))
        children = [shard(step + 2, f"c{step}{place}", parent.shard_id) for place in range(draw(st.integers(1, 2)))]
        leaves += children
        everything += children
        shown = draw(st.lists(st.sampled_from(everything), unique_by=lambda each: each.shard_id))
        listings.append(shown)
    return [[each for each in everything if each.shard_id.count("r")], *listings, everything]


@given(histories())
def test_whatever_listings_leave_out_the_order_only_grows_and_each_cut_tiles(listings: list[list[Shard]]) -> None:
    found = KnownShards()
    order: list[str] = []
    for place, listing in enumerate(listings):
        found.take(listing, float(place))
        found.begin() if place == 0 else found.admit(frozenset(found) if place == len(listings) - 1 else frozenset())
        assert list(found)[: len(order)] == order
        order = list(found)
        for kind in ("AT_LATEST", "AT_TRIM_HORIZON"):
            assert tiles(filtered(found, {"Type": kind}))
    assert set(order) == {each.shard_id for each in listings[-1]}
