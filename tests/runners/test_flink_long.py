"""The source on Flink for minutes: everything goes wrong at once, and the cluster itself is killed."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from beam_dynamodb_streams.testing import LocalStreams
from runners.flink import Flink
from runners.workers import WorkerPool
from tests.e2e.test_faults import FAULTS
from tests.e2e.workload import Note, Writer, assert_each_once_and_in_order, read_orders
from tests.runners.test_flink import until
from tests.runners.test_flink_faults import PATH, all_noted, repeats, submit

pytestmark = [pytest.mark.flink, pytest.mark.soak]


def test_fifty_thousand_changes_come_once_and_in_order_through_all_faults(flink: Flink, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.touch()
    with LocalStreams(iterator_life=2.0, seed=7) as service:
        service.faults = FAULTS
        orders = service.create_table("orders", keys={"id": "S"}, shards=4)
        pipeline = beam.Pipeline(options=PipelineOptions(flink.arguments(parallelism=2)))
        _ = pipeline | read_orders(service) | beam.ParDo(Note(str(notes)))
        pipeline.run()
        writer = Writer(orders, 50_000, seed=7)
        writer.start()
        writer.join()
        until(lambda: notes.read_bytes().count(b"\n") >= len(orders.changes), seconds=600)
        job = flink.job
        size, taken = job.checkpoint_bytes, job.checkpoints
        job.cancel()
        assert_each_once_and_in_order(orders, notes)
        assert len(orders.shard_ids) > 4
        assert max(service.counts.readers.values()) == 1, "two readers of ours on one shard"
        print(f"{len(orders.shard_ids)} shards, {taken} checkpoints, the last one of {size:,} bytes")
        print(dict(service.counts.calls))


def test_after_a_killed_cluster_the_next_resumes_from_the_last_retained_checkpoint(
    flink_jars: None, service: LocalStreams, tmp_path: Path
) -> None:
    """Job manager, task manager, job server and workers at once; shards split and roll meanwhile."""
    notes = tmp_path / "notes"
    notes.touch()
    orders = service.create_table("orders", keys={"id": "S"}, shards=4)
    (tmp_path / "cluster").mkdir()
    writer = Writer(orders, 20_000, seed=8, restless=1.0)
    with ExitStack() as first:
        pool = first.enter_context(WorkerPool(tmp_path, path=PATH))
        cluster = first.enter_context(Flink(tmp_path / "cluster", cluster=True))
        job = submit(cluster, pool, service, tmp_path)
        until(lambda: job.checkpoints > 0, seconds=120)
        writer.start()
        until(lambda: notes.read_bytes().count(b"\n") > 5_000)
        assert cluster.job_server is not None
        assert cluster.job_manager is not None
        for child in (cluster.job_manager, *cluster.task_managers, cluster.job_server):
            os.killpg(child.group, signal.SIGKILL)
        for worker in tmp_path.glob("worker-*"):
            os.kill(int(worker.name.removeprefix("worker-")), signal.SIGKILL)
            worker.unlink()
    before = notes.read_bytes().count(b"\n")
    assert writer.is_alive(), "the kill came while there was more to read"
    with ExitStack() as second:
        pool = second.enter_context(WorkerPool(tmp_path, path=PATH))
        cluster = second.enter_context(Flink(tmp_path / "cluster", cluster=True))
        job = submit(cluster, pool, service, tmp_path, savepoint=last_checkpoint(tmp_path / "cluster"))
        writer.join()
        until(lambda: all_noted(orders, tmp_path) and job.checkpoints > 0, seconds=180)
        print(f"repeats: {repeats(orders, tmp_path)}, of {before} changes noted before the kill")
        assert list(tmp_path.glob("worker-*")), "other workers continue"
        job.cancel()


def last_checkpoint(directory: Path) -> str:
    """The newest that was completed: Flink writes its metadata last."""
    completed = (directory / "checkpoints").glob("*/chk-*/_metadata")
    return max(completed, key=lambda path: path.stat().st_mtime_ns).parent.as_uri()
