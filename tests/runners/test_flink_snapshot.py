"""A mirror of a whole table on a session cluster of Flink, and jobs whose saved state stands in an older stream."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from random import Random
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from beam_dynamodb_streams.testing import LocalStreams, Table
from runners.flink import Flink, Job
from runners.flink.rest import jobs
from runners.workers import WorkerPool
from tests.e2e.snapshot_driver import UpsertOrders, build, mirror_in
from tests.e2e.test_snapshot import Writer
from tests.e2e.workload import Note, assert_each_once_and_in_order, noted, read_orders
from tests.runners.test_flink import until
from tests.runners.test_flink_faults import PATH
from tests.runners.test_snapshot import expected

pytestmark = [pytest.mark.flink, pytest.mark.soak]


class UpsertOnWorker(UpsertOrders):
    """Also leaves a file that is named by its process."""

    def start_bundle(self) -> None:
        (Path(self._path).parent / f"worker-{os.getpid()}").touch()
        super().start_bundle()


def kill_workers(directory: Path) -> None:
    for path in directory.glob("worker-*"):
        path.unlink()
        os.kill(int(path.name.removeprefix("worker-")), signal.SIGKILL)


def test_a_mirror_whose_processes_are_killed_five_times_is_the_table(
    flink_jars: None, service: LocalStreams, tmp_path: Path
) -> None:
    """50,000 items, 20,000 writes meanwhile, splits, five SIGKILLs at random moments, and a stream created again.

    Workers and the task manager are killed in turn. At the third kill the job's checkpoints stand in the old stream.
    """
    table = service.create_table("orders", keys={"id": "S"}, shards=4)
    table.put_many({"id": f"o-{n}", "n": 1, "text": "x" * 100} for n in range(50_000))
    random, writer, written = Random(5), Writer(table, keys=60_000), 0
    (tmp_path / "own").mkdir()
    with Flink(tmp_path / "own", cluster=True) as cluster, WorkerPool(tmp_path, path=PATH) as pool:
        pipeline = beam.Pipeline(options=PipelineOptions(cluster.arguments(environment=pool.address)))
        build(pipeline, service.endpoint_url, tmp_path, stop=None, sink=UpsertOnWorker)
        pipeline.run()
        until(lambda: any(tmp_path.glob("worker-*")), seconds=60)
        job = cluster.job
        for kill in range(5):
            end = time.monotonic() + random.uniform(3, 25)
            while time.monotonic() < end or written < 4_000 * (kill + 1):
                writer.write(20)
                written += 20
                time.sleep(0.05)
            if kill == 2:
                table.disable_stream()
                time.sleep(2.0)
                table.enable_stream(shards=3)
            if kill % 2:
                cluster.start_task_manager()
                os.killpg(cluster.task_managers[-2].group, signal.SIGKILL)
            else:
                kill_workers(tmp_path)
        assert written >= 20_000
        until(lambda: mirror_in(tmp_path) == expected(table), seconds=600)
        assert int(job.get("/checkpoints")["counts"]["restored"]) >= 5
        job.cancel()


def put(orders: Table, generation: int) -> None:
    orders.put_many({"id": f"o-{n % 40}", "n": generation * 1000 + n} for n in range(150))


def submit(cluster: Flink, pool: WorkerPool, service: LocalStreams, notes: Path, savepoint: str | None) -> Job:
    arguments = cluster.arguments(environment=pool.address, savepoint=savepoint)
    pipeline = beam.Pipeline(options=PipelineOptions(arguments))
    read: Any = read_orders(service, on_new_stream="follow", on_data_loss="continue")
    _ = pipeline | read | "note" >> beam.ParDo(Note(str(notes)))
    pipeline.run()
    until(lambda: any(job.state == "RUNNING" for job in jobs(cluster.rest_url)))
    return cluster.job


def test_a_savepoint_that_stands_in_the_old_stream_is_followed(
    flink_jars: None, service: LocalStreams, tmp_path: Path
) -> None:
    """Between the savepoint and its restore the stream is written to, disabled and enabled again, and written to."""
    orders = service.create_table("orders", keys={"id": "S"}, shards=2)
    notes = tmp_path / "notes"
    notes.touch()
    (tmp_path / "own").mkdir()
    with Flink(tmp_path / "own", cluster=True) as cluster, WorkerPool(tmp_path, path=PATH) as pool:
        put(orders, 0)
        job = submit(cluster, pool, service, notes, None)
        until(lambda: len(noted(notes)) == 150 and job.checkpoints > 1)
        savepoint = job.stop_with_savepoint(cluster.savepoints)
        put(orders, 1)
        orders.disable_stream()
        orders.put({"id": "between"})
        orders.enable_stream(shards=3)
        put(orders, 2)
        job = submit(cluster, pool, service, notes, savepoint)
        until(lambda: len(noted(notes)) >= 450, seconds=120)
        job.cancel()
    assert_each_once_and_in_order(orders, notes)
