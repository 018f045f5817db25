"""What a worker process keeps between bundles: one client for each connection, and the readers that are idle.

The next slice of the same read on the same worker uses the same reader. Otherwise every slice would list again, request
iterators again, and discard what is in flight. One bundle at a time uses a reader. A second bundle of the same read at
the same time gets a reader of its own; that happens only after a failure.
"""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable
from functools import cache
from typing import Final

from beam_dynamodb_streams.reader.reader import Reader
from beam_dynamodb_streams.source.options import Connection, KinesisConnection
from beam_dynamodb_streams.wire import Client, KinesisClient, StreamClient

_MOST_CONNECTIONS: Final = 256  # more than reads have requests in flight; each is opened when it is needed


@cache
def client(connection: Connection) -> StreamClient:
    """Return the process's client of the connection. Thread-safe, with a connection for each request in flight."""
    return new_client(connection)


def new_client(connection: Connection) -> StreamClient:
    """Return a client of the connection that nobody else has, to be closed."""
    if isinstance(connection, KinesisConnection):
        return KinesisClient(
            region_name=connection.region_name,
            endpoint_url=connection.endpoint_url,
            max_connections=_MOST_CONNECTIONS,
            table=connection.changes_of,
        )
    return Client(
        region_name=connection.region_name,
        endpoint_url=connection.endpoint_url,
        max_connections=_MOST_CONNECTIONS,
    )


#: A reader that no slice has used for this long is closed: its read is over, or has moved to another worker.
FORGET_SECONDS: Final = 120.0


class ReaderCache:
    """The idle readers of this process. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: dict[str, tuple[Reader, float]] = {}

    def take(self, key: str, make: Callable[[], Reader]) -> Reader:
        """Return the idle reader of the read and mark it as used, or make one."""
        with self._lock:
            entry = self._idle.pop(key, None)
        return make() if entry is None else entry[0]

    def give_back(self, key: str, reader: Reader, now: float) -> None:
        """Keep the reader for its next slice, and close readers that no slice has used for `FORGET_SECONDS`."""
        with self._lock:
            old = [k for k, (_, since) in self._idle.items() if k == key or now - since > FORGET_SECONDS]
            closing = [self._idle.pop(k)[0] for k in old]
            self._idle[key] = (reader, now)
        for other in closing:
            other.close()

    def close(self) -> None:
        """Close all idle readers."""
        with self._lock:
            readers, self._idle = [reader for reader, _ in self._idle.values()], {}
        for reader in readers:
            reader.close()


READERS: Final = ReaderCache()
atexit.register(READERS.close)
