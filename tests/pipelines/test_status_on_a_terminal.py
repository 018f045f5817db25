"""Exports whose stderr is a terminal, and one whose stderr is not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from beam_dynamodb_streams.testing import LocalStreams, Table
from tests.pipelines.screen import screen

pty = pytest.importorskip("pty")


@contextmanager
def on_a_terminal(service: LocalStreams, output: Path, *options: str) -> Iterator[tuple[subprocess.Popen[bytes], Told]]:
    """An export whose stderr is a terminal."""
    ours, theirs = pty.openpty()
    command = [
        *(sys.executable, "-m", "pipelines.export", "--table=orders", f"--output={output}", "--format=jsonl"),
        *(f"--endpoint_url={service.endpoint_url}", "--region_name=us-east-1", *options),
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=theirs) as process:
        os.close(theirs)
        hanging = threading.Timer(120, process.kill)
        hanging.start()
        try:
            yield process, Told(ours)
        finally:
            hanging.cancel()
            process.kill()
            os.close(ours)


class Told:
    """Return what was written to a terminal so far."""

    def __init__(self, file: int) -> None:
        self._file = file
        self.text = ""

    def until(self, shown: Callable[[str], bool]) -> str:
        while not shown(self.text) and self.more():
            pass
        return self.text

    def more(self) -> bool:
        try:
            data = os.read(self._file, 65536)
        except OSError:  # so Linux says that the other side has closed it
            return False
        self.text += data.decode()
        return bool(data)


@pytest.fixture
def orders(service: LocalStreams) -> Table:
    table = service.create_table("orders", keys={"id": "S"}, shards=2)
    table.put_many({"id": f"o-{n}"} for n in range(300))
    return table


def exported(output: Path) -> int:
    return sum(len(file.read_text().splitlines()) for file in output.rglob("*.jsonl"))


DIRECT = ("--runner=DirectRunner", "--prism_location=/prism/is/not/there")


def test_an_export_on_a_terminal_shows_a_status_line_and_removes_it(
    service: LocalStreams, orders: Table, tmp_path: Path
) -> None:
    """On FnApiRunner, which reports nothing before the end."""
    with on_a_terminal(service, tmp_path / "out", "--stop=400", *DIRECT) as (process, output):
        output.until(lambda text: "\r300 records" in text)
        orders.put_many({"id": f"p-{n}"} for n in range(100))
        output.until(lambda _: False)
        assert process.wait() == 0
    assert "2 shards open, 0 done" in output.text
    assert not [line for line in screen(output.text) if "records" in line]
    assert exported(tmp_path / "out") == 400


@pytest.mark.prism
def test_an_export_on_prism_shows_a_status_line(
    service: LocalStreams, orders: Table, prism: str, tmp_path: Path
) -> None:
    options = ("--stop=400", "--runner=PrismRunner", f"--prism_location={prism}")
    with on_a_terminal(service, tmp_path / "out", *options) as (process, output):
        output.until(lambda text: "\r300 records" in text)
        orders.put_many({"id": f"p-{n}"} for n in range(100))
        output.until(lambda _: False)
        assert process.wait() == 0
    assert not [line for line in screen(output.text) if "records" in line]


def test_an_interrupted_export_leaves_a_clean_terminal(service: LocalStreams, orders: Table, tmp_path: Path) -> None:
    with on_a_terminal(service, tmp_path / "out", "--stop=400", *DIRECT) as (process, output):
        output.until(lambda text: "\r300 records" in text)
        process.send_signal(signal.SIGINT)
        output.until(lambda _: False)
        assert process.wait() == 130
    assert not [line for line in screen(output.text) if "records" in line]
    assert screen(output.text)[-1] == ""


def test_an_export_whose_stderr_is_not_a_terminal_shows_no_status_line(
    service: LocalStreams, orders: Table, tmp_path: Path
) -> None:
    command = [
        *(sys.executable, "-m", "pipelines.export", "--table=orders", f"--output={tmp_path}", "--format=jsonl"),
        *(f"--endpoint_url={service.endpoint_url}", "--region_name=us-east-1", "--stop=300", *DIRECT),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "records" not in done.stderr
    assert "\r" not in done.stderr
    assert exported(tmp_path) == 300
