"""The frontier's laws, on streams that hypothesis grows: any lineage, listed in any order and with any holes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from beam_dynamodb_streams.shards.encoding import LONGEST_STORED_HINT, decode_frontier, encode_frontier
from beam_dynamodb_streams.shards.frontier import EARLIEST, Finished, Frontier, Hint, Reading, begin
from beam_dynamodb_streams.shards.lineage import Lineage, Shard
from beam_dynamodb_streams.shards.position import (
    TRIM_HORIZON,
    After,
    AtTime,
    End,
    Position,
    StartPosition,
    is_at_or_past,
)
from tests.shards.seen import discover, take_over

NOW = 1_767_225_600

seconds = st.integers(0, 4_102_444_800)
watermarks = st.integers(EARLIEST, 9_223_372_036_854_775_000)
starts: st.SearchStrategy[StartPosition] = st.just(TRIM_HORIZON) | st.builds(AtTime, seconds)
digits = st.integers(0, 10**40).map(str) | st.text("0123456789", min_size=1, max_size=40)
odd_text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=65)
sequence_numbers = digits | odd_text
real_ids = st.builds("shardId-{:020d}-{:08x}".format, st.integers(0, 10**20 - 1), st.integers(0, 2**32 - 1))
shard_ids = real_ids | odd_text | st.sampled_from(["shardId-٠" + "0" * 19 + "-00000000", "shardId-1-a"])
positions: st.SearchStrategy[Position] = starts | st.builds(After, sequence_numbers) | st.builds(End, starts)
hints = st.none() | st.builds(Hint, st.text(st.characters(exclude_categories=["Cs"]), max_size=300), seconds)


@st.composite
def frontiers(draw: st.DrawFn) -> Frontier:
    """Any frontier at all, with ids and numbers that no service has given out yet."""
    shards = draw(st.dictionaries(shard_ids, st.tuples(positions, watermarks, hints), max_size=5))
    finished = draw(st.dictionaries(shard_ids, st.builds(Finished, seconds, st.none() | starts), max_size=5))
    return Frontier(
        start=draw(starts),
        shards={shard: Reading(*state) for shard, state in shards.items()},
        finished={shard: done for shard, done in finished.items() if shard not in shards},
        saved=draw(st.dictionaries(shard_ids, positions, max_size=3)),
        remaining=draw(st.none() | st.integers(0, 2**40)),
        adopts=draw(st.booleans()),
        closed=draw(st.booleans()),
    )


@st.composite
def families(draw: st.DrawFn) -> list[Shard]:
    """Shards that roll, split and merge: each has at most two parents, and at most two children."""
    shards: list[Shard] = []
    for index in range(draw(st.integers(1, 14))):
        free = [s.shard_id for s in shards if sum(s.shard_id in other.parents for other in shards) < 2]
        parents = draw(st.lists(st.sampled_from(free), max_size=2, unique=True)) if free else []
        shards.append(Shard(f"s{index}", tuple(parents)))
    return shards


def children_of(family: Sequence[Shard], parent: str) -> list[str]:
    return [shard.shard_id for shard in family if parent in shard.parents]


@st.composite
def reads(draw: st.DrawFn) -> tuple[list[Shard], Lineage, Frontier]:
    """A stream, what listings have shown of it, and a frontier that has read some of that."""
    family = draw(families())
    lineage = Lineage()
    frontier = begin(draw(starts))
    for _ in range(draw(st.integers(1, 6))):
        lineage.add(draw(st.permutations(family))[: draw(st.integers(0, len(family)))])
        frontier = discover(frontier, lineage, second=NOW).frontier
        for shard in frontier.open_shards:
            match draw(st.sampled_from(["wait", "page", "end", "finish"])):
                case "page":
                    frontier = frontier.advance(shard, After("7"), watermark=draw(watermarks))
                case "end" if children_of(family, shard):
                    frontier = frontier.end(shard)
                case "finish":
                    frontier = frontier.finish(shard, second=NOW)
    return family, lineage, frontier


def exhaust(frontier: Frontier, lineage: Lineage) -> list[str]:
    """The shards that a part reads from here to the end of everything that is listed."""
    opened = list(frontier.open_shards)
    while True:
        found = discover(frontier, lineage, second=NOW + 1, gone=set())
        opened += found.opened
        frontier = found.frontier
        if not frontier.open_shards:
            return opened
        for shard in frontier.open_shards:
            frontier = frontier.end(shard)


@given(frontiers())
def test_stored_bytes_give_the_same_frontier_back(frontier: Frontier) -> None:
    """Traps 12 and 20: finished shards and ends included."""
    back = decode_frontier(encode_frontier(frontier))
    assert back == frontier
    kept = {shard: state.hint for shard, state in frontier.shards.items()}
    assert {shard: state.hint for shard, state in back.shards.items()} == kept
    assert encode_frontier(back) == encode_frontier(frontier)


@given(frontiers(), st.text("x", min_size=LONGEST_STORED_HINT + 1, max_size=2048))
def test_a_hint_too_long_to_store_changes_nothing_but_itself(frontier: Frontier, iterator: str) -> None:
    long = replace(
        frontier,
        shards={s: Reading(r.position, r.watermark, Hint(iterator, 1)) for s, r in frontier.shards.items()},
    )
    back = decode_frontier(encode_frontier(long))
    assert back == frontier
    assert all(reading.hint is None for reading in back.shards.values())


@given(reads(), st.data())
def test_a_split_is_a_partition(read: tuple[list[Shard], Lineage, Frontier], data: st.DataObject) -> None:
    """Trap 8."""
    _, _, whole = read
    mine = data.draw(st.sets(st.sampled_from(sorted(whole.shards)))) if whole.shards else set()
    kept, given_away = whole.split(mine, second=NOW)
    assert not kept.shards.keys() & given_away.shards.keys()
    assert {**kept.shards, **given_away.shards} == whole.shards
    assert set(kept.shards) == mine
    assert not (kept.adopts and given_away.adopts)


@given(reads(), st.data())
def test_whatever_is_listed_after_a_split_is_read_by_exactly_one_part(
    read: tuple[list[Shard], Lineage, Frontier], data: st.DataObject
) -> None:
    """Trap 8, after a split of the work."""
    family, _, whole = read
    mine = data.draw(st.sets(st.sampled_from(sorted(whole.shards)))) if whole.shards else set()
    everything = Lineage(data.draw(st.permutations(family)))
    kept, given_away = (exhaust(part, everything) for part in whole.split(mine, second=NOW))
    assert sorted(kept + given_away) == sorted(exhaust(whole, everything))


@given(reads(), st.data())
def test_positions_watermarks_and_the_remainder_only_move_forward(
    read: tuple[list[Shard], Lineage, Frontier], data: st.DataObject
) -> None:
    _, _, frontier = read
    assume(frontier.open_shards)
    frontier = replace(frontier, remaining=100)
    shard = data.draw(st.sampled_from(frontier.open_shards))
    number, records, watermark = data.draw(st.tuples(st.integers(0, 20), st.integers(0, 100), watermarks))
    before = frontier.shards[shard]
    if not is_at_or_past(After(str(number)), before.position):
        return
    after = frontier.advance(shard, After(str(number)), watermark=watermark, records=records)
    assert is_at_or_past(after.shards[shard].position, before.position)
    assert after.shards[shard].watermark == max(before.watermark, watermark)
    assert after.watermark >= frontier.watermark
    assert after.remaining == 100 - records
    assert {s: r for s, r in after.shards.items() if s != shard} == {
        s: r for s, r in frontier.shards.items() if s != shard
    }


def own_ancestors(shard: str, lineage: Lineage, frontier: Frontier) -> set[str]:
    """Those that are reached without a shard whose children are another frontier's, or past the stop."""
    found, ahead = set[str](), [shard]
    for descendant in ahead:
        done = frontier.finished.get(descendant)
        if done is None or done.children is not None:
            new = set(lineage.parents(descendant)) - found
            found |= new
            ahead += new
    return found


