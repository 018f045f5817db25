"""The local service, as a test or a person uses it."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from random import Random
from uuid import UUID

from beam_dynamodb_streams.testing.calls import Calls
from beam_dynamodb_streams.testing.faults import FaultRules, Faults
from beam_dynamodb_streams.testing.iterators import MAX_LENGTH, Iterators
from beam_dynamodb_streams.testing.keys import KeyType
from beam_dynamodb_streams.testing.lifecycle import ServiceState
from beam_dynamodb_streams.testing.local_service import LocalService
from beam_dynamodb_streams.testing.operations import Endpoint, Operations, ShardFilter
from beam_dynamodb_streams.testing.stream import Lifetimes, ViewType
from beam_dynamodb_streams.testing.table import Table


class LocalStreams(LocalService):
    """A local DynamoDB Streams service: a real HTTP server on loopback, for boto3 and any other client.

    It has the whole life cycle of shards (open, rolled, split, ended, trimmed, gone), and a clock and faults that a
    test controls. It answers the four operations of DynamoDB Streams, and DescribeTable, ListTables and Scan of
    DynamoDB, at one `endpoint_url`. Tests write from Python, through the tables that `create_table` returns:

    ```python
    with LocalStreams(clock=Clock()) as service:
        orders = service.create_table("orders", keys={"id": "S"}, shards=4)
        orders.put({"id": "o-1", "total": Decimal("9.99")})
        streams = boto3.client("dynamodbstreams", **service.client_options)
    ```

    The same seed, clock and writes make the same stream.

    Args:
        clock: Returns epoch seconds. Pass a `Clock` in tests; by default it is real time.
        seed: Seed of shard ids, sequence numbers, event ids and faults.
        port: The port on loopback; 0 for any free port.
        region_name: The region in ARNs and records.
        account: The account id in ARNs.
        faults: The faults to begin with. Assign to `faults` to change them.
        retention: Seconds, or a timedelta, from a record's write until it is trimmed. A closed shard without a
            record left, and a stream disabled for that long, are gone.
        iterator_life: Seconds, or a timedelta, after which an iterator expires.
        iterator_length: Characters of an iterator, at most 2,048.
        max_readers: The service throttles more simultaneous GetRecords calls on one shard than this; None for no
            limit.
        checks_date: Whether to refuse a signature more than five minutes away from `clock`.
        at_timestamp: Whether GetShardIterator supports AT_TIMESTAMP, which older endpoints do not.
        shard_filter: How DescribeStream handles ShardFilter, which older endpoints ignore or reject.
        ends_listed_for_open: Whether DescribeStream lists an open shard with an EndingSequenceNumber, as dynoxide does.
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
        retention: float | timedelta = 24 * 3600.0,
        iterator_life: float | timedelta = 15 * 60.0,
        iterator_length: int = 300,
        max_readers: int | None = None,
        checks_date: bool = False,
        at_timestamp: bool = True,
        shard_filter: ShardFilter = "supported",
        ends_listed_for_open: bool = False,
    ) -> None:
        if not 1 <= iterator_length <= MAX_LENGTH:
            raise ValueError(f"iterator_length={iterator_length!r}: it must be 1 to {MAX_LENGTH} characters")
        lock, rules = threading.RLock(), FaultRules(clock, seed, faults or Faults())
        self._seed = seed
        lifetimes = Lifetimes(_seconds("retention", retention), _seconds("iterator_life", iterator_life))
        self._state = ServiceState(rules, lock, lifetimes, region_name, account)
        self._tables: dict[str, Table] = {}
        self._deleted: list[Table] = []  # whose names other tables have now
        iterators = Iterators(f"seed {seed}".encode(), iterator_length)
        endpoint = Endpoint(at_timestamp, shard_filter, ends_listed_for_open)
        operations = Operations(self._tables, self._deleted, rules, lifetimes, iterators, endpoint)
        calls = Calls(operations, rules, lock, max_readers=max_readers, checks_date=checks_date)
        super().__init__(calls, rules, port, region_name)

    def create_table(
        self,
        name: str,
        *,
        keys: Mapping[str, KeyType],
        view_type: ViewType | None = "NEW_AND_OLD_IMAGES",
        shards: int = 1,
        older_than_a_day: bool = True,
    ) -> Table:
        """Create a table and return it.

        Its stream is like that of most tables, older than a day: each shard names a parent that is trimmed, so that
        no listing shows it and no call finds it.

        Args:
            name: The table's name.
            keys: The names and types of the partition key and, if there is one, of the sort key.
            view_type: Which images the stream's records have; None enables no stream.
            shards: How many shards the stream begins with.
            older_than_a_day: Whether the stream was enabled more than a day ago. If not, its first shards have no
                parents. A table that is created again has a new stream in any case.

        Raises:
            ValueError: The name or the keys are not legal, or the table exists. A table that was deleted can be created
                again.
        """
        if not re.fullmatch(r"[a-zA-Z0-9_.-]{3,255}", name):
            raise ValueError(f"{name!r} is not a table name: use 3 to 255 letters, digits, dots, dashes or underscores")
        with self._lock:
            earlier = self._tables.get(name)
            if earlier is not None and earlier.deleted is None:
                raise ValueError(f"table {name!r} exists already: choose another name, or get it with table()")
            number = sum(table.name == name for table in self._deleted) + (earlier is not None)
            seed = f"{self._seed}/table/{name}{f'/{number}' if number else ''}"
            table = Table(
                name,
                self._state,
                keys=keys,
                random=Random(seed),
                table_id=str(UUID(int=Random(f"{seed}/id").getrandbits(128), version=4)),
                newest_label=earlier.newest_label if earlier else 0.0,
            )
            if view_type is not None:
                table.enable_stream(view_type, shards=shards, older_than_a_day=older_than_a_day and earlier is None)
                table.created = min(table.created, table.stream.created)
            if earlier is not None:
                self._deleted.append(earlier)
            self._tables[name] = table
        return table

    def table(self, name: str) -> Table:
        """Return the table of that name."""
        return self._tables[name]

    def expire_credentials(self, access_key: str) -> None:
        """Answer calls signed with this access key with ExpiredTokenException from now on."""
        with self._lock:
            self._rules.expired_keys.add(access_key)


def _seconds(name: str, length: float | timedelta) -> float:
    seconds = length.total_seconds() if isinstance(length, timedelta) else length
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds > 0:
        raise ValueError(f"{name}={length!r} is not a length of time: use seconds greater than 0, or a timedelta")
    return float(seconds)
