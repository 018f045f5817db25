"""Unmodified consumers read a table through the server, while its shards roll and split and workers are killed."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from beam_dynamodb_streams import ReadFromDynamoDBStreams
from beam_dynamodb_streams.kinesis.interface import Interface
from beam_dynamodb_streams.kinesis.server import KinesisServer
from beam_dynamodb_streams.source import worker_cache
from beam_dynamodb_streams.testing import LocalStreams, Table
from beam_dynamodb_streams.wire import Client
from tests.e2e.collected import outputs_of
from tests.kinesis.consumers import NAMES, Consumer, Consumers, lease_servers, require, tail, wait_until
from tests.moto_server import moto_server

#: How long a consumer may take to find children: any KCL looks after some seconds, and KCL 3 assigns leases seldom.
PATIENCE = 45.0

#: Others run on the machine at the same time.
pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def orders(service: LocalStreams) -> Table:
    return service.create_table("orders", keys={"id": "S"}, shards=2)


@pytest.fixture
def consumers(service: LocalStreams, orders: Table, tmp_path: Path) -> Iterator[Consumers]:
    client = Client(endpoint_url=service.endpoint_url)
    with KinesisServer(Interface(client, [orders.stream_arn])) as server, lease_servers(moto_server) as leases:
        found = Consumers(server.endpoint_url, tmp_path, leases)
        try:
            yield found
        finally:
            found.stop()
    client.close()


def write(table: Table, count: int) -> None:
    """Write to all shards."""
    first = len(table.changes)
    table.put_many({"id": f"o-{number}"} for number in range(first, first + count))


def processed(consumer: Consumer) -> list[str]:
    return [record["number"] for record in consumer.records]


def await_all(table: Table, consumers: Sequence[Consumer], seconds: float = PATIENCE) -> None:
    """Wait until each of the consumers has processed each change."""
    expected = {change.sequence_number for change in table.changes}
    for consumer in consumers:

        def missing(consumer: Consumer = consumer) -> str:
            left = len(expected - set(processed(consumer)))
            return f"{consumer.name} has not processed {left} of {len(expected)} changes:\n{tail(consumer.output)}"

        def done(consumer: Consumer = consumer) -> bool:
            whole = expected <= set(processed(consumer))
            if not whole and consumer.process.poll() not in (None, 0):
                pytest.fail(f"{consumer.name} ended: {missing(consumer)}")
            return whole

        wait_until(done, seconds, missing)


def check(table: Table, consumer: Consumer, *, repeats: bool = False) -> None:
    """Fail unless a consumer processed each change, once without `repeats`, and each shard in order."""
    numbers = processed(consumer)
    assert set(numbers) == {change.sequence_number for change in table.changes}
    first = list(dict.fromkeys(numbers))
    if not repeats:
        assert len(numbers) == len(first), f"{consumer.name} processed changes twice"
    shards = {change.sequence_number: change.shard_id for change in table.changes}
    by_shard = defaultdict(list)
    for number in first:
        by_shard[shards[number]].append(int(number))
    assert all(each == sorted(each) for each in by_shard.values())
    parents = table.lineage
    for shard, each in by_shard.items():
        parent = parents[shard]
        if parent in by_shard:
            ended = max(first.index(str(number)) for number in by_shard[parent])
            assert ended < first.index(str(each[0])), f"{consumer.name} began {shard} before the end of its parent"


def read_through(table: Table, consumers: Consumers, names: Sequence[str]) -> list[Consumer]:
    """Let consumers read a table while one of its shards rolls and another splits."""
    write(table, 40)
    started = [consumers.start(name) for name in names]
    await_all(table, started)
    table.roll(table.open_shard_ids[0])
    write(table, 20)
    table.split(table.open_shard_ids[1])
    write(table, 40)
    await_all(table, started)
    return started


def test_the_npm_client_reads_through_a_roll_and_a_split(orders: Table, consumers: Consumers) -> None:
    """It speaks HTTP/2 alone (trap 30)."""
    require("npm")
    (consumer,) = read_through(orders, consumers, ["npm"])
    check(orders, consumer)


def test_async_kinesis_reads_through_a_roll_and_a_split(orders: Table, consumers: Consumers) -> None:
    require("async-kinesis")
    (consumer,) = read_through(orders, consumers, ["async-kinesis"])
    check(orders, consumer)


@dataclass
class Takeover:
    """A pipeline that resumes where a worker stopped, by the lease table that the worker wrote."""

    consumers: Consumers
    service: LocalStreams
    directory: Path
    environment: pytest.MonkeyPatch

    def check(self, table: Table, *workers: Consumer) -> None:
        """Kill workers that have processed everything, write more, and let pipelines read that and nothing else."""
        time.sleep(1.5)  # the last checkpoint is made after the record is processed
        for worker in workers:
            worker.kill()
        before = len(table.changes)
        table.split(table.open_shard_ids[-1])
        write(table, 30)
        expected = sorted(change.event_id for change in table.changes[before:])
        for worker in workers:
            self.check_delivers(table, worker, expected)

    def check_delivers(self, table: Table, worker: Consumer, expected: Sequence[str]) -> None:
        """Fail unless a pipeline that starts from a worker's lease table delivers these changes, by event id."""
        self.environment.setenv("AWS_ENDPOINT_URL_DYNAMODB_STREAMS", self.service.endpoint_url)
        self.environment.setenv("AWS_ENDPOINT_URL_DYNAMODB", self.consumers.leases_of(worker))
        worker_cache.client.cache_clear()  # what the environment says is asked once in a process
        source = ReadFromDynamoDBStreams(
            stream_arn=table.stream_arn,
            start=f"kcl://{worker.application}",
            stop=len(expected),
            region_name="us-east-1",
        )
        (out,) = outputs_of(self.directory / worker.application, source)
        assert sorted(change.event_id for change, _ in out) == sorted(expected), f"after {worker.name}"


