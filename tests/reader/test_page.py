"""What one page moves, by hand: its end, the position after it, the stop inside it (traps 1, 4, 5, 11 and 19)."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from beam_dynamodb_streams.reader.page import Rules, deliver
from beam_dynamodb_streams.reader.requests import PageRead, Read
from beam_dynamodb_streams.reader.stream_caller import _from
from beam_dynamodb_streams.shards.frontier import Frontier, Hint, Reading
from beam_dynamodb_streams.shards.loss import shard_gone
from beam_dynamodb_streams.shards.position import SHARD_END, TRIM_HORIZON, After, AtTime, Position
from beam_dynamodb_streams.wire import MalformedEntry, RawChange, RawRecord, RecordsPage

NOW = 1_767_225_600


def raw(number: str, created: float = NOW) -> RawRecord:
    return RawRecord(f"id-{number}", "INSERT", RawChange(created, msgspec.Raw(b'{"id":{"S":"o-1"}}'), number))


def page(
    *records: RawRecord, malformed: str | None = None, position: Position = TRIM_HORIZON, last: bool = False
) -> PageRead:
    entries = [] if malformed is None else [MalformedEntry(0, b"{}", "no keys", malformed)]
    answer = RecordsPage(b"", list(records), entries, None if last else "next")
    hint = None if last else Hint("next", NOW)
    return PageRead(Read("a", position), NOW, answer, list(records), hint, 0, None)


def reading(position: Position = TRIM_HORIZON) -> Frontier:
    return Frontier(shards={"a": Reading(position)})


def numbers(records: list[RawRecord]) -> list[str]:
    return [record.sequence_number for record in records]


def test_the_last_page_is_delivered_and_ends_its_shard() -> None:
    """Trap 1: records, and no next iterator."""
    moved = deliver(reading(), page(raw("1"), raw("2"), last=True), Rules())
    assert numbers(moved.records) == ["1", "2"]
    assert moved.ended
    assert moved.frontier.shards["a"].position == SHARD_END


def test_a_page_with_an_iterator_after_it_ends_nothing() -> None:
    """Trap 5: neither with records nor, after a start that all of them precede, without."""
    for read in (page(raw("1")), page(position=AtTime(NOW))):
        moved = deliver(reading(read.request.position), read, Rules())
        assert not moved.ended
        assert moved.frontier.open_shards == ("a",)


def test_the_position_after_a_page_is_its_largest_number_and_not_its_longest_text() -> None:
    """Trap 4: also where the last entry of the page is a malformed one."""
    for record, malformed, last in (("1000", "999", "1000"), ("999", "1000", "1000"), ("9", None, "9")):
        moved = deliver(reading(After("8")), page(raw(record), malformed=malformed, position=After("8")), Rules())
        assert moved.frontier.shards["a"].position == After(last)


def test_a_shard_continues_from_a_shorter_number_to_a_longer_one() -> None:
    """Trap 4: as text, 1000 comes before 999."""
    moved = deliver(reading(After("999")), page(raw("1000"), position=After("999")), Rules())
    assert moved.frontier.shards["a"].position == After("1000")


def test_records_are_followed_by_a_watermark_that_leaves_room_for_older_ones() -> None:
    """Trap 19: creation times are only roughly monotonic."""
    moved = deliver(reading(), page(raw("1", NOW), raw("2", NOW - 3)), Rules(slack=5.0))
    assert moved.frontier.watermark == (NOW - 5) * 1_000_000


def test_older_records_do_not_take_the_watermark_back() -> None:
    """Trap 19: a later page may be older than an earlier one."""
    frontier = deliver(reading(), page(raw("1", NOW)), Rules(slack=5.0)).frontier
    later = page(raw("2", NOW - 9), position=After("1"))
    assert deliver(frontier, later, Rules(slack=5.0)).frontier.watermark == (NOW - 5) * 1_000_000


def test_a_record_past_the_stop_ends_the_shard_only_beyond_the_slack() -> None:
    """Trap 19: one from before the stop may still come after it."""
    rules = Rules(stop=NOW, slack=5.0)
    within = deliver(reading(), page(raw("1", NOW), raw("2", NOW + 5), raw("3", NOW)), rules)
    assert numbers(within.records) == ["1", "3"]
    assert not within.finished
    beyond = deliver(reading(), page(raw("1", NOW), raw("2", NOW + 6), raw("3", NOW)), rules)
    assert numbers(beyond.records) == ["1", "3"]
    assert beyond.finished
    assert not beyond.frontier.shards


@pytest.mark.parametrize("number", ["5", None])
@pytest.mark.parametrize(
    ("frontier", "rules"),
    [
        (Frontier(shards={"a": Reading(TRIM_HORIZON)}, remaining=1), Rules()),
        (Frontier(shards={"a": Reading(TRIM_HORIZON)}), Rules(stop=NOW, gapless=True)),
    ],
    ids=["after a change", "gapless, at a second"],
)
def test_a_malformed_record_behind_the_end_of_the_read_is_the_next_reads(
    frontier: Frontier, rules: Rules, number: str | None
) -> None:
    """With or without a sequence number. Otherwise it would fail a read that is at its end, and be reported twice."""
    first, last = MalformedEntry(0, b"{}", "no keys", "1"), MalformedEntry(4, b"{}", "no keys", number)
    within = MalformedEntry(1, b"{}", "no number", None)
    read = page(raw("2"), raw("4", NOW + 1))
    read = replace(read, page=replace(read.page, malformed=[first, within, last]))
    moved = deliver(frontier, read, rules)
    assert numbers(moved.records) == ["2"]
    assert moved.malformed == [first, within]
    assert not moved.frontier.shards


def test_a_stop_is_past_once_its_second_and_the_slack_are_over() -> None:
    """Trap 19: a record of the stop's own second is written until that second is over."""
    rules = Rules(stop=NOW, slack=5.0)
    assert not rules.past_stop(NOW + 6)
    assert rules.past_stop(NOW + 6.1)
    assert not Rules().past_stop(NOW + 1e9)


