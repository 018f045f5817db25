"""The clients of this process: one for each way to reach the service, shared by all reads that go that way."""

from __future__ import annotations

from functools import cache

from connector.source.options import Connection
from connector.wire import Client


@cache
def client(connection: Connection, max_connections: int) -> Client:
    """Thread-safe, with a pool as large as the requests that may be in flight at once."""
    return Client(
        region_name=connection.region_name,
        endpoint_url=connection.endpoint_url,
        max_connections=max_connections,
    )
