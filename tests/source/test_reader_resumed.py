"""What a reader does with a frontier that it did not hand out last, and with pages that bring nothing asked for."""

from __future__ import annotations

from connector.shards.position import AtTime
from connector.source.agenda import Pace
from connector.source.delivery import Rules
from connector.testing import Clock, LocalStreams
from tests.inline import DrivenRead


def test_records_older_than_the_start_are_no_empty_pages() -> None:
    """Skipping a long backlog on an endpoint without AT_TIMESTAMP is no quiet proof (facts 3 and 5)."""
    clock = Clock()
    with LocalStreams(clock=clock, at_timestamp=False) as service:
        orders = service.create_table("orders", keys={"id": "S"})
        orders.put_many({"id": f"old-{n}", "n": n} for n in range(2000))
        clock.advance(100)
        start = int(clock())
        wanted = orders.put_many({"id": f"new-{n}", "n": n} for n in range(5))
        clock.advance(100)
        read = DrivenRead(
            service,
            clock,
            orders.stream_arn,
            start=AtTime(start),
            rules=Rules(stop=start, slack=0.0),
            pace=Pace(page=20),
        )
        read.run(600)
        assert [number for _, number in read.delivered] == [change.sequence_number for change in wanted]
        assert read.frontier.closed


def test_a_loss_is_reported_again_to_a_frontier_from_before_it() -> None:
    """A restore in the same worker: the reader must not remember that the loss was told (fact 10)."""
    clock = Clock()
    with LocalStreams(clock=clock) as service:
        orders = service.create_table("orders", keys={"id": "S"})
        orders.put_many({"id": f"o-{n}", "n": n} for n in range(10))
        read = DrivenRead(service, clock, orders.stream_arn)
        read.run(5)
        before = read.stored()
        orders.put_many({"id": f"o-{n}", "n": n + 100} for n in range(10))
        orders.trim(keep=5)
        clock.advance(16 * 60)
        read.run(5)
        told = len(read.losses)
        assert told == 1
        read.go_back(before)
        read.run(5)
        assert len(read.losses) == 2


def test_a_shard_that_waited_unread_for_more_than_a_day_tells_that_its_oldest_changes_are_gone() -> None:
    """The horizon is a position that is always served, so the service says nothing (fact 13)."""
    clock = Clock()
    with LocalStreams(clock=clock) as service:
        orders = service.create_table("orders", keys={"id": "S"})
        orders.put_many({"id": f"o-{n}", "n": n} for n in range(3))
        read = DrivenRead(service, clock, orders.stream_arn)
        read.run(20)
        orders.roll_all()
        orders.put({"id": "o-1", "n": 7})
        next(step for step in read.steps(60) if step.opened)
        stored = read.stored()
        clock.advance(25 * 3600)
        orders.put({"id": "o-1", "n": 8})
        read.restore(stored)
        read.run(30)
        assert len(read.losses) == 1
        assert not read.losses[0].certain


def test_a_saved_position_of_which_no_shard_is_left_is_told_as_a_possible_loss() -> None:
    """Fact 13."""
    clock = Clock()
    with LocalStreams(clock=clock) as service:
        orders = service.create_table("orders", keys={"id": "S"})
        orders.put({"id": "o-1"})
        first = DrivenRead(service, clock, orders.stream_arn)
        first.run(20)
        saved = {shard: reading.position for shard, reading in first.frontier.shards.items()}
        orders.roll_all()
        clock.advance(25 * 3600)
        orders.roll_all()
        clock.advance(25 * 3600)
        orders.put({"id": "o-1", "n": 2})
        second = DrivenRead(service, clock, orders.stream_arn, saved=saved)
        second.run(60)
        assert [loss.shard_id for loss in second.losses] == list(saved)
        assert second.delivered


def test_a_reader_goes_on_listing_for_days() -> None:
    """The waits between listings grow to a bound, not for ever."""
    clock = Clock()
    with LocalStreams(clock=clock) as service:
        orders = service.create_table("orders", keys={"id": "S"})
        read = DrivenRead(service, clock, orders.stream_arn, pace=Pace(idle=600.0))
        read.run(3 * 24 * 3600)
        orders.roll_all()
        written = orders.put({"id": "o-1"})
        read.run(2000)
        assert written is not None
        assert read.delivered == [(written.shard_id, written.sequence_number)]


def test_children_that_came_and_went_before_a_disabled_streams_end_are_told_as_a_possible_loss() -> None:
    """The parent was read to its end, its child not listed yet; a day later only the grandchild is left (fact 13)."""
    clock = Clock()
    with LocalStreams(clock=clock) as service:
        orders = service.create_table("orders", keys={"id": "S"})
        orders.put({"id": "o-1", "n": 1})
        parent = orders.open_shard_ids[0]
        child = orders.roll(parent)
        orders.hide(child)
        read = DrivenRead(service, clock, orders.stream_arn)
        read.run(20)
        assert read.frontier.ended_shards == (parent,)
        orders.put({"id": "o-1", "n": 2})
        clock.advance(2 * 3600)
        orders.roll(child)
        clock.advance(23 * 3600)
        last = orders.put({"id": "o-1", "n": 3})
        assert last is not None
        orders.disable_stream()
        read.restore(read.stored())
        read.run(60)
        assert read.frontier.closed
        assert [number for _, number in read.delivered[1:]] == [last.sequence_number]
        assert [loss.shard_id for loss in read.losses] == [parent]
        assert not read.losses[0].certain
