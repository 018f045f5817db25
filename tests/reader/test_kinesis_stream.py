"""A read of a Kinesis data stream: merges, retention, the silent horizon, caught up or not (traps 34, 35 and 36)."""

from __future__ import annotations

from datetime import timedelta
from random import Random
from typing import Any

import msgspec
import pytest

from beam_dynamodb_streams.errors import ServiceError
from beam_dynamodb_streams.reader.page import Rules
from beam_dynamodb_streams.shards.position import AtTime
from beam_dynamodb_streams.testing import Clock, Faults, KinesisStream, LocalKinesis, LocalStreams, Table
from beam_dynamodb_streams.testing.kinesis_record import kinesis_record
from beam_dynamodb_streams.wire import KinesisClient
from tests.driven_kinesis import DrivenKinesisRead, kinesis_client


class Copy:
    """A table whose changes go to a data stream."""

    def __init__(self, *, shards: int = 2, hours: int = 24) -> None:
        self.clock = Clock()
        self.kinesis = LocalKinesis(clock=self.clock)
        self.streams = LocalStreams(clock=self.clock)
        self.table: Table = self.streams.create_table("orders", keys={"id": "S"})
        self.stream: KinesisStream = self.kinesis.create_stream("copy", shards=shards, retention=timedelta(hours=hours))
        self.number = 0
        self.written: list[str] = []

    def write(self, count: int, *, table: Table | None = None) -> list[str]:
        changes = []
        for _ in range(count):
            self.number += 1
            changes.append((table or self.table).put({"id": f"k-{self.number % 7}", "n": self.number}))
        numbers = self.stream.put_changes([change for change in changes if change])
        self.written += numbers
        return numbers

    def read(self, table: str | None = None, **options: Any) -> DrivenKinesisRead:
        return DrivenKinesisRead(self.client(table), self.clock, self.stream.arn, **options)

    def client(self, table: str | None = None) -> KinesisClient:
        return kinesis_client(self.kinesis, self.clock, table)


@pytest.fixture
def copy() -> Copy:
    return Copy()


def numbers(read: DrivenKinesisRead) -> list[str]:
    return [number for _, number in read.delivered]


def test_the_child_of_a_merge_begins_once_both_parents_are_read(copy: Copy) -> None:
    copy.write(200)
    parents = copy.stream.open_shard_ids
    child = copy.stream.merge(*parents)
    copy.write(50)
    read = copy.read(restarts=True).go(60)
    assert sorted(numbers(read)) == sorted(copy.written)
    order = [shard for shard, _ in read.delivered]
    assert order.index(child) == 200
    assert read.losses == []


def test_each_shard_is_in_order_through_splits_and_merges(copy: Copy) -> None:
    random = Random(7)
    read = copy.read()
    for _ in range(30):
        copy.write(40)
        shards = copy.stream.open_shard_ids
        if len(shards) > 1 and random.random() < 0.5:
            at = random.randrange(len(shards) - 1)
            copy.stream.merge(shards[at], shards[at + 1])
        else:
            copy.stream.split(random.choice(shards))
        read.go(random.random() * 3)
    read.go(120)
    assert sorted(numbers(read)) == sorted(copy.written)
    assert len(set(numbers(read))) == len(copy.written)
    by_shard: dict[str, list[int]] = {}
    for shard, number in read.delivered:
        by_shard.setdefault(shard, []).append(int(number))
    assert all(found == sorted(found) for found in by_shard.values())


def test_an_idle_shard_is_caught_up_by_one_page_that_is_not_behind(copy: Copy) -> None:
    read = copy.read(rules=Rules(slack=1.0))
    copy.write(3)
    read.go(5)
    assert read.watermark >= int((copy.clock() - 4) * 1e6)


def test_the_end_of_an_idle_shard_does_not_move_the_watermark_past_its_children(copy: Copy) -> None:
    read = copy.read(rules=Rules(slack=1.0))
    copy.write(3)
    read.go(5)
    for shard in copy.stream.open_shard_ids:
        copy.stream.split(shard)
    copy.write(20)
    copy.clock.advance(10)  # nobody asks meanwhile
    watermark = read.watermark
    for claim in read.each_claim(30):
        assert all(record.creation_time * 1e6 >= watermark for record in claim.records)
        watermark = max(watermark, claim.watermark)
    assert len(read.delivered) == 23


def test_empty_pages_behind_the_newest_record_prove_nothing(copy: Copy) -> None:
    read = copy.read(rules=Rules(slack=1.0))
    read.go(5)
    copy.clock.advance(1)
    written_at = copy.clock()
    copy.write(3)
    copy.kinesis.faults = Faults(empty_page=1.0, empty_run=200)
    read.go(60)
    assert read.watermark <= written_at * 1e6
    copy.kinesis.faults = Faults()
    read.go(120)
    assert len(read.delivered) == 3


def test_a_stop_ends_the_read_once_every_shard_is_past_it(copy: Copy) -> None:
    before = copy.write(20)
    stop = int(copy.clock())
    copy.clock.advance(10)
    copy.write(20)
    read = copy.read(rules=Rules(slack=1.0, stop=stop)).go(60)
    assert read.frontier.closed
    assert sorted(numbers(read)) == sorted(before)