@given(reads())
def test_no_shard_is_read_and_finished_at_once_nor_before_its_parents_end(
    read: tuple[list[Shard], Lineage, Frontier],
) -> None:
    """Trap 8: an ended parent may still be there, while another of its children waits for its other parent."""
    _, lineage, frontier = read
    assert not frontier.shards.keys() & frontier.finished.keys()
    for shard in frontier.shards:
        for ancestor in frontier.shards.keys() & own_ancestors(shard, lineage, frontier):
            assert frontier.shards[ancestor].ended
            children = lineage.children(ancestor)
            assert any(len(lineage.parents(c)) > 1 for c in children if c not in frontier.shards | frontier.finished)


@given(reads(), st.data())
def test_discovery_is_idempotent_and_deaf_to_the_order_of_the_listing(
    read: tuple[list[Shard], Lineage, Frontier], data: st.DataObject
) -> None:
    family, _, whole = read
    parts = whole.split(data.draw(st.sets(st.sampled_from(sorted(whole.shards)))) if whole.shards else (), second=NOW)
    frontier = data.draw(st.sampled_from([whole, *parts]))
    listed = family[: data.draw(st.integers(0, len(family)))]
    gone = data.draw(st.sets(st.sampled_from([shard.shard_id for shard in family])))
    first = discover(frontier, Lineage(listed), second=NOW, gone=gone)
    other = discover(frontier, Lineage(data.draw(st.permutations(listed))), second=NOW, gone=gone)
    assert other.frontier == first.frontier
    assert set(other.opened) == set(first.opened)
    assert other.doubtful == first.doubtful
    again = discover(first.frontier, Lineage(listed), second=NOW, gone=gone)
    assert again.frontier is first.frontier
    assert again.opened == ()


