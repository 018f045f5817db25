"""What a listing means for a frontier: traps 2, 6, 8, 12, 13 and 20, on drawings such as `{"a": ["b", "c"]}`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from beam_dynamodb_streams.shards import discovery
from beam_dynamodb_streams.shards.frontier import EARLIEST, Finished, Frontier, Reading, begin
from beam_dynamodb_streams.shards.lineage import Lineage, Seen, Shard
from beam_dynamodb_streams.shards.position import SHARD_END, TRIM_HORIZON, After, AtTime, End, StartPosition
from tests.shards.seen import discover

NOW = 1_767_225_600
MOMENT = AtTime(NOW - 60)
FAMILY = Lineage.draw({"a": ["b", "c"]})


def reading(*shards: str) -> Frontier:
    """A frontier that reads these shards from the horizon."""
    return Frontier(shards={shard: Reading(TRIM_HORIZON) for shard in shards})


def test_shards_without_a_parent_begin_at_the_start_position() -> None:
    found = discover(begin(MOMENT), Lineage.draw({"a": [], "b": []}), second=NOW)
    assert found.frontier.shards == {"a": Reading(MOMENT), "b": Reading(MOMENT)}
    assert sorted(found.opened) == ["a", "b"]


def test_a_child_waits_for_its_parents_end() -> None:
    """Trap 8."""
    found = discover(begin(TRIM_HORIZON), FAMILY, second=NOW)
    assert set(found.frontier.shards) == {"a"}
    again = discover(found.frontier, FAMILY, second=NOW)
    assert again.frontier is found.frontier, "nothing new changes nothing"


def test_at_a_parents_end_its_children_take_its_place_in_one_step() -> None:
    """Trap 20: no value in between has lost the parent without having won the children."""
    frontier = reading("a").advance("a", After("7"), watermark=42).end("a")
    found = discover(frontier, FAMILY, second=NOW)
    assert found.frontier.shards == {"b": Reading(TRIM_HORIZON, 42), "c": Reading(TRIM_HORIZON, 42)}
    assert found.frontier.finished == {"a": Finished(NOW, TRIM_HORIZON)}
    assert found.opened == ("b", "c")


def test_an_ended_parent_stays_until_a_child_is_listed() -> None:
    """Trap 6: a closed leaf is listed before its child."""
    frontier = reading("a").end("a")
    assert discover(frontier, Lineage.draw({"a": []}), second=NOW).frontier is frontier


def test_children_begin_at_the_horizon_if_their_parent_had_records() -> None:
    """Trap 2: even where the parent itself began at a moment."""
    frontier = begin(MOMENT)
    frontier = discover(frontier, Lineage.draw({"a": []}), second=NOW).frontier.advance("a", After("5")).end("a")
    assert discover(frontier, FAMILY, second=NOW).frontier.shards["b"].position == TRIM_HORIZON


def test_children_begin_at_the_start_moment_if_their_parent_had_no_record_after_it() -> None:
    frontier = discover(begin(MOMENT), Lineage.draw({"a": []}), second=NOW).frontier.end("a")
    found = discover(frontier, FAMILY, second=NOW)
    assert found.frontier.shards["b"].position == MOMENT
    assert found.frontier.finished["a"].children == MOMENT


def test_a_late_sibling_begins_where_its_siblings_began() -> None:
    """Trap 6: one child is listed before the other."""
    ended = replace(reading(), shards={"a": Reading(End(MOMENT))})
    early = discover(ended, Lineage.draw({"a": ["b"]}), second=NOW)
    assert set(early.frontier.shards) == {"b"}
    late = discover(early.frontier, FAMILY, second=NOW + 9)
    assert late.opened == ("c",)
    assert late.frontier.shards["c"].position == MOMENT


def test_a_late_sibling_of_a_forgotten_parent_begins_at_the_start_position() -> None:
    found = discover(reading("b"), FAMILY, second=NOW)
    assert found.frontier.shards["c"].position == TRIM_HORIZON
    assert "a" not in found.frontier.shards, "its sibling is read, so it was read before"


def test_a_finished_shard_that_stays_listed_is_not_read_again() -> None:
    """Trap 12."""
    frontier = discover(reading("a").end("a"), FAMILY, second=NOW).frontier
    again = discover(frontier, FAMILY, second=NOW + 3600)
    assert again.frontier is frontier
    assert again.opened == ()


def test_ancestors_of_a_shard_that_is_read_are_not_read_again() -> None:
    """Trap 12, after a restart that remembers the newest generation only."""
    lineage = Lineage.draw({"a": ["b"], "b": ["c"]})
    assert discover(reading("c"), lineage, second=NOW).frontier == reading("c")


def test_an_orphan_waits_while_its_parent_is_merely_unlisted() -> None:
    """Traps 6 and 8: listings have holes, so being unlisted proves nothing."""
    found = discover(begin(TRIM_HORIZON), Lineage([Shard("child", ("unlisted",))]), second=NOW)
    assert found.frontier.shards == {}
    assert found.doubtful == {"child": "unlisted"}


def test_an_orphan_begins_once_the_service_says_that_its_parent_is_gone() -> None:
    """Trap 8: a child whose parent is gone must not wait for ever."""
    orphan = Lineage([Shard("child", ("trimmed",)), Shard("grandchild", ("child",))])
    found = discover(begin(MOMENT), orphan, second=NOW, gone={"trimmed"})
    assert found.frontier.shards == {"child": Reading(MOMENT)}
    assert found.doubtful == {}


def test_a_listed_parent_is_waited_for_even_if_it_is_said_to_be_gone() -> None:
    found = discover(begin(TRIM_HORIZON), FAMILY, second=NOW, gone={"a"})
    assert set(found.frontier.shards) == {"a"}


def test_several_generations_back_the_oldest_that_are_left_begin() -> None:
    """Trap 13: the position's shard is gone, and its children are too."""
    frontier = replace(reading(), shards={"a": Reading(SHARD_END, 5)})
    lineage = Lineage([Shard("d", ("b",)), Shard("e", ("d",))])
    found = discover(frontier, lineage, second=NOW, gone={"a", "b"}, leaves=["a"])
    assert set(found.frontier.shards) == {"d"}
    assert found.frontier.finished["a"] == Finished(NOW, TRIM_HORIZON)


