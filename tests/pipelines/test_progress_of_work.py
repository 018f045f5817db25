"""Long work says how far it is: a line on a terminal, and a line now and then elsewhere."""

from __future__ import annotations

import io
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from beam_dynamodb_streams.commands import handle
from beam_dynamodb_streams.commands.status_line import start_text, status_line
from beam_dynamodb_streams.commands.terminal import Terminal
from beam_dynamodb_streams.testing import LocalStreams
from tests.pipelines.screen import screen


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def until(stream: io.StringIO, text: str, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while text not in stream.getvalue():
        assert time.monotonic() < deadline, stream.getvalue()
        time.sleep(0.02)


def test_without_a_terminal_a_line_is_printed_now_and_then() -> None:
    stream = io.StringIO()
    with redirect_stderr(stream), status_line(log_interval=0.05, start="reading the exports", prog="repair"):
        until(stream, "repair: reading the exports, for 3s\n")
    assert "\r" not in stream.getvalue()


def test_on_a_terminal_a_run_that_reports_nothing_yet_says_what_it_does() -> None:
    stream = Screen()
    with redirect_stderr(stream), status_line(interval=0.05, start="taking over from kcl://leases"):
        until(stream, "taking over from kcl://leases, for 3s")
    assert screen(stream.getvalue()) == [""]


@pytest.mark.parametrize(
    ("start", "exports", "snapshot", "text"),
    [
        ("TRIM_HORIZON", None, None, "starting"),
        ("kcl://leases", None, None, "taking over from kcl://leases"),
        ("TRIM_HORIZON", None, ["scan"], "beginning the scan"),
        ("TRIM_HORIZON", None, ["s3://b/AWSDynamoDB/1"], "reading the exports of the snapshot"),
        (None, ["s3://b/AWSDynamoDB/1"], None, "reading the exports"),
    ],
)
def test_the_start_is_named_after_what_it_takes(start: object, exports: object, snapshot: object, text: str) -> None:
    assert start_text(start, exports, snapshot) == text


def test_what_is_printed_on_stdout_goes_above_the_line() -> None:
    both = Screen()
    terminal = Terminal(both)
    terminal.show("10 records")
    with redirect_stdout(terminal.beside(both)):
        print("of a handler")
    terminal.show("20 records")
    assert screen(both.getvalue()) == ["of a handler", "20 records"]
    terminal.close()
    assert screen(both.getvalue()) == ["of a handler", ""]


def test_handle_shows_its_progress(service: LocalStreams, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service.create_table("orders", keys={"id": "S"}).put_many([{"id": "o-1"}, {"id": "o-2"}])
    (tmp_path / "slow_app.py").write_text(
        "import time\n\n\ndef handler(event, context):\n    time.sleep(1.2)\n"
        "    print('handled', len(event['Records']))\n"
    )
    monkeypatch.chdir(tmp_path)
    stream, printed = Screen(), Screen()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(sys, "stdout", printed)
    words = ["--table=orders", f"--endpoint-url={service.endpoint_url}", "--region=us-east-1", "--runner=FnApiRunner"]
    assert handle.main([*words, "--handler=slow_app.handler", "--batch-size=1", "--stop=2"]) == 0
    assert "records" in stream.getvalue()
    assert printed.getvalue().count("handled 1\n") == 2
