"""A stream older than a day: its oldest listed shards name parents that are trimmed and not listed (trap 23)."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import msgspec
import pytest

from beam_dynamodb_streams.errors import ThrottledError, UnavailableError
from beam_dynamodb_streams.reader.page import Rules
from beam_dynamodb_streams.reader.requests import Answer, Delayed, PageListed, Probe, Request
from beam_dynamodb_streams.reader.schedule import Pace
from beam_dynamodb_streams.reader.stream_caller import StreamCaller
from beam_dynamodb_streams.shards.quiet import QuietRule
from beam_dynamodb_streams.testing import Clock, LocalStreams, Table
from tests.inline import DrivenRead, Network

ROOTS = 300


class ThrottledProbes(Network):
    """A network whose first probe of each tenth shard is throttled."""

    def __init__(self) -> None:
        super().__init__(listings=0.05)
        self._probed: Counter[str] = Counter()

    def perform(self, caller: StreamCaller, request: Request) -> Answer:
        if isinstance(request, Probe):
            self._probed[request.shard] += 1
            if self._probed[request.shard] == 1 and len(self._probed) % 10 == 0:
                return Delayed(request, ThrottledError("slow down"))
        return super().perform(caller, request)


class NoParents(Network):
    """An endpoint that lists no shard with a parent."""

    def perform(self, caller: StreamCaller, request: Request) -> Answer:
        answer = super().perform(caller, request)
        if isinstance(answer, PageListed):
            shards = tuple(msgspec.structs.replace(shard, parents=()) for shard in answer.page.shards)
            page = msgspec.structs.replace if isinstance(answer.page, msgspec.Struct) else replace
            return PageListed(answer.request, page(answer.page, shards=shards))
        return answer


@dataclass
class OneProbeFails(Network):
    """A network whose probe of the first shard that is asked after fails until it is mended."""

    failing: str | None = None
    mended: bool = False

    def perform(self, caller: StreamCaller, request: Request) -> Answer:
        if isinstance(request, Probe) and not self.mended:
            self.failing = self.failing or request.shard
            if request.shard == self.failing:
                return Delayed(request, UnavailableError("timed out"))
        return super().perform(caller, request)


def older_than_a_day(service: LocalStreams, *, roots: int, split: bool = False) -> Table:
    """Return a table whose listed shards name parents that are gone; `split`: two of them the same one."""
    orders = service.create_table("orders", keys={"id": "S"}, shards=roots // 2 if split else roots)
    for parent in orders.open_shard_ids if split else []:
        orders.split(parent)
        orders.drop(parent)
    return orders


@contextmanager
def old_read(
    *,
    roots: int,
    split: bool = False,
    stops: bool = False,
    network: Network | None = None,
    poll: float = 0.2,
    written: list[str] | None = None,
) -> Iterator[DrivenRead]:
    """Read a stream whose answers take 50 ms, on a clock that moves with them. `written` gets the ids of changes."""
    clock = Clock()
    service = LocalStreams(clock=clock, seed=3)
    orders = older_than_a_day(service, roots=roots, split=split)
    if written is not None:  # a change in each shard
        keys = [key for shard in orders.open_shard_ids for key in orders.keys_in(shard)]
        written += [change.event_id for change in orders.put_many(keys)]
    read = DrivenRead(
        service,
        clock,
        orders.stream_arn,
        rules=Rules(stop=int(clock()) if stops else None, slack=1.0, quiet=QuietRule(2, 0.1)),
        pace=Pace(poll=poll, page=50),
        network=network or Network(listings=0.05),
        sockets=False,
    )
    yield read
    read.close()


def probes(read: DrivenRead) -> list[str]:
    return [request.shard for request in read.requests if isinstance(request, Probe)]


def test_hundreds_of_roots_behind_trimmed_parents_begin_within_seconds() -> None:
    """Trap 23: each parent costs a call, and one after the other they would take 15 s."""
    with old_read(roots=ROOTS) as read:
        read.run(3.0)
        assert len(read.frontier.open_shards) == ROOTS
        assert len(probes(read)) == ROOTS


def test_siblings_behind_one_trimmed_parent_ask_after_it_once() -> None:
    """Trap 23."""
    with old_read(roots=ROOTS, split=True) as read:
        read.run(10.0)
        assert len(read.frontier.open_shards) == ROOTS
        assert max(Counter(probes(read)).values()) == 1


def test_answers_to_many_probes_are_looked_at_together() -> None:
    """Trap 23: a discovery takes time for each shard, so that one for each answer would take minutes."""
    with old_read(roots=ROOTS) as read:
        read.run(5.0)
        assert sum(bool(claim.opened) for claim in read.claims) < 10


def test_a_probe_that_is_throttled_waits_alone() -> None:
    """Traps 15 and 23: the others begin meanwhile, and it is made again."""
    with old_read(roots=ROOTS, network=ThrottledProbes()) as read:
        read.run(1.4)
        assert len(read.frontier.open_shards) > ROOTS // 2
        read.run(5.0)
        assert len(read.frontier.open_shards) == ROOTS


def test_a_read_to_a_stop_settles_once_for_all_roots() -> None:
    """Trap 23: roots that begin past the stop are no find, after which the listings would have to settle again."""

    def seconds(roots: int) -> float:
        with old_read(roots=roots, stops=True) as read:
            began = read._clock()
            read.go(600)
            assert read.frontier.closed
            assert len({shard for claim in read.claims for shard in claim.opened}) == roots
            return read._clock() - began

    assert seconds(1000) - seconds(8) < 1.5  # 2.5 where each batch of roots that begins starts the settling again


def test_thousands_of_roots_behind_trimmed_parents_begin_within_half_a_minute() -> None:
    """Trap 23: 16 answers of 50 ms at a time are 320 a second."""
    with old_read(roots=5000, poll=20.0) as read:
        began = read._clock()
        for _ in read.each_claim(30.0):
            if len(read.frontier.open_shards) == 5000:
                break
        assert len(read.frontier.open_shards) == 5000
        assert read._clock() - began < 30


def test_a_restore_in_the_middle_begins_the_others_and_reads_nothing_twice() -> None:
    """Traps 20 and 23."""
    written: list[str] = []
    with old_read(roots=ROOTS, written=written) as read:
        while len(read.frontier.open_shards) < ROOTS // 3:
            read.run(0.1)
        assert len(read.frontier.open_shards) < ROOTS
        read.restart()
        read.run(5.0)
        assert len(read.frontier.open_shards) == ROOTS
        assert sorted(read.ids) == sorted(written)


def test_shards_that_are_listed_without_parents_begin_without_a_question() -> None:
    """Trap 23: some endpoints name no parent at all."""
    with old_read(roots=ROOTS, network=NoParents(listings=0.05)) as read:
        read.run(1.0)
        assert len(read.frontier.open_shards) == ROOTS
        assert not probes(read)


def test_a_parent_that_cannot_be_asked_after_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    """Traps 23 and 24: its child waits, all others begin, and a read to a stop ends only after that."""
    network = OneProbeFails(listings=0.05)
    with old_read(roots=30, stops=True, network=network) as read:
        read.go(100)
        assert len({shard for claim in read.claims for shard in claim.opened}) == 29
        assert not read.frontier.closed
        warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        assert f"GetShardIterator of shard {network.failing} has failed for 2" in warnings[0]
        assert 1 < len(warnings) < 4, "each minute"
        network.mended = True
        read.go(100)
        assert read.frontier.closed
        assert len({shard for claim in read.claims for shard in claim.opened}) == 30
