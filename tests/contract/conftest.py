"""The endpoints of the contract, and a table on each that is written in every way, in two parts."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pytest

from beam_dynamodb_streams.testing import LocalStreams
from tests.contract.endpoints import Endpoint, LocalEndpoint, Written, boto_endpoint, dynoxide
from tests.contract.raw import Seen, raw_changes
from tests.moto_server import moto_server

BUILT = Path(__file__).parents[2] / ".build" / "dynoxide" / "bin" / "dynoxide"

RICH = {
    "id": "o-rich",
    "S": "Grüße, 世界 \u0000",
    "N": Decimal("12345678901234567890123456789012345678"),
    "small": Decimal("1E-130"),
    "B": b"\x00\xff\x10",
    "BOOL": True,
    "NULL": None,
    "M": {"deep": {"deeper": [Decimal("1.50"), "x", {"end": False}]}},
    "L": [],
    "SS": {"a", "b"},
    "NS": {Decimal(1), Decimal("-2.5")},
    "BS": {b"\x01", b"\x02"},
}


@pytest.fixture(scope="module", params=["local", "moto", "dynoxide", "endpoint"])
def endpoint(request: pytest.FixtureRequest) -> Iterator[Endpoint]:
    """The local service, moto's server, dynoxide if it was built, and what CONNECTOR_TEST_ENDPOINT names."""
    match request.param:
        case "local":
            with LocalStreams() as service:
                yield LocalEndpoint(service)
        case "moto":
            with moto_server() as url, boto_endpoint(url, "moto") as made:
                yield made
        case "dynoxide":
            binary = os.environ.get("CONNECTOR_DYNOXIDE") or (
                str(BUILT) if BUILT.exists() else shutil.which("dynoxide")
            )
            if not binary:
                pytest.skip("NOT RUN: no dynoxide binary; `make contract` builds it where cargo is installed")
            with dynoxide(binary) as url, boto_endpoint(url, "dynoxide") as made:
                yield made
        case _:
            url = os.environ.get("CONNECTOR_TEST_ENDPOINT")
            if not url:
                pytest.skip("NOT RUN: CONNECTOR_TEST_ENDPOINT names no further endpoint")
            with boto_endpoint(url) as made:
                yield made


@dataclass(frozen=True)
class Orders:
    """A table, all of its changes as the endpoint's own GetRecords gives them, and how many the first part has."""

    url: str
    table: Written
    changes: list[Seen]
    first_part: list[Seen]


@pytest.fixture(scope="module")
def orders(endpoint: Endpoint) -> Orders:
    table = endpoint.create_table()
    write_first_part(table)
    first = raw_changes(endpoint.url, table.name)
    time.sleep(1.1)  # the endpoint's clock: creation times are floored to the second (trap 19)
    write_second_part(table)
    changes = raw_changes(endpoint.url, table.name)
    assert {change.event_name for change in changes} == {"INSERT", "MODIFY", "REMOVE"}
    assert len(changes) > len(first) > 0
    return Orders(endpoint.url, table, changes, first)


def write_first_part(table: Written) -> None:
    table.put(RICH)
    table.batch(({"id": f"o-{n}", "n": n} for n in range(40)), [])
    table.transact([{"id": "o-t1", "n": 1}, {"id": "o-t2", "n": 2}], [{"id": "o-39"}])
    for n in range(20):
        table.update({"id": f"o-{n}"}, {"n": n + 100, "note": "updated"})
    table.delete({"id": "o-38"})


def write_second_part(table: Written) -> None:
    table.put({**RICH, "S": "put again", "N": Decimal("-0.1")})
    table.update({"id": "o-upsert"}, {"n": 1})
    table.batch([{"id": "o-0", "n": 1000}, {"id": "o-new", "n": 0}], [{"id": "o-1"}])
    table.transact([{"id": "o-2", "n": 1002}], [{"id": "o-t1"}])
    table.delete({"id": "o-rich"})
