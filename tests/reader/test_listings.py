"""When the stream is listed, and what listings prove, by hand: every answer is a test's own, and so is the clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from beam_dynamodb_streams.reader.call_budget import BURST, SPACING
from beam_dynamodb_streams.reader.listings import Listings
from beam_dynamodb_streams.reader.requests import Found, Gone, List, NoShardFilter, PageListed, Probe
from beam_dynamodb_streams.reader.settling import RELIST_SECONDS, SETTLED_LISTINGS, SETTLED_SECONDS
from beam_dynamodb_streams.reader.unlisted import DOUBT_SECONDS, PATIENT_DOUBT_SECONDS
from beam_dynamodb_streams.reader.whole_listing import EMPTY_RELIST_SECONDS
from beam_dynamodb_streams.wire import ListedShard, StreamPage

NOW = 1_767_225_600

Answer = PageListed | Found | Gone | NoShardFilter | None


def page(*shards: str, after: str | None = None, status: str = "ENABLED") -> StreamPage:
    """A page of shards, each written `shard` or `shard<parent`; `after`: its cursor to the next."""
    listed = [
        ListedShard(name, (parent,) if parent else ()) for name, _, parent in (shard.partition("<") for shard in shards)
    ]
    return StreamPage("arn", "orders", status, "KEYS_ONLY", tuple(listed), after)


@dataclass
class Hand:
    """Asks for what is due and answers it; None is a request that failed for now."""

    answer: Callable[[List | Probe], StreamPage | Answer]
    listings: Listings = field(default_factory=Listings)
    now: float = 1000.0
    asked: list[tuple[float, List | Probe]] = field(default_factory=list)

    def go(self, seconds: float) -> list[List | Probe]:
        """Return the requests of that many seconds."""
        end, before = self.now + seconds, len(self.asked)
        while (due := max(self.now, min(self.listings.due(self.now), self.listings.probes.due()))) <= end:
            self.now = due
            shard = self.listings.probes.take(self.now)
            request = self.listings.request(self.now) if shard is None else Probe(shard)
            self.asked.append((self.now, request))
            answer = self.answer(request)
            if answer is None:
                self.listings.delayed(request, self.now, lambda _: 1.0)
            else:
                if isinstance(answer, StreamPage):
                    assert isinstance(request, List)
                    answer = PageListed(request, answer)
                self.listings.take(answer, self.now)
        self.now = end
        return [request for _, request in self.asked[before:]]

    def leaves(self) -> list[str]:
        return list(self.listings.seen(self.now, NOW).leaves)

    def settle(self) -> Hand:
        self.listings.settle(self.now)
        return self


def shows(*shards: str, status: str = "ENABLED") -> Callable[[List | Probe], StreamPage | Answer]:
    """An endpoint that always lists these, knows ShardFilter, and has all shards."""

    def answer(request: List | Probe) -> StreamPage | Answer:
        if isinstance(request, Probe):
            return Found(request)
        if request.children_of is None:
            return page(*shards, status=status)
        return page(*(s for s in shards if s.endswith(f"<{request.children_of}")), status=status)

    return answer


def pages(*answers: Sequence[str | None]) -> Callable[[List | Probe], StreamPage | Answer]:
    """An endpoint whose pages are found by their cursor: `(cursor, next, *shards)`."""

    def answer(request: List | Probe) -> StreamPage | Answer:
        assert isinstance(request, List)
        for cursor, following, *shards in answers:
            if cursor == request.after:
                return page(*(str(shard) for shard in shards), after=following)
        raise AssertionError(request)

    return answer


# Whole listings


def test_a_listing_follows_its_cursor_to_the_last_page() -> None:
    """Trap 6."""
    hand = Hand(pages((None, "b", "a", "b"), ("b", "d", "c", "d"), ("d", None, "e")))
    assert hand.go(1)[:3] == [List(), List(after="b"), List(after="d")]
    assert set(hand.listings.lineage) == {"a", "b", "c", "d", "e"}
    assert hand.listings.listed == {"a", "b", "c", "d", "e"}


def test_a_page_short_of_100_shards_is_not_the_last_one() -> None:
    """Trap 6: only a missing cursor is the end."""
    hand = Hand(pages((None, "a", "a"), ("a", "x"), ("x", None, "z")))
    hand.go(1)
    assert hand.listings.listed == {"a", "z"}


def test_a_repeated_cursor_ends_the_listing_and_keeps_what_it_showed() -> None:
    """Trap 6: it would go in circles; but a listing that broke off proves no absence."""
    hand = Hand(pages((None, "b", "a", "b"), ("b", "b", "c"))).settle()
    hand.go(30)
    assert set(hand.listings.lineage) == {"a", "b", "c"}
    assert hand.listings.listed == frozenset()
    assert not hand.listings.settled(hand.now)
    assert len(hand.asked) < 30, "nor is it listed again and again"


def test_what_a_listing_with_holes_left_out_the_next_one_adds() -> None:
    """Trap 6: an absence is believed after several listings over several seconds."""
    shown = iter([page("a"), page("b"), page("a", "b"), page("c")])
    hand = Hand(lambda _: next(shown, page("a", "b", "c"))).settle()
    hand.go(0.5)
    assert set(hand.listings.lineage) == {"a"}
    assert not hand.listings.settled(hand.now)
    hand.go(SETTLED_SECONDS)
    assert set(hand.listings.lineage) == {"a", "b", "c"}
    assert hand.listings.settled(hand.now)
    assert len(hand.asked) >= SETTLED_LISTINGS


def test_neither_time_nor_number_of_listings_alone_settles() -> None:
    hand = Hand(shows("a")).settle()
    hand.go(SETTLED_SECONDS - 0.5)
    assert len(hand.asked) >= SETTLED_LISTINGS
    assert not hand.listings.settled(hand.now)
    failing = Hand(lambda _: None).settle()
    failing.go(SETTLED_SECONDS * 10)
    assert not failing.listings.settled(failing.now)


def test_a_settled_stream_is_listed_again_every_minute() -> None:
    """Trap 7: so shards without a known relative are found too."""
    hand = Hand(shows("a")).settle()
    hand.go(RELIST_SECONDS)
    asked = hand.go(10 * RELIST_SECONDS)
    assert 9 <= len(asked) <= 11
    assert set(asked) == {List()}


def test_a_known_listing_shows_nothing_new() -> None:
    hand = Hand(shows("a", "b<a"))
    hand.go(1)
    hand.listings.look(hand.now, NOW)
    hand.go(10 * RELIST_SECONDS)
    assert not hand.listings.changed(hand.now)


# At a parent's end


def test_at_a_parents_end_only_its_children_are_asked_for() -> None:
    """Trap 7: at once, and cheaply."""
    hand = Hand(shows("a", "b<a"))
    hand.go(1)
    hand.listings.await_children("a", 5, hand.now)
    assert hand.go(0.5)[0] == List(children_of="a")


def test_a_page_of_a_parents_children_that_is_not_the_last_one_proves_nothing() -> None:
    """Trap 6: only a missing cursor is the end, also where a filter leaves few shards."""
    everything = page("a", "b<a", "c<a")
    children = {None: page("b<a", after="b"), "b": page("c<a")}
    hand = Hand(lambda asked: children[asked.after] if isinstance(asked, List) and asked.children_of else everything)
    hand.go(1)
    hand.listings.await_children("a", 5, hand.now)
    assert hand.go(0.5)[:2] == [List(children_of="a"), List(after="b", children_of="a")]
    assert hand.listings.lineage.children("a") == ("b", "c")


def test_pages_of_a_parents_children_that_go_in_circles_hold_its_watermark() -> None:
    """Trap 6: whole listings settle their number."""
    following = {None: "b", "b": "c", "c": "b"}

    def circles(asked: List | Probe) -> StreamPage | Answer:
        alone = isinstance(asked, List) and asked.children_of is not None
        return page("b<a", after=following[asked.after]) if alone else shows("a", "b<a")(asked)

    hand = Hand(circles)
    hand.go(1)
    hand.listings.await_children("a", 5, hand.now)
    assert len(hand.go(2 * SETTLED_SECONDS)) < 30
    assert hand.listings.held_watermarks() == [5]
    hand.go(4 * RELIST_SECONDS)
    assert hand.listings.held_watermarks() == []


def test_children_are_looked_for_until_their_number_is_settled() -> None:
    """Trap 6: a sibling may be listed late; its records must not come late, so the watermark waits."""
    hand = Hand(shows("a", "b<a"))
    hand.go(1)
    hand.listings.await_children("a", 5, hand.now)
    hand.go(SETTLED_SECONDS - 1)
    assert hand.listings.held_watermarks() == [5]
    hand.answer = shows("a", "b<a", "c<a")
    hand.go(3)
    assert hand.listings.lineage.children("a") == ("b", "c")
    assert hand.listings.held_watermarks() == []


def test_an_ended_parent_without_children_is_asked_for_again_and_less_and_less_often() -> None:
    """Traps 6 and 14: a closed leaf is listed before its child; only a disabled stream's has none."""
    hand = Hand(shows("a"))
    hand.go(1)
    hand.listings.await_children("a", 5, hand.now)
    first = [r for r in hand.go(30) if r == List(children_of="a")]
    later = [r for r in hand.go(300) if r == List(children_of="a")]
    assert 5 <= len(first) <= 15
    assert 15 <= len(later) <= 25
    assert not hand.leaves(), "its stream is enabled: a child will come"


