"""What the code of the pages assumes: a table, and reads that end soon."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from beam_dynamodb_streams import ReadFromDynamoDBStreams
from beam_dynamodb_streams.source.worker_cache import client
from beam_dynamodb_streams.testing import LocalStreams, Table

#: The local service gives no runs of empty pages, and an unbounded read would never end a test.
QUICK = {
    "quiet_pages": 5,
    "quiet_time": timedelta(seconds=1),
    "watermark_slack": timedelta(seconds=1),
    "stop": "NOW",
}


@pytest.fixture
def orders(service: LocalStreams, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Table]:
    """The table of the pages, found through the environment as a user's own would be, in an empty directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AWS_ENDPOINT_URL", service.endpoint_url)
    monkeypatch.delenv("AWS_ENDPOINT_URL_DYNAMODB_STREAMS", raising=False)
    constructor = ReadFromDynamoDBStreams.__init__
    monkeypatch.setattr(constructor, "__kwdefaults__", {**constructor.__kwdefaults__, **QUICK})
    table = service.create_table("orders", keys={"id": "S"}, shards=2)
    table.put_many({"id": f"o-{n}", "total": 50 * n} for n in range(6))
    table.update({"id": "o-1"}, {"total": 7})
    table.delete({"id": "o-2"})
    table.delete({"id": "o-3"}, by="ttl")
    client.cache_clear()  # one that is made without an address keeps the one that it found
    yield table
    client.cache_clear()