def test_a_leaf_leaves_without_children() -> None:
    """Trap 14."""
    found = discover(reading("a").end("a"), Lineage.draw({"a": []}), second=NOW, leaves=["a"])
    assert found.frontier.shards == {}
    assert found.frontier.finished == {"a": Finished(NOW, TRIM_HORIZON)}


def test_an_open_shard_is_not_a_leaf() -> None:
    frontier = reading("a")
    assert discover(frontier, Lineage.draw({"a": []}), second=NOW, leaves=["a", "unknown"]).frontier is frontier


def test_the_verdict_not_to_follow_a_shard_holds_for_all_that_descends_from_it() -> None:
    frontier = reading("a").finish("a", second=NOW)
    found = discover(frontier, Lineage.draw({"a": ["b", "c"], "b": ["d"], "d": ["e"]}), second=NOW + 5)
    assert found.frontier.shards == {}
    assert set(found.frontier.finished) == {"a", "b", "c", "d", "e"}
    assert {done.children for done in found.frontier.finished.values()} == {None}


@pytest.mark.parametrize(
    ("loop", "begins"),
    [
        ([Shard("a", ("a",))], "a"),
        ([Shard("a", ("b",)), Shard("b", ("a",))], "ab"),
        ([Shard("a", ("c",)), Shard("b", ("a",)), Shard("c", ("b",))], "abc"),
        ([Shard("a", ("c",), "1", "9"), Shard("b", ("a",), "1", "9"), Shard("c", ("b",), "1", "9")], "a"),
        ([Shard("a", ("b", "sound")), Shard("b", ("a", "sound"))], ""),
    ],
)
def test_shards_whose_parents_loop_are_read(loop: list[Shard], begins: str) -> None:
    """Trap 6: one bad listing neither stops the reader nor takes a shard away."""
    found = discover(begin(TRIM_HORIZON), Lineage([*loop, Shard("sound")]), second=NOW)
    assert set(found.frontier.shards) == {"sound", *begins}


def ended(*shards: str, watermark: int = 5) -> dict[str, Reading]:
    return {shard: Reading(SHARD_END, watermark) for shard in shards}


MERGE = Lineage.draw({"a": ["c"], "b": ["c"]})


def test_a_merges_child_waits_for_both_parents_and_the_ended_one_holds_the_watermark() -> None:
    frontier = Frontier(shards={**ended("a", watermark=5), "b": Reading(After("7"), 9)})
    assert discover(frontier, MERGE, second=NOW).frontier is frontier
    found = discover(frontier.end("b"), MERGE, second=NOW)
    assert found.frontier.shards == {"c": Reading(TRIM_HORIZON, 5)}
    assert found.frontier.finished == {"a": Finished(NOW, TRIM_HORIZON), "b": Finished(NOW, TRIM_HORIZON)}


@pytest.mark.parametrize(
    ("first", "second", "begins"),
    [
        (MOMENT, MOMENT, MOMENT),
        (MOMENT, TRIM_HORIZON, TRIM_HORIZON),
        (TRIM_HORIZON, MOMENT, TRIM_HORIZON),
        (MOMENT, AtTime(MOMENT.second - 1), AtTime(MOMENT.second - 1)),
    ],
)
def test_the_child_of_a_merge_begins_at_a_moment_only_if_no_parent_met_a_record(
    first: StartPosition, second: StartPosition, begins: StartPosition
) -> None:
    """Trap 2: a record that a parent met is older than all of the child's."""
    frontier = Frontier(shards={"a": Reading(End(first)), "b": Reading(End(second))})
    assert discover(frontier, MERGE, second=NOW).frontier.shards == {"c": Reading(begins)}


