"""The source on Flink: Python workers in this process, behind Beam's job server with Flink embedded."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from beam_dynamodb_streams.testing import Faults, LocalStreams
from runners.flink import Flink
from runners.flink.rest import OVER
from tests.e2e.workload import Note, Writer, assert_each_once_and_in_order, noted, read_orders
from tests.pipelines.processes import interrupted, program
from tests.pipelines.test_run_pipeline import PROGRAM

FAULTS = Faults(throttle=0.05, error=0.02, drop=0.02, empty_page=0.3, list_delay=1.0, list_holes=0.1)


def until(holds: Callable[[], bool], *, seconds: float = 60.0) -> None:
    """Waits for what other processes do: there is no clock to pass to them."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not seen within {seconds} seconds"
        time.sleep(0.05)


@pytest.mark.flink
def test_a_bounded_read_delivers_each_change_once_and_in_order_through_all_faults(
    flink: Flink, service: LocalStreams, tmp_path: Path
) -> None:
    orders = service.create_table("orders", keys={"id": "S"}, shards=3)
    for generation in range(3):
        orders.put_many({"id": f"o-{n % 500}", "n": generation * 1000 + n} for n in range(1000))
        orders.roll(orders.open_shard_ids[0])
        orders.split(orders.open_shard_ids[-1])
    service.faults = FAULTS
    pipeline = beam.Pipeline(options=PipelineOptions(flink.arguments(parallelism=2, finite=True)))
    _ = pipeline | read_orders(service, stop="NOW") | beam.ParDo(Note(str(tmp_path / "notes")))
    result = pipeline.run()
    assert result.wait_until_finish(120_000) == "DONE"
    assert_each_once_and_in_order(orders, tmp_path / "notes")
    assert max(service.counts.readers.values()) == 1


@pytest.mark.flink
def test_an_unbounded_read_follows_new_shards_and_really_stops_when_it_is_cancelled(
    flink: Flink, service: LocalStreams, tmp_path: Path
) -> None:
    orders = service.create_table("orders", keys={"id": "S"}, shards=2)
    notes = tmp_path / "notes"
    notes.touch()
    pipeline = beam.Pipeline(options=PipelineOptions(flink.arguments(parallelism=2)))
    _ = pipeline | read_orders(service) | beam.ParDo(Note(str(notes)))
    pipeline.run()
    writer = Writer(orders, 2_000, seed=3, restless=0.3)
    writer.start()
    writer.join()  # it ends by disabling the stream
    until(lambda: len(noted(notes)) >= len(orders.changes))
    assert len(orders.shard_ids) > 4
    assert_each_once_and_in_order(orders, notes)
    job = flink.job
    until(lambda: job.checkpoints > 0)
    job.cancel()
    assert job.state in OVER
    until(lambda: is_left_alone(service), seconds=30)  # the slices under way may end


@pytest.mark.flink
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_pipeline_of_ones_own_ends_cleanly_after_a_signal(
    number: signal.Signals, flink: Flink, service: LocalStreams, tmp_path: Path
) -> None:
    service.create_table("orders", keys={"id": "S"}).put({"id": "o-1"})
    own = tmp_path / "own.py"
    own.write_text(PROGRAM.replace("STOP, ", ""))
    with program(str(own), service.endpoint_url, *flink.arguments(parallelism=1)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "o-1\n"
        printed, said = interrupted(process, number)
    assert set(printed.splitlines()) <= {"o-1"}  # Flink may have repeated it
    assert [line for line in said.splitlines() if "Unparseable argument" not in line] == []


@pytest.mark.flink
def test_an_error_of_the_connector_is_one_line_on_flink_too(
    flink: Flink, service: LocalStreams, tmp_path: Path
) -> None:
    own = tmp_path / "own.py"
    own.write_text(PROGRAM.replace("STOP", "stop=2"))
    with program(str(own), service.endpoint_url, *flink.arguments(parallelism=1, finite=True)) as process:
        printed, said = process.communicate(timeout=120)
    assert (process.returncode, printed) == (2, "")
    assert said.splitlines()[-1].startswith("own.py: error: table 'orders' does not exist")
    assert "Traceback" not in said


def is_left_alone(service: LocalStreams, *, seconds: float = 3.0) -> bool:
    """Whether nobody asks for anything for so long; a reader asks once in two seconds at least."""
    service.reset_counts()
    time.sleep(seconds)
    return not service.counts.calls


WITH_A_CHILD = """
import sys, time
from pathlib import Path
from runners.child import Child
child = Child(["/bin/sh", "-c", "echo begun; sleep 600 & sleep 600"], Path(sys.argv[1]), directory=None)
child.wait_for("(begun)")
print(child.group, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM])
def test_a_launcher_that_is_killed_leaves_no_process_behind(tmp_path: Path, ending: signal.Signals) -> None:
    launcher = subprocess.Popen(
        [sys.executable, "-c", WITH_A_CHILD, str(tmp_path / "child.log")], stdout=subprocess.PIPE, text=True
    )
    assert launcher.stdout is not None
    with launcher, launcher.stdout as says:
        group = int(says.readline())
        os.killpg(group, 0)
        launcher.send_signal(ending)
    until(lambda: not _exists(group), seconds=10)


def _exists(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
