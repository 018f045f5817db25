"""The status line of a run: its text, what it leaves on a terminal, and when it is not shown."""

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
    """Return a frontier with a shard read up to each second, and with ended shards whose children are not yet known."""
    shards = {f"s-{n}": Reading(After("1"), int(at * MICROS)) for n, at in enumerate((second, *others))}
    return Frontier(shards={**shards, **{s: Reading(End(TRIM_HORIZON), int(second * MICROS)) for s in ended}})


def standing(frontier: Frontier, records: int = 0, *, stop: int | None = None, limit: int | None = None) -> LiveStatus:
    read = StreamRead("run", "arn", stop=stop, records=limit)
    return LiveStatus(read, frontier, NOW, records=records, finished=2, lag=4000.0)


# Its text


def test_there_is_no_text_before_a_read_has_reported() -> None:
    assert StatusText().update([], 0.0) == ""


def test_records_shards_and_lag_are_shown_at_once_and_a_rate_after_seconds() -> None:
    status = StatusText()
    reads = [standing(read_up_to(NOW - 60, NOW - 5, ended=("s-9",)), 12_000)]
    assert status.update(reads, 100.0) == "12,000 records, lag 1h07m, 2 shards open, 2 done"
    reads = [standing(read_up_to(NOW - 60, NOW - 5), 12_500)]
    assert status.update(reads, 102.0) == "12,500 records, lag 1h07m, 2 shards open, 2 done"
    reads = [standing(read_up_to(NOW - 60, NOW - 5), 16_000)]
    assert status.update(reads, 104.0) == "16,000 records, 1,000/s, lag 1h07m, 2 shards open, 2 done"


def test_the_rate_covers_the_last_seconds() -> None:
    status = StatusText()
    for second in range(60):
        said = status.update([standing(read_up_to(NOW), 1000 * min(second, 30) + 50 * max(0, second - 30))], second)
    assert ", 50/s, " in said


def test_the_groups_of_a_read_are_added_up() -> None:
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


def test_time_left_is_not_shown_while_it_cannot_be_estimated() -> None:
    """For an unbounded read, before a rate is known, with a shard of unknown progress, where nothing moves, and while
    it is being proven that nothing is left."""
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


def test_time_left_is_at_least_the_time_until_the_stop() -> None:
    """However fast the read catches up."""
    stop = int(NOW) + 600
    said = said_after(10.0, standing(read_up_to(NOW - DAY), 1, stop=stop), standing(read_up_to(NOW - 1), 2, stop=stop))
    assert "about 10m left" in said


def test_time_left_of_a_read_with_a_number_of_changes_follows_its_rate() -> None:
    said = said_after(10.0, standing(read_up_to(NOW), 100, limit=1000), standing(read_up_to(NOW), 400, limit=1000))
    assert said.startswith("400 records, 30/s, about 20s left, ")


def test_a_read_that_gets_nothing_shows_since_when_instead_of_an_old_lag() -> None:
    status = StatusText()
    for second in range(9):
        said = status.update([standing(read_up_to(NOW), 100)], second)
    assert said == "100 records, nothing new for 8s, 1 shard open, 2 done"


def test_headroom_is_shown_when_it_is_low() -> None:
    assert "headroom" not in StatusText().update([standing(read_up_to(NOW - 17 * 3600))], 0.0)
    assert StatusText().update([standing(read_up_to(NOW - 23 * 3600, NOW))], 0.0).endswith(", headroom 1h00m")
    assert StatusText().update([standing(read_up_to(NOW - 2 * DAY, NOW))], 0.0).endswith(", headroom 0s")


def test_after_the_end_the_line_says_that_files_are_written() -> None:
    said = StatusText().update([standing(Frontier(closed=True), 1234)], 0.0)
    assert said == "1,234 records, all read: writing what is left"


@pytest.mark.parametrize(
    ("seconds", "says"), [(0.4, "0s"), (119, "119s"), (120, "2m"), (3569, "59m"), (3599, "1h00m"), (90_000, "25h00m")]
)
def test_a_duration_has_at_most_two_units(seconds: float, says: str) -> None:
    assert short_duration(seconds) == says


# What it leaves on a terminal


def test_the_line_is_rewritten_in_place_and_cut_where_the_terminal_ends() -> None:
    stream = Screen()
    terminal = Terminal(stream)
    terminal.show("a longer line")
    assert screen(stream.getvalue()) == ["a longer line"]
    terminal.show("short")
    assert screen(stream.getvalue()) == ["short"]
    terminal.show("x" * 200)
    assert screen(stream.getvalue()) == ["x" * 79]


def test_other_output_goes_above_the_line() -> None:
    stream = Screen()
    terminal = Terminal(stream)
    terminal.show("10 records")
    with redirect_stderr(terminal):
        print("a warning", file=sys.stderr)
    terminal.show("20 records")
    assert screen(stream.getvalue()) == ["a warning", "20 records"]


def test_an_unfinished_line_of_other_output_is_not_written_into() -> None:
    stream = Screen()
    terminal = Terminal(stream)
    terminal.write("half a ")
    terminal.show("10 records")
    terminal.write("warning\n")
    assert screen(stream.getvalue()) == ["half a warning", ""]
    terminal.show("10 records")
    assert screen(stream.getvalue()) == ["half a warning", "10 records"]


def test_a_closed_line_is_gone_and_is_never_shown_again() -> None:
    stream = Screen()
    terminal = Terminal(stream)
    terminal.show("10 records")
    terminal.close()
    terminal.show("20 records")
    assert screen(stream.getvalue()) == [""]
    terminal.write("failed\n")
    assert screen(stream.getvalue()) == ["failed", ""]


def test_a_terminal_that_has_gone_does_not_end_the_run() -> None:
    class Gone(Screen):
        def write(self, text: str) -> int:  # noqa: ARG002
            raise OSError(5, "Input/output error")

    terminal = Terminal(Gone())
    terminal.show("10 records")
    terminal.close()


def test_nothing_is_written_where_stderr_is_not_a_terminal() -> None:
    stream = io.StringIO()
    with redirect_stderr(stream), status_line():
        assert sys.stderr is stream
    terminal = Terminal(stream)
    terminal.show("10 records")
    terminal.close()
    assert stream.getvalue() == ""


def test_log_lines_go_above_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """A handler keeps the stream that it was created with."""
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
