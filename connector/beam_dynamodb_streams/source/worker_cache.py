"""Readers that outlive a bundle: the next slice of the same read, on the same worker, goes on with the same one.

Without it every slice would list again, ask for iterators again, and throw away what is in flight. A reader is used by
one bundle at a time; a second bundle of the same read, which no runner makes in peace, gets a reader of its own.
"""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable
from functools import cache
from typing import Final

from beam_dynamodb_streams.reader.reader import Reader
from beam_dynamodb_streams.source.options import Connection
from beam_dynamodb_streams.wire import Client


@cache
def client(connection: Connection, max_connections: int) -> Client:
    """Thread-safe, with a pool as large as the requests that may be in flight at once."""
    return Client(
        region_name=connection.region_name,
        endpoint_url=connection.endpoint_url,
        max_connections=max_connections,
    )


#: A read that no slice came for in so long is over, or has moved to another worker.
FORGET_SECONDS: Final = 120.0


class Readers:
    """The idle readers of this process. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: dict[str, tuple[Reader, float]] = {}

    def take(self, key: str, make: Callable[[], Reader]) -> Reader:
        with self._lock:
            entry = self._idle.pop(key, None)
        return make() if entry is None else entry[0]

    def give_back(self, key: str, reader: Reader, now: float) -> None:
        """Keeps the reader for its next slice, and closes those that none came for."""
        with self._lock:
            old = [k for k, (_, since) in self._idle.items() if k == key or now - since > FORGET_SECONDS]
            closing = [self._idle.pop(k)[0] for k in old]
            self._idle[key] = (reader, now)
        for other in closing:
            other.close()

    def close(self) -> None:
        with self._lock:
            readers, self._idle = [reader for reader, _ in self._idle.values()], {}
        for reader in readers:
            reader.close()


READERS: Final = Readers()
atexit.register(READERS.close)
