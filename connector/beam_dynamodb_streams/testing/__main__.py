"""Serves the local service by hand: `python -m beam_dynamodb_streams.testing --table orders:id`."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
from collections.abc import Sequence
from decimal import Decimal
from random import Random

from beam_dynamodb_streams.testing.keys import KeyType
from beam_dynamodb_streams.testing.service import LocalStreams
from beam_dynamodb_streams.testing.table import Table


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM, and return the exit code."""
    options = _options(argv)
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    try:
        service = LocalStreams(port=options.port, seed=options.seed)
        tables = [_create(service, text, options.shards) for text in options.table or ["orders:id"]]
        service.start()
    except (OSError, ValueError) as failure:
        print(f"cannot serve: {failure}", file=sys.stderr)
        return 1
    try:
        _introduce(service, tables)
        _live(tables, stopped, options)
    finally:
        service.stop()
    written = sum(len(table.changes) for table in tables)
    print(f"stopped: {written:,} changes written, {service.counts.calls.total():,} calls answered", flush=True)
    return 0


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m beam_dynamodb_streams.testing", description="A local DynamoDB Streams service."
    )
    parser.add_argument("--port", type=int, default=8000, help="0 for any free port (default: 8000)")
    parser.add_argument(
        "--table",
        action="append",
        metavar="NAME:KEY[,SORT]",
        help="a table with string keys; may be given several times (default: orders:id)",
    )
    parser.add_argument("--shards", type=int, default=4, help="shards of each table's stream (default: 4)")
    parser.add_argument("--write-rate", type=float, default=0.0, help="changes a second in each table (default: 0)")
    parser.add_argument("--roll-every", type=float, default=0.0, help="seconds between rolls of all shards")
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of shard ids, sequence numbers and written items (default: 0)"
    )
    return parser.parse_args(argv)


def _create(service: LocalStreams, text: str, shards: int) -> Table:
    name, _, keys = text.partition(":")
    if not keys:
        raise ValueError(f"--table {text!r} names no key: write NAME:KEY, such as orders:id")
    types: dict[str, KeyType] = dict.fromkeys(keys.split(","), "S")
    return service.create_table(name, keys=types, shards=shards)


def _introduce(service: LocalStreams, tables: Sequence[Table]) -> None:
    print(f"serving at {service.endpoint_url}")
    for table in tables:
        print(f"  table {table.name}: stream {table.stream_arn}")
    print(
        "try: AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local aws dynamodbstreams list-streams"
        f" --region {service.region_name} --endpoint-url {service.endpoint_url}"
    )
    print("Ctrl-C stops it", flush=True)


def _live(tables: Sequence[Table], stopped: threading.Event, options: argparse.Namespace) -> None:
    random = Random(options.seed)
    started = rolled = time.monotonic()
    written = 0
    while not stopped.wait(0.05 if options.write_rate or options.roll_every else None):
        now = time.monotonic()
        due = int((now - started) * options.write_rate)
        for number in range(written, due):
            for table in tables:
                _write(table, number, random)
        written = due
        if options.roll_every and now - rolled >= options.roll_every:
            rolled = now
            for table in tables:
                table.roll_all()


def _write(table: Table, number: int, random: Random) -> None:
    """Put a new or an existing item, or delete one, which is one write in ten."""
    keys = {name: f"{table.name}-{random.randrange(1 + number)}" for name in table.keys}
    if random.random() < 0.1:
        table.delete(keys)
    else:
        table.put({**keys, "number": number, "total": Decimal(random.randrange(100_000)) / 100})


if __name__ == "__main__":
    sys.exit(main())
