"""A read of a Kinesis data stream delivers what an unmodified consumer of amazon_kclpy processes.

The stream is kinesis-local's, which speaks HTTP/2 and CBOR, as the Kinesis Client Library (KCL) 2 and 3 do.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from threading import Thread

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from beam_dynamodb_streams import ChangeRecord, ReadFromKinesisDataStream
from beam_dynamodb_streams.testing import LocalStreams
from runners.flink import Flink
from tests.e2e.test_kinesis_local import Copy, endpoint, fill
from tests.kinesis.consumers import Consumer, Consumers, lease_servers, require, tail, wait_until
from tests.moto_server import moto_server
from tests.runners.conftest import flink, flink_jars

__all__ = ["endpoint", "flink", "flink_jars"]  # fixtures

Place = tuple[str, str]


@pytest.fixture
def workers(endpoint: str, tmp_path: Path) -> Iterator[Consumers]:
    with lease_servers(moto_server) as leases:
        found = Consumers(endpoint, tmp_path, leases)
        try:
            yield found
        finally:
            found.stop()


def started(workers: Consumers, name: str, stream: str) -> Consumer:
    """Start a consumer, and return it once it has both shards: kinesis-local lists more than KCL accepts later on."""
    require(name)
    workers.stream = stream
    worker = workers.start(name)

    def has_begun() -> bool:
        return sum(line["event"] == "initialize" for line in worker.lines) >= 2

    wait_until(has_begun, 90, lambda: f"{name} has not begun:\n{tail(worker.output)}")
    return worker


def await_numbers(worker: Consumer, placed: Iterable[Place], seconds: float) -> None:
    expected = {number for _, number in placed}

    def missing() -> str:
        return f"{worker.name} lacks {len(expected - processed(worker))} changes:\n{tail(worker.output)}"

    wait_until(lambda: expected <= processed(worker), seconds, missing)


def processed(worker: Consumer) -> set[str]:
    return {record["number"] for record in worker.records}


def note(change: ChangeRecord, path: str) -> None:
    with Path(path).open("a") as lines:
        lines.write(json.dumps([change.shard_id, change.sequence_number]) + "\n")


def noted(path: Path) -> list[Place]:
    whole = path.read_text().rpartition("\n")[0]  # the last line may just be being written
    return [(shard, number) for shard, number in map(json.loads, whole.splitlines())]


def check(found: list[Place], placed: list[Place]) -> None:
    """Fail unless each change came once, and those of each shard in order."""
    assert sorted(found) == sorted(placed)
    by_shard: dict[str, list[int]] = defaultdict(list)
    for shard, number in found:
        by_shard[shard].append(int(number))
    assert all(numbers == sorted(numbers) for numbers in by_shard.values())


def reading(endpoint: str, copy: Copy, path: Path, arguments: list[str], **options: object) -> beam.Pipeline:
    path.touch()
    pipeline = beam.Pipeline(options=PipelineOptions(arguments))
    source = ReadFromKinesisDataStream(
        copy.name,
        endpoint_url=endpoint,
        region_name="us-east-1",
        watermark_slack=timedelta(seconds=2),
        **options,  # type: ignore[arg-type]
    )
    _ = pipeline | source | beam.Map(note, str(path))
    return pipeline


@pytest.mark.timeout(240)
def test_it_delivers_what_kcl_processes_through_a_split_and_a_merge(
    endpoint: str, service: LocalStreams, workers: Consumers, tmp_path: Path
) -> None:
    copy = Copy(endpoint, "as-kcl")
    worker = started(workers, "kcl 2.7.2", copy.name)
    placed = fill(copy, service, 600, seed=3, parts=3)
    found = tmp_path / "found"
    reading(endpoint, copy, found, ["--runner=FnApiRunner"], stop=len(placed)).run().wait_until_finish()
    await_numbers(worker, placed, 90)
    check(noted(found), placed)
    assert processed(worker) == {number for _, number in noted(found)}


@pytest.mark.soak
@pytest.mark.flink
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", ["kcl 2.7.2", "kcl 3.1.3"])
def test_20_000_changes_on_flink_are_what_kcl_processes(
    name: str, endpoint: str, service: LocalStreams, workers: Consumers, tmp_path: Path, flink: Flink
) -> None:
    """The stream splits and merges while both read it. The read has two groups for each of two slots."""
    copy = Copy(endpoint, f"as-{name.replace(' ', '-').replace('.', '-')}")
    worker = started(workers, name, copy.name)
    found = tmp_path / "found"
    placed: list[Place] = []
    writer = Thread(target=lambda: placed.extend(fill(copy, service, 20_000, seed=4)), daemon=True)
    pipeline = reading(endpoint, copy, found, flink.arguments(parallelism=2))
    pipeline.run()
    writer.start()
    writer.join(300)
    assert len(placed) == 20_000
    wait_until(lambda: len(noted(found)) >= len(placed), 300, lambda: f"{len(noted(found))} of {len(placed)} came")
    time.sleep(3)
    flink.job.cancel()
    await_numbers(worker, placed, 300)
    check(noted(found), placed)
    assert processed(worker) == {number for _, number in noted(found)}