def test_an_ended_shard_of_a_disabled_stream_is_a_leaf_once_that_is_settled() -> None:
    """Trap 14."""
    hand = Hand(shows("a", "b", status="DISABLED"))
    hand.go(1)
    hand.listings.await_children("a", 5, hand.now)
    hand.go(1)
    assert not hand.leaves()
    hand.go(SETTLED_SECONDS)
    assert hand.leaves() == ["a"]
    hand.listings.left("a")
    assert hand.leaves() == []


def test_an_ended_shard_that_is_gone_itself_is_a_leaf_too() -> None:
    """Trap 13: its children may have come and gone."""
    hand = Hand(lambda request: Gone(request) if isinstance(request, Probe) else page())
    hand.go(1)
    hand.listings.await_children("a", 5, hand.now)
    assert Probe("a") in hand.go(RELIST_SECONDS + SETTLED_SECONDS)
    assert hand.leaves() == ["a"]


def test_many_ended_parents_are_looked_for_in_one_whole_listing() -> None:
    """All shards roll within minutes of each other: one call then shows more than one for each."""
    hand = Hand(shows(*(f"s{n}" for n in range(50))))
    hand.go(1)
    for n in range(50):
        hand.listings.await_children(f"s{n}", 5, hand.now)
    assert hand.go(0.9) == [List()]


