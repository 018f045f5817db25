"""`python -m pipelines.tail` as a process of its own: changes as they arrive, and a clean end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from beam_dynamodb_streams.testing import LocalStreams, Table
from tests.pipelines.processes import ROOT, interrupted, processes_of, program, until


@pytest.fixture
def orders(service: LocalStreams) -> Table:
    return service.create_table("orders", keys={"id": "S"}, shards=2)


@contextmanager
def tail(service: LocalStreams, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    words = ["-m", "pipelines.tail", "--table=orders", f"--endpoint_url={service.endpoint_url}", *arguments]
    with program(*words) as process:
        yield process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_changes_written_after_its_start_are_json_lines_until_it_is_interrupted(
    number: signal.Signals, service: LocalStreams, orders: Table
) -> None:
    with tail(service, "--raw") as process:
        assert process.stdout is not None
        until(lambda: service.counts.pages >= 2)
        changes = [orders.put({"id": "o-1", "n": n}) for n in range(3)]
        lines = [json.loads(process.stdout.readline()) for _ in changes]
        assert [line["event_id"] for line in lines] == [change.event_id for change in changes if change]
        assert interrupted(process, number) == ("", "")


@pytest.mark.prism
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_no_prism_is_left_behind(number: signal.Signals, service: LocalStreams, orders: Table, prism: str) -> None:
    with tail(service, "--raw", "--runner=PrismRunner", f"--prism_location={prism}", "--streaming") as process:
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
    with tail(service, "--raw", "--start=TRIM_HORIZON", "--stop=5") as process:
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


def test_for_people_each_change_is_a_line_without_colours_where_no_terminal_is(
    service: LocalStreams, orders: Table
) -> None:
    orders.put({"id": "o-9", "total": 9})
    orders.put({"id": "o-9", "total": 1009})
    orders.delete({"id": "o-9"})
    with tail(service, "--start=TRIM_HORIZON", "--stop=3") as process:
        printed, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (0, "")
    assert printed == "INSERT o-9  total 9\nMODIFY o-9  total 9 → 1009\nREMOVE o-9  total 1009\n"


def test_it_prints_the_kinds_of_change_that_are_asked_for(service: LocalStreams, orders: Table) -> None:
    orders.put({"id": "o-9", "total": 9})
    orders.put({"id": "o-9", "total": 1009})
    orders.delete({"id": "o-9"})
    with tail(service, "--event-names=insert,REMOVE", "--start=TRIM_HORIZON", "--stop=2") as process:
        printed, _ = process.communicate(timeout=30)
    assert [line[:6] for line in printed.splitlines()] == ["INSERT", "REMOVE"]
    with tail(service, "--event_names", "INSERT", "UPDATE") as process:
        printed, said = process.communicate(timeout=30)
    assert (process.returncode, printed) == (2, "")
    assert "--event_names: 'UPDATE' is no kind of change: use INSERT, MODIFY, REMOVE" in said


@pytest.mark.skipif(sys.platform == "win32", reason="NOT RUN: no pseudo-terminals")
def test_on_a_terminal_it_has_colours_unless_they_are_turned_off(service: LocalStreams, orders: Table) -> None:
    import pty

    orders.put({"id": "o-9", "total": 9})
    words = ["-m", "pipelines.tail", "--table=orders", f"--endpoint-url={service.endpoint_url}"]
    for off, coloured in (({}, True), ({"NO_COLOR": "1"}, False)):
        ours, theirs = pty.openpty()
        environment = {**os.environ, "TERM": "xterm", **off}
        command = [sys.executable, *words, "--start=TRIM_HORIZON", "--stop=1"]
        assert (
            subprocess.run(command, stdout=theirs, env=environment, cwd=ROOT, timeout=60, check=False).returncode == 0
        )
        os.close(theirs)
        printed = os.read(ours, 1000).decode()
        os.close(ours)
        assert ("\x1b[" in printed) is coloured
        assert "o-9" in printed


def test_a_stdout_that_knows_no_arrow_does_not_end_it(service: LocalStreams, orders: Table) -> None:
    orders.put({"id": "o-9", "total": 9})
    orders.put({"id": "o-9", "total": 10})
    words = ["-m", "pipelines.tail", "--table=orders", f"--endpoint-url={service.endpoint_url}"]
    command = [sys.executable, *words, "--start=TRIM_HORIZON", "--stop=2"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    printed = subprocess.run(command, capture_output=True, env=environment, cwd=ROOT, timeout=60, check=True).stdout
    assert rb"total 9 \u2192 10" in printed


def cpu_seconds(process: int) -> float:
    user, system = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


@pytest.mark.prism
@pytest.mark.skipif(sys.platform != "linux", reason="NOT RUN: no /proc")
def test_on_prism_the_first_change_is_there_after_little_work(service: LocalStreams, orders: Table, prism: str) -> None:
    """Three seconds of a machine that does nothing else; here its CPU time, which others do not lengthen."""
    orders.put({"id": "o-9", "total": 9})
    options = ["--start=TRIM_HORIZON", "--runner=PrismRunner", f"--prism_location={prism}", "--streaming"]
    with tail(service, *options) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "INSERT o-9  total 9\n"
        assert cpu_seconds(process.pid) < 2.5
