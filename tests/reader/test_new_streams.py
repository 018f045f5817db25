"""A stream that is disabled and enabled again (trap 14): the read follows to the next one, fails, or ends."""

from __future__ import annotations

import logging
from math import floor

import pytest

from beam_dynamodb_streams.errors import NewStreamError
from beam_dynamodb_streams.reader.requests import Read
from beam_dynamodb_streams.reader.table_streams import list_generations
from beam_dynamodb_streams.shards.frontier import begin
from beam_dynamodb_streams.shards.position import TRIM_HORIZON, AtTime
from beam_dynamodb_streams.testing import Faults, Table
from beam_dynamodb_streams.wire.decode import IncompleteAnswerError

from .conftest import Bench, assert_each_once_and_in_order, latest


def enable_again(bench: Bench, *, after: float = 100.0, shards: int = 1, view: str = "NEW_AND_OLD_IMAGES") -> str:
    bench.orders.disable_stream()
    bench.clock.advance(after)
    return bench.orders.enable_stream(view, shards=shards)


@pytest.mark.parametrize("restarts", [False, True])
def test_the_next_stream_is_read_after_the_end_of_the_old_one(bench: Bench, restarts: bool) -> None:
    """Each change once, those of a key in order, whatever the worker remembers."""
    bench.serve(shards=3)
    bench.put(20)
    reading = bench.read(on_new_stream="follow", restarts=restarts).go(10)
    bench.put(20)
    enable_again(bench, shards=2)
    bench.put(30)
    reading.go(60)
    bench.put(10)
    reading.go(30)
    assert reading.frontier.stream_arn == bench.orders.stream_arn
    assert_each_once_and_in_order(bench, reading)


def test_the_gap_is_one_loss_from_the_last_watermark_to_the_next_streams_creation(bench: Bench) -> None:
    orders = bench.serve()
    old = orders.stream_arn
    bench.put(5)
    reading = bench.read(on_new_stream="follow").go(60)
    before, watermark = bench.clock(), reading.watermark
    new = enable_again(bench, after=500.0)
    created = bench.clock()
    reading.go(60)
    (loss,) = reading.losses
    assert (loss.stream_arn, loss.shard_id, loss.certain) == (old, "", False)
    assert (loss.last_position, loss.next_position) == (old, new)
    assert loss.since is not None
    assert watermark / 1e6 <= loss.since.timestamp() <= before
    assert loss.until is not None
    assert abs(loss.until.timestamp() - created) < 0.01
    assert "of shard" not in str(loss)
    assert f"and before {loss.until:%Y-%m-%dT%H:%M:%SZ}" in str(loss)


def test_nothing_of_the_next_stream_is_claimed_before_the_loss(bench: Bench) -> None:
    """Under on_data_loss="fail" the read stops there: the claim with the loss has no shard of the next stream."""
    bench.serve()
    bench.put(5)
    reading = bench.read(on_new_stream="follow").go(10)
    new = enable_again(bench)
    bench.put(5)
    for claim in reading.each_claim(120):
        if claim.losses:
            assert claim.frontier == begin(TRIM_HORIZON).follow(new, floor=claim.frontier.floor)
            assert len(reading.ids) == 5
            return
    raise AssertionError("no loss")


