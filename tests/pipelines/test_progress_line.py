"""The line that tells how a run gets on: what it says, what it leaves of a terminal, and when there is none."""

from __future__ import annotations

import io
import logging
import sys
from contextlib import redirect_stderr

import pytest

from beam_dynamodb_streams.commands.status_line import StatusText, short_duration, status_line
from beam_dynamodb_streams.commands.terminal import Terminal
from beam_dynamodb_streams.shards.frontier import Frontier, Reading
from beam_dynamodb_streams.shards.loss import MICROS
from beam_dynamodb_streams.shards.position import TRIM_HORIZON, After, End
from beam_dynamodb_streams.source.live_status import LiveStatus
from beam_dynamodb_streams.source.stream_read import StreamRead
from tests.pipelines.screen import Screen, screen

DAY = 24 * 3600
NOW = 1_800_000_000.0


def read_up_to(second: float, *others: float, ended: tuple[str, ...] = ()) -> Frontier:
    """A shard is read up to each second; of those that ended the children are awaited."""
    shards = {f"s-{n}": Reading(After("1"), int(at * MICROS)) for n, at in enumerate((second, *others))}
    return Frontier(shards={**shards, **{s: Reading(End(TRIM_HORIZON), int(second * MICROS)) for s in ended}})


def standing(frontier: Frontier, records: int = 0, *, stop: int | None = None, limit: int | None = None) -> LiveStatus:
    read = StreamRead("run", "arn", stop=stop, records=limit)
    return LiveStatus(read, frontier, NOW, records=records, finished=2, lag=4000.0)


# What it says


def test_nothing_is_said_before_a_read_is_heard_of() -> None:
    assert StatusText().update([], 0.0) == ""


def test_records_shards_and_lag_are_told_at_once_and_a_rate_when_it_means_something() -> None:
    status = StatusText()
    reads = [standing(read_up_to(NOW - 60, NOW - 5, ended=("s-9",)), 12_000)]
    assert status.update(reads, 100.0) == "12,000 records, lag 1h07m, 2 shards open, 2 done"
    reads = [standing(read_up_to(NOW - 60, NOW - 5), 12_500)]
    assert status.update(reads, 102.0) == "12,500 records, lag 1h07m, 2 shards open, 2 done"
    reads = [standing(read_up_to(NOW - 60, NOW - 5), 16_000)]
    assert status.update(reads, 104.0) == "16,000 records, 1,000/s, lag 1h07m, 2 shards open, 2 done"


def test_the_rate_is_of_the_last_seconds() -> None:
    status = StatusText()
    for second in range(60):
        said = status.update([standing(read_up_to(NOW), 1000 * min(second, 30) + 50 * max(0, second - 30))], second)
    assert ", 50/s, " in said


def test_the_groups_of_a_read_are_one() -> None:
    status = StatusText()
    said = status.update([standing(read_up_to(NOW), 1000), standing(read_up_to(NOW, NOW), 500)], 0.0)
    assert said == "1,500 records, lag 1h07m, 3 shards open, 4 done"


def test_time_left_is_that_of_the_slowest_shard_at_its_pace_of_creation_time() -> None:
    """Half an hour is read in ten seconds; ten hours are left."""
    status = StatusText()
    stop = int(NOW)
    status.update([standing(read_up_to(NOW - 10.5 * 3600, NOW - 9 * 3600), 1, stop=stop)], 0.0)
    said = status.update([standing(read_up_to(NOW - 10 * 3600, NOW), 2, stop=stop)], 10.0)
    assert "about 3m left" in said


def test_time_left_is_not_told_while_it_means_nothing() -> None:
    """Of an unbounded read; before a pace is known; of a shard of which nothing is known; where nothing moves; while
    a quiet stream is proven to be that."""
    stop = int(NOW) - 20
    before, after = standing(read_up_to(NOW - 90), 1, stop=stop), standing(read_up_to(NOW - 80), 2, stop=stop)
    assert "left" in said_after(10.0, before, after)
    assert "left" not in said_after(10.0, standing(read_up_to(NOW - 90), 1), standing(read_up_to(NOW - 80), 2))
    assert "left" not in said_after(1.0, before, after)
    assert "left" not in said_after(10.0, before, standing(read_up_to(NOW - 90), 2, stop=stop))
    with_new = Frontier(shards={**after.frontier.shards, "new": Reading(TRIM_HORIZON)})
    assert "left" not in said_after(10.0, before, standing(with_new, 2, stop=stop))
    assert "left" not in said_after(10.0, before, standing(read_up_to(NOW - 80), 1, stop=stop))


def said_after(seconds: float, before: LiveStatus, after: LiveStatus) -> str:
    status = StatusText()
    status.update([before], 0.0)
    return status.update([after], seconds)


