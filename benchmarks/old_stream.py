"""A stream older than a day, for real: `python -m benchmarks.old_stream [roots …]`.

The local service runs in a process of its own. Each of its open shards names a parent that is trimmed, and has one
change. The reader of this package reads them all from TRIM_HORIZON with threads and sockets, without Beam, until every
shard is being read and the listings are settled. Memory is what the process has more than before the read.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from random import Random

import botocore.session

from beam_dynamodb_streams.reader.dynamodb_streams import DynamoDBStream
from beam_dynamodb_streams.reader.fetcher import ThreadedFetcher
from beam_dynamodb_streams.reader.reader import Reader
from beam_dynamodb_streams.reader.schedule import Pace
from beam_dynamodb_streams.reader.stream_caller import StreamCaller
from beam_dynamodb_streams.shards.frontier import EARLIEST, begin
from beam_dynamodb_streams.shards.position import TRIM_HORIZON
from beam_dynamodb_streams.testing import LocalStreams
from beam_dynamodb_streams.wire import Client

ROOTS = (300, 10_000)
GIVE_UP_SECONDS = 900.0


def serve(roots: int) -> None:
    """Serve a table whose shards have one change each, until stdin closes."""
    with LocalStreams() as service:
        orders = service.create_table("orders", keys={"id": "S"}, shards=roots)
        for number, shard in enumerate(orders.open_shard_ids):
            orders.append(shard, _change(number))
        print(service.endpoint_url, orders.stream_arn, flush=True)
        sys.stdin.read()


def _change(number: int) -> bytes:
    """Return a record for any shard: to find keys of each of 10,000 shards takes longer than to read them."""
    return (
        b'{"eventID":"%032x","eventName":"INSERT","eventVersion":"1.1","eventSource":"aws:dynamodb",'
        b'"awsRegion":"us-east-1","dynamodb":{"ApproximateCreationDateTime":%d,"Keys":{"id":{"S":"o-%d"}},'
        b'"SequenceNumber":"%%SEQUENCE%%","SizeBytes":20,"StreamViewType":"KEYS_ONLY"}}'
    ) % (number, int(time.time()), number)


def read(endpoint_url: str, stream_arn: str, roots: int) -> str:
    session = botocore.session.Session()
    session.set_credentials("local", "local")
    client = Client(endpoint_url=endpoint_url, region_name="us-east-1", session=session)
    caller = StreamCaller(DynamoDBStream(client, stream_arn, limit=Pace().page))
    before, cpu, began = resident(), time.process_time(), time.monotonic()
    fetcher = ThreadedFetcher(caller.perform, threads=Pace().requests)
    reader = Reader(fetcher, time.monotonic, client.service_time, Random(1).random)
    frontier, watermark, begun, delivered, memory = begin(TRIM_HORIZON, stream_arn=stream_arn), EARLIEST, 0.0, 0, 0.0
    while watermark == EARLIEST and time.monotonic() - began < GIVE_UP_SECONDS:
        deadline = time.monotonic() + 1.0
        while (claim := reader.next(frontier, deadline)) is not None:
            frontier, watermark = claim.frontier, claim.watermark
            delivered += len(claim.records)
            if claim.opened:
                begun = time.monotonic() - began
        memory = max(memory, resident() - before)
    moved, cpu = time.monotonic() - began, time.process_time() - cpu
    reader.close()
    client.close()
    calls = client.calls.take().calls
    return (
        f"| {roots:,} | {len(frontier.open_shards):,} | {delivered:,} | {begun:,.1f} | {moved:,.0f} "
        f"| {calls['GetShardIterator']:,} | {calls['DescribeStream']:,} | {cpu:,.1f} | {memory:,.0f} |"
    )


def resident() -> float:
    """Return the memory of this process in MB; 0 where there is no /proc."""
    status = Path("/proc/self/status")
    found = [line for line in status.read_text().splitlines() if line.startswith("VmRSS")] if status.exists() else []
    return int(found[0].split()[1]) / 1000 if found else 0.0


def measure(roots: int) -> str:
    command = [sys.executable, "-m", "benchmarks.old_stream", "serve", str(roots)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as service:  # noqa: S603 - our own module
        assert service.stdin is not None
        assert service.stdout is not None
        endpoint_url, stream_arn = service.stdout.readline().split()
        try:
            return read(endpoint_url, stream_arn, roots)
        finally:
            service.stdin.close()


def main(*sizes: int) -> None:
    print(
        "| roots | open | delivered | all read after, s | watermark moves after | GetShardIterator | DescribeStream "
        "| CPU, s | memory, MB |"
    )
    print("|" + "---|" * 9)
    for size in sizes or ROOTS:
        print(measure(size), flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve(int(sys.argv[2]))
    else:
        main(*map(int, sys.argv[1:]))
