"""Where the reads of a process stand, for who looks at them."""

from __future__ import annotations

import msgspec

from beam_dynamodb_streams.reader.claim import Claim
from beam_dynamodb_streams.shards.frontier import Frontier, Reading
from beam_dynamodb_streams.shards.position import After
from beam_dynamodb_streams.source.live_status import Standing, Watch, tell, watching
from beam_dynamodb_streams.source.stream_read import StreamRead
from beam_dynamodb_streams.wire import RawChange, RawRecord


def read_up_to(number: int) -> Frontier:
    return Frontier(shards={"a": Reading(After(str(number)))})


def step_of(frontier: Frontier, *created: float, lag: float | None = None, ended: str = "") -> Claim:
    records = [RawRecord("e", "INSERT", RawChange(at, msgspec.Raw(b"{}"), "1")) for at in created]
    return Claim(frontier, records=records, lag=lag, ended=ended)


def test_a_watch_sums_up_what_its_reads_deliver() -> None:
    read, other = StreamRead("run-0", "arn", stop=5), StreamRead("run-1", "arn")
    with watching() as watch:
        tell(read, step_of(read_up_to(1), 10.0, 11.0, lag=7.0), lambda: 100.0)
        tell(read, step_of(read_up_to(2), 9.0, lag=3.0, ended="s-0"), lambda: 101.0)
        tell(other, step_of(read_up_to(3)), lambda: 102.0)
        first, second = watch.look()
    assert first == Standing(read, read_up_to(2), 101.0, records=3, finished=1, lag=7.0)
    assert second == Standing(other, read_up_to(3), 102.0)


def test_a_lag_is_told_once() -> None:
    watch = Watch()
    watch.step(StreamRead("run", "arn"), step_of(read_up_to(1), 10.0, lag=7.0), 100.0)
    assert [read.lag for read in watch.look()] == [7.0]
    watch.step(StreamRead("run", "arn"), step_of(read_up_to(1)), 100.0)
    assert [read.lag for read in watch.look()] == [None]


def test_a_watch_hears_nothing_from_before_or_after_it() -> None:
    read = StreamRead("run", "arn")
    tell(read, step_of(read_up_to(1), 10.0), lambda: 100.0)
    with watching() as watch:
        pass
    tell(read, step_of(read_up_to(1), 10.0), lambda: 100.0)
    assert watch.look() == []
