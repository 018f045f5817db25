"""The family tree of a stream's shards, drawn as `{parent: [children]}`."""

from __future__ import annotations

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


def test_a_listing_that_loops_does_not_loop_the_reader() -> None:
    lineage = Lineage([Shard("a", ("c",)), Shard("b", ("a",)), Shard("c", ("b",)), Shard("own", ("own",))])
    assert list(lineage.ancestors("a")) == ["c", "b"]
    assert list(lineage.ancestors("own")) == []


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