@pytest.mark.parametrize("rejects", [True, False], ids=["rejected", "ignored"])
def test_an_endpoint_without_shard_filter_is_listed_whole(rejects: bool) -> None:
    """Trap 6: older endpoints reject it, or answer as if it were not there."""

    def answer(request: List | Probe) -> StreamPage | Answer:
        assert isinstance(request, List)
        return NoShardFilter(request) if rejects and request.children_of else page("a", "b<a", "z")

    hand = Hand(answer)
    hand.go(1)
    hand.listings.await_children("a", 5, hand.now)
    asked = hand.go(SETTLED_SECONDS + 2)
    assert asked[0] == List(children_of="a")
    assert set(asked[1:]) == {List()}
    assert not hand.listings._knows_shard_filter
    assert hand.listings.held_watermarks() == [], "and the whole listings settle its children"


# Doubts


def test_an_unlisted_parent_is_asked_about() -> None:
    """Trap 8: only the service's own word that it is gone lets its child begin."""
    hand = Hand(lambda request: Gone(request) if isinstance(request, Probe) else page("child<parent"))
    hand.go(1)
    hand.listings.look(hand.now, NOW)
    hand.listings.unlisted.doubt({"parent"}, hand.now, patient=False)
    assert hand.go(0.5) == [Probe("parent")]
    assert "parent" in hand.listings.seen(hand.now, NOW).gone
    assert hand.listings.changed(hand.now)


def test_an_unlisted_parent_that_exists_is_read_as_a_root_after_a_while() -> None:
    """Trap 6: listings may leave it out for ever."""
    hand = Hand(lambda request: Found(request) if isinstance(request, Probe) else page("child<parent"))
    hand.go(1)
    hand.listings.unlisted.doubt({"parent"}, hand.now, patient=False)
    hand.go(DOUBT_SECONDS - 5)
    assert "parent" not in hand.listings.lineage
    hand.go(10)
    assert "parent" in hand.listings.lineage


