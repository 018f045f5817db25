"""`python -m pipelines.tail` as a process of its own: changes as they arrive, and a clean end."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from beam_dynamodb_streams.testing import LocalStreams, Table

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def orders(service: LocalStreams) -> Table:
    return service.create_table("orders", keys={"id": "S"}, shards=2)


@contextmanager
def tail(service: LocalStreams, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run tail in a session of its own, so that every process that it starts can be found."""
    command = [sys.executable, "-m", "pipelines.tail", "--table=orders", f"--endpoint_url={service.endpoint_url}"]
    with subprocess.Popen(
        [*command, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def until(holds: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not seen within {seconds} seconds"
        time.sleep(0.02)


def processes_of(session: int) -> list[str]:
    """Return the processes of a session that still run (from /proc, so on Linux only)."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except OSError:  # it ended meanwhile
            continue
        state, _, _, of_session = text.rpartition(")")[2].split()[:4]
        if int(of_session) == session and state != "Z":
            found.append(text)
    return found


def interrupted(process: subprocess.Popen[str], number: signal.Signals) -> str:
    """Interrupt the process, and return what it wrote to stderr until it ended."""
    process.send_signal(number)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 128 + number
    assert "Traceback" not in said
    if sys.platform == "linux":
        until(lambda: not processes_of(process.pid), 5.0)
    return said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_changes_written_after_its_start_are_json_lines_until_it_is_interrupted(
    number: signal.Signals, service: LocalStreams, orders: Table
) -> None:
    with tail(service) as process:
        assert process.stdout is not None
        until(lambda: service.counts.pages >= 2)
        changes = [orders.put({"id": "o-1", "n": n}) for n in range(3)]
        lines = [json.loads(process.stdout.readline()) for _ in changes]
        assert [line["event_id"] for line in lines] == [change.event_id for change in changes if change]
        assert interrupted(process, number) == ""


@pytest.mark.prism
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_no_prism_is_left_behind(number: signal.Signals, service: LocalStreams, orders: Table, prism: str) -> None:
    with tail(service, "--runner=PrismRunner", f"--prism_location={prism}", "--streaming") as process:
        assert process.stdout is not None
        until(lambda: service.counts.pages >= 2)
        change = orders.put({"id": "o-1", "n": 1})
        assert change is not None
        assert json.loads(process.stdout.readline())["event_id"] == change.event_id
        assert len(processes_of(process.pid)) == 2
        interrupted(process, number)


def test_it_ends_quietly_once_nobody_reads_its_output(service: LocalStreams, orders: Table) -> None:
    with tail(service, "--start=TRIM_HORIZON") as process:
        assert process.stdout is not None
        orders.put({"id": "o-1", "n": 1})
        process.stdout.readline()
        process.stdout.close()
        orders.put({"id": "o-1", "n": 2})
        assert process.stderr is not None
        said = process.stderr.read()
        assert process.wait(20) == 128 + signal.SIGTERM
        assert "Traceback" not in said
        assert "BrokenPipe" not in said


def test_with_a_stop_it_ends_by_itself(service: LocalStreams, orders: Table) -> None:
    orders.put_many({"id": f"o-{n}", "n": n} for n in range(5))
    with tail(service, "--start=TRIM_HORIZON", "--stop=5") as process:
        printed, _ = process.communicate(timeout=30)
        assert process.returncode == 0
    assert sorted(json.loads(line)["event_id"] for line in printed.splitlines()) == sorted(
        change.event_id for change in orders.changes
    )


def test_a_table_that_does_not_exist_is_reported_in_one_line(service: LocalStreams) -> None:
    with tail(service) as process:
        printed, said = process.communicate(timeout=30)
        assert process.returncode == 2
    assert printed == ""
    assert said.splitlines()[-1].startswith("python -m pipelines.tail: error: table 'orders' does not exist")
    assert "Traceback" not in said
