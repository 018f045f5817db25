"""From a parent's end to its children: where they begin, how soon, and in which step (traps 2, 6, 7 and 20)."""

from __future__ import annotations

from tests.reader.conftest import Bench, latest


def test_what_was_written_to_children_before_they_were_found_is_read(bench: Bench) -> None:
    """Trap 2: LATEST is for shards that exist when the read starts; theirs is long past when these are found."""
    orders = bench.serve()
    bench.put(3)
    bench.clock.advance(60)
    reading = bench.read(latest(bench)).go(10)
    seen = bench.put(2)
    children = orders.split(orders.open_shard_ids[0])
    for child in children:
        seen += bench.put(2, child)
    bench.clock.advance(300)
    reading.go(10)
    assert sorted(reading.ids) == sorted(seen)


def test_a_child_is_read_within_seconds_of_its_parents_end(bench: Bench) -> None:
    """Trap 7: the roll comes every four hours, and nobody restarts the read for it."""
    orders = bench.serve(shards=3)
    bench.put(6)
    reading = bench.read().go(30)
    for _ in range(3):
        child = orders.roll(orders.open_shard_ids[0])
        seen = bench.put(2, child)
        reading.go(3)
        assert reading.ids[-2:] == seen


def test_a_shard_without_a_known_relative_is_found_while_running(bench: Bench) -> None:
    """Trap 7: its parent came and went between two listings, or no listing shows it."""
    orders = bench.serve(shards=2)
    shown, hidden = orders.open_shard_ids
    orders.hide(hidden)
    bench.put(3, shown)
    reading = bench.read().go(30)
    orders.reveal(hidden)
    reading.go(70)
    seen = bench.put(2, hidden)
    reading.go(5)
    assert reading.ids[-2:] == seen


def test_every_branch_has_a_shard_in_every_frontier_that_is_stored(bench: Bench) -> None:
    """Trap 20: the parent until its end is handed over, then all its children, and both at no time."""
    orders = bench.serve()
    bench.put(5)
    parent = orders.open_shard_ids[0]
    reading = bench.read().go(10)
    children = set(orders.split(parent))
    bench.put(5)
    reading.go(20)
    frontiers = [claim.frontier for claim in reading.claims if claim.frontier.shards or reading.claims[0] is not claim]
    assert frontiers
    for frontier in frontiers:
        assert set(frontier.shards) in ({parent}, children)
    assert set(frontiers[-1].shards) == children


def test_a_parents_end_is_stored_until_its_children_are_known(bench: Bench) -> None:
    """Trap 20: a worker that dies between the end and the listing neither reads the parent again nor loses the rest."""
    orders = bench.serve()
    bench.put(5)
    parent = orders.open_shard_ids[0]
    reading = bench.read().go(10)
    child = orders.roll(parent)
    orders.hide(child)
    seen = bench.put(2)
    reading.go(3)
    assert reading.frontier.ended_shards == (parent,)
    reading.restart()
    reading.go(3)
    assert reading.frontier.ended_shards == (parent,)
    orders.reveal(child)
    reading.go(30)
    assert reading.ids[5:] == seen


def test_a_late_siblings_records_are_not_late(bench: Bench) -> None:
    """Trap 6: one child is listed before the other; `DrivenRead` checks every record against the watermark."""
    orders = bench.serve()
    bench.put(5)
    reading = bench.read().go(20)
    first, second = orders.split(orders.open_shard_ids[0])
    orders.hide(second)
    seen = bench.put(2, second)
    for _ in range(4):
        bench.put(1, first)
        reading.go(1)
    orders.reveal(second)
    reading.go(10)
    assert reading.ids[-2:] == seen


def test_records_of_a_shard_that_is_not_listed_at_first_are_not_late(bench: Bench) -> None:
    """Trap 6: the watermark waits until the listings are believed."""
    orders = bench.serve(shards=2)
    shown, hidden = orders.open_shard_ids
    old = bench.put(2, hidden)
    bench.clock.advance(100)
    bench.put(2, shown)
    orders.hide(hidden)
    reading = bench.read().go(2)
    orders.reveal(hidden)
    reading.go(20)
    assert reading.ids[-2:] == old


def test_a_disabled_stream_whose_shard_is_listed_late_is_read_all_the_same(bench: Bench) -> None:
    """Traps 6 and 14: one listing without a shard to read is not the end."""
    orders = bench.serve()
    bench.put(3)
    orders.hide(orders.open_shard_ids[0])
    orders.disable_stream()
    reading = bench.read().go(2)
    assert not reading.frontier.closed
    orders.reveal(orders.shard_ids[0])
    reading.go()
    assert reading.ids == bench.written
    assert reading.frontier.closed