@pytest.fixture
def takeover(consumers: Consumers, service: LocalStreams, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Takeover:
    return Takeover(consumers, service, tmp_path, monkeypatch)


def test_kcl_1_reads_through_a_roll_and_a_split(orders: Table, consumers: Consumers, takeover: Takeover) -> None:
    """It needs an only child with two parents, and an end with children, as KCL 2 and 3 do (traps 32 and 33)."""
    require("kcl 1.14.9")
    (consumer,) = read_through(orders, consumers, ["kcl 1.14.9"])
    check(orders, consumer)
    takeover.check(orders, consumer)


def test_kcl_2_and_kcl_3_read_through_a_roll_and_a_split(
    orders: Table, consumers: Consumers, takeover: Takeover
) -> None:
    """Unlike KCL 1, they also need hash ranges that tile the space (trap 31)."""
    require("kcl 2.7.2")
    require("kcl 3.1.3")
    kcl_2, kcl_3 = read_through(orders, consumers, ["kcl 2.7.2", "kcl 3.1.3"])
    check(orders, kcl_2)
    check(orders, kcl_3)
    takeover.check(orders, kcl_2, kcl_3)


@pytest.mark.soak
@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("kcl")])
def test_a_worker_that_is_killed_is_replaced_and_nothing_is_lost(
    name: str, orders: Table, consumers: Consumers
) -> None:
    """Through rolls and splits. Each change is processed, and only the kill makes repeats."""
    require(name)
    first = consumers.start(name, application="killed", file="records.jsonl")
    for _ in range(3):
        write(orders, 200)
        orders.roll(orders.open_shard_ids[0])
        orders.split(orders.open_shard_ids[-1])
    await_all(orders, [first], 240.0)
    check(orders, first)
    second = consumers.start(name, application="killed", file="records.jsonl")
    write(orders, 400)
    wait_until(lambda: len(set(processed(first))) > 700, 240.0, "the worker does not go on")
    first.kill()
    orders.roll_all()
    write(orders, 400)
    await_all(orders, [second], 300.0)
    check(orders, second, repeats=True)
