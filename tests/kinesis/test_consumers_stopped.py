"""Unmodified KCL applications that were stopped for too long, or that move off the DynamoDB Streams Kinesis Adapter."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from beam_dynamodb_streams.kinesis.interface import Interface
from beam_dynamodb_streams.kinesis.losses import OnDataLoss
from beam_dynamodb_streams.kinesis.server import KinesisServer
from beam_dynamodb_streams.testing import LocalStreams, Table
from beam_dynamodb_streams.wire import Client
from tests.kinesis.consumers import ADAPTER, Consumers, lease_servers, require, tail, wait_until
from tests.kinesis.test_consumers import Takeover, await_all, processed, takeover, write
from tests.moto_server import moto_server

__all__ = ["takeover"]  # a fixture

pytestmark = [pytest.mark.timeout(900), pytest.mark.soak]

#: How long another worker may take to get the leases of one that was killed: KCL 3 elects a leader first.
LONG = 240.0

Serve = Callable[..., str]


@pytest.fixture
def orders(service: LocalStreams) -> Table:
    return service.create_table("orders", keys={"id": "S"}, shards=2)


@pytest.fixture
def serve(service: LocalStreams, orders: Table) -> Iterator[Serve]:
    """Start a new server of the interface, which has nothing in its cache, and return its address."""
    with ExitStack() as servers:

        def serve(on_data_loss: OnDataLoss = "fail") -> str:
            client = servers.enter_context(closing(Client(endpoint_url=service.endpoint_url)))
            interface = Interface(client, [orders.stream_arn], on_data_loss=on_data_loss)
            return servers.enter_context(KinesisServer(interface)).endpoint_url

        yield serve


@pytest.fixture
def consumers(serve: Serve, tmp_path: Path) -> Iterator[Consumers]:
    with lease_servers(moto_server) as leases:
        found = Consumers(serve(), tmp_path, leases)
        try:
            yield found
        finally:
            found.stop()


@pytest.mark.parametrize("name", ["kcl 1.14.9", "kcl 2.7.2", "kcl 3.1.3"])
def test_a_kcl_stands_still_at_a_loss_with_shard_and_number_until_it_may_continue(
    name: str, orders: Table, consumers: Consumers, serve: Serve
) -> None:
    """It takes nothing for the end of a shard, and processes nothing behind what was trimmed unread."""
    require(name)
    write(orders, 40)
    first = consumers.start(name, application="late", file="records.jsonl")
    await_all(orders, [first])
    time.sleep(1.5)  # the last checkpoint is made after the record is processed
    first.kill()
    last = {change.shard_id: change.sequence_number for change in orders.changes}
    write(orders, 40)
    orders.trim(keep=3)
    before, read = len(first.lines), len(processed(first))

    consumers.kinesis = serve("fail")
    second = consumers.start(name, application="late", file="records.jsonl")

    def stands() -> bool:
        said = second.output.read_text("utf-8", "replace")
        return all(shard in said and number in said for shard, number in last.items())

    wait_until(stands, LONG, lambda: f"{name} does not name {last}:\n{tail(second.output)}")
    time.sleep(3)
    new = [line for line in second.lines[before:] if line["event"] != "initialize"]
    assert new == [], "nothing is processed, and no shard ends"
    second.kill()

    consumers.kinesis = serve("continue")
    third = consumers.start(name, application="late", file="records.jsonl")
    of_shard = {shard: [change for change in orders.changes if change.shard_id == shard] for shard in last}
    left = {change.sequence_number for changes in of_shard.values() for change in changes[-3:]}
    wait_until(
        lambda: left <= set(processed(third)[read:]),
        LONG,
        lambda: f"{name} has not read what is left:\n{tail(third.output)}",
    )
    assert set(processed(third)[read:]) == left


def test_an_application_of_the_adapter_moves_with_its_leases_to_server_or_pipeline(
    service: LocalStreams, orders: Table, consumers: Consumers, takeover: Takeover
) -> None:
    """Neither of the two delivers again what the adapter's worker has checkpointed."""
    require(ADAPTER)
    consumers.adapted = (orders.stream_arn, service.endpoint_url)
    write(orders, 40)
    adapted = consumers.start(ADAPTER, application="moves")
    await_all(orders, [adapted])
    orders.roll(orders.open_shard_ids[0])
    write(orders, 40)
    await_all(orders, [adapted])
    time.sleep(1.5)  # the last checkpoint is made after the record is processed
    adapted.kill()

    before = len(orders.changes)
    write(orders, 20)
    orders.split(orders.open_shard_ids[-1])
    write(orders, 40)
    expected = [change.sequence_number for change in orders.changes[before:]]
    takeover.check_delivers(orders, adapted, [change.event_id for change in orders.changes[before:]])
    moved = consumers.start("kcl 1.14.9", application="moves")
    wait_until(
        lambda: set(expected) <= set(processed(moved)),
        LONG,
        lambda: f"{len(set(expected) - set(processed(moved)))} changes are missing:\n{tail(moved.output)}",
    )
    assert sorted(processed(moved)) == sorted(expected)
