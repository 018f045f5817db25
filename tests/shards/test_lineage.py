"""The family tree of a stream's shards, drawn as `{parent: [children]}`."""

from __future__ import annotations

import pytest

from beam_dynamodb_streams.shards.lineage import Lineage, Shard


def test_a_drawing_names_roots_and_children() -> None:
    lineage = Lineage.draw({"a": ["b", "c"], "c": ["d"]})
    assert sorted(lineage) == ["a", "b", "c", "d"]
    assert lineage.parents("a") == ()
    assert sorted(lineage.children("a")) == ["b", "c"]
    assert list(lineage.ancestors("d")) == ["c", "a"]


def test_a_shard_listed_again_is_nothing_new() -> None:
    lineage = Lineage()
    assert lineage.add([Shard("a"), Shard("b", ("a",))])
    assert not lineage.add([Shard("b", ("a",)), Shard("a")])
    assert lineage.children("a") == ("b",)


def test_a_child_may_be_listed_before_its_parent() -> None:
    lineage = Lineage([Shard("b", ("a",))])
    assert "a" not in lineage
    assert lineage.children("a") == ("b",)
    assert list(lineage.ancestors("b")) == ["a"], "the first ancestor that no listing showed is named too"


def test_a_merge_has_several_parents_in_the_order_of_their_ids() -> None:
    lineage = Lineage([Shard("c", ("b", "a")), Shard("d", ("c", "c"))])
    assert lineage.parents("c") == ("a", "b")
    assert lineage.first_parent("c") == "a"
    assert lineage.parents("d") == ("c",)
    assert (lineage.children("a"), lineage.children("b")) == (("c",), ("c",))
    assert list(lineage.ancestors("d")) == ["c", "a", "b"]
    assert list(lineage.first_ancestors("d")) == ["c", "a"]
    lineage.forget(["c"])
    assert (lineage.children("a"), lineage.children("b")) == ((), ())


def test_a_link_shown_later_is_learnt() -> None:
    """A shard that was known without its parent (trap 6) takes its place in the tree once a listing shows it."""
    lineage = Lineage([Shard("a"), Shard("b")])
    assert lineage.add([Shard("b", ("a",))]), "a new link is news"
    assert lineage.children("a") == ("b",)


def test_a_link_once_seen_stays_true_when_a_later_listing_omits_it() -> None:
    """Trap 6."""
    lineage = Lineage([Shard("a"), Shard("b", ("a",))])
    lineage.add([Shard("b")])
    assert lineage.parents("b") == ("a",)
    assert lineage.children("a") == ("b",)


def test_forgotten_shards_leave_no_links_behind() -> None:
    lineage = Lineage.draw({"a": ["b", "c"]})
    lineage.forget(["b", "unknown"])
    assert lineage.children("a") == ("c",)
    lineage.forget(["c"])
    assert lineage.children("a") == ()
    assert list(lineage) == ["a"]


@pytest.mark.parametrize("order", [1, -1])
def test_a_loop_of_parents_is_cut_at_its_smallest_shard(order: int) -> None:
    """Trap 6: else nothing in it would ever be read. Ended shards stay in order."""
    shards = [Shard("a", ("c",), "1", "9"), Shard("b", ("a",), "1", "9"), Shard("c", ("b",), "1", "9")][::order]
    lineage = Lineage(shards)
    lineage.add(shards)
    assert {shard: lineage.parents(shard) for shard in "abc"} == {"a": (), "b": ("a",), "c": ("b",)}
    assert lineage.loops == [("a", "b", "c")]
    assert lineage.children("c") == ()


def test_a_shard_that_is_its_own_parent_is_a_root() -> None:
    lineage = Lineage([Shard("a", ("a",))])
    assert lineage.parents("a") == ()
    assert lineage.loops == [("a",)]


def test_open_shards_that_name_each_other_as_parents_are_both_roots() -> None:
    """An open shard has no children: a read to a stop would never come to a child of it."""
    lineage = Lineage([Shard("a", ("b",)), Shard("b", ("a",))])
    assert (lineage.parents("a"), lineage.parents("b")) == ((), ())