def test_a_vanished_shard_is_not_a_loss_to_a_start_younger_than_its_records() -> None:
    """Trap 11: a shard is gone once all its records are older than 24 hours."""
    assert shard_gone("arn", "a", Reading(AtTime(NOW - 3600)), now=NOW) is None
    assert shard_gone("arn", "a", Reading(TRIM_HORIZON), now=NOW) is None  # a root: from what is left, nothing is left
    known = (NOW - 60) * 1_000_000  # of a child: its parent was read that far
    for reading in (Reading(AtTime(NOW - 25 * 3600)), Reading(TRIM_HORIZON, known), Reading(After("7"))):
        loss = shard_gone("arn", "a", reading, now=NOW)
        assert loss is not None
        assert (loss.shard_id, loss.certain) == ("a", False)


def test_a_record_from_the_future_ends_no_shard_and_moves_no_watermark() -> None:
    """Trap 19: its time is wrong by more than any clock is, so it shows nothing about the records that follow."""
    moved = deliver(reading(), page(raw("1", NOW - 60), raw("2", NOW + 10 * 365 * 86400)), Rules(slack=5.0))
    assert [record.sequence_number for record in moved.records] == ["1", "2"]
    assert moved.frontier.watermark == (NOW - 65) * 1_000_000
    stopping = deliver(
        reading(), page(raw("1", NOW - 60), raw("2", NOW + 10 * 365 * 86400)), Rules(stop=NOW, slack=5.0)
    )
    assert [record.sequence_number for record in stopping.records] == ["1", "2"]
    assert not stopping.finished


def test_a_record_from_the_future_does_not_move_a_start_at_a_moment() -> None:
    """Trap 19: it is delivered, and the records before the moment that follow it are still left out."""
    ahead = raw("1", NOW + 10 * 365 * 86400)
    moved = deliver(reading(AtTime(NOW - 100)), page(ahead, position=AtTime(NOW - 100)), Rules(slack=5.0))
    assert numbers(moved.records) == ["1"]
    assert moved.frontier.shards["a"].position == AtTime(NOW - 100)
    records = [raw("1", NOW - 500), ahead, raw("2", NOW - 300), raw("3", NOW - 100), raw("4", NOW - 101)]
    assert numbers(_from(records, NOW - 100, NOW + 3600)) == ["1", "3", "4"]
    assert numbers(_from(records[:3], NOW - 100, NOW + 3600)) == ["1"]
    assert numbers(_from(records[:1], NOW - 100, NOW + 3600)) == []


def test_a_record_from_the_future_leaves_no_gap_before_a_stop_and_ends_no_shard() -> None:
    """Trap 19: its date says nothing about when it was written, and the next read resumes after it."""
    rules = Rules(stop=NOW, slack=5.0, gapless=True)
    for ahead in (3_601, 7_200, 3_000_000_000):
        records = (raw("1", NOW - 60), raw("2", NOW + ahead), raw("3", NOW - 50))
        moved = deliver(reading(), page(*records), rules)
        assert numbers(moved.records) == ["1", "2", "3"]
        assert not moved.finished
        assert moved.newest == NOW - 50
        last = deliver(reading(), page(*records, raw("4", NOW + 60), raw("5", NOW)), rules)
        assert last.finished
        assert numbers(last.records) == ["1", "2", "3"]
