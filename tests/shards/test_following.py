"""How a frontier leaves its stream for the next one of the table (trap 14): pure, in one step, by one owner."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_dynamodb_streams.shards.discovery import discover
from beam_dynamodb_streams.shards.encoding import decode_frontier, encode_frontier
from beam_dynamodb_streams.shards.frontier import EARLIEST, Frontier, Reading, begin
from beam_dynamodb_streams.shards.generations import (
    Generation,
    covering,
    created_at,
    following,
    generations_of,
    is_replaced,
)
from beam_dynamodb_streams.shards.groups import deal
from beam_dynamodb_streams.shards.lineage import Lineage, Seen
from beam_dynamodb_streams.shards.loss import between_streams
from beam_dynamodb_streams.shards.position import SHARD_END, TRIM_HORIZON, After, Position

TABLE = "arn:aws:dynamodb:us-east-1:000000000000:table/orders"


def stream(hour: int, table: str = TABLE) -> str:
    return f"{table}/stream/2026-01-31T{hour:02d}:00:00.000"


OLD, NEXT, LATEST = stream(10), stream(11), stream(12)


def test_the_next_stream_begins_in_one_step_with_what_is_left_and_what_is_known() -> None:
    old = Frontier(stream_arn=OLD, remaining=7, read_to=50, floor=10, saved={"gone": After("1")})
    new = old.follow(NEXT, floor=90, saved={"b": After("3")})
    assert new == Frontier(stream_arn=NEXT, start=TRIM_HORIZON, remaining=7, floor=90, saved={"b": After("3")})
    assert old.follow(NEXT, floor=20).floor == 50, "the watermark does not go back"
    assert decode_frontier(encode_frontier(new)) == new
    assert decode_frontier(encode_frontier(old)) == old


@pytest.mark.parametrize(
    "frontier",
    [
        Frontier(stream_arn=OLD, shards={"a": Reading(After("1"))}),
        Frontier(stream_arn=OLD, shards={"a": Reading(SHARD_END)}),
        Frontier(stream_arn=OLD, adopts=False),
        Frontier(stream_arn=OLD).close(),
        Frontier(stream_arn=NEXT),
    ],
    ids=["open", "ended", "of another group", "closed", "of the same stream"],
)
def test_a_frontier_that_is_not_done_or_does_not_adopt_cannot_follow(frontier: Frontier) -> None:
    with pytest.raises(ValueError, match="cannot continue in"):
        frontier.follow(NEXT, floor=0)


def test_the_shards_of_the_next_stream_begin_with_its_floor_as_their_watermark() -> None:
    """So what is trimmed of it unread is a loss, as for a shard that was read before."""
    new = Frontier(stream_arn=OLD).follow(NEXT, floor=90, saved={"b": After("3")})
    grown = discover(new, Seen(Lineage.draw({"a": [], "b": ["c"]}), 100)).frontier
    assert {shard: (each.position, each.watermark) for shard, each in grown.shards.items()} == {
        "a": (TRIM_HORIZON, 90),
        "b": (After("3"), 90),
    }


def test_the_watermark_of_the_last_shard_is_kept_for_the_loss() -> None:
    frontier = Frontier(stream_arn=OLD, shards={"a": Reading(SHARD_END, 2_000_000), "b": Reading(SHARD_END, 5_000_000)})
    seen = Seen(Lineage.draw({"a": [], "b": []}), 100)
    frontier = discover(frontier, replace(seen, leaves=("a",))).frontier
    assert frontier.read_to == EARLIEST
    frontier = discover(frontier, replace(seen, leaves=("b",))).frontier
    assert (frontier.shards, frontier.read_to) == ({}, 5_000_000)
    loss = between_streams(frontier, Generation.of(NEXT), complete=True)
    assert loss.since is not None
    assert loss.until is not None
    assert (loss.since.timestamp(), loss.until.timestamp()) == (5.0, created_at(NEXT))


@given(
    roots=st.integers(1, 8),
    groups=st.integers(1, 6),
    splits=st.lists(st.tuples(st.integers(0, 20), st.sets(st.integers(0, 8))), max_size=4),
)
def test_of_all_groups_exactly_one_follows(roots: int, groups: int, splits: list[tuple[int, set[int]]]) -> None:
    """However a stream is dealt out and split again: so the next stream has exactly one owner, without agreement."""
    lineage = Lineage.draw({f"s{n}": [] for n in range(roots)})
    shards = {shard: Reading(TRIM_HORIZON) for shard in lineage}
    parts = list(deal(replace(begin(TRIM_HORIZON, stream_arn=OLD), shards=shards), lineage, groups, second=7))
    for which, keep in splits:
        part = parts.pop(which % len(parts))
        parts += part.split([shard for n, shard in enumerate(part.shards) if n in keep], second=8)
    owners = 0
    for part in parts:
        for shard in list(part.shards):
            part = part.end(shard).finish(shard, second=9, children=TRIM_HORIZON)
        stored = decode_frontier(encode_frontier(part))
        try:
            new = stored.follow(NEXT, floor=0)
        except ValueError:
            continue
        owners += 1
        assert (new.adopts, new.shared, new.finished) == (True, False, {}), "it reads all of the next stream"
    assert owners == 1


@pytest.mark.parametrize(
    ("label", "seconds"),
    [
        ("2026-01-31T12:00:00.250", 1_769_860_800.25),
        ("2026-01-31T12:00:00.250000", 1_769_860_800.25),
        ("2026-01-31T12:00:00", 1_769_860_800.0),
        ("label", None),
        ("", None),
    ],
)
def test_a_stream_is_as_old_as_its_label_says(label: str, seconds: float | None) -> None:
    assert created_at(f"{TABLE}/stream/{label}") == seconds


@given(st.permutations([OLD, NEXT, LATEST, stream(13, TABLE + "2")]))
def test_the_oldest_stream_that_is_younger_follows_whatever_the_order_of_the_listing(listed: list[str]) -> None:
    generations = generations_of(OLD, listed, LATEST)
    assert [each.stream_arn for each in generations] == [OLD, NEXT, LATEST], "only those of the same table"
    followed = [OLD]
    while (found := following(followed[-1], generations, LATEST)) is not None:
        followed.append(found.stream_arn)
    assert followed == [OLD, NEXT, LATEST]


def test_where_streams_cannot_be_listed_or_labels_say_nothing_the_latest_one_follows() -> None:
    assert following(OLD, generations_of(OLD, (), LATEST), LATEST) == Generation.of(LATEST)
    strange = [f"{TABLE}/stream/{name}" for name in "abc"]
    assert following(strange[2], generations_of(strange[2], strange, strange[0]), strange[0]) == Generation(
        strange[0], None
    )
    assert following(OLD, generations_of(OLD, (), None), None) is None


def test_a_moment_is_in_the_stream_that_the_table_had_then() -> None:
    generations = generations_of(OLD, [NEXT], LATEST)
    noon = int(created_at(LATEST) or 0)
    found = [covering(noon + hours * 3600, generations).stream_arn for hours in (-9, -2, -1, 0, 5)]
    assert found == [OLD, OLD, NEXT, LATEST, LATEST]


@pytest.mark.parametrize(
    ("known", "present", "later", "replaced"),
    [
        ("1", "1", 9e9, False),
        ("1", "2", 0.0, True),
        ("", "2", -60.0, False),
        ("", "2", 60.0, True),
        ("1", "", 60.0, True),
        ("1", "", 0.5, False),
        ("1", "", None, False),
    ],
)
def test_another_table_of_the_same_name_has_another_id_or_is_younger_than_the_stream(
    known: str, present: str, later: float | None, replaced: bool
) -> None:
    began = created_at(OLD)
    assert began is not None
    assert is_replaced(OLD, known, present, None if later is None else began + later) is replaced


def test_the_frontier_does_not_change_with_the_positions_that_it_was_given() -> None:
    saved: dict[str, Position] = {"b": After("3")}
    new = Frontier(stream_arn=OLD).follow(NEXT, floor=0, saved=saved)
    saved.clear()
    assert new.saved == {"b": After("3")}
