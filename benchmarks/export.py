"""What an export costs end to end: CPU of the client, peak memory and time, beside orjson, boto3 and compiled programs.

`python -m benchmarks.export [rounds]`. The service only replays pages (`benchmarks.replay`), and its process is not
counted. Each way runs in a process of its own, which imports everything before the count begins. The ways alternate
round by round. CPU is that of the process, its threads and its children (Prism). Ratios are to `orjson.loads` of the
same pages in the same round, to the boto3 loop, and to the programs of `benchmarks.peers`, where they are built.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import io
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from decimal import Context
from pathlib import Path
from typing import Any

import boto3
import boto3.dynamodb.types
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from boto3.dynamodb.types import Binary, TypeDeserializer

from beam_dynamodb_streams import Schema
from beam_dynamodb_streams.commands import export as export_command
from beam_dynamodb_streams.wire import Client
from benchmarks.peers import PROGRAMS, peak_kilobytes, run_program
from benchmarks.records import ORDER_SCHEMA
from benchmarks.replay import ARN, Replay, shard_id

PAGES, SHARDS = 25, 4
CHANGES = PAGES * SHARDS * 1000

NUMBERS = pa.decimal128(16, 8)


def _exact(column: pa.Field) -> pa.Field:
    """Return the column with decimals for doubles: `Table.from_pylist` refuses a Decimal for a double."""
    if pa.types.is_struct(column.type):
        return column.with_type(pa.struct([_exact(member) for member in column.type]))
    return column.with_type(pa.list_(NUMBERS)) if column.type == pa.list_(pa.float64()) else column


SCHEMA = Schema(pa.schema([_exact(column) for column in ORDER_SCHEMA.attributes]), keys=ORDER_SCHEMA.keys, other=None)


Way = Callable[[str, Path], Callable[[], float | None]]
"""Prepares a way for an endpoint and an output. What it returns does the work, and may return its peak memory in MB."""


def orjson_loads(endpoint_url: str, output: Path) -> Callable[[], None]:  # noqa: ARG001 - every way's signature
    bodies = []
    client = Client(endpoint_url=endpoint_url, region_name="us-east-1")
    for shard in range(SHARDS):
        iterator: str | None = client.get_shard_iterator(ARN, shard_id(shard), "TRIM_HORIZON")
        while iterator:
            page = client.get_records(iterator)
            bodies.append(page.body)
            iterator = page.next_iterator

    def run() -> None:
        gc.disable()  # the collector's share would depend on all other objects of the process
        for body in bodies:
            orjson.loads(body)

    return run


def boto3_loop(endpoint_url: str, output: Path) -> Callable[[], None]:
    """What people write without a connector: one shard after the other, a table for each page, one writer."""
    boto3.dynamodb.types.DYNAMODB_CONTEXT = Context(
        prec=38
    )  # boto3's own raises on numbers that it would have to round
    client = boto3.client("dynamodbstreams", endpoint_url=endpoint_url, region_name="us-east-1")
    decode = TypeDeserializer().deserialize

    def plain(value: Any) -> Any:
        if isinstance(value, set):
            return sorted(map(plain, value))
        if isinstance(value, Binary):
            return value.value
        if isinstance(value, list):
            return list(map(plain, value))
        if isinstance(value, dict):
            return {name: plain(member) for name, member in value.items()}
        return value

    def image(attributes: dict[str, Any] | None) -> dict[str, Any] | None:
        return None if attributes is None else {name: plain(decode(value)) for name, value in attributes.items()}

    def row(record: dict[str, Any], shard: str) -> dict[str, Any]:
        change = record["dynamodb"]
        return {
            "event_id": record["eventID"],
            "event_name": record["eventName"],
            "sequence_number": change["SequenceNumber"],
            "version": change["SequenceNumber"].zfill(40),
            "shard_id": shard,
            "approximate_creation_time": change["ApproximateCreationDateTime"],
            "size_bytes": change["SizeBytes"],
            "stream_view_type": change["StreamViewType"],
            "user_identity": None,
            "keys": image(change["Keys"]),
            "new_image": image(change.get("NewImage")),
            "old_image": image(change.get("OldImage")),
        }

    def run() -> None:
        output.mkdir()
        with pq.ParquetWriter(output / "changes.parquet", SCHEMA.arrow, compression="zstd") as writer:
            for shard in (shard_id(number) for number in range(SHARDS)):
                iterator = client.get_shard_iterator(StreamArn=ARN, ShardId=shard, ShardIteratorType="TRIM_HORIZON")
                following = iterator["ShardIterator"]
                while following:
                    page = client.get_records(ShardIterator=following, Limit=1000)
                    rows = [row(record, shard) for record in page["Records"]]
                    writer.write_table(pa.Table.from_pylist(rows, schema=SCHEMA.arrow))
                    following = page.get("NextShardIterator")

    return run


def program(language: str) -> Way:
    """A compiled program that writes the same typed Parquet."""

    def prepare(endpoint_url: str, output: Path) -> Callable[[], float]:
        output.mkdir()
        return lambda: run_program(language, endpoint_url, ARN, output / "changes.parquet")

    return prepare


def export(*options: str) -> Callable[[str, Path], Callable[[], None]]:
    """The command `dynamodb-streams export` itself."""

    def prepare(endpoint_url: str, output: Path) -> Callable[[], None]:
        where = ["--endpoint_url", endpoint_url, "--region_name", "us-east-1", "--output", str(output)]
        if "--schema" in options:
            saved = output.with_suffix(".schema.json")
            saved.write_text(SCHEMA.to_json())
            where += ["--schema", str(saved)]

        def run() -> None:
            with contextlib.redirect_stdout(io.StringIO()):
                chosen = [option for option in options if option != "--schema"]
                code = export_command.main(["--table", "orders", "--stop", "NOW", *where, *chosen])
            if code:
                raise SystemExit(code)

        return run

    return prepare


WAYS: dict[str, Way] = {
    "orjson.loads": orjson_loads,
    "boto3 loop, Parquet, typed": boto3_loop,
    "Go program, Parquet, typed": program("Go"),
    "Rust program, Parquet, typed": program("Rust"),
    "export, Parquet, typed": export("--format", "parquet", "--schema"),
    "export, Parquet, text": export("--format", "parquet"),
    "export, JSON lines": export("--format", "jsonl"),
    "export, Avro, typed": export("--format", "avro", "--schema"),
    "export, Avro, text": export("--format", "avro"),
}


def _cpu() -> float:
    mine, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return mine.ru_utime + mine.ru_stime + children.ru_utime + children.ru_stime


def measure(way: str, endpoint_url: str, changes: int = CHANGES) -> dict[str, float]:
    """Run one way, in a process of its own, and return its CPU µs a change, its seconds and its peak memory in MB."""
    scratch = Path(tempfile.mkdtemp())
    try:
        run = WAYS[way](endpoint_url, scratch / "out")
        before, began = _cpu(), time.perf_counter()
        peak = run()
        seconds = time.perf_counter() - began
        cpu = _cpu() - before
        written = list(scratch.rglob("*.parquet"))
        rows = sum(pq.read_metadata(path).num_rows for path in written)
        if written and rows != changes:
            raise AssertionError(f"{way} wrote {rows} rows of {changes}")
        return {"cpu": cpu / changes * 1e6, "seconds": seconds, "peak": peak or peak_kilobytes() / 1024}
    finally:
        shutil.rmtree(scratch)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("rounds", nargs="?", type=int, default=3)
    parser.add_argument("--way", choices=list(WAYS))
    parser.add_argument("--endpoint_url")
    arguments = parser.parse_args()
    os.environ |= {"AWS_ACCESS_KEY_ID": "replay", "AWS_SECRET_ACCESS_KEY": "replay"}
    if arguments.way:
        print(json.dumps(measure(arguments.way, arguments.endpoint_url)))
        return
    missing = [language for language, path in PROGRAMS.items() if not path.exists()]
    for language in missing:
        print(f"NOT MEASURED: the program in {language}, which `make peers` builds where its compiler is there")
    results: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS if way.partition(" ")[0] not in missing}
    with Replay(pages=PAGES, shards=SHARDS) as endpoint_url:
        for _ in range(arguments.rounds):
            for way in results:
                command = [sys.executable, "-m", "benchmarks.export", "--way", way, "--endpoint_url", endpoint_url]
                answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout  # noqa: S603 - itself
                results[way].append(json.loads(answer.splitlines()[-1]))
    report(results)


def report(results: dict[str, list[dict[str, float]]]) -> None:
    def ratio(way: str, to: str) -> float:
        pairs = zip(results[way], results[to], strict=True)
        return statistics.median(one["cpu"] / other["cpu"] for one, other in pairs)

    boto = "boto3 loop, Parquet, typed"
    others = [boto, *(way for way in results if " program, " in way)]
    print(
        f"{CHANGES:,} changes of about 1 KB with both images, {SHARDS} shards; medians of {len(results[boto])} rounds\n"
    )
    compared = "".join(f" {way.partition(',')[0]} is × |" for way in others)
    print(f"| way | CPU µs a change | × orjson.loads |{compared} seconds | peak MB |")
    print("|---|" + "---:|" * (len(others) + 4))
    for way, runs in results.items():
        cpu, seconds, peak = (statistics.median(run[name] for run in runs) for name in ("cpu", "seconds", "peak"))
        ratios = " | ".join([f"{ratio(way, 'orjson.loads'):.2f}", *(f"{ratio(other, way):.2f}" for other in others)])
        print(f"| {way} | {cpu:.1f} | {ratios} | {seconds:.1f} | {peak:,.0f} |")


if __name__ == "__main__":
    main()
