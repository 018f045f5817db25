"""A local Kinesis Data Streams, as a test uses it."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from datetime import timedelta

from beam_dynamodb_streams.testing.calls import Calls
from beam_dynamodb_streams.testing.faults import FaultRules, Faults
from beam_dynamodb_streams.testing.iterators import Iterators
from beam_dynamodb_streams.testing.kinesis_operations import KinesisOperations
from beam_dynamodb_streams.testing.kinesis_shards import KinesisStream
from beam_dynamodb_streams.testing.local_service import LocalService


class LocalKinesis(LocalService):
    """A local Kinesis Data Streams: a real HTTP server on loopback, for boto3 and any other client that speaks JSON.

    Streams split and merge, records are trimmed, iterators expire, and a shard that is read more than five times a
    second is throttled, as in the service. Tests write from Python:

    ```python
    with LocalStreams() as streams, LocalKinesis() as kinesis:
        orders = streams.create_table("orders", keys={"id": "S"})
        copy = kinesis.create_stream("orders-copy", shards=2)
        copy.put_changes([orders.put({"id": "o-1"})])
        client = boto3.client("kinesis", **kinesis.client_options)
    ```

    Args:
        clock: Returns epoch seconds. Pass a `Clock` in tests; by default it is real time.
        seed: Seed of the faults and of the iterators.
        port: The port on loopback; 0 for any free port.
        region_name: The region in ARNs.
        account: The account id in ARNs.
        faults: The faults to begin with. Assign to `faults` to change them.
        iterator_life: Seconds after which an iterator expires.
        limits: Whether a shard is throttled after five calls or 2 MB in a second.
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
        iterator_life: float = 300.0,
        limits: bool = True,
    ) -> None:
        lock, rules = threading.RLock(), FaultRules(clock, seed, faults or Faults())
        self.account = account
        self._streams: dict[str, KinesisStream] = {}
        iterators = Iterators(f"kinesis {seed}".encode())
        operations = KinesisOperations(self._streams, rules, iterators, iterator_life, limits)
        calls = Calls(operations, rules, lock, max_readers=None, checks_date=False)
        super().__init__(calls, rules, port, region_name)

    def create_stream(
        self, name: str, *, shards: int = 1, retention: timedelta | float = timedelta(hours=24)
    ) -> KinesisStream:
        """Create a data stream and return it.

        Args:
            name: 1 to 128 letters, digits, dots, dashes or underscores.
            shards: How many shards it begins with.
            retention: How long records are kept, 24 to 8,760 hours: a timedelta or seconds.

        Raises:
            ValueError: The name is not legal or is taken, or the retention is not one of the service's.
        """
        if not re.fullmatch(r"[a-zA-Z0-9_.-]{1,128}", name):
            raise ValueError(f"{name!r} is not a stream name: use 1 to 128 letters, digits, dots, dashes, underscores")
        seconds = retention.total_seconds() if isinstance(retention, timedelta) else float(retention)
        if not 24 * 3600 <= seconds <= 8760 * 3600:
            raise ValueError(f"retention={retention!r}: Kinesis keeps records for 24 to 8,760 hours")
        with self._lock:
            if name in self._streams and not self._streams[name].deleted:
                raise ValueError(f"stream {name!r} exists already: choose another name")
            arn = f"arn:aws:kinesis:{self.region_name}:{self.account}:stream/{name}"
            stream = KinesisStream(name, arn, shards, seconds, self.clock, self._lock)
            self._streams[name] = stream
        return stream