@given(reads(), st.data())
def test_children_that_take_over_are_those_that_a_whole_discovery_finds(
    read: tuple[list[Shard], Lineage, Frontier], data: st.DataObject
) -> None:
    _, lineage, whole = read
    parts = whole.split(data.draw(st.sets(st.sampled_from(sorted(whole.shards)))) if whole.shards else (), second=NOW)
    frontier = discover(data.draw(st.sampled_from([whole, *parts])), lineage, second=NOW).frontier
    assume(frontier.open_shards)
    for shard in data.draw(st.sets(st.sampled_from(sorted(frontier.open_shards)))):
        frontier = frontier.end(shard)
    assert take_over(frontier, lineage, second=NOW) == replace(discover(frontier, lineage, second=NOW), doubtful={})


@given(reads(), st.data())
def test_a_discovery_never_takes_away_what_is_still_to_read(
    read: tuple[list[Shard], Lineage, Frontier], data: st.DataObject
) -> None:
    family, _, frontier = read
    lineage = Lineage(data.draw(st.permutations(family))[: data.draw(st.integers(0, len(family)))])
    after = discover(frontier, lineage, second=NOW).frontier
    for shard in frontier.open_shards:
        assert after.shards[shard] == frontier.shards[shard]
    assert after.finished.items() >= frontier.finished.items()


@settings(suppress_health_check=[HealthCheck.filter_too_much])  # of many reads, every shard is another frontier's
@given(reads(), st.data())
def test_a_discovery_never_lets_the_watermark_pass_a_record_that_is_to_come(
    read: tuple[list[Shard], Lineage, Frontier], data: st.DataObject
) -> None:
    """Trap 19: what begins holds the least watermark of the parents that leave for it, a merge's included."""
    family, lineage, frontier = read
    assume(frontier.shards and all(done.children is not None for done in frontier.finished.values()))
    lineage.add(data.draw(st.permutations(family))[: data.draw(st.integers(0, len(family)))])
    after = discover(frontier, lineage, second=NOW).frontier
    assert after.watermark <= frontier.watermark
    for shard in after.shards.keys() - frontier.shards.keys():
        parents = [frontier.shards[parent] for parent in lineage.parents(shard) if parent in frontier.shards]
        assert all(after.shards[shard].watermark <= parent.watermark for parent in parents)
        assert all(parent.ended for parent in parents)


@dataclass
class SimulatedStream:
    """Shards as lists of sequence numbers, read page by page; the listing shows what a seeded chance lets it."""

    family: list[Shard]
    records: Mapping[str, list[int]]
    listings: int = 0

    def listing(self) -> list[Shard]:
        self.listings += 1
        chance = Random(self.listings)
        shown = [shard for shard in self.family if self.listings > 6 or chance.random() < 0.5]
        chance.shuffle(shown)
        return shown

    def page(self, shard: str, position: Position) -> tuple[list[int], bool]:
        read = int(position.sequence_number) if isinstance(position, After) else -1
        rest = [number for number in self.records[shard] if number > read]
        return rest[:2], len(rest) <= 2


def read_on(stream: SimulatedStream, frontier: Frontier, lineage: Lineage, steps: int) -> tuple[Frontier, list[int]]:
    """Take that many steps (a listing, or a page of the first open shard) and return what they delivered."""
    delivered: list[int] = []
    for _ in range(steps):
        if not frontier.open_shards or stream.listings < 7:
            lineage.add(stream.listing())
            frontier = discover(frontier, lineage, second=NOW).frontier
        for shard in frontier.open_shards[:1]:
            records, ended = stream.page(shard, frontier.shards[shard].position)
            if records:
                frontier = frontier.advance(shard, After(str(records[-1])), records=len(records))
                delivered += records
            if ended and children_of(stream.family, shard):
                frontier = frontier.end(shard)
            elif ended:
                frontier = frontier.finish(shard, second=NOW, children=TRIM_HORIZON)
    return frontier, delivered


@given(families(), st.data())
def test_a_read_resumed_after_any_step_is_a_read_that_never_stopped(family: list[Shard], data: st.DataObject) -> None:
    """Traps 8, 12 and 20: each record once, a parent's before its children's, whatever is forgotten in between."""
    counter = iter(range(1, 1000))
    records = {shard.shard_id: [next(counter) for _ in range(data.draw(st.integers(0, 5)))] for shard in family}
    stream = SimulatedStream(family, records)
    frontier, delivered = begin(TRIM_HORIZON), list[int]()
    for steps in data.draw(st.lists(st.integers(1, 5), max_size=6)):
        frontier, some = read_on(stream, frontier, Lineage(), steps)
        delivered += some
        frontier = decode_frontier(encode_frontier(frontier))
    frontier, rest = read_on(stream, frontier, Lineage(), 100)
    delivered += rest
    assert sorted(delivered) == sorted(number for numbers in records.values() for number in numbers)
    place = {number: index for index, number in enumerate(delivered)}
    for shard in family:
        assert [n for n in delivered if n in records[shard.shard_id]] == records[shard.shard_id]
        for parent in shard.parents:
            if records[parent] and records[shard.shard_id]:
                assert place[records[parent][-1]] < place[records[shard.shard_id][0]]