@pytest.mark.parametrize("missing", ["a", "b"])
def test_a_gone_parent_of_a_merge_counts_as_ended_and_an_unlisted_one_does_not(missing: str) -> None:
    """Traps 6 and 8."""
    lineage = Lineage([Shard("a" if missing == "b" else "b"), Shard("c", ("a", "b"))])
    frontier = Frontier(shards=ended("a" if missing == "b" else "b"))
    found = discover(frontier, lineage, second=NOW)
    assert found.frontier is frontier
    assert found.doubtful == {"c": missing}
    assert set(discover(frontier, lineage, second=NOW, gone={missing}).frontier.shards) == {"c"}


def test_a_merge_of_two_frontiers_shards_is_read_by_the_first_parents_frontier_alone() -> None:
    first, other = Frontier(shards={**ended("a"), **ended("b")}).split(["a"], second=NOW)
    assert set(discover(first, MERGE, second=NOW).frontier.shards) == {"c"}
    disowned = discover(other, MERGE, second=NOW).frontier
    assert disowned.shards == {}
    assert disowned.finished["c"] == Finished(NOW, None)


def test_a_child_of_one_parent_does_not_wait_for_its_siblings_other_parent() -> None:
    lineage = Lineage.draw({"a": ["c", "d"], "b": ["c"]})
    found = discover(Frontier(shards={**ended("a"), "b": Reading(TRIM_HORIZON)}), lineage, second=NOW)
    assert set(found.frontier.shards) == {"a", "b", "d"}
    assert found.frontier.watermark == EARLIEST


def test_a_merge_whose_parents_descend_from_each_other_or_from_itself_does_not_hang() -> None:
    lineage = Lineage([Shard("a"), Shard("b", ("c",)), Shard("c", ("a", "b"))])
    assert set(discover(Frontier(shards=ended("a")), lineage, second=NOW).frontier.shards) == {"b", "c"}


def test_a_part_that_does_not_adopt_opens_descendants_of_its_own_only() -> None:
    """Trap 8, after a split of the work."""
    given = replace(reading("mine").end("mine"), adopts=False)
    lineage = Lineage([Shard("mine"), Shard("child", ("mine",)), Shard("root"), Shard("orphan", ("gone",))])
    found = discover(given, lineage, second=NOW, gone={"gone"})
    assert set(found.frontier.shards) == {"child"}
    assert found.doubtful == {}


def test_late_siblings_of_a_forgotten_parent_are_the_adopting_parts() -> None:
    kept, given = reading("b", "c").split(["b"], second=NOW)
    lineage = Lineage.draw({"a": ["b", "c", "late"]})
    assert "late" in discover(kept, lineage, second=NOW).frontier.shards
    assert "late" not in discover(given, lineage, second=NOW).frontier.shards


def test_a_shard_begins_at_its_saved_position() -> None:
    """Trap 21."""
    frontier = begin(MOMENT, saved={"a": After("9"), "later": After("11")})
    found = discover(frontier, Lineage.draw({"a": []}), second=NOW)
    assert found.frontier.shards == {"a": Reading(After("9"))}
    assert found.frontier.saved == {"later": After("11")}, "kept for the shard that is not reached yet"


def test_shards_saved_as_read_to_their_end_are_passed_through_in_one_step() -> None:
    frontier = begin(MOMENT, saved={"a": SHARD_END, "b": SHARD_END, "d": After("9")})
    found = discover(frontier, Lineage.draw({"a": ["b"], "b": ["d", "e"]}), second=NOW)
    assert found.frontier.shards == {"d": Reading(After("9")), "e": Reading(TRIM_HORIZON)}
    assert found.frontier.saved == {}


def test_an_ended_parent_leaves_when_all_its_children_are_read_already() -> None:
    """A child that no listing showed was read as a root; then a listing shows whose child it is (trap 6)."""
    lineage = Lineage([Shard("a"), Shard("b")])
    frontier = discover(reading("a", "b").end("a"), lineage, second=NOW).frontier
    lineage.add([Shard("b", ("a",))])
    found = discover(frontier, lineage, second=NOW)
    assert set(found.frontier.shards) == {"b"}
    assert found.frontier.finished == {"a": Finished(NOW, TRIM_HORIZON)}


def test_a_closed_frontier_opens_nothing() -> None:
    assert discover(begin(TRIM_HORIZON).close(), FAMILY, second=NOW).frontier == begin(TRIM_HORIZON).close()


