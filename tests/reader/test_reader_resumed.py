"""What a reader does with a frontier that it did not return last, and with pages that hold nothing to deliver."""

from __future__ import annotations

import pytest

from beam_dynamodb_streams.reader.page import Rules
from beam_dynamodb_streams.reader.schedule import Pace
from beam_dynamodb_streams.shards.position import TRIM_HORIZON, After, AtTime, End, Position
from beam_dynamodb_streams.shards.quiet import QuietRule
from beam_dynamodb_streams.testing import Clock, LocalStreams, Table
from tests.inline import DrivenRead


def test_records_older_than_the_start_are_not_empty_pages() -> None:
    """Skipping a long backlog on an endpoint without AT_TIMESTAMP does not prove quiet (traps 3 and 5)."""
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
    """A restore in the same worker: the reader must not remember that it reported the loss (trap 10)."""
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
        reported = len(read.losses)
        assert reported == 1
        read.go_back(before)
        read.run(5)
        assert len(read.losses) == 2


def test_a_shard_unread_for_more_than_a_day_reports_that_its_oldest_changes_are_gone() -> None:
    """The horizon is a position that is always served, so the service says nothing (trap 13)."""
    clock = Clock()
    with LocalStreams(clock=clock) as service:
        orders = service.create_table("orders", keys={"id": "S"})
        orders.put_many({"id": f"o-{n}", "n": n} for n in range(3))
        read = DrivenRead(service, clock, orders.stream_arn)
        read.run(20)
        orders.roll_all()
        orders.put({"id": "o-1", "n": 7})
        next(claim for claim in read.each_claim(60) if claim.opened)
        stored = read.stored()
        clock.advance(25 * 3600)
        orders.put({"id": "o-1", "n": 8})
        read.restore(stored)
        read.run(30)
        assert len(read.losses) == 1
        assert not read.losses[0].certain


def test_a_saved_position_without_a_remaining_shard_is_reported_as_a_possible_loss() -> None:
    """Trap 13."""
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


def quiet_shard_beside_a_busy_one(clock: Clock, service: LocalStreams) -> tuple[Table, dict[str, Position], str]:
    """A shard whose last five changes were not read and whose time has passed, and its child; the other one's last."""
    orders = service.create_table("orders", keys={"id": "S"}, shards=2)
    quiet, busy = orders.open_shard_ids
    (first,) = orders.put_many([{**orders.keys_in(quiet, 1)[0], "n": 0}])
    orders.put_many({**keys, "n": 1} for keys in orders.keys_in(quiet, 5))
    orders.roll(quiet)
    clock.advance(20 * 3600)
    (last,) = orders.put_many([{**orders.keys_in(busy, 1)[0], "n": 2}])
    clock.advance(5 * 3600)
    return orders, {quiet: After(first.sequence_number), busy: After(last.sequence_number)}, quiet


def test_a_bounded_read_does_not_end_before_the_fate_of_its_saved_shards_is_known() -> None:
    """Trap 13: nothing is left of them, and nothing else is to be read."""
    clock = Clock()
    with LocalStreams(clock=clock) as service:
        orders = service.create_table("orders", keys={"id": "S"}, shards=40)
        first = DrivenRead(service, clock, orders.stream_arn)
        first.run(20)
        saved: dict[str, Position] = {shard: After("1") for shard in first.frontier.shards}
        for _ in range(2):
            orders.roll_all()
            clock.advance(25 * 3600)
        rules = Rules(stop=int(clock()), slack=0.0, quiet=QuietRule(2, 1.0))
        second = DrivenRead(service, clock, orders.stream_arn, rules=rules, saved=saved)
        second.run(600)
        assert second.frontier.closed
        assert {loss.shard_id for loss in second.losses} == saved.keys()


@pytest.mark.parametrize(("hours_ago", "reported"), [(1, False), (25, True)])
def test_a_saved_shard_that_is_gone_is_a_loss_unless_all_was_read_within_a_day(hours_ago: int, reported: bool) -> None:
    """Traps 11 and 13: its child was never begun, so the shard was not read to its end."""
    clock = Clock()
    with LocalStreams(clock=clock) as service:
        orders, saved, quiet = quiet_shard_beside_a_busy_one(clock, service)
        until = int(clock()) - hours_ago * 3600
        read = DrivenRead(service, clock, orders.stream_arn, saved=saved, until=until)
        read.run(60)
        assert [(loss.shard_id, loss.certain) for loss in read.losses] == [(quiet, False)] * reported
        assert quiet not in read.frontier.saved