def test_an_unlisted_parent_is_waited_for_longer_while_its_own_ancestor_may_be_read() -> None:
    """Trap 8: read as a root beside its ancestor, its records would come too early."""
    hand = Hand(lambda request: Found(request) if isinstance(request, Probe) else page("child<parent"))
    hand.go(1)
    hand.listings.unlisted.doubt({"parent"}, hand.now, patient=True)
    hand.go(PATIENT_DOUBT_SECONDS - 5)
    assert "parent" not in hand.listings.lineage
    hand.go(10)
    assert "parent" in hand.listings.lineage


def test_an_unlisted_parent_that_other_frontiers_may_read_is_waited_for() -> None:
    hand = Hand(lambda request: Found(request) if isinstance(request, Probe) else page("child<parent"))
    hand.go(1)
    hand.listings.unlisted.doubt({"parent"}, hand.now, patient=True, shared=True)
    hand.go(2 * PATIENT_DOUBT_SECONDS)
    assert "parent" not in hand.listings.lineage


def test_a_pause_does_not_prove_that_a_parent_is_never_listed() -> None:
    """Nobody looked meanwhile: a listing is made before the parent is read as a root (traps 6 and 8)."""
    shown = ["child<parent"]
    hand = Hand(lambda request: Found(request) if isinstance(request, Probe) else page(*shown))
    hand.settle()
    hand.listings.unlisted.doubt({"parent"}, hand.now, patient=False)
    hand.go(5)
    hand.now += 10 * DOUBT_SECONDS
    shown.append("parent<grandparent")
    hand.go(10)
    assert hand.listings.lineage.parents("parent") == ("grandparent",)


def test_a_disabled_streams_ended_shard_is_asked_for_before_it_is_believed_childless() -> None:
    """Trap 13: if the service no longer knows it, it may have had children that are gone too."""
    answers = {True: page("other", status="DISABLED")}
    hand = Hand(lambda request: answers.get(isinstance(request, List), Gone(request)))
    hand.go(1)
    hand.listings.await_children("ended", 0, hand.now)
    asked = hand.go(SETTLED_SECONDS + 1)
    assert Probe("ended") in asked
    assert hand.leaves() == ["ended"]
    assert "ended" in hand.listings.seen(hand.now, NOW).gone


def test_a_disabled_streams_many_ended_shards_do_not_keep_the_listings_waiting() -> None:
    """Each is asked for once, when all else is settled."""
    hand = Hand(lambda request: Found(request) if isinstance(request, Probe) else page("other", status="DISABLED"))
    hand.go(1)
    ended = [f"ended-{number}" for number in range(50)]
    for shard in ended:
        hand.listings.await_children(shard, 0, hand.now)
    asked = hand.go(30)
    assert sorted(hand.leaves()) == sorted(ended)
    assert len([request for request in asked if isinstance(request, Probe)]) == len(ended)


def test_a_shard_that_is_gone_says_nothing_of_its_stream() -> None:
    """Trap 11: neither as a parent whose children are asked for, nor as the cursor of a listing."""

    def answer(request: List | Probe) -> StreamPage | Answer:
        assert isinstance(request, List)
        return page("a", after="a") if request == List() else Gone(request)

    hand = Hand(answer).settle()
    hand.go(30)
    hand.listings.await_children("z", 5, hand.now)
    hand.go(30)
    assert {request for _, request in hand.asked} == {List(), List(after="a"), List(children_of="z")}
    assert hand.listings._status == "ENABLED"
    assert not hand.listings.settled(hand.now), "a listing that broke off proves nothing"


def test_a_listing_whose_next_page_never_comes_begins_again() -> None:
    """Trap 6: partial progress counts, and no shard's children wait for a page that always fails."""
    hand = Hand(lambda request: page("a", after="a") if request == List() else None)
    hand.go(60)
    hand.listings.await_children("a", 5, hand.now)
    assert List(children_of="a") in hand.go(30)
    assert "a" in hand.listings.lineage


def test_a_doubt_that_a_listing_cleared_is_no_longer_probed() -> None:
    hand = Hand(shows("child<parent", "parent"))
    hand.listings.unlisted.doubt({"parent"}, hand.now, patient=False)
    hand.go(1)
    hand.listings.unlisted.doubt(set(), hand.now, patient=False)
    assert hand.listings.unlisted.doubts == 0
    assert Probe("parent") not in hand.go(30)


def test_a_stream_that_is_gone_counts_as_disabled() -> None:
    hand = Hand(lambda request: Gone(request))
    hand.go(1)
    assert hand.listings.disabled
    assert hand.listings.changed(hand.now)


# Rates


