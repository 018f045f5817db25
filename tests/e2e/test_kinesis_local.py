"""Kinesis as somebody else wrote it: the npm package kinesis-local, through splits and merges.

`make kcl` installs it; without Node.js these tests are named as not run.
"""

from __future__ import annotations

import os
import random
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import apache_beam as beam
import boto3
import pyarrow.dataset as ds
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from beam_dynamodb_streams import ReadFromKinesisDataStream, WriteChangesToParquet
from beam_dynamodb_streams.testing import Change, LocalStreams
from beam_dynamodb_streams.testing.kinesis_record import kinesis_record

INSTALLED = Path(__file__).parents[2] / ".build" / "kcl" / "npm" / "node_modules" / "kinesis-local"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """The address of a kinesis-local of this module's own."""
    node = shutil.which("node")
    if node is None or not (INSTALLED / "main.js").exists():
        pytest.skip("not run: kinesis-local needs Node.js and `make kcl`")
    plain, secure = free_port(), free_port()
    ports = {"KINESIS_MOCK_PLAIN_PORT": str(plain), "KINESIS_MOCK_TLS_PORT": str(secure)}
    command = [node, "main.js"]
    with subprocess.Popen(
        command, cwd=INSTALLED, env={**os.environ, **ports}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as server:
        try:
            deadline = time.monotonic() + 60
            while True:
                try:
                    socket.create_connection(("127.0.0.1", plain), timeout=1).close()
                    break
                except OSError:
                    assert time.monotonic() < deadline, "kinesis-local did not start within a minute"
                    time.sleep(0.1)
            yield f"http://127.0.0.1:{plain}"
        finally:
            server.kill()


class Copy:
    """A data stream of kinesis-local, to which a table's changes are sent."""

    def __init__(self, endpoint: str, name: str) -> None:
        self.client: Any = boto3.client("kinesis", endpoint_url=endpoint, region_name="us-east-1")
        self.name = name
        self.client.create_stream(StreamName=name, ShardCount=2)
        self.wait()

    def wait(self) -> None:
        """Wait until the stream takes calls again: a split takes it half a second."""
        deadline = time.monotonic() + 30
        while self._summary()["StreamStatus"] != "ACTIVE":
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def _summary(self) -> dict[str, Any]:
        return self.client.describe_stream_summary(StreamName=self.name)["StreamDescriptionSummary"]

    def send(self, changes: list[Change]) -> list[tuple[str, str]]:
        """Write the changes; return the shard and the sequence number of each."""
        placed = []
        for start in range(0, len(changes), 200):
            records = [
                {"Data": data, "PartitionKey": key} for data, key in map(kinesis_record, changes[start : start + 200])
            ]
            answer = self.client.put_records(StreamName=self.name, Records=records)
            assert answer["FailedRecordCount"] == 0
            placed += [(each["ShardId"], each["SequenceNumber"]) for each in answer["Records"]]
        return placed

    def open_shards(self) -> list[dict[str, Any]]:
        shards = self.client.list_shards(StreamName=self.name)["Shards"]
        found = [shard for shard in shards if "EndingSequenceNumber" not in shard["SequenceNumberRange"]]
        return sorted(found, key=lambda shard: int(shard["HashKeyRange"]["StartingHashKey"]))

    def split(self, shard: dict[str, Any]) -> None:
        low, high = (int(shard["HashKeyRange"][name]) for name in ("StartingHashKey", "EndingHashKey"))
        self.client.split_shard(
            StreamName=self.name, ShardToSplit=shard["ShardId"], NewStartingHashKey=str((low + high) // 2)
        )
        self.wait()

    def merge(self, one: dict[str, Any], other: dict[str, Any]) -> None:
        self.client.merge_shards(
            StreamName=self.name, ShardToMerge=one["ShardId"], AdjacentShardToMerge=other["ShardId"]
        )
        self.wait()


def fill(copy: Copy, service: LocalStreams, number: int, seed: int, *, parts: int = 10) -> list[tuple[str, str]]:
    """Write `number` changes through a split or a merge after each part; return where each of them is."""
    dice = random.Random(seed)
    orders = service.create_table(copy.name, keys={"id": "S"})
    placed = []
    for part in range(parts):
        changes = orders.put_many({"id": f"o-{n % 97}", "n": part * number + n} for n in range(number // parts))
        placed += copy.send(changes)
        shards = copy.open_shards()
        if len(shards) > 1 and dice.random() < 0.5:
            at = dice.randrange(len(shards) - 1)
            copy.merge(shards[at], shards[at + 1])
        elif len(shards) < 5:
            copy.split(dice.choice(shards))
    return placed


def delivered(directory: Path) -> list[tuple[str, str]]:
    rows = ds.dataset(directory, format="parquet", exclude_invalid_files=True).to_table(["shard_id", "sequence_number"])
    return list(zip(rows["shard_id"].to_pylist(), rows["sequence_number"].to_pylist(), strict=True))


def read(copy: Copy, endpoint: str) -> ReadFromKinesisDataStream:
    return ReadFromKinesisDataStream(
        copy.name,
        stop="NOW",
        watermark_slack=timedelta(seconds=2),
        endpoint_url=endpoint,
        region_name="us-east-1",
    )


def test_every_change_comes_once_and_each_shard_in_order(endpoint: str, service: LocalStreams, tmp_path: Path) -> None:
    copy = Copy(endpoint, "in-order")
    placed = fill(copy, service, 2_000, seed=1)
    with beam.Pipeline("FnApiRunner") as pipeline:
        _ = pipeline | read(copy, endpoint).as_batches() | WriteChangesToParquet(tmp_path)
    found = delivered(tmp_path)
    assert sorted(found) == sorted(placed)
    parents = {
        shard["ShardId"]: [shard[name] for name in ("ParentShardId", "AdjacentParentShardId") if name in shard]
        for shard in copy.client.list_shards(StreamName=copy.name)["Shards"]
    }
    assert any(len(each) == 2 for each in parents.values())


@pytest.mark.soak
@pytest.mark.parametrize("runner", ["FnApiRunner", "PrismRunner"])
def test_20_000_changes_through_splits_and_merges(
    endpoint: str, service: LocalStreams, prism: str, tmp_path: Path, runner: str
) -> None:
    copy = Copy(endpoint, f"many-{runner}")
    placed = fill(copy, service, 20_000, seed=2)
    words = [f"--runner={runner}"]
    if runner == "PrismRunner":
        words += [f"--prism_location={prism}", "--prism_log_level=error"]
    with beam.Pipeline(options=PipelineOptions(words)) as pipeline:
        _ = pipeline | read(copy, endpoint).as_batches() | WriteChangesToParquet(tmp_path)
    assert sorted(delivered(tmp_path)) == sorted(placed)