def test_a_saved_shard_that_is_gone_beside_others_that_are_left_is_taken_for_read() -> None:
    """Nothing shows whether it was: a quiet shard leaves no trace of its children in what was delivered."""
    clock = Clock()
    with LocalStreams(clock=clock) as service:
        orders, saved, _ = quiet_shard_beside_a_busy_one(clock, service)
        read = DrivenRead(service, clock, orders.stream_arn, saved=saved)
        read.run(60)
        assert read.losses == []
        assert read.frontier.saved == {}


@pytest.mark.parametrize("position", [None, TRIM_HORIZON], ids=["half read", "not begun"])
def test_a_saved_shard_that_is_gone_is_a_loss_if_ends_of_shards_are_saved(
    position: Position | None,
) -> None:
    """Traps 11 and 13: what KCL and `progress=` keep shows whether a shard was read to its end."""
    clock = Clock()
    with LocalStreams(clock=clock) as service:
        orders, saved, quiet = quiet_shard_beside_a_busy_one(clock, service)
        saved = {**saved, quiet: position or saved[quiet], "shardId-00000001000000000000-0badf00d": End(TRIM_HORIZON)}
        read = DrivenRead(service, clock, orders.stream_arn, saved=saved)
        read.run(60)
        assert [loss.shard_id for loss in read.losses] == [quiet]
        assert read.frontier.saved == {}


def test_ended_shards_of_a_quiet_stream_are_not_a_loss_while_children_are_listed() -> None:
    """Trap 13: the run was away for less than a day, and every record that it had not read is still there."""
    clock = Clock()
    with LocalStreams(clock=clock) as service:
        orders = service.create_table("orders", keys={"id": "S"})
        generations = list(orders.open_shard_ids)
        for _ in range(2):
            orders.roll_all()
            clock.advance(3600)
            generations += orders.open_shard_ids
        clock.advance(24 * 3600 - 1800)
        orders.put({"id": "o-1"})
        assert generations[1] not in orders.shard_ids
        saved: dict[str, Position] = {shard: End(TRIM_HORIZON) for shard in generations[:2]}
        read = DrivenRead(service, clock, orders.stream_arn, saved=saved)
        read.run(60)
        assert read.losses == []
        assert len(read.delivered) == 1


def test_a_stream_quiet_for_longer_than_it_keeps_lost_nothing_if_all_was_read() -> None:
    """Trap 13: none of its shards is left, and none held anything."""
    clock = Clock()
    with LocalStreams(clock=clock) as service:
        orders = service.create_table("orders", keys={"id": "S"})
        only = orders.put({"id": "o-1"})
        assert only is not None
        for _ in range(8):
            clock.advance(4 * 3600)
            orders.roll_all()
        saved = {only.shard_id: After(only.sequence_number)}
        read = DrivenRead(service, clock, orders.stream_arn, saved=saved, until=int(clock()) - 3600)
        read.run(60)
        assert read.losses == []
        assert read.frontier.saved == {}


def test_a_shard_saved_as_ended_is_not_a_loss_once_gone_also_after_a_restart() -> None:
    """Trap 12."""
    clock = Clock()
    with LocalStreams(clock=clock) as service:
        orders = service.create_table("orders", keys={"id": "S"}, shards=2)
        ended, busy = orders.open_shard_ids
        orders.roll(ended)
        clock.advance(25 * 3600)
        (last,) = orders.put_many([{**orders.keys_in(busy, 1)[0], "n": 2}])
        saved: dict[str, Position] = {ended: End(TRIM_HORIZON), busy: After(last.sequence_number)}
        read = DrivenRead(service, clock, orders.stream_arn, saved=saved)
        read.run(2)
        stored = read.stored()
        read.run(60)
        read.restore(stored)
        read.run(60)
        assert read.losses == []


def test_a_root_that_is_gone_before_its_first_read_is_not_a_loss() -> None:
    """Traps 6 and 11: TRIM_HORIZON is what the service still has."""
    clock = Clock()
    with LocalStreams(clock=clock) as service:
        orders = service.create_table("orders", keys={"id": "S"}, shards=2)
        gone, _ = orders.open_shard_ids
        orders.put_many({"id": f"o-{n}"} for n in range(5))
        orders.drop(gone, listed=True)
        read = DrivenRead(service, clock, orders.stream_arn)
        read.run(60)
        assert read.losses == []


def test_a_reader_keeps_listing_for_days() -> None:
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


def test_unseen_children_of_a_disabled_stream_are_reported_as_a_possible_loss() -> None:
    """The parent was read to its end, its child not listed yet; a day later only the grandchild is left (trap 13)."""
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
