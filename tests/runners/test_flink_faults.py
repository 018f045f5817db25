"""The source on a session cluster of Flink with workers of their own, through failures and a change of parallelism."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms.window import FixedWindows

from beam_dynamodb_streams import ChangeRecord
from beam_dynamodb_streams.testing import LocalStreams, Table
from runners.flink import Flink, Job
from runners.flink.rest import OVER, jobs
from runners.workers import WorkerPool
from tests.e2e.workload import Writer, noted, read_orders
from tests.runners.test_flink import until

pytestmark = [pytest.mark.flink, pytest.mark.soak]

ROOT = Path(__file__).parents[2]
#: What workers import is this tree, whatever is installed.
PATH = os.pathsep.join([str(ROOT / "connector"), str(ROOT)])


class NoteOnWorker(beam.DoFn):
    """Notes each record and the process that handled it. Raises once, at the record of number `fails_at`."""

    def __init__(self, directory: str, fails_at: int = -1) -> None:
        self._directory, self._fails_at = directory, fails_at

    def process(self, element: ChangeRecord) -> Iterator[tuple[str, int]]:
        number = int((element.new_image or {}).get("n", -1))
        directory = Path(self._directory)
        (directory / f"worker-{os.getpid()}").touch()
        if number == self._fails_at and not (directory / "failed").exists():
            (directory / "failed").touch()
            raise RuntimeError("as asked")
        with (directory / "notes").open("a") as notes:
            line = [element.shard_id, element.sequence_number, str(element.keys["id"]), number]
            notes.write(json.dumps(line) + "\n")
        yield str(element.keys["id"]), number


@pytest.fixture(scope="module")
def cluster(flink_jars: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flink]:
    with Flink(tmp_path_factory.mktemp("cluster"), cluster=True) as started:
        yield started


@pytest.fixture(autouse=True)
def no_job_of_another_test(cluster: Flink) -> Iterator[None]:
    """A job that a failed test left behind would hold its slots."""
    yield
    for job in jobs(cluster.rest_url):
        if job.state not in OVER:
            job.cancel()


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerPool]:
    with WorkerPool(tmp_path_factory.mktemp("pool"), path=PATH) as started:
        yield started


@pytest.fixture
def orders(service: LocalStreams, tmp_path: Path) -> Table:
    (tmp_path / "notes").touch()
    return service.create_table("orders", keys={"id": "S"}, shards=4)


def submit(
    cluster: Flink,
    pool: WorkerPool,
    service: LocalStreams,
    directory: Path,
    *,
    parallelism: int = 2,
    fails_at: int = -1,
    savepoint: str | None = None,
) -> Job:
    arguments = cluster.arguments(parallelism=parallelism, environment=pool.address, savepoint=savepoint)
    pipeline = beam.Pipeline(options=PipelineOptions(arguments))
    read = read_orders(service, shard_groups=4, slice_time=timedelta(milliseconds=500))
    _ = pipeline | read | beam.ParDo(NoteOnWorker(str(directory), fails_at))
    pipeline.run()
    until(lambda: any(job.state == "RUNNING" for job in jobs(cluster.rest_url)))
    return cluster.job


def repeats(orders: Table, directory: Path) -> int:
    """How many notes are repeats; every change must be there, and nothing else."""
    counted = Counter(note[:2] for note in noted(directory / "notes"))
    assert set(counted) == {(change.shard_id, change.sequence_number) for change in orders.changes}
    return counted.total() - len(counted)


def all_noted(orders: Table, directory: Path) -> bool:
    return len({note[:2] for note in noted(directory / "notes")}) >= len(orders.changes)


def test_a_dofn_that_raises_loses_nothing(
    cluster: Flink, pool: WorkerPool, service: LocalStreams, orders: Table, tmp_path: Path
) -> None:
    job = submit(cluster, pool, service, tmp_path, fails_at=6_000)
    until(lambda: job.checkpoints > 0)
    writer = Writer(orders, 10_000, seed=5, restless=1.0)
    writer.start()
    writer.join()
    until(lambda: all_noted(orders, tmp_path), seconds=120)
    assert (tmp_path / "failed").exists()
    print("repeats:", repeats(orders, tmp_path))
    job.cancel()


def test_a_worker_that_is_killed_loses_nothing(
    cluster: Flink, pool: WorkerPool, service: LocalStreams, orders: Table, tmp_path: Path
) -> None:
    job = submit(cluster, pool, service, tmp_path)
    orders.put_many({"id": f"o-{n % 300}", "n": n} for n in range(3_000))
    until(lambda: job.checkpoints > 2 and all_noted(orders, tmp_path))
    for path in tmp_path.glob("worker-*"):
        os.kill(int(path.name.removeprefix("worker-")), signal.SIGKILL)
        path.unlink()
    writer = Writer(orders, 3_000, seed=6, restless=1.0)
    writer.start()
    writer.join()
    until(lambda: all_noted(orders, tmp_path), seconds=180)
    print("repeats:", repeats(orders, tmp_path))
    assert list(tmp_path.glob("worker-*")), "another worker has taken over"
    job.cancel()


@pytest.mark.parametrize("shards", [100])
def test_a_task_manager_that_is_killed_is_replaced_and_all_groups_resume(
    flink_jars: None, pool: WorkerPool, service: LocalStreams, tmp_path: Path, shards: int
) -> None:
    """One with free slots stands by. The heartbeat times out after 5 seconds, and a restart waits for another."""
    (tmp_path / "notes").touch()
    (tmp_path / "own").mkdir()
    orders = service.create_table("orders", keys={"id": "S"}, shards=shards)
    keys = [orders.keys_in(shard)[0] for shard in orders.open_shard_ids]
    with Flink(tmp_path / "own", cluster=True) as cluster:
        job = submit(cluster, pool, service, tmp_path, parallelism=4)
        orders.put_many({**key, "n": 1} for key in keys)
        until(lambda: job.checkpoints > 2 and all_noted(orders, tmp_path), seconds=180)
        cluster.start_task_manager()
        killed = time.monotonic()
        os.killpg(cluster.task_managers[0].group, signal.SIGKILL)
        orders.put_many({**key, "n": 2} for key in keys)
        until(lambda: first_noted(tmp_path, 2) is not None, seconds=180)
        first = time.monotonic() - killed
        until(lambda: all_noted(orders, tmp_path), seconds=180)
        last = time.monotonic() - killed
        print(f"{shards} shards in 4 groups: a first change {first:.1f} s after the kill, all after {last:.1f} s")
        print("repeats:", repeats(orders, tmp_path))
        job.cancel()


def first_noted(directory: Path, number: int) -> object | None:
    return next((note for note in noted(directory / "notes") if note[-1] == number), None)


def test_from_a_savepoint_two_slots_become_four_and_both_spread_the_groups(
    cluster: Flink, pool: WorkerPool, service: LocalStreams, orders: Table, tmp_path: Path
) -> None:
    orders.put_many({"id": f"o-{n % 300}", "n": n} for n in range(3_000))
    job = submit(cluster, pool, service, tmp_path, parallelism=2)
    until(lambda: all_noted(orders, tmp_path) and job.checkpoints > 1)
    until(lambda: sum(slots_of(job)) == 4)  # Flink's own figures come some seconds later
    groups = slots_of(job)
    savepoint = job.stop_with_savepoint(cluster.savepoints)
    orders.roll_all()
    orders.split(orders.open_shard_ids[0])
    orders.put_many({"id": f"o-{n % 300}", "n": n + 10_000} for n in range(3_000))
    job = submit(cluster, pool, service, tmp_path, parallelism=4, savepoint=savepoint)
    until(lambda: all_noted(orders, tmp_path) and job.checkpoints > 0, seconds=120)
    print("repeats:", repeats(orders, tmp_path), "groups of the slots before:", groups)
    job.cancel()


def slots_of(job: Job) -> list[int]:
    """How many groups each subtask of the read has taken in."""
    [vertex] = [vertex for vertex in job.get()["vertices"] if "NoteOnWorker" in vertex["name"]]
    subtasks = job.get(f"/vertices/{vertex['id']}")["subtasks"]
    return [subtask["metrics"]["read-records"] for subtask in subtasks]


def test_windows_are_exact_while_one_shard_lags(
    cluster: Flink, service: LocalStreams, orders: Table, tmp_path: Path, pool: WorkerPool
) -> None:
    """Twenty seconds of changes wait in one shard; the other shards' windows must wait for it."""
    lagging, *rest = orders.open_shard_ids
    for second in range(20):
        for shard in (lagging, *rest):
            for keys in orders.keys_in(shard, 5):
                orders.put({**keys, "n": second})
    pipeline = beam.Pipeline(options=PipelineOptions(cluster.arguments(parallelism=2, environment=pool.address)))
    counted = (
        pipeline
        | read_orders(service, shard_groups=4)
        | beam.Map(lambda record: (record.shard_id, 1)).with_output_types(tuple[str, int])
        | beam.WindowInto(FixedWindows(2))
        | beam.CombinePerKey(sum)
    )
    path = str(tmp_path / "counts")
    Path(path).touch()

    def note(entry: tuple[str, int]) -> None:
        with Path(path).open("a") as out:
            out.write(json.dumps(entry) + "\n")

    _ = counted | beam.Map(note)
    pipeline.run()
    until(lambda: service.counts.calls["GetRecords"] > 0)

    def total() -> int:
        return sum(json.loads(line)[1] for line in Path(path).read_text().splitlines())

    until(lambda: total() >= len(orders.changes), seconds=120)
    assert total() == len(orders.changes)
    cluster.job.cancel()
