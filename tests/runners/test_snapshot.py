"""A mirror of a whole table in a database, on each runner: short runs, and one of 50,000 items that is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from beam_dynamodb_streams.testing import LocalStreams, Table
from beam_dynamodb_streams.testing.values import attributes
from runners.flink import Flink
from tests.e2e.snapshot_driver import build, mirror_in
from tests.e2e.test_snapshot import Writer, orders_of


def expected(table: Table) -> dict[str, Any]:
    return {str(item["id"]): attributes(item) for item in table.items()}


def mirrored(service: LocalStreams, directory: Path, arguments: list[str]) -> None:
    """Mirror a table that changes for five seconds, and compare."""
    table = orders_of(service, 400)
    pipeline = beam.Pipeline(options=PipelineOptions(arguments))
    build(pipeline, service.endpoint_url, directory, stop=timedelta(seconds=12), units=30)
    writing = threading.Thread(target=Writer(table, keys=500).run, args=(5.0,), daemon=True)
    writing.start()
    pipeline.run().wait_until_finish(120_000)
    writing.join()
    assert mirror_in(directory) == expected(table)
    assert "snapshot-" in (directory / "progress.json").read_text(), "that the snapshot is complete is kept"


@pytest.mark.prism
def test_the_mirror_of_a_table_on_prism(service: LocalStreams, prism: str, tmp_path: Path) -> None:
    mirrored(service, tmp_path, ["--runner=PrismRunner", f"--prism_location={prism}", "--prism_log_level=error"])


@pytest.mark.flink
def test_the_mirror_of_a_table_on_flink(flink: Flink, service: LocalStreams, tmp_path: Path) -> None:
    mirrored(service, tmp_path, flink.arguments(parallelism=1, finite=True))


@pytest.mark.soak
@pytest.mark.parametrize("runner", ["FnApiRunner", pytest.param("PrismRunner", marks=pytest.mark.prism)])
def test_a_mirror_that_is_killed_five_times_is_the_table(
    service: LocalStreams, request: pytest.FixtureRequest, tmp_path: Path, runner: str
) -> None:
    """50,000 items, 20,000 writes meanwhile, splits, SIGKILL at five random moments, and a stream created again."""
    table = service.create_table("orders", keys={"id": "S"}, shards=4)
    table.put_many({"id": f"o-{n}", "n": 1, "text": "x" * 100} for n in range(50_000))
    options = [f"--runner={runner}"]
    if runner == "PrismRunner":
        options += [f"--prism_location={request.getfixturevalue('prism')}", "--prism_log_level=error"]
    random, writer, written = Random(5), Writer(table, keys=60_000), 0
    environment = {**os.environ, "AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}

    def start(stop: str) -> subprocess.Popen[bytes]:
        words = [sys.executable, "-m", "tests.e2e.snapshot_driver", service.endpoint_url, str(tmp_path), stop, *options]
        with (tmp_path / "log").open("ab") as log:
            return subprocess.Popen(words, env=environment, stdout=log, stderr=log, start_new_session=True)

    for kill in range(5):
        process = start("NEVER")
        end = time.monotonic() + random.uniform(10, 45)
        while time.monotonic() < end or written < 4_000 * (kill + 1):
            writer.write(20)
            written += 20
            time.sleep(0.08)
            assert process.poll() is None, (tmp_path / "log").read_text()[-2000:]
        if kill == 2:
            table.disable_stream()
            time.sleep(2.0)
            table.enable_stream(shards=3)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert written >= 20_000
    process = start("NEVER")
    deadline = time.monotonic() + 600
    while mirror_in(tmp_path) != expected(table):
        assert process.poll() is None, (tmp_path / "log").read_text()[-2000:]
        assert time.monotonic() < deadline, "the mirror does not become the table"
        time.sleep(2.0)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
