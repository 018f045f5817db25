"""Tables by moto's server, a clock that tests move, and stores of both kinds."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import botocore.session
import pytest

from beam_dynamodb_streams.progress.acquire import ForwardTime, WallClock
from beam_dynamodb_streams.progress.address import TableAddress
from beam_dynamodb_streams.progress.file_store import FileStore
from beam_dynamodb_streams.progress.store import Store
from beam_dynamodb_streams.progress.table_store import TableStore
from beam_dynamodb_streams.wire import DynamoDB
from tests.moto_server import moto_server

NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def moto() -> Iterator[str]:
    with moto_server() as url:
        yield url


@pytest.fixture(scope="session")
def tables(moto: str) -> Any:
    """A client of moto's tables."""
    return botocore.session.Session().create_client("dynamodb", endpoint_url=moto, region_name="us-east-1")


@pytest.fixture(scope="session")
def dynamodb(moto: str) -> Iterator[DynamoDB]:
    """The connector's own client of moto's tables."""
    with closing(DynamoDB(endpoint_url=moto, region_name="us-east-1")) as client:
        yield client


class Hand:
    """A clock that moves when the test moves it or when code sleeps by it. `during` is called in each sleep."""

    def __init__(self, seconds: float = 1_769_860_800.0) -> None:
        self.seconds = seconds
        self.set_by = 0.0  # how far the wall clock was set
        self.during: Callable[[], None] = lambda: None

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        self.during()

    def elapsed(self) -> float:
        return self.seconds

    @property
    def time(self) -> WallClock:
        return WallClock(ForwardTime(lambda: self.seconds + self.set_by, self.elapsed), self.sleep, self.elapsed)


@pytest.fixture
def hand() -> Hand:
    return Hand()


@pytest.fixture(params=["table", "file"])
def store(request: pytest.FixtureRequest, tmp_path: Path, hand: Hand) -> Store:
    if request.param == "file":
        return FileStore(str(tmp_path / "deep" / "progress.json"))
    dynamodb = request.getfixturevalue("dynamodb")
    return TableStore(dynamodb, TableAddress("progress", f"application-{next(NUMBERS)}"), hand.sleep)