def test_calls_keep_their_distance() -> None:
    """DescribeStream allows 10 calls a second for all readers together."""
    hand = Hand(pages(*((f"s{n}" if n else None, f"s{n + 1}", f"s{n}") for n in range(40)), ("s40", None)))
    hand.go(20)
    moments = [moment for moment, _ in hand.asked]
    assert min(later - earlier for earlier, later in pairwise(moments)) >= SPACING - 1e-9


def test_in_the_long_run_there_are_fewer_than_two_calls_a_second() -> None:
    """Even where all shards end at once and none gets a child, with many pages to list."""
    cursors = [None, *(f"s{n}" for n in range(10, 100, 10))]
    hand = Hand(pages(*(zip(cursors, [*cursors[1:], None], cursors, strict=True))))  # type: ignore[arg-type]
    hand.listings._knows_shard_filter = False
    hand.answer = _without_probes(hand.answer)
    for n in range(100):
        hand.listings.await_children(f"s{n}", 5, hand.now)
    asked = [request for request in hand.go(1800) if isinstance(request, List)]
    assert len(asked) < 2 * 1800
    assert len(asked) <= BURST + 1801


def _without_probes(answer: Callable[[List | Probe], StreamPage | Answer]) -> Callable[..., StreamPage | Answer]:
    return lambda request: Found(request) if isinstance(request, Probe) else answer(request)


def test_there_is_one_request_at_a_time() -> None:
    listings = Listings()
    assert listings.due(0.0) <= 0.0
    listings.request(0.0)
    assert listings.due(1000.0) == float("inf")


@pytest.mark.parametrize("credit", [BURST, 0.5], ids=["rested", "used up"])
def test_a_refused_request_is_made_again_when_its_delay_is_over(credit: float) -> None:
    """Trap 15."""
    hand = Hand(lambda _: None)
    hand.listings.due(hand.now)
    hand.listings.budget._credit = credit
    hand.listings.delayed(hand.listings.request(hand.now), hand.now, lambda _: 5.0)
    hand.answer = shows("a")
    hand.go(4.9)
    assert hand.asked == []
    hand.go(2)
    assert hand.asked


def test_many_doubtful_parents_do_not_put_off_the_listing_that_would_settle_them() -> None:
    """There are more of them than can be probed before the first one is due again."""
    hand = Hand(shows("s-1")).settle()
    hand.go(10.0)
    hand.listings.unlisted.doubt({f"p-{n}" for n in range(40)}, hand.now, patient=False)
    asked = hand.go(3 * RELIST_SECONDS)
    assert sum(isinstance(request, List) for request in asked) >= 2
    assert len({request.shard for request in asked if isinstance(request, Probe)}) == 40


def test_probes_of_many_ended_shards_do_not_delay_the_listings_that_settle_them() -> None:
    """A stream of 1,000 shards begins with thousands that have ended; the watermark waits for their late children."""
    names = [f"p-{n}" for n in range(3000)] + [f"c-{n}<p-{n}" for n in range(3000)]

    def answer(request: List | Probe) -> StreamPage | Answer:
        if isinstance(request, Probe):
            return Found(request)
        if request.children_of is not None:
            return page(f"c-{request.children_of[2:]}<{request.children_of}")
        first = 0 if request.after is None else int(request.after)
        following = str(first + 100) if first + 100 < len(names) else None
        return page(*names[first : first + 100], after=following)

    hand = Hand(answer).settle()
    hand.go(20.0)
    for n in range(3000):
        hand.listings.await_children(f"p-{n}", n, hand.now)
    hand.go(400.0)
    assert hand.listings.held_watermarks() == []


def test_a_stream_that_lists_no_shard_yet_is_listed_again_every_two_seconds() -> None:
    """LATEST of a table whose stream was just enabled: the first shard is not found a minute late."""
    hand = Hand(shows()).settle()
    hand.go(30.0)
    before = len(hand.asked)
    hand.go(30.0)
    assert len(hand.asked) - before == pytest.approx(30 / EMPTY_RELIST_SECONDS, abs=1)
    hand.answer = shows("a")
    hand.go(EMPTY_RELIST_SECONDS)
    assert hand.listings.listed == {"a"}
    assert len(hand.go(50.0)) < 5
    disabled = Hand(shows(status="DISABLED")).settle()
    disabled.go(30.0)
    assert len(disabled.go(30.0)) <= 1
