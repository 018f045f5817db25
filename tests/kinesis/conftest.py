"""A table of the local service, and the interface over it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from beam_dynamodb_streams.kinesis import KinesisOverStreams
from beam_dynamodb_streams.testing import LocalStreams, Table


@pytest.fixture
def orders(service: LocalStreams) -> Table:
    return service.create_table("orders", keys={"id": "S"}, shards=2)


@pytest.fixture
def kinesis(service: LocalStreams, orders: Table) -> Iterator[KinesisOverStreams]:
    with KinesisOverStreams("orders", endpoint_url=service.endpoint_url) as client:
        yield client
