"""Show an overview of a stream: the tree of its shards, how old they are, and what a reader of it costs.

    dynamodb-streams inspect --table orders
    dynamodb-streams inspect --table orders --sample --watch
    dynamodb-streams inspect --table orders --json | jq '.shards[] | select(.state == "open")'

Without `--sample` no record is read: the command is free of charge and takes no reader's place.

Exit code: 0, also once nobody reads the output; 130 after SIGINT; 1 if the service failed; 2 for a usage error.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import msgspec

from beam_dynamodb_streams import ConnectorError
from beam_dynamodb_streams.commands.command_line import Parser
from beam_dynamodb_streams.commands.exit_codes import exit_with
from beam_dynamodb_streams.commands.overview_table import age, overview_table
from beam_dynamodb_streams.commands.printable import printable, printable_json
from beam_dynamodb_streams.errors import DelayError
from beam_dynamodb_streams.inspection.application_progress import StoredProgress, read_stored_progress
from beam_dynamodb_streams.inspection.shard_tree import svg
from beam_dynamodb_streams.inspection.stream_overview import StreamOverview, inspect_stream
from beam_dynamodb_streams.reader.schedule import Pace
from beam_dynamodb_streams.shards.lineage import Lineage
from beam_dynamodb_streams.source.options import Connection, connection_to
from beam_dynamodb_streams.source.streams import find_stream
from beam_dynamodb_streams.wire import Client


def main(argv: Sequence[str] | None = None, *, prog: str = "dynamodb-streams inspect") -> int:
    """Run the command and return its exit code."""
    parser = _parser(prog)
    arguments = parser.parse_args(argv)
    pace = Pace(arguments.poll_interval, max(arguments.poll_interval, arguments.idle_poll_interval))
    try:
        connection = connection_to(arguments.table, arguments.stream_arn, arguments.region_name, arguments.endpoint_url)
        with closing(Client(region_name=connection.region_name, endpoint_url=arguments.endpoint_url)) as client:
            stream_arn = arguments.stream_arn or find_stream(client, arguments.table)
            application = _application(arguments, stream_arn, connection)
            look = partial(
                inspect_stream, client, stream_arn, sample=arguments.sample, pace=pace, application=application
            )
            _show(parser, repeated(look, every=arguments.watch), arguments)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `| head` has read what it wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is still buffered goes nowhere
    except ConnectorError as error:
        exit_with(parser, error)
    return 0


def _parser(prog: str) -> Parser:
    parser = Parser(prog, "Shows a stream's shards, their ages, and what reading them costs.")
    parser.add_table()
    parser.add_argument(
        "--sample",
        action="store_true",
        help="read some pages of every shard for the times of its records; this is billed, and takes one of the two"
        " readers that a shard may have (default: no record is read)",
    )
    parser.add_argument(
        "--progress",
        metavar="WHERE",
        help="show how far the application is whose progress is in dynamodb://TABLE/APPLICATION, file:PATH or"
        " kcl://LEASE_TABLE; --sample adds its lag (default: no application)",
    )
    parser.add_argument(
        "--watch",
        type=_seconds,
        nargs="?",
        const=5.0,
        metavar="SECONDS",
        help="repeat every SECONDS seconds, 5 if you give none (default: once)",
    )
    parser.add_argument("--json", action="store_true", help="print each overview as one line of JSON, for scripts")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="also draw the tree of the shards into an SVG file")
    for name, seconds in (("poll_interval", Pace().poll), ("idle_poll_interval", Pace().idle)):
        parser.add_argument(
            f"--{name}",
            type=_seconds,
            default=seconds,
            metavar="SECONDS",
            help="this option of the reader whose cost is estimated, in seconds (default: %(default)s)",
        )
    parser.add_connection()
    return parser


def _application(
    arguments: argparse.Namespace, stream_arn: str, connection: Connection
) -> Callable[[Lineage], StoredProgress] | None:
    if arguments.progress is None:
        return None
    where = {"region_name": connection.region_name, "endpoint_url": connection.endpoint_url}
    return lambda lineage: read_stored_progress(arguments.progress, stream_arn, lineage, **where)


def repeated(
    look: Callable[[], StreamOverview], *, every: float | None, sleep: Callable[[float], object] = time.sleep
) -> Iterator[StreamOverview]:
    """Yield one overview, or one every `every` seconds. A later one that fails for a passing reason is left out."""
    yield look()
    while every is not None:
        sleep(every)
        with suppress(DelayError):
            yield look()


def _show(parser: Parser, overviews: Iterator[StreamOverview], arguments: argparse.Namespace) -> None:
    if arguments.json:
        for seen in overviews:
            _draw(parser, seen, arguments.svg)
            _warn(parser, seen)
            print(printable_json(msgspec.json.encode(seen.to_dict()).decode()), flush=True)
        return
    try:
        from rich.console import Console
        from rich.live import Live
    except ImportError:
        parser.error("rich is not installed: pip install 'beam-dynamodb-streams[notebooks]', or use --json")
    console = Console()
    if arguments.watch is None or not console.is_terminal:
        for seen in overviews:
            _draw(parser, seen, arguments.svg)
            console.print(overview_table(seen))
            _warn(parser, seen)
        return
    with Live(console=console, auto_refresh=False, vertical_overflow="visible") as live:
        for seen in overviews:
            _draw(parser, seen, arguments.svg)
            live.update(overview_table(seen), refresh=True)


def _warn(parser: Parser, seen: StreamOverview) -> None:
    """Report on stderr which shards could not be sampled: what is shown of them is not whole."""
    failures = seen.failures
    if failures:
        shard, failure = next(iter(failures.items()))
        listed = sum(each.state in ("open", "closed") for each in seen.shards)
        sys.stderr.write(
            f"{parser.prog}: {len(failures):,} of {listed:,} shards could not be sampled, such as {shard!r}: "
            f"{printable(str(failure))}\n"
        )


def _draw(parser: Parser, seen: StreamOverview, file: Path | None) -> None:
    if file is None:
        return
    notes = {shard.shard_id: age(shard, seen.taken) for shard in seen.shards}
    try:
        file.write_text(svg(seen.lineage, notes), "utf-8")
    except OSError as error:
        parser.error(f"--svg {str(file)!r} cannot be written: {error.strerror}")


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not seconds > 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds greater than 0")
    return seconds