def test_without_a_next_stream_the_watermark_moves_with_the_clock_and_no_record_is_late(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    orders = bench.serve()
    bench.put(5)
    reading = bench.read(on_new_stream="follow").go(30)
    orders.disable_stream()
    with caplog.at_level(logging.WARNING):
        reading.go(3600, slice_seconds=10)
    assert not reading.frontier.closed
    assert 0 < bench.clock() - reading.watermark / 1e6 < 40
    assert sum("the read waits for one" in message for message in caplog.messages) == 1
    orders.enable_stream()
    bench.put(5)
    reading.go(30)
    assert_each_once_and_in_order(bench, reading)


@pytest.mark.parametrize("listed", [True, False])
def test_several_streams_were_enabled_meanwhile(bench: Bench, listed: bool) -> None:
    """Where ListStreams is denied only the latest one is known, and the loss says so."""
    bench.serve()
    old = [bench.orders.stream_arn]
    sent = bench.put(3)
    reading = bench.read(on_new_stream="follow").go(10)
    between = []
    for _ in range(3):
        old.append(enable_again(bench))
        between.append(bench.put(3))
    bench.service.faults = Faults(access_denied={} if listed else {"ListStreams": 1.0})
    reading.go(200)
    if listed:
        assert reading.ids == sent + [each for ids in between for each in ids]
        assert [loss.stream_arn for loss in reading.losses] == old[:-1]
    else:
        assert reading.ids == sent + between[-1]
        assert [(loss.stream_arn, loss.next_position) for loss in reading.losses] == [(old[0], old[-1])]
        assert "for want of dynamodb:ListStreams" in reading.losses[0].reason


def test_more_streams_than_a_page_of_the_listing(bench: Bench) -> None:
    bench.serve()
    sent = bench.put(1)
    reading = bench.read(on_new_stream="follow").go(10)
    for _ in range(103):
        enable_again(bench, after=1.0)
    sent += bench.put(1)
    reading.go(3600)
    assert reading.ids == sent
    assert len(reading.losses) == 103


def test_a_read_that_fails_at_a_new_stream_has_delivered_the_old_one(bench: Bench) -> None:
    bench.serve()
    bench.put(3)
    reading = bench.read(on_new_stream="fail").go(10)
    sent = bench.put(3)
    bench.orders.disable_stream()
    assert not reading.go(60).frontier.closed
    bench.orders.enable_stream()
    with pytest.raises(NewStreamError, match='to continue there, set on_new_stream="follow"'):
        reading.go(60)
    assert reading.ids[-3:] == sent


def test_a_read_that_finishes_asks_for_no_other_stream(bench: Bench) -> None:
    bench.serve()
    bench.put(3)
    reading = bench.read(on_new_stream="finish").go(10)
    enable_again(bench)
    assert reading.go(60).frontier.closed
    assert bench.service.counts.calls["DescribeTable"] == 0
    assert not reading.losses


def recreate(bench: Bench) -> Table:
    bench.orders.delete_table()
    bench.clock.advance(30)
    bench.orders = bench.service.create_table("orders", keys={"id": "S"})
    return bench.orders


def test_the_stream_of_a_table_that_was_created_again_is_refused(bench: Bench) -> None:
    bench.serve()
    sent = bench.put(3)
    reading = bench.read(on_new_stream="follow").go(10)
    recreate(bench)
    bench.put(3)
    with pytest.raises(NewStreamError, match="the stream of another table"):
        reading.go(60)
    assert reading.ids == sent


def test_while_the_table_is_deleted_the_read_waits(bench: Bench) -> None:
    bench.serve()
    reading = bench.read(on_new_stream="follow").go(10)
    bench.orders.delete_table()
    assert not reading.go(60).frontier.closed


def test_another_view_type_is_reported(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.serve()
    bench.put(3)
    reading = bench.read(on_new_stream="follow").go(10)
    enable_again(bench, view="KEYS_ONLY")
    bench.put(3)
    with caplog.at_level(logging.WARNING):
        reading.go(30)
    assert "has the view type KEYS_ONLY, and the stream before it" in caplog.text
    assert len(reading.ids) == 6


def test_a_stop_reads_the_streams_up_to_it_and_ends(bench: Bench) -> None:
    bench.serve()
    bench.put(3)
    old = begin(TRIM_HORIZON, stream_arn=bench.orders.stream_arn)
    enable_again(bench)
    bench.put(3)
    reading = bench.read(on_new_stream="follow", stop=floor(bench.clock()))
    reading.frontier = old
    reading.restart()
    reading.go(120)
    assert reading.frontier.closed
    assert_each_once_and_in_order(bench, reading)


def test_a_stop_before_the_next_stream_ends_the_read_without_a_loss(bench: Bench) -> None:
    bench.serve()
    bench.put(3)
    reading = bench.read(on_new_stream="follow", stop=floor(bench.clock()) + 5)
    enable_again(bench)
    bench.put(3)
    reading.go(120)
    assert reading.frontier.closed
    assert (len(reading.ids), reading.losses) == (3, [])


def test_a_stop_ends_a_read_whose_stream_is_disabled_and_not_enabled_again(bench: Bench) -> None:
    bench.serve()
    bench.put(3)
    reading = bench.read(on_new_stream="follow", stop=floor(bench.clock()) + 60)
    bench.orders.disable_stream()
    reading.go(30)
    assert not reading.frontier.closed
    assert reading.go(60).frontier.closed


def test_what_is_left_of_a_number_of_changes_counts_on(bench: Bench) -> None:
    bench.serve()
    sent = bench.put(3)
    frontier = begin(TRIM_HORIZON, remaining=5)
    reading = bench.read(frontier, on_new_stream="follow").go(10)
    enable_again(bench)
    sent += bench.put(7)
    reading.go(60)
    assert reading.frontier.closed
    assert reading.ids == sent[:5]


def test_a_start_at_latest_reads_all_of_the_next_stream(bench: Bench) -> None:
    bench.serve()
    bench.put(3)
    bench.clock.advance(10)
    reading = bench.read(latest(bench), on_new_stream="follow").go(10)
    sent = bench.put(3)
    enable_again(bench)
    sent += bench.put(3)
    reading.go(60)
    assert reading.ids == sent
    assert not any(isinstance(each.position, AtTime) for each in reading.frontier.shards.values())


def test_after_days_away_what_the_next_stream_trimmed_is_reported_too(bench: Bench) -> None:
    """The old stream is gone, and so is the beginning of the next one."""
    bench.serve()
    bench.put(3)
    reading = bench.read(on_new_stream="follow", late=True).go(10)
    stored = reading.stored()
    bench.put(3)
    enable_again(bench, after=3600)
    bench.put(3)
    bench.clock.advance(30 * 3600)
    sent = bench.put(3)
    reading.restore(stored)
    reading.go(120)
    assert reading.ids[3:] == sent
    assert [loss.next_position for loss in reading.losses] == ["its children", bench.orders.stream_arn, "TRIM_HORIZON"]


def test_the_table_is_asked_for_its_next_stream_only_at_the_end(bench: Bench) -> None:
    bench.serve()
    bench.put(3)
    reading = bench.read(on_new_stream="follow").go(600)
    assert bench.service.counts.calls["DescribeTable"] == 0
    bench.orders.disable_stream()
    reading.go(600, slice_seconds=10)
    assert 50 < bench.service.counts.calls["DescribeTable"] < 130
    assert bench.service.counts.calls["ListStreams"] == 0


def test_faults_while_the_next_stream_is_looked_for_are_delays(bench: Bench) -> None:
    bench.serve()
    bench.put(3)
    reading = bench.read(on_new_stream="follow").go(10)
    enable_again(bench)
    bench.put(3)
    bench.service.faults = Faults(throttle={"DescribeTable": 0.5, "ListStreams": 0.5})
    reading.go(600)
    assert_each_once_and_in_order(bench, reading)


def test_a_reader_that_is_not_claimed_follows_again(bench: Bench) -> None:
    """A checkpoint before the claim stands in the old stream, and the same reader claims the same again."""
    bench.serve()
    bench.put(3)
    reading = bench.read(on_new_stream="follow").go(10)
    enable_again(bench)
    bench.put(3)
    while (refused := reading.refuse(60)) is not None and not refused.losses:
        reading._claim(refused)
    assert refused is not None
    reading.go(60)
    assert len(reading.losses) == 1
    assert_each_once_and_in_order(bench, reading)
    assert not [r for r in reading.fetchers[0].requests if isinstance(r, Read) and r.shard in bench.orders.shard_ids]


def test_an_endpoint_that_answers_list_streams_with_something_else_is_one_that_has_none(bench: Bench) -> None:
    """Emulators and proxies answer what they do not know with `{}` or an answer to another call."""
    orders = bench.serve()

    class Odd:
        def list_streams(self, table_name: str) -> list[str]:
            raise IncompleteAnswerError(f"the answer to ListStreams of {table_name} has no Streams")

    generations, complete = list_generations(Odd(), orders.stream_arn, orders.stream_arn)  # type: ignore[arg-type]
    assert ([each.stream_arn for each in generations], complete) == ([orders.stream_arn], False)
