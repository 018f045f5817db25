"""Show an overview of a stream: the tree of its shards, how old they are, and what a reader of it costs.

    dynamodb-streams inspect --table orders
    dynamodb-streams inspect --table orders --sample --watch
    dynamodb-streams inspect --table orders --progress dynamodb://progress/orders --stalled_after 120
    dynamodb-streams inspect --table orders --html orders.html
    dynamodb-streams inspect --table orders --output json | jq '.shards[] | select(.state == "open")'
    dynamodb-streams inspect --kinesis_stream orders-changes --sample

Without `--sample` no record is read: the command is free of charge and takes no reader's place.

Exit code: 0, also once nobody reads the output; 3 if the application has not read for `--stalled_after`;
130 after SIGINT; 1 if the service failed; 2 for a usage error.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from beam_dynamodb_streams import ConnectorError
from beam_dynamodb_streams.commands.aws_profile import aws_profile
from beam_dynamodb_streams.commands.command_line import connection_of
from beam_dynamodb_streams.commands.exit_codes import exit_with
from beam_dynamodb_streams.commands.options.inspect import STDOUT, parser_of
from beam_dynamodb_streams.commands.options.parser import Parser
from beam_dynamodb_streams.commands.overview_page import overview_page
from beam_dynamodb_streams.commands.overview_table import age, duration, overview_table
from beam_dynamodb_streams.commands.printable import printable, printable_json
from beam_dynamodb_streams.errors import DelayError
from beam_dynamodb_streams.inspection.application_progress import KCL, StoredProgress, read_stored_progress
from beam_dynamodb_streams.inspection.shard_tree import svg
from beam_dynamodb_streams.inspection.stream_overview import StreamOverview, inspect_stream
from beam_dynamodb_streams.reader.schedule import Pace
from beam_dynamodb_streams.shards.lineage import Lineage
from beam_dynamodb_streams.source.options import Connection
from beam_dynamodb_streams.source.streams import find_data_stream, find_stream
from beam_dynamodb_streams.source.worker_cache import new_client
from beam_dynamodb_streams.wire import KinesisClient, StreamClient

_WIDE: Final = 1000
STALLED: Final = 3
"""The exit code for an application that does not read."""


def main(argv: Sequence[str] | None = None, *, prog: str = "dynamodb-streams inspect") -> int:
    """Run the command and return its exit code."""
    parser = parser_of(prog)
    arguments = parser.parse_args(argv)
    if arguments.stalled_after is not None and (arguments.progress is None or arguments.progress.startswith(KCL)):
        parser.error("--stalled_after needs --progress=dynamodb://… or file:…, which says when a run last read")
    parser.check_table(arguments)
    pace = Pace(arguments.poll_interval, max(arguments.poll_interval, arguments.idle_poll_interval))
    try:
        connection = connection_of(arguments)
        with aws_profile(arguments.profile), closing(new_client(connection)) as client:
            stream_arn = _stream(client, arguments)
            application = _application(arguments, stream_arn, connection)
            look = partial(
                inspect_stream, client, stream_arn, sample=arguments.sample, pace=pace, application=application
            )
            with _interrupts() as sleep:
                last = _show(parser, repeated(look, every=arguments.watch, sleep=sleep), arguments)
            if arguments.stalled_after is not None and (stalled := stall_of(last, arguments.stalled_after)):
                sys.stderr.write(f"{parser.prog}: {printable(stalled)}\n")
                return STALLED
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `| head` has read what it wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is still buffered goes nowhere
    except ConnectorError as error:
        exit_with(parser, error)
    return 0


def _stream(client: StreamClient, arguments: argparse.Namespace) -> str:
    if isinstance(client, KinesisClient):
        return find_data_stream(client, arguments.kinesis_stream)
    return arguments.stream_arn or find_stream(client, arguments.table)


def _application(
    arguments: argparse.Namespace, stream_arn: str, connection: Connection
) -> Callable[[Lineage], StoredProgress] | None:
    if arguments.progress is None:
        return None
    where = {"region_name": connection.region_name, "endpoint_url": connection.endpoint_url}
    return lambda lineage: read_stored_progress(arguments.progress, stream_arn, lineage, **where)


def stall_of(seen: StreamOverview, seconds: float) -> str | None:
    """Return a line that says that the application has not read for `seconds`, and the way out; None if it has."""
    application = seen.application
    if application is None:
        return None
    if application.alive_age is None:
        return f"no run of {application.address} reads: start one, it resumes there"
    if application.alive_age.total_seconds() < seconds:
        return None
    return (
        f"{application.owner} has not read for {duration(application.alive_age)}. If its job runs, the runner has lost "
        f"the read: stop the job, and start it without its savepoint. With progress={application.address!r} it resumes "
        "where it was (docs/flink.md)"
    )


@contextmanager
def _interrupts() -> Iterator[Callable[[float], object]]:
    """Yield a sleep after which an interrupt counts that was raised where Python ignores errors, as in a finalizer."""
    interrupted: list[int] = []

    def interrupt(number: int, _: object) -> None:
        interrupted.append(number)
        raise KeyboardInterrupt

    def sleep(seconds: float) -> None:
        time.sleep(seconds)
        if interrupted:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield sleep
        return
    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield sleep
    finally:
        signal.signal(signal.SIGINT, before)


def repeated(
    look: Callable[[], StreamOverview], *, every: float | None, sleep: Callable[[float], object] = time.sleep
) -> Iterator[StreamOverview]:
    """Yield one overview, or one every `every` seconds. A later one that fails for a passing reason is left out."""
    yield look()
    while every is not None:
        sleep(every)
        with suppress(DelayError):
            yield look()


def _show(parser: Parser, overviews: Iterator[StreamOverview], arguments: argparse.Namespace) -> StreamOverview:
    """Show each overview, and return the last one."""
    if arguments.output == "json":
        for seen in overviews:
            _draw(parser, seen, arguments)
            _warn(parser, seen)
            print(printable_json(msgspec.json.encode(seen.to_dict()).decode()), flush=True)
        return seen
    if arguments.html is not None:
        for seen in overviews:
            _draw(parser, seen, arguments)
            _warn(parser, seen)
        return seen
    from rich.console import Console
    from rich.live import Live

    # A pipe or a file has no width: nothing is folded there, such as an ARN that somebody searches for.
    folds = sys.stdout.isatty() or "COLUMNS" in os.environ
    console = Console(width=None if folds else _WIDE)
    if arguments.watch is None or not console.is_terminal:
        for seen in overviews:
            _draw(parser, seen, arguments)
            console.print(overview_table(seen))
            _warn(parser, seen)
        return seen
    with Live(console=console, auto_refresh=False, vertical_overflow="visible") as live:
        for seen in overviews:
            _draw(parser, seen, arguments)
            live.update(overview_table(seen), refresh=True)
    return seen


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


def _draw(parser: Parser, seen: StreamOverview, arguments: argparse.Namespace) -> None:
    """Write the page of `--html` and the picture of `--svg`, where they are asked for."""
    if arguments.svg is not None:
        notes = {shard.shard_id: age(shard, seen.taken) for shard in seen.shards}
        _write(parser, "svg", arguments.svg, svg(seen.lineage, notes))
    if arguments.html is None:
        return
    page = overview_page(seen, refresh=arguments.watch)
    if arguments.html == STDOUT and not sys.stdout.isatty():
        print(page, end="", flush=True)
        return
    named = re.sub(r"[^\w.-]", "_", seen.table) or "stream"
    file = Path(f"{named}.html") if arguments.html == STDOUT else Path(arguments.html)
    _write(parser, "html", file, page)
    print(f"{file.absolute().as_uri()}", file=sys.stderr)


def _write(parser: Parser, option: str, file: Path, text: str) -> None:
    """Write a file in one step: a browser may read it at any moment."""
    try:
        unfinished = file.with_name(f"{file.name}.unfinished")
        unfinished.write_text(text, "utf-8")
        unfinished.replace(file)
    except OSError as error:
        parser.error(f"--{option} {str(file)!r} cannot be written: {error.strerror}")
