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
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from beam_dynamodb_streams import ConnectorError
from beam_dynamodb_streams.commands.command_line import Parser
from beam_dynamodb_streams.commands.exit_codes import exit_with
from beam_dynamodb_streams.errors import DelayError
from beam_dynamodb_streams.inspection.application_progress import (
    ApplicationProgress,
    ShardProgress,
    StoredProgress,
    read_stored_progress,
)
from beam_dynamodb_streams.inspection.shard_sample import ShardSample
from beam_dynamodb_streams.inspection.shard_tree import boxes, short_id, svg
from beam_dynamodb_streams.inspection.stream_overview import ShardOverview, StreamOverview, inspect_stream
from beam_dynamodb_streams.reader.schedule import Pace
from beam_dynamodb_streams.shards.lineage import Lineage, Shard, parents_of
from beam_dynamodb_streams.source.start import find_stream
from beam_dynamodb_streams.wire import Client

if TYPE_CHECKING:
    from rich.console import RenderableType

_STYLES: Final = {"open": "bold green", "closed": "", "trimmed": "dim strike", "unlisted": "yellow"}
_MOST_SHARDS: Final = 300


def main(argv: Sequence[str] | None = None, *, prog: str = "dynamodb-streams inspect") -> int:
    """Run the command and return its exit code."""
    parser = _parser(prog)
    arguments = parser.parse_args(argv)
    pace = Pace(arguments.poll_interval, max(arguments.poll_interval, arguments.idle_poll_interval))
    try:
        with closing(Client(region_name=arguments.region_name, endpoint_url=arguments.endpoint_url)) as client:
            stream_arn = arguments.stream_arn or find_stream(client, arguments.table)
            application = _application(arguments, stream_arn)
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


def _application(arguments: argparse.Namespace, stream_arn: str) -> Callable[[Lineage], StoredProgress] | None:
    if arguments.progress is None:
        return None
    where = {"region_name": arguments.region_name, "endpoint_url": arguments.endpoint_url}
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
            print(msgspec.json.encode(seen.to_dict()).decode(), flush=True)
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
            console.print(view(seen))
        return
    with Live(console=console, auto_refresh=False, vertical_overflow="visible") as live:
        for seen in overviews:
            _draw(parser, seen, arguments.svg)
            live.update(view(seen), refresh=True)


def view(seen: StreamOverview) -> RenderableType:
    """Return the overview for a terminal: facts about the stream, then a line for each shard, below its parent."""
    from rich.console import Group
    from rich.table import Column, Table
    from rich.text import Text

    facts = Table.grid(Column(), Column(overflow="fold"), padding=(0, 2))
    for name, text in _facts(seen):
        facts.add_row(Text(name, "dim"), text)
    sampled = any(shard.sampled for shard in seen.shards)
    heads = ["sampled", "first (UTC)", "last (UTC)"] if sampled else []
    followed = {} if seen.application is None else {each.shard_id: each for each in seen.application.shards}
    columns = [Column(head, no_wrap=head != "state") for head in ["shard", "state", "age", *heads]]
    table = Table(*columns, *(["application"] if followed else []), box=None, header_style="dim", pad_edge=False)
    shards = {shard.shard_id: shard for shard in seen.shards}
    tree = list(boxes(Lineage(Shard(shard.shard_id, parents_of(shard.parent)) for shard in seen.shards)))
    for box in tree[:_MOST_SHARDS]:
        shard = shards[box.shard_id]
        guide = "  " * (box.generation - 1) + "└ " if box.generation else ""
        label = Text.assemble((guide, "dim"), (short_id(shard.shard_id), _STYLES[shard.state]))
        times = _times(shard.sampled) if sampled else ()
        progress = (_progress(followed.get(shard.shard_id), seen.taken),) if followed else ()
        table.add_row(label, _state(shard), _age(shard, seen.taken), *times, *progress)
    rest = len(tree) - _MOST_SHARDS
    return Group(facts, Text(), table, *([Text(f"and {rest:,} more shards")] if rest > 0 else []))


def _facts(seen: StreamOverview) -> Iterator[tuple[str, str]]:
    yield "table", f"{seen.table}, {seen.region}"
    yield "stream", f"{seen.stream_arn} ({seen.status}, {seen.view_type})"
    states: Counter[str] = Counter(shard.state for shard in seen.shards)
    yield "shards", ", ".join(f"{states[state]:,} {state}" for state in _STYLES if states[state])
    if seen.oldest is not None and seen.headroom is not None:
        yield "oldest record", f"{seen.oldest:%Y-%m-%d %H:%M:%S} UTC, {duration(seen.taken - seen.oldest)} ago"
        yield "headroom", f"{duration(seen.headroom)} until it is trimmed"
    if seen.application is not None:
        yield from _facts_of(seen.application)
    cost = seen.cost
    yield "GetRecords a day", f"{cost.idle_calls:,} ({cost.idle_usd:.2f} USD) while all shards are idle"
    yield "", f"{cost.busy_calls:,} ({cost.busy_usd:.2f} USD) while all bring changes"


def _facts_of(application: ApplicationProgress) -> Iterator[tuple[str, str]]:
    by = "held by nobody" if application.owner is None else f"held by {application.owner}"
    if application.alive is not None:
        by += f", alive {duration(application.taken - application.alive)} ago"
    yield "application", f"{application.address}, {by}"
    if application.lag is not None and application.headroom is not None:
        yield "its lag", f"{duration(application.lag)}, and {duration(application.headroom)} until changes are lost"
    if lost := sum(shard.state == "trimmed" for shard in application.shards):
        yield "", f"changes of {lost:,} of its shards were, or may have been, trimmed before they were read"


def _progress(shard: ShardProgress | None, now: datetime) -> str:
    if shard is None:
        return ""
    said = {"ended": "read to its end", "waiting": "after its parent", "trimmed": "trimmed unread"}.get(shard.state)
    if said is None:
        said = "caught up" if shard.caught_up else "reading"
    if shard.unread is not None:
        said += f", {duration(now - shard.unread)} behind"
    elif shard.moved is not None and shard.state == "reading":
        said += f", moved {duration(now - shard.moved)} ago"
    return said


def _state(shard: ShardOverview) -> str:
    return f"{shard.state}, partly trimmed" if shard.partly_trimmed else shard.state


def _age(shard: ShardOverview, now: datetime) -> str:
    return "" if shard.created is None else duration(now - shard.created)


def _times(sampled: ShardSample | None) -> tuple[str, ...]:
    if sampled is None:
        return "", "", ""
    moments = ("" if moment is None else f"{moment:%H:%M:%S}" for moment in (sampled.first, sampled.last))
    return f"{sampled.records:,}", *moments


def duration(span: timedelta) -> str:
    """Return a duration in its two largest units, such as "3 h 20 min"."""
    seconds = max(0, round(span.total_seconds()))
    parts: list[str] = []
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")):
        number, seconds = divmod(seconds, size)
        if number or parts:
            parts.append(f"{number} {unit}")
    return " ".join(parts[:2]) or "0 s"


def _draw(parser: Parser, seen: StreamOverview, file: Path | None) -> None:
    if file is None:
        return
    notes = {shard.shard_id: _age(shard, seen.taken) for shard in seen.shards}
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