def test_a_position_older_than_the_retention_is_a_loss_and_not_a_silent_horizon(copy: Copy) -> None:
    """Trap 34: the service moves an old position to the horizon without a word."""
    copy.write(20)
    read = copy.read().go(10)
    stored = read.stored()
    copy.write(10)
    copy.clock.advance(25 * 3600)
    left = copy.write(5)
    later = copy.read()
    later.restore(stored)
    later.go(30)
    assert sorted(numbers(later)) == sorted(left)
    assert {loss.shard_id for loss in later.losses} == set(copy.stream.open_shard_ids)
    assert not any(loss.certain for loss in later.losses)


def test_records_that_were_trimmed_unread_are_a_loss_although_nothing_is_left_of_them(copy: Copy) -> None:
    """Trap 34: the first page after a stop is empty and not behind, and the next record comes later."""
    copy.write(20)
    read = copy.read().go(10)
    copy.write(10)
    copy.clock.advance(26 * 3600)
    later = copy.read(restarts=True)
    later.restore(read.stored())
    later.go(30)
    assert {loss.shard_id for loss in later.losses} == set(copy.stream.open_shard_ids)
    new = copy.write(4)
    later.go(30)
    assert sorted(numbers(later)) == sorted(new)
    assert len(later.losses) == 2


def test_an_idle_shard_whose_last_record_is_trimmed_has_lost_nothing(copy: Copy) -> None:
    copy.write(20)
    read = copy.read().go(10)
    for _ in range(30):
        copy.clock.advance(3600)
        read.go(5)
    stored = read.stored()
    copy.clock.advance(600)
    new = copy.write(4)
    later = copy.read()
    later.restore(stored)
    later.go(30)
    assert sorted(numbers(later)) == sorted(new)
    assert later.losses == []


def test_the_record_at_the_position_is_not_delivered_again_after_expired_iterators(copy: Copy) -> None:
    copy.kinesis.faults = Faults(expire=0.5, empty_page=0.3)
    read = copy.read(restarts=True)
    for _ in range(10):
        copy.write(30)
        read.go(5)
    copy.kinesis.faults = Faults()
    read.go(60)
    assert sorted(numbers(read)) == sorted(copy.written)
    assert read.losses == []


def test_a_shard_is_never_polled_six_times_in_a_second(copy: Copy) -> None:
    copy.write(900)
    read = copy.read().go(60)
    assert len(read.delivered) == 900
    assert copy.kinesis.counts.refusals == {}


def test_two_tables_in_a_stream_are_an_error_that_names_both(copy: Copy) -> None:
    users = copy.streams.create_table("users", keys={"id": "S"})
    copy.write(3)
    copy.write(3, table=users)
    with pytest.raises(ServiceError, match=r"several tables, such as '\w+' and '\w+': choose one with table="):
        copy.read().go(10)


def test_the_chosen_table_alone_is_delivered_and_the_position_passes_the_others(copy: Copy) -> None:
    users = copy.streams.create_table("users", keys={"id": "S"})
    wanted = copy.write(5)
    copy.write(200, table=users)
    read = copy.read("orders").go(20)
    assert sorted(numbers(read)) == sorted(wanted)
    again = copy.read("orders")
    again.restore(read.stored())
    served = copy.kinesis.counts.page_bytes
    again.go(5)
    assert again.delivered == []
    assert copy.kinesis.counts.page_bytes - served < 20_000


def test_what_is_not_a_change_is_malformed_with_its_bytes(copy: Copy) -> None:
    aggregated = b"\xf3\x89\x9a\xc2" + b"\x0a\x01\x31"
    bad = [b"not json", b"{}", aggregated, b'{"dynamodb": \xff}']
    placed = [copy.stream.put(data, f"key-{index}") for index, data in enumerate(bad)]
    good = copy.write(3)
    read = copy.read().go(10)
    found = [entry for claim in read.claims for entry in claim.malformed]
    assert sorted(numbers(read)) == sorted(good)
    assert {entry.sequence_number: entry.payload for entry in found} == dict(zip(placed, bad, strict=True))
    assert any("Kinesis Producer Library" in entry.reason for entry in found)


@pytest.mark.parametrize("precision", ["MICROSECOND", "MILLISECOND", None])
def test_the_creation_time_has_the_unit_of_its_own_record(copy: Copy, precision: Any) -> None:
    change = copy.table.put({"id": "a"})
    assert change is not None
    copy.stream.put_changes([change], precision=precision)
    read = copy.read().go(5)
    (record,) = [record for claim in read.claims for record in claim.records]
    assert record.creation_time == change.record["dynamodb"]["ApproximateCreationDateTime"]


def test_micros_are_known_by_their_size_where_no_precision_is_said(copy: Copy) -> None:
    change = copy.table.put({"id": "a"})
    assert change is not None
    encoded, key = kinesis_record(change)
    data = msgspec.json.decode(encoded)
    del data["dynamodb"]["ApproximateCreationDateTimePrecision"]
    copy.stream.put(msgspec.json.encode(data), key)
    read = copy.read().go(5)
    (record,) = [record for claim in read.claims for record in claim.records]
    assert record.creation_time == change.record["dynamodb"]["ApproximateCreationDateTime"]


def test_a_start_at_a_moment_delivers_what_was_created_at_or_after_it(copy: Copy) -> None:
    copy.write(10)
    copy.clock.advance(10)
    start = int(copy.clock())
    new = copy.write(10)
    read = copy.read(start=AtTime(start)).go(10)
    assert sorted(numbers(read)) == sorted(new)


def test_the_retention_is_the_streams_own() -> None:
    copy = Copy(hours=72)
    written = copy.write(20)
    copy.clock.advance(48 * 3600)
    read = copy.read().go(10)
    assert sorted(numbers(read)) == sorted(written)
    assert read.losses == []