def test_a_stop_in_the_future_is_waited_for_at_least() -> None:
    """However fast the read catches up."""
    stop = int(NOW) + 600
    said = said_after(10.0, standing(read_up_to(NOW - DAY), 1, stop=stop), standing(read_up_to(NOW - 1), 2, stop=stop))
    assert "about 10m left" in said


def test_a_read_of_a_number_of_changes_has_so_many_left() -> None:
    said = said_after(10.0, standing(read_up_to(NOW), 100, limit=1000), standing(read_up_to(NOW), 400, limit=1000))
    assert said.startswith("400 records, 30/s, about 20s left, ")


def test_a_read_that_gets_nothing_says_since_when_instead_of_an_old_lag() -> None:
    status = StatusText()
    for second in range(9):
        said = status.update([standing(read_up_to(NOW), 100)], second)
    assert said == "100 records, nothing new for 8s, 1 shard open, 2 done"


def test_headroom_is_told_when_it_becomes_scarce() -> None:
    assert "headroom" not in StatusText().update([standing(read_up_to(NOW - 17 * 3600))], 0.0)
    assert StatusText().update([standing(read_up_to(NOW - 23 * 3600, NOW))], 0.0).endswith(", headroom 1h00m")
    assert StatusText().update([standing(read_up_to(NOW - 2 * DAY, NOW))], 0.0).endswith(", headroom 0s")


def test_after_the_end_the_files_are_waited_for() -> None:
    said = StatusText().update([standing(Frontier(closed=True), 1234)], 0.0)
    assert said == "1,234 records, all read: writing what is left"


@pytest.mark.parametrize(
    ("seconds", "says"), [(0.4, "0s"), (119, "119s"), (120, "2m"), (3569, "59m"), (3599, "1h00m"), (90_000, "25h00m")]
)
def test_a_length_of_time_has_two_units_at_most(seconds: float, says: str) -> None:
    assert short_duration(seconds) == says


# What it leaves of a terminal


def test_the_line_is_rewritten_in_place_and_cut_where_the_terminal_ends() -> None:
    stream = Screen()
    terminal = Terminal(stream)
    terminal.show("a longer line")
    assert screen(stream.getvalue()) == ["a longer line"]
    terminal.show("short")
    assert screen(stream.getvalue()) == ["short"]
    terminal.show("x" * 200)
    assert screen(stream.getvalue()) == ["x" * 79]


def test_what_else_is_written_stands_above_the_line() -> None:
    stream = Screen()
    terminal = Terminal(stream)
    terminal.show("10 records")
    with redirect_stderr(terminal):
        print("a warning", file=sys.stderr)
    terminal.show("20 records")
    assert screen(stream.getvalue()) == ["a warning", "20 records"]


def test_a_line_that_another_has_begun_is_not_written_into() -> None:
    stream = Screen()
    terminal = Terminal(stream)
    terminal.write("half a ")
    terminal.show("10 records")
    terminal.write("warning\n")
    assert screen(stream.getvalue()) == ["half a warning", ""]
    terminal.show("10 records")
    assert screen(stream.getvalue()) == ["half a warning", "10 records"]


def test_a_closed_line_is_gone_and_comes_never_again() -> None:
    stream = Screen()
    terminal = Terminal(stream)
    terminal.show("10 records")
    terminal.close()
    terminal.show("20 records")
    assert screen(stream.getvalue()) == [""]
    terminal.write("failed\n")
    assert screen(stream.getvalue()) == ["failed", ""]


def test_a_terminal_that_has_gone_is_no_reason_to_end() -> None:
    class Gone(Screen):
        def write(self, text: str) -> int:  # noqa: ARG002
            raise OSError(5, "Input/output error")

    terminal = Terminal(Gone())
    terminal.show("10 records")
    terminal.close()


def test_nothing_is_written_where_stderr_is_no_terminal() -> None:
    stream = io.StringIO()
    with redirect_stderr(stream), status_line():
        assert sys.stderr is stream
    terminal = Terminal(stream)
    terminal.show("10 records")
    terminal.close()
    assert stream.getvalue() == ""


def test_what_is_logged_to_the_terminal_stands_above_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """A handler keeps the stream that it was made for."""
    stream = Screen()
    handler = logging.StreamHandler(stream)
    monkeypatch.setattr(logging.getLogger(), "handlers", [handler])
    with redirect_stderr(stream), status_line(interval=3600):
        assert isinstance(sys.stderr, Terminal)
        sys.stderr.show("10 records")
        logging.getLogger("a.runner").error("it is said aloud")
        sys.stderr.show("20 records")
        assert screen(stream.getvalue()) == ["it is said aloud", "20 records"]
    assert screen(stream.getvalue()) == ["it is said aloud", ""]
    assert handler.stream is stream
