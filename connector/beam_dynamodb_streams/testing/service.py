"""The local service: what a test or a person holds in hand."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping
from random import Random
from types import TracebackType
from typing import Literal, Self, TypedDict

from beam_dynamodb_streams.testing.calls import Calls, Counts
from beam_dynamodb_streams.testing.faults import Faults, Rules
from beam_dynamodb_streams.testing.iterators import MAX_LENGTH, Iterators
from beam_dynamodb_streams.testing.keys import KeyType
from beam_dynamodb_streams.testing.lifecycle import Setting
from beam_dynamodb_streams.testing.operations import Endpoint, Operations, ShardFilter
from beam_dynamodb_streams.testing.server import HOST, Server
from beam_dynamodb_streams.testing.stream import Life, ViewType
from beam_dynamodb_streams.testing.table import Table


class ClientOptions(TypedDict):
    """Arguments for ``boto3.client`` and ``botocore.session.Session.create_client``."""

    endpoint_url: str
    region_name: str
    aws_access_key_id: str
    aws_secret_access_key: str


class LocalStreams:
    """A local DynamoDB Streams service: a real HTTP server on loopback, for boto3 and any other client.

    It has the whole shard life cycle (open, rolled, split, ended, trimmed, gone) and a clock and faults that
    a test controls. It answers the four operations of DynamoDB Streams, and DescribeTable and ListTables of
    DynamoDB, at one ``endpoint_url``; what is written comes from Python, by the tables that ``create_table``
    returns::

        with LocalStreams(clock=Clock()) as service:
            orders = service.create_table("orders", keys={"id": "S"}, shards=4)
            orders.put({"id": "o-1", "total": Decimal("9.99")})
            streams = boto3.client("dynamodbstreams", **service.client_options)

    The same seed, clock and writes give the same stream.

    ``clock``: epoch seconds; a ``Clock`` for tests, real time by default. ``retention`` and
    ``iterator_life``: seconds until a record is trimmed and an iterator expires. ``iterator_length``:
    characters of an iterator. ``max_readers``: GetRecords calls under way at once on one shard, above which
    the service throttles; None for no limit. ``checks_date``: refuse a signature more than five minutes away
    from ``clock``. ``at_timestamp=False`` and ``shard_filter="ignored"`` or ``"rejected"`` make an older
    endpoint, and ``ends_listed_for_open`` one that lists an open shard with an EndingSequenceNumber, as
    dynoxide does.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.time,
        seed: int = 0,
        port: int = 0,
        region_name: str = "us-east-1",
        account: str = "000000000000",
        faults: Faults | None = None,
        retention: float = 24 * 3600.0,
        iterator_life: float = 15 * 60.0,
        iterator_length: int = 300,
        max_readers: int | None = None,
        checks_date: bool = False,
        at_timestamp: bool = True,
        shard_filter: ShardFilter = "supported",
        ends_listed_for_open: bool = False,
    ) -> None:
        if not 1 <= iterator_length <= MAX_LENGTH:
            raise ValueError(f"iterator_length={iterator_length!r}: an iterator has 1 to {MAX_LENGTH} characters")
        self.clock = clock
        self.region_name = region_name
        self._lock = threading.RLock()
        self._seed = seed
        self._rules = Rules(clock, seed, faults or Faults())
        life = Life(retention, iterator_life)
        self._setting = Setting(self._rules, self._lock, life, region_name, account)
        self._tables: dict[str, Table] = {}
        iterators = Iterators(f"seed {seed}".encode(), iterator_length)
        endpoint = Endpoint(at_timestamp, shard_filter, ends_listed_for_open)
        operations = Operations(self._tables, self._rules, life, iterators, endpoint)
        self._calls = Calls(operations, self._rules, self._lock, max_readers=max_readers, checks_date=checks_date)
        self._server = Server(self._calls, port)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Literal[False]:
        self.stop()
        return False

    def start(self) -> None:
        """Starts serving; once only."""
        self._server.start()

    def stop(self) -> None:
        """Stops serving and closes every connection. Tables stay readable from Python."""
        self._server.stop()

    @property
    def endpoint_url(self) -> str:
        """The one URL of both services, once started."""
        return f"http://{HOST}:{self._server.port}"

    @property
    def client_options(self) -> ClientOptions:
        """What a boto3 or botocore client needs to talk to this service."""
        return {
            "endpoint_url": self.endpoint_url,
            "region_name": self.region_name,
            "aws_access_key_id": "local",
            "aws_secret_access_key": "local",
        }

    def create_table(
        self,
        name: str,
        *,
        keys: Mapping[str, KeyType],
        view_type: ViewType | None = "NEW_AND_OLD_IMAGES",
        shards: int = 1,
    ) -> Table:
        """A new table whose stream has so many shards; ``view_type=None`` enables no stream.

        ``keys`` is the partition key, and the sort key where there is one, with their types.
        """
        if not re.fullmatch(r"[a-zA-Z0-9_.-]{3,255}", name):
            raise ValueError(f"{name!r} is no table name: 3 to 255 letters, digits, dots, dashes, underscores")
        with self._lock:
            if name in self._tables:
                raise ValueError(f"table {name!r} is there already")
            table = Table(name, self._setting, keys=keys, random=Random(f"{self._seed}/table/{name}"))
            if view_type is not None:
                table.enable_stream(view_type, shards=shards)
            self._tables[name] = table
        return table

    def table(self, name: str) -> Table:
        """The table of that name."""
        return self._tables[name]

    def expire_credentials(self, access_key: str) -> None:
        """Calls signed with this access key are answered with ExpiredTokenException from now on."""
        with self._lock:
            self._rules.expired_keys.add(access_key)

    @property
    def faults(self) -> Faults:
        """The faults that calls and writes meet from now on; assign to change them."""
        return self._rules.faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        with self._lock:
            self._rules.faults = faults

    @property
    def counts(self) -> Counts:
        """What has been called and served until now."""
        return self._calls.counts()

    def reset_counts(self) -> None:
        """Counts from zero."""
        self._calls.reset()
