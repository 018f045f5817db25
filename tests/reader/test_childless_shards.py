"""Shards that end without children although their stream is enabled, and parents that are never listed (trap 27)."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from math import floor

import pytest

from beam_dynamodb_streams.reader.requests import Answer, PageRead, Request
from beam_dynamodb_streams.reader.stream_caller import StreamCaller
from beam_dynamodb_streams.shards.frontier import Frontier
from beam_dynamodb_streams.shards.position import End
from tests.inline import DrivenRead, Network
from tests.reader.conftest import Bench


@dataclass
class NoNextIterator(Network):
    """An endpoint whose pages of one shard never have a next iterator, although the shard is listed as open."""

    shard: str = ""

    def perform(self, caller: StreamCaller, request: Request) -> Answer:
        answer = super().perform(caller, request)
        return replace(answer, hint=None) if isinstance(answer, PageRead) and request.shard == self.shard else answer


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def open_leaf(bench: Bench, *, shards: int, stops: bool = False, restarts: bool = False) -> tuple[DrivenRead, str]:
    """Read shards of which the first is listed as open, and ends; return the read and that shard."""
    orders = bench.serve(shards=shards)
    bench.put(30)
    leaf = orders.open_shard_ids[0]
    stop = floor(bench.clock()) if stops else None
    read = bench.read(stop=stop, restarts=restarts)
    read._network = NoNextIterator(shard=leaf)
    read.restart()
    return read, leaf


@pytest.mark.parametrize("restarts", [False, True])
def test_a_read_to_a_stop_ends_although_an_open_leaf_has_no_next_iterator(
    bench: Bench, caplog: pytest.LogCaptureFixture, restarts: bool
) -> None:
    """Trap 27: it waited for children for ever, without a word."""
    read, leaf = open_leaf(bench, shards=3, stops=True, restarts=restarts)
    began = bench.clock()
    read.go(600)
    assert read.frontier.closed
    assert 30 < bench.clock() - began < 60
    assert sorted(read.ids) == sorted(bench.written)
    assert not read.losses
    (warning,) = (text for text in warnings(caplog) if "ends without the children" in text)
    assert leaf in warning
    assert bench.orders.stream_arn in warning


def test_a_read_to_a_stop_ends_although_no_listing_shows_the_child_of_an_ended_shard(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """Trap 27: what begins once the child is listed is in the frontier, for a read that resumes from it."""
    orders = bench.serve()
    seen = bench.put(3)
    parent = orders.open_shard_ids[0]
    orders.hide(orders.roll(parent))
    read = bench.read(stop=floor(bench.clock()))
    left: list[Frontier] = []
    for claim in read.each_claim(120):
        if not left and parent in claim.frontier.finished:
            left.append(claim.frontier)
    assert read.frontier.closed
    assert read.ids == seen
    assert [text for text in warnings(caplog) if parent in text and "ends without the children" in text]
    unseen = bench.put(4)
    orders.reveal(orders.open_shard_ids[0])
    resumed = bench.read(left[0]).go(60)
    assert resumed.ids == unseen


def test_a_child_that_is_listed_twenty_seconds_late_is_read_up_to_the_stop(bench: Bench) -> None:
    """Traps 6 and 27."""
    orders = bench.serve()
    bench.put(3)
    child = orders.roll(orders.open_shard_ids[0])
    orders.hide(child)
    bench.put(3)
    read = bench.read(stop=floor(bench.clock())).go(20)
    assert not read.frontier.closed
    orders.reveal(child)
    read.go(120)
    assert read.frontier.closed
    assert sorted(read.ids) == sorted(bench.written)


def test_a_read_without_a_stop_warns_after_30_s_and_each_minute(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """Trap 27."""
    read, leaf = open_leaf(bench, shards=3)
    read.go(28)
    assert not warnings(caplog)
    read.go(10)
    (warning,) = warnings(caplog)
    assert f"Shard {leaf} of {bench.orders.stream_arn} ended 3" in warning
    assert "give the read a stop=" in warning
    read.go(140)
    assert len(warnings(caplog)) == 3
    assert not read.frontier.closed
    assert isinstance(read.frontier.shards[leaf].position, End)


def test_many_shards_that_wait_are_one_warning(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """Trap 27."""
    orders = bench.serve(shards=40)
    for shard in orders.open_shard_ids:
        orders.hide(orders.roll(shard))
    bench.read().go(50)
    (warning,) = warnings(caplog)
    assert "(and 39 others)" in warning


def test_children_that_come_within_seconds_are_no_warning(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """Trap 6."""
    orders = bench.serve(shards=4)
    read = bench.read().go(20)
    for _ in range(6):
        orders.roll_all()
        bench.put(8)
        read.go(20)
    assert not warnings(caplog)


def test_the_leaves_of_a_disabled_stream_are_no_warning(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """Traps 14 and 27: they have no children."""
    orders = bench.serve(shards=4)
    read = bench.read().go(20)
    orders.disable_stream(settling=5.0)
    read.go(120)
    assert read.frontier.closed
    assert not warnings(caplog)


def test_a_parent_that_exists_and_is_never_listed_is_a_warning(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """Traps 8 and 27: its child waits for as long as others may be its ancestors."""
    orders = bench.serve(shards=2)
    parent, _ = orders.open_shard_ids
    orders.hide(parent)
    orders.roll(parent)
    bench.read().go(45)
    (warning,) = warnings(caplog)
    assert f"Shard {parent} of {orders.stream_arn} has been asked after for 3" in warning
    assert "no listing shows it" in warning
