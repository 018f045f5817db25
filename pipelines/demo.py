"""Export the changes of an orders table on a local service to Parquet and Avro, read them back and check them.

    python -m pipelines.demo

Nothing leaves this machine. Exit code: 0 if every change is in the files exactly once; 1 if not; 2 for a usage error.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from itertools import chain
from pathlib import Path

import apache_beam as beam

from beam_dynamodb_streams import ReadFromDynamoDBStreams, WriteChangesToAvro, WriteChangesToParquet
from beam_dynamodb_streams.commands import command_line, exit_codes, status_line, terminal
from beam_dynamodb_streams.testing import Change, LocalStreams, Table
from pipelines.compare import READERS, differences, kind_of, written_files
from pipelines.demo_options import parser_of
from pipelines.orders import write_orders

MARK = ".made-by-the-demo"
SHARDS, THREADS, TURNS = 4, 4, 8

Run = Callable[[beam.Pipeline], None]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo and return its exit code."""
    parser = parser_of()
    arguments, rest = parser.parse_with_beam(argv)
    if arguments.changes < 1:
        parser.error(f"--changes={arguments.changes}: write 1 or more")
    try:
        if not make_fresh(arguments.output):
            parser.error(f"--output={arguments.output} has files that are not this demo's: give another directory")
    except OSError as error:
        parser.error(f"--output={arguments.output} cannot be created ({error}): give another directory")
    with exit_codes.exit_codes(parser) as run, local_credentials(), LocalStreams() as service:
        return show(service, arguments.changes, arguments.output, rest, run)


def show(service: LocalStreams, count: int, output: Path, rest: Sequence[str], run: Run) -> int:
    table = service.create_table("orders", keys={"id": "S"}, shards=SHARDS)
    phase(f"writing {count:,} changes of an orders table, from {THREADS} threads")
    with terminal.Terminal(sys.stderr) as line:
        write_orders(
            table,
            count,
            threads=THREADS,
            turns=TURNS,
            progress=lambda made: line.show(f"{made:,} of {count:,} changes, {len(table.shard_ids)} shards"),
        )
    changes = table.changes
    phase(f"exporting them from {len(table.shard_ids)} shards to Parquet and Avro, up to NOW")
    read_seconds, seconds = export(service, changes, output, rest, run)
    phase("reading the files back")
    files: dict[str, int] = {}
    wrong: dict[str, list[str]] = {}
    for name, rows_of in READERS.items():
        paths = written_files(output / name, name)
        files[name] = len(paths)
        if found := differences(changes, chain.from_iterable(map(rows_of, paths))):
            wrong[name] = found
    if wrong:
        print("FAILED: the files do not hold what was written.")
        for name, found in wrong.items():
            print(f"  {name}: " + f"\n  {name}: ".join(found))
        return 1
    print(summary(table, changes, files, read_seconds, seconds, output))
    return 0


def build(pipeline: beam.Pipeline, read: ReadFromDynamoDBStreams, output: Path) -> None:
    """Add the steps to the pipeline: one read, and two sinks."""
    changes = pipeline | "Read" >> read
    changes | "Write Parquet" >> WriteChangesToParquet(output / "parquet")
    changes | "Write Avro" >> WriteChangesToAvro(output / "avro")


def export(
    service: LocalStreams, changes: Sequence[Change], output: Path, rest: Sequence[str], run: Run
) -> tuple[float, float]:
    """Run the pipeline, and return the seconds until the last change was served, and those of the whole run."""
    total = sum(len(change.body) for change in changes)
    before = service.counts.page_bytes
    started = time.monotonic()
    served: list[float] = []
    ended = threading.Event()

    def watch() -> None:
        while not served and not ended.wait(0.05):
            if service.counts.page_bytes - before >= total:
                served.append(time.monotonic() - started)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        read = ReadFromDynamoDBStreams(
            table="orders",
            stop="NOW",
            endpoint_url=service.endpoint_url,
            region_name=service.region_name,
            # The real service has empty pages before data, and times out of order; this one does not.
            quiet_pages=5,
            quiet_time=timedelta(seconds=1),
            watermark_slack=timedelta(seconds=1),
        )
        # A bounded read needs no streaming runner. This one comes with Beam and starts at once.
        pipeline = beam.Pipeline(options=command_line.beam_options(rest, in_process=True))
        build(pipeline, read, output)
        with status_line.status_line():
            run(pipeline)
    finally:
        ended.set()
        watcher.join()
    seconds = time.monotonic() - started
    return (served[0] if served else seconds), seconds


def summary(
    table: Table,
    changes: Sequence[Change],
    files: dict[str, int],
    read_seconds: float,
    seconds: float,
    output: Path,
) -> str:
    kinds = Counter(map(kind_of, changes))
    shards = len({change.shard_id for change in changes})
    lines = [
        f"{len(changes):,} changes: " + ", ".join(f"{count:,} {kind}" for kind, count in sorted(kinds.items())),
        f"{len(table.shard_ids)} shards, {shards} of them with changes",
        *(f"{files[name]} {name} file(s) in {output / name}" for name in files),
        f"{len(changes) / read_seconds:,.0f} records a second until the last was served; {seconds:.1f} s in all",
        "Each change is in the files exactly once, with every value equal.",
        "",
        "On a table of your own:",
        "  python -m pipelines.export --table NAME --output out --format parquet --stop NOW",
    ]
    return "\n".join(lines)


def phase(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def make_fresh(directory: Path) -> bool:
    """Create an empty directory, in place of an earlier demo's.

    Returns:
        Whether it did. A directory with other files is left as it is.
    """
    if directory.exists() and not (directory / MARK).exists() and any(directory.iterdir()):
        return False
    if directory.exists():
        shutil.rmtree(directory)
    directory.mkdir(parents=True)
    (directory / MARK).touch()
    return True


@contextmanager
def local_credentials() -> Iterator[None]:
    """Replace the AWS settings of the environment meanwhile: the local service accepts any credentials."""
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update(
        AWS_ACCESS_KEY_ID="local",
        AWS_SECRET_ACCESS_KEY="local",  # noqa: S106 - not a secret
        AWS_CONFIG_FILE=os.devnull,
        AWS_SHARED_CREDENTIALS_FILE=os.devnull,
    )
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


if __name__ == "__main__":
    sys.exit(main())
