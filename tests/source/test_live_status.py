"""The live status of the reads of a process."""

from __future__ import annotations

from beam_dynamodb_streams.reader.claim import Claim
from beam_dynamodb_streams.shards.frontier import Frontier, Reading
from beam_dynamodb_streams.shards.position import After
from beam_dynamodb_streams.source.live_status import LiveStatus, Watch, report, watching
from beam_dynamodb_streams.source.stream_read import StreamRead


def read_up_to(number: int) -> Frontier:
    return Frontier(shards={"a": Reading(After(str(number)))})


def claim_of(frontier: Frontier, *, lag: float | None = None, ended: str = "") -> Claim:
    return Claim(frontier, lag=lag, ended=ended)


def test_a_watch_sums_up_what_its_reads_deliver() -> None:
    read, other = StreamRead("run-0", "arn", stop=5), StreamRead("run-1", "arn")
    with watching() as watch:
        report(read, claim_of(read_up_to(1), lag=7.0), 2, lambda: 100.0)
        report(read, claim_of(read_up_to(2), lag=3.0, ended="s-0"), 1, lambda: 101.0)
        report(other, claim_of(read_up_to(3)), 0, lambda: 102.0)
        first, second = watch.look()
    assert first == LiveStatus(read, read_up_to(2), 101.0, records=3, finished=1, lag=7.0)
    assert second == LiveStatus(other, read_up_to(3), 102.0)


def test_a_lag_is_reported_once() -> None:
    watch = Watch()
    watch.add(StreamRead("run", "arn"), claim_of(read_up_to(1), lag=7.0), 1, 100.0)
    assert [read.lag for read in watch.look()] == [7.0]
    watch.add(StreamRead("run", "arn"), claim_of(read_up_to(1)), 0, 100.0)
    assert [read.lag for read in watch.look()] == [None]


def test_a_watch_hears_nothing_from_before_or_after_it() -> None:
    read = StreamRead("run", "arn")
    report(read, claim_of(read_up_to(1)), 1, lambda: 100.0)
    with watching() as watch:
        pass
    report(read, claim_of(read_up_to(1)), 1, lambda: 100.0)
    assert watch.look() == []