def test_finished_shards_are_forgotten_once_old_and_unlisted() -> None:
    frontier = Frontier(finished={"old": Finished(1, TRIM_HORIZON)})
    assert frontier.forget_finished(before=5, listed=["old"], gone=["old"]) is frontier
    assert frontier.forget_finished(before=1, listed=[], gone=["old"]) is frontier
    assert frontier.forget_finished(before=2, listed=[], gone=["old"]).finished == {}


def test_a_frontier_never_goes_back() -> None:
    frontier = reading("a").advance("a", After("100"), watermark=9)
    with pytest.raises(ValueError, match="cannot go back"):
        frontier.advance("a", After("99"))
    assert frontier.advance("a", After("1000"), watermark=3).shards["a"].watermark == 9


def test_the_watermark_is_the_minimum_and_waits_for_children_that_are_still_to_come() -> None:
    """Trap 19."""
    frontier = Frontier(shards={"a": Reading(SHARD_END, 5), "b": Reading(TRIM_HORIZON, 8)})
    assert frontier.watermark == 5
    assert Frontier().watermark == EARLIEST


@pytest.mark.parametrize("settled", [True, False])
def test_a_shard_of_another_frontier_is_kept_until_the_listings_settle(settled: bool) -> None:
    """Trap 6: until then a page may still show its child, which is the other frontier's too."""
    frontier = Frontier(finished={"theirs": Finished(1, None)})
    seen = Seen(Lineage.draw({"new": []}), NOW, gone=frozenset(["theirs"]), settled=settled, forget_before=5)
    after = discovery.discover(frontier, seen).frontier
    assert ("theirs" in after.finished) is not settled
    later = replace(seen, lineage=Lineage.draw({"new": [], "theirs": ["child"]}))
    if not settled:
        assert "child" not in discovery.discover(after, later).frontier.shards


def test_a_sibling_listed_long_after_a_split_belongs_to_who_read_its_parent() -> None:
    """Trap 6: the parent may be gone by then. Each of the two frontiers knows whose it was while it has the sibling."""
    lineage = Lineage([Shard("parent"), Shard("child", ("parent",))])
    whole = discover(reading("parent").end("parent"), lineage, second=NOW).frontier
    parts = whole.split([], second=NOW)
    lineage.add([Shard("other")])
    later = NOW + 3 * 86_400
    seen = Seen(lineage, later, listed=frozenset({"child", "other"}), gone=frozenset({"parent"}), settled=True)
    parts = tuple(discovery.discover(part, replace(seen, forget_before=later - 86_400)).frontier for part in parts)
    late = Lineage([Shard("child", ("parent",)), Shard("other"), Shard("late", ("parent",))])
    parts = tuple(discovery.discover(part, replace(seen, lineage=late)).frontier for part in parts)
    assert [set(part.shards) for part in parts] == [{"other", "late"}, {"child"}]


def test_another_frontiers_shard_is_remembered_until_the_service_denies_it() -> None:
    """Trap 6: it may be open and read elsewhere, so a listing without it proves nothing."""
    frontier = Frontier(finished={"theirs": Finished(1, None)})
    assert frontier.forget_finished(before=5, listed=[], gone=[]) is frontier
    assert frontier.fading(before=5, listed=[]) == {"theirs"}
    assert frontier.fading(before=5, listed=["theirs"]) == set()
    assert frontier.fading(before=1, listed=[]) == set()
    assert frontier.forget_finished(before=5, listed=[], gone=["theirs"]).finished == {}


def test_a_late_sibling_belongs_to_the_frontier_that_has_its_sibling() -> None:
    """The adopting one or not: both parts of a split can tell, though their parent is no longer remembered."""
    other = Frontier(shards={"b": Reading(TRIM_HORIZON)}, finished={"x": Finished(NOW, None)}, adopts=False)
    assert set(discover(other, FAMILY, second=NOW, gone={"a"}).frontier.shards) == {"b", "c"}
    frontier = Frontier(shards={"x": Reading(TRIM_HORIZON)}, finished={"b": Finished(NOW, None)})
    found = discover(frontier, FAMILY, second=NOW, gone={"a"})
    assert set(found.frontier.shards) == {"x"}
    assert found.frontier.finished["c"] == Finished(NOW, None)


def test_what_descends_from_a_shard_that_has_just_begun_is_awaited_at_once() -> None:
    """Else a part of a split that is stored just now, and paused until the links are trimmed, no longer knows it."""
    given = replace(reading("mine").end("mine"), adopts=False)
    found = discover(given, Lineage.draw({"mine": ["child"], "child": ["grandchild"]}), second=NOW)
    assert found.frontier.awaited == {"grandchild": "child"}
    assert discover(found.frontier, Lineage.draw({"mine": ["child"]}), second=NOW).frontier is found.frontier
