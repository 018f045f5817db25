"""A fault that does not pass is reported, and ends the read where that is asked; a page that repeats is an error.

Traps 24 and 25.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from beam_dynamodb_streams.errors import DelayError, ServiceError, ThrottledError, UnavailableError
from beam_dynamodb_streams.reader.answers import MOST_REPEATS
from beam_dynamodb_streams.reader.dynamodb_streams import TRAITS
from beam_dynamodb_streams.reader.lasting_faults import LastingFaults
from beam_dynamodb_streams.reader.page import Rules, deliver
from beam_dynamodb_streams.reader.reader import Reader
from beam_dynamodb_streams.reader.requests import Answer, Delayed, Failed, Found, List, PageRead, Probe, Read, Request
from beam_dynamodb_streams.reader.stream_caller import StreamCaller
from beam_dynamodb_streams.shards.frontier import Frontier, Hint, Reading, begin
from beam_dynamodb_streams.shards.position import TRIM_HORIZON, After, AtTime, Position
from beam_dynamodb_streams.testing import Faults
from beam_dynamodb_streams.wire import MalformedEntry, RecordsPage
from tests.reader.conftest import Bench

SHARD = Read("shard", TRIM_HORIZON)
ERROR = UnavailableError("GetRecords failed (503, HTTP 503)", shard="shard")


class Script:
    """A fetcher on a clock that moves by the time that it waits. Each request takes a second."""

    def __init__(self, answer: Callable[[Request, float], Answer | None]) -> None:
        self.time = 0.0
        self._answer = answer
        self._requests: list[Request] = []

    def now(self) -> float:
        return self.time

    def submit(self, request: Request) -> None:
        self._requests.append(request)

    def take(self, timeout: float) -> Answer | None:
        for index, request in enumerate(self._requests):
            if (answer := self._answer(request, self.time)) is not None:
                del self._requests[index]
                self.time += 1
                return answer
        self.time += timeout
        return None

    def close(self) -> None:
        pass


def run(
    answer: Callable[[Request, float], Answer | None], seconds: float, *requests: Request, **options: Any
) -> LastingFaults:
    """Make each request again as soon as it is answered."""
    script = Script(answer)
    faults = LastingFaults(script, script.now, **options)
    for request in requests:
        faults.submit(request)
    while script.time < seconds:
        if (taken := faults.take(5.0)) is not None:
            faults.submit(taken.request)
    return faults


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [entry.getMessage() for entry in caplog.records if entry.levelno >= logging.WARNING]


def failing(request: Request, now: float) -> Answer:
    return Delayed(request, ERROR)


def test_a_call_that_keeps_failing_is_reported_within_30_s_and_each_minute(caplog: pytest.LogCaptureFixture) -> None:
    faults = run(failing, 29, SHARD)
    (line,) = lines(caplog)
    assert line.startswith("GetRecords of shard shard has failed for 20 s without a break: GetRecords failed (503")
    assert faults.lasting()[0].seconds > 20
    caplog.clear()
    run(failing, 205, SHARD)
    assert len(lines(caplog)) == 4


def test_a_call_that_is_not_answered_is_reported_too(caplog: pytest.LogCaptureFixture) -> None:
    run(lambda *_: None, 29, SHARD, List())
    assert [line.split(". ")[0] for line in lines(caplog)] == [
        "GetRecords of shard shard has not been answered for 20 s",
        "DescribeStream has not been answered for 20 s",
    ]


def test_many_shards_that_fail_are_one_line(caplog: pytest.LogCaptureFixture) -> None:
    run(failing, 60, *[Read(f"shard-{n}", TRIM_HORIZON) for n in range(30)])
    assert ["(and 29 other requests)" in line for line in lines(caplog)] == [True]


def test_it_is_reported_once_when_it_has_passed(caplog: pytest.LogCaptureFixture) -> None:
    def passes(request: Request, now: float) -> Answer:
        return Delayed(request, ERROR) if now < 50 else Found(Probe("a"))

    faults = run(lambda request, now: replace_request(passes(request, now), request), 100, Probe("a"))
    assert [line.split(",")[0] for line in lines(caplog)][1:] == ["GetShardIterator answers again"]
    assert faults.lasting() == []


def replace_request(answer: Answer, request: Request) -> Answer:
    return replace(answer, request=request)  # type: ignore[arg-type]


def test_a_fault_that_passes_soon_is_a_delay_without_a_word(caplog: pytest.LogCaptureFixture) -> None:
    def flaky(request: Request, now: float) -> Answer:
        return Delayed(request, ERROR) if now % 10 < 9 else Found(Probe("a"))

    run(lambda request, now: replace_request(flaky(request, now), request), 300, Probe("a"))
    assert lines(caplog) == []


def test_a_pause_of_the_runner_is_not_a_call_without_an_answer(caplog: pytest.LogCaptureFixture) -> None:
    script = Script(lambda *_: None)
    faults = LastingFaults(script, script.now)
    faults.submit(SHARD)
    script.time += 300
    faults.take(1.0)
    assert lines(caplog) == []


def test_a_request_that_is_no_longer_wanted_is_forgotten() -> None:
    script = Script(failing)
    faults = LastingFaults(script, script.now)
    faults.submit(SHARD)
    for _ in range(40):
        faults.take(5.0)
    assert faults.lasting() == []


def test_give_up_after_raises_the_last_error_with_the_time() -> None:
    with pytest.raises(UnavailableError, match=r"\(503, HTTP 503\); it has failed for 30 s .* give_up_after=30 s"):
        run(failing, 100, SHARD, give_up_after=30.0)
    with pytest.raises(UnavailableError, match=r"shard shard has not been answered for 30 s, longer than give_up_aft"):
        run(lambda *_: None, 100, SHARD, give_up_after=30.0)


def test_the_same_garbage_each_time_is_an_error_and_not_a_delay() -> None:
    error = UnavailableError("the answer to GetRecords was cut off or garbled: no end")
    error.body_checksum = 7
    with pytest.raises(ServiceError, match=r"garbled: no end; the answer was the same \d+ times in 1\d s") as raised:
        run(lambda request, _: Delayed(request, error), 60, SHARD)
    assert not isinstance(raised.value, DelayError)


def test_other_garbage_each_time_is_a_delay() -> None:
    def garbage(request: Request, now: float) -> Answer:
        error = UnavailableError("garbled")
        error.body_checksum = int(now)
        return Delayed(request, error)

    run(garbage, 300, SHARD)


@pytest.mark.parametrize(
    "faults",
    [
        Faults(error={"GetRecords": 1.0}),
        Faults(throttle={"GetRecords": 1.0}),
        Faults(expire=1.0),
        Faults(error={"DescribeStream": 1.0}),
        Faults(error={"GetShardIterator": 1.0}),
    ],
    ids=repr,
)
def test_a_read_reports_each_kind_of_fault_that_does_not_pass(
    bench: Bench, faults: Faults, caplog: pytest.LogCaptureFixture
) -> None:
    bench.serve(faults=faults)
    bench.put(3)
    reading = bench.read().go(30)
    assert lines(caplog), "within 30 s"
    bench.service.faults = Faults()
    assert reading.go(30).ids == bench.written
    assert "answers again" in lines(caplog)[-1]


# Pages that repeat or go back


def entry(number: int) -> Any:
    return SimpleNamespace(sequence_number=str(number), creation_time=1000.0)


class Repeating:
    """A stream whose every page is made by `page`, with an iterator that advances."""

    name = "stream"

    def __init__(self, page: Callable[[int], RecordsPage]) -> None:
        self.traits, self._page, self.pages, self.iterators = TRAITS, page, 0, 0

    def iterator(self, shard: str, position: Position) -> str:  # noqa: ARG002
        self.iterators += 1
        return f"i{self.iterators}"

    def fetch(self, shard: str, iterator: str) -> RecordsPage:  # noqa: ARG002
        self.pages += 1
        return self._page(self.pages)

    def time(self) -> float:
        return 1000.0


def page_of(*numbers: int, malformed: tuple[MalformedEntry, ...] = ()) -> Callable[[int], RecordsPage]:
    return lambda n: RecordsPage(b"", [entry(number) for number in numbers], list(malformed), f"next-{n}")


@pytest.mark.parametrize("numbers", [(3, 4, 5), (5,), (1, 2), (4, 9)])
def test_a_page_at_or_before_the_position_is_an_error_that_names_shard_and_numbers(numbers: tuple[int, ...]) -> None:
    stream = Repeating(page_of(*numbers))
    answer = StreamCaller(stream).perform(Read("shard", After("5")))  # type: ignore[arg-type]
    assert isinstance(answer, Failed)
    assert f"sequence number {numbers[0]} after the position" in str(answer.error)
    assert "shard shard" in str(answer.error)
    assert stream.iterators == 5


def test_a_page_that_repeats_once_is_read_again_from_the_position() -> None:
    pages = iter([(3, 4, 5), (6, 7)])
    stream = Repeating(lambda n: page_of(*next(pages))(n))
    answer = StreamCaller(stream).perform(Read("shard", After("5")))  # type: ignore[arg-type]
    assert isinstance(answer, PageRead)
    assert [each.sequence_number for each in answer.records] == ["6", "7"]
    assert stream.iterators == 2


@pytest.mark.parametrize(
    ("position", "page"),
    [
        (TRIM_HORIZON, page_of(1, 2, 3)),
        (AtTime(5000), page_of(1, 2, 3)),
        (TRIM_HORIZON, page_of(malformed=(MalformedEntry(0, b"{}", "bad", None),))),
        (TRIM_HORIZON, page_of(malformed=(MalformedEntry(0, b"{}", "bad", "3"),))),
    ],
    ids=["records", "records before the start", "malformed without a number", "malformed"],
)
def test_a_page_that_repeats_for_ever_ends_the_read_with_an_error(
    position: Position, page: Callable[[int], RecordsPage]
) -> None:
    stream = Repeating(page)
    caller = StreamCaller(stream)  # type: ignore[arg-type]

    def answer(request: Request, _: float) -> Answer | None:
        return caller.perform(request) if isinstance(request, Read) else None

    script = Script(answer)
    reader = Reader(script, script.now, lambda: 1000.0, lambda: 0.5)
    frontier = Frontier(shards={"shard": Reading(position)})
    delivered = []

    def read_on() -> None:
        nonlocal frontier
        while (claim := reader.next(frontier, script.time + 60)) is not None and script.time < 600:
            delivered.extend([*claim.records, *claim.malformed])
            frontier = claim.frontier

    with pytest.raises(ServiceError, match=r"GetRecords returned .* Check the endpoint") as raised:
        read_on()
    assert raised.value.shard == "shard"
    assert len(delivered) <= max(3, MOST_REPEATS)


@pytest.mark.parametrize("empty", [0.0, 0.5])
def test_a_page_before_the_start_may_come_again_whenever_its_iterator_expires(bench: Bench, empty: float) -> None:
    """Trap 9: read from the position again, the shard begins with the same page, which is no repetition."""
    bench.serve(at_timestamp=False)
    bench.put(3)
    bench.clock.advance(60)
    start = int(bench.clock())
    bench.service.faults = Faults(expire=0.3, empty_page=empty)
    reading = bench.read(begin(AtTime(start), stream_arn=bench.orders.stream_arn))
    for _ in range(20):
        reading.go(10)
    bench.service.faults = Faults()
    new = bench.put(2)
    assert reading.go(60).ids == new


def test_numbers_out_of_order_in_a_page_are_delivered_and_move_no_position_back() -> None:
    page = page_of(6, 9, 7)(1)
    read = PageRead(Read("shard", After("5")), 1000.0, page, page.records, None, 0, None)
    frontier = Frontier(shards={"shard": Reading(After("5"))})
    open_read = replace(read, hint=Hint("next", 1000))
    moved = deliver(frontier, open_read, Rules())
    assert [each.sequence_number for each in moved.records] == ["6", "9", "7"]
    assert moved.frontier.shards["shard"].position == After("9")


def test_a_throttle_that_lasts_is_reported_with_its_error(caplog: pytest.LogCaptureFixture) -> None:
    run(lambda request, _: Delayed(request, ThrottledError("slow down")), 29, SHARD)
    assert "slow down" in lines(caplog)[0]
