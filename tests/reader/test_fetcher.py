"""The threads that wait for the network."""

from __future__ import annotations

import threading

from beam_dynamodb_streams.reader.fetcher import ThreadedFetcher
from beam_dynamodb_streams.reader.requests import Answer, Found, Probe, Read, Request
from beam_dynamodb_streams.shards.position import TRIM_HORIZON


def found(request: Request) -> Answer:
    return Found(Probe(request.shard if isinstance(request, Read) else ""))


def test_taking_an_answer_ends_with_its_time_however_short() -> None:
    """A wait that began just before its end once never ended: every shard of a worker stood still."""
    fetcher = ThreadedFetcher(found, threads=1)
    over, answer = threading.Event(), found(Read("a", TRIM_HORIZON))

    def take() -> None:
        for _ in range(50_000):
            fetcher._answers.put(answer)  # what a thread of its own does, without the wait for it
            assert fetcher.take(0.0) is answer
            assert fetcher.take(3e-7) is None
        over.set()

    threading.Thread(target=take, daemon=True).start()
    assert over.wait(60)
    fetcher.close()


def test_no_more_requests_are_performed_at_once_than_there_are_threads() -> None:
    going, most, lock, let = 0, 0, threading.Lock(), threading.Event()

    def perform(request: Request) -> Answer:
        nonlocal going, most
        with lock:
            going += 1
            most = max(most, going)
        let.wait(60)
        with lock:
            going -= 1
        return found(request)

    fetcher = ThreadedFetcher(perform, threads=3)
    for shard in "abcdefg":
        fetcher.submit(Read(shard, TRIM_HORIZON))
    let.set()
    answers = [fetcher.take(60) for _ in range(7)]
    assert None not in answers
    assert most <= 3
    fetcher.close()


def test_requests_that_are_not_answered_at_once_are_all_performed_together() -> None:
    """Also behind calls so short that one thread made them all."""
    going, let = threading.Barrier(8 + 1), threading.Event()

    def perform(request: Request) -> Answer:
        if let.is_set():
            going.wait(60)
        return found(request)

    fetcher = ThreadedFetcher(perform, threads=8)
    for shard in "abcdefgh" * 4:
        fetcher.submit(Read(shard, TRIM_HORIZON))
    assert None not in [fetcher.take(60) for _ in range(32)]
    let.set()
    for shard in "abcdefgh":
        fetcher.submit(Read(shard, TRIM_HORIZON))
    taken = threading.Thread(target=lambda: fetcher.take(60), daemon=True)
    taken.start()
    going.wait(60)  # until all eight are performed
    taken.join(60)
    assert None not in [fetcher.take(60) for _ in range(7)]
    fetcher.close()


def test_short_calls_are_made_by_one_thread() -> None:
    names: list[str] = []

    def perform(request: Request) -> Answer:
        names.append(threading.current_thread().name)
        return found(request)

    fetcher = ThreadedFetcher(perform, threads=8)
    fetcher.submit(Read("first", TRIM_HORIZON))
    assert fetcher.take(60) is not None
    for _ in range(1_000):
        fetcher.submit(Read("a", TRIM_HORIZON))
        assert fetcher.take(60) is not None
    assert len(set(names)) <= 2  # a second one helps where the first one lost its turn for five milliseconds
    fetcher.close()
