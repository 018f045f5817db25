"""`python -m pipelines.tail` as a process of its own: changes as they arrive, and a clean end."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from beam_dynamodb_streams.testing import LocalStreams, Table
from tests.pipelines.processes import interrupted, processes_of, program, until


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
    with tail(service) as process:
        assert process.stdout is not None
        until(lambda: service.counts.pages >= 2)
        changes = [orders.put({"id": "o-1", "n": n}) for n in range(3)]
        lines = [json.loads(process.stdout.readline()) for _ in changes]
        assert [line["event_id"] for line in lines] == [change.event_id for change in changes if change]
        assert interrupted(process, number) == ("", "")


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
