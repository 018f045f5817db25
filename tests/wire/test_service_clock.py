"""The service's time by its answers: never ahead, and never back unless a clock was set (traps 3 and 5)."""

from __future__ import annotations

import time
from collections.abc import Callable
from email.utils import formatdate
from itertools import accumulate
from math import floor, inf

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted_endpoint import ScriptedEndpoint, Turn

from beam_dynamodb_streams.shards.quiet import NOT_QUIET, QuietRule
from beam_dynamodb_streams.wire import Client
from beam_dynamodb_streams.wire.clock import AGREEING_ANSWERS, ServiceClock, steady_clock

START = 1_700_000_000.0


class Machine:
    """A local clock that goes 90 s behind the service's, and a service clock that sees answers come."""

    def __init__(self) -> None:
        self.service = START
        self.clock = ServiceClock(lambda: self.local)

    @property
    def local(self) -> float:
        return self.service - 90

    @property
    def behind(self) -> float:
        return self.service - self.clock.now()

    def answer(self, *, on_the_way: float = 0.0625, on_the_way_back: float = 0.0625) -> None:
        sent = self.local
        self.service += on_the_way
        date = formatdate(floor(self.service), usegmt=True)
        self.service += on_the_way_back
        self.clock.observe(date, sent)


eighths = st.integers(0, 40).map(lambda number: number / 8)
legs = st.tuples(eighths, eighths, eighths)  # the wait before a call, its way there, its answer's way back


@given(st.lists(legs, min_size=1))
def test_slow_and_overtaken_answers_never_put_the_time_ahead_and_only_narrow_it(
    calls: list[tuple[float, float, float]],
) -> None:
    machine = Machine()
    sent = accumulate((wait for wait, _, _ in calls), initial=START)
    answers = [(at + there + back, at, at + there) for at, (_, there, back) in zip(sent, calls, strict=False)]
    before = inf
    for arrived, at, answered in sorted(answers):
        machine.service = arrived
        machine.clock.observe(formatdate(floor(answered), usegmt=True), at - 90)
        assert 0 <= machine.behind <= before
        before = machine.behind


def test_a_page_that_was_long_on_its_way_does_not_take_the_services_time_back() -> None:
    machine = Machine()
    machine.answer()
    known = machine.behind
    machine.service += 5.5
    machine.answer(on_the_way_back=3.0)
    assert machine.behind == known
    machine.answer(on_the_way=3.0)
    assert machine.behind == known


def test_a_quiet_proof_takes_its_time_though_an_answer_among_its_pages_is_slow() -> None:
    """Trap 5."""
    machine, rule = Machine(), QuietRule(pages=30, seconds=10.0)
    machine.answer()
    machine.service += 0.9
    machine.answer(on_the_way_back=3.25)  # of a busy shard, a large page on a slow line
    began, quiet = machine.service, NOT_QUIET
    while not quiet.proves(rule):
        quiet = quiet.empty_page(machine.clock.now())
        machine.answer()
        machine.service += 0.125
    assert machine.service - began >= 10


def test_of_two_answers_the_overtaken_one_adds_nothing() -> None:
    machine = Machine()
    overtaken = formatdate(START, usegmt=True)
    machine.service += 2
    machine.answer()
    known = machine.behind
    machine.clock.observe(overtaken, START - 90)
    assert machine.behind == known


def test_the_client_allows_for_the_time_that_its_request_was_under_way(
    endpoint: ScriptedEndpoint, make_client: Callable[..., Client]
) -> None:
    local = [START]

    def three_seconds() -> None:
        local[0] += 3

    page = {"Records": [], "NextShardIterator": "next"}
    endpoint.script = [Turn(page, date=START), Turn(page, date=START + 1, meanwhile=three_seconds)]
    client = make_client(clock=lambda: local[0])
    client.get_records("iterator")
    local[0] += 1
    client.get_records("iterator")
    assert client.service_time() == START + 4


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_machine_that_was_suspended_follows_the_service(hours: int) -> None:
    local = [START]
    clock = ServiceClock(lambda: local[0])
    clock.observe(formatdate(START, usegmt=True), local[0])
    local[0] += 5 + hours * 3600
    for _ in range(AGREEING_ANSWERS):
        clock.observe(formatdate(START + 5, usegmt=True), local[0])
    assert clock.now() == START + 5


@pytest.mark.parametrize("wrong", [-3600, -45, 45, 3600])
def test_one_wrong_date_moves_nothing(wrong: int) -> None:
    """Trap 28: one host, one proxy, one answer: the next ones contradict it."""
    machine = Machine()
    machine.answer()
    machine.service += 1
    machine.answer()
    before = machine.behind
    machine.clock.observe(formatdate(machine.service + wrong, usegmt=True), machine.local)
    assert machine.behind == before
    machine.service += 1
    machine.answer()
    assert 0 <= machine.behind <= before


@pytest.mark.parametrize("wrong", [-3600, 3600])
def test_a_first_date_that_is_wrong_yields_to_the_next_one(wrong: int) -> None:
    """A stop at NOW is resolved after two answers or more; the local clock is the third opinion."""
    clock = ServiceClock(lambda: START)
    clock.observe(formatdate(START + wrong, usegmt=True), START)
    clock.observe(formatdate(START, usegmt=True), START)
    assert clock.now() == START


def test_a_refused_signature_is_corrected_by_the_date_of_its_refusal() -> None:
    """A machine that was suspended signs with a time that is too old, and one answer must be enough."""
    machine = Machine()
    machine.answer()
    machine.clock.observe(formatdate(machine.service + 3600, usegmt=True), machine.local)
    assert machine.clock.correct_signing()
    assert machine.clock.signing() == pytest.approx(machine.service + 3600, abs=2)


def test_durations_do_not_depend_on_the_wall_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = steady_clock()
    began = clock()
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 3600)
    assert clock() - began < 60


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/New_York", "UTC"])
@pytest.mark.parametrize("written", ["-0000", "+0000", "GMT", "UTC", ""])
def test_a_date_without_a_zone_is_utc_wherever_this_machine_is(
    zone: str, written: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trap 28: Python takes `-0000` for a time without a zone, and such a time for one of this machine."""
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        clock = ServiceClock(lambda: START - 90)
        clock.observe(f"Tue, 14 Nov 2023 22:13:20 {written}".strip(), START - 90)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert clock.now() == START


@pytest.mark.parametrize(
    "date",
    [
        "",
        "yesterday",
        "Tue, 14 Nov 99999999999999999999 22:13:20 GMT",
        "Tue, 99999999999999999999 Nov 2023 22:13:20 GMT",
        "Tue, 14 Nov 2023 99999999999999999999:13:20 GMT",
        "Tue, 14 Nov 2023 22:13:20 +99999999999999999999",
        "Tue, 14 Nov 2023 22:13:20 -9999",
        f"Tue, 14 Nov {'9' * 5000} 22:13:20 GMT",
        "Fri, 31 Dec 9999 23:59:59 GMT",
        "\x00" * 40,
        "Tue, , , ,",
    ],
)
def test_a_date_that_is_garbage_is_no_date(date: str) -> None:
    """Trap 28."""
    clock = ServiceClock(lambda: START)
    clock.observe(date, START)
    assert clock.now() == START
    assert not clock.correct_signing()
