"""A stream at a glance: the tree of its shards, how old they are, and what a reader of it costs.

    python -m pipelines.inspect --table orders
    python -m pipelines.inspect --table orders --sample --watch
    python -m pipelines.inspect --table orders --json | jq '.shards[] | select(.state == "open")'

Without ``--sample`` no record is read: it is free of charge and disturbs no reader. Exit code 0, also when the reader
of the output has gone, 130 after SIGINT, 1 when the service failed, 2 when the command is at fault.
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
from beam_dynamodb_streams.commands.arguments import COMMAND_FAULTS, Parser
from beam_dynamodb_streams.errors import DelayError
from beam_dynamodb_streams.inspection.applications import ApplicationGlance, Kept, ShardProgress, kept
from beam_dynamodb_streams.inspection.glance import Glance, ShardGlance, glance
from beam_dynamodb_streams.inspection.sampled import Sampled
from beam_dynamodb_streams.reader.schedule import Pace
from beam_dynamodb_streams.shards.drawing import places, short_id, svg
from beam_dynamodb_streams.shards.lineage import Lineage, Shard
from beam_dynamodb_streams.source.start import find_stream
from beam_dynamodb_streams.wire import Client

if TYPE_CHECKING:
    from rich.console import RenderableType

_STYLES: Final = {"open": "bold green", "closed": "", "trimmed": "dim strike", "unlisted": "yellow"}
_MOST_SHARDS: Final = 300


def main(argv: Sequence[str] | None = None) -> int:
    parser = _parser()
    arguments = parser.parse_args(argv)
    pace = Pace(arguments.poll_interval, max(arguments.poll_interval, arguments.idle_poll_interval))
    try:
        with closing(Client(region_name=arguments.region_name, endpoint_url=arguments.endpoint_url)) as client:
            stream_arn = arguments.stream_arn or find_stream(client, arguments.table)
            application = _application(arguments, stream_arn)
            look = partial(glance, client, stream_arn, sample=arguments.sample, pace=pace, application=application)
            glances = looks(look, every=arguments.watch)
            _show(parser, glances, arguments)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `| head` has what it wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is still buffered goes nowhere
    except COMMAND_FAULTS as error:
        parser.error(parser.spelt(error))
    except ConnectorError as error:
        parser.exit(1, f"{parser.prog}: failed: {parser.spelt(error)}\n")
    return 0


def _parser() -> Parser:
    parser = Parser("python -m pipelines.inspect", "Shows a stream's shards, their age, and what reading them costs.")
    parser.epilog = None
    stream = parser.add_mutually_exclusive_group(required=True)
    stream.add_argument("--table", metavar="NAME", help="the table: its latest stream is shown")
    stream.add_argument("--stream_arn", metavar="ARN", help="or the stream itself")
    parser.add_argument(
        "--sample",
        action="store_true",
        help="read some pages of every shard for the times of its records: billed, and one of its two readers",
    )
    parser.add_argument(
        "--progress",
        metavar="WHERE",
        help="how far an application is: dynamodb://TABLE/APPLICATION, file:PATH, or kcl://LEASE_TABLE; its lag is"
        " known with --sample",
    )
    parser.add_argument(
        "--watch", type=_seconds, nargs="?", const=5.0, metavar="SECONDS", help="look again so often (default: every 5)"
    )
    parser.add_argument("--json", action="store_true", help="one line of JSON for each look, for scripts")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw the tree of the shards into a file too")
    for name, seconds in (("poll_interval", Pace().poll), ("idle_poll_interval", Pace().idle)):
        parser.add_argument(
            f"--{name}", type=_seconds, default=seconds, metavar="SECONDS", help="of the reader whose cost is shown"
        )
    parser.add_argument("--endpoint_url", metavar="URL", help="of another service than AWS, such as a local one")
    parser.add_argument("--region_name", metavar="REGION", help="by default as boto3 finds it")
    return parser


def _application(arguments: argparse.Namespace, stream_arn: str) -> Callable[[Lineage], Kept] | None:
    if arguments.progress is None:
        return None
    where = {"region_name": arguments.region_name, "endpoint_url": arguments.endpoint_url}
    return lambda lineage: kept(arguments.progress, stream_arn, lineage, **where)


def looks(
    look: Callable[[], Glance], *, every: float | None, sleep: Callable[[float], object] = time.sleep
) -> Iterator[Glance]:
    """One look, or one every so many seconds; a fault that passes leaves one out."""
    yield look()
    while every is not None:
        sleep(every)
        with suppress(DelayError):
            yield look()


def _show(parser: Parser, glances: Iterator[Glance], arguments: argparse.Namespace) -> None:
    if arguments.json:
        for seen in glances:
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
        for seen in glances:
            _draw(parser, seen, arguments.svg)
            console.print(view(seen))
        return
    with Live(console=console, auto_refresh=False, vertical_overflow="visible") as live:
        for seen in glances:
            _draw(parser, seen, arguments.svg)
            live.update(view(seen), refresh=True)


def view(seen: Glance) -> RenderableType:
    """The glance for a terminal: what it is, then a line a shard, children below their parent."""
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
    tree = list(places(Lineage(Shard(shard.shard_id, shard.parent) for shard in seen.shards)))
    for place in tree[:_MOST_SHARDS]:
        shard = shards[place.shard_id]
        guide = "  " * (place.generation - 1) + "└ " if place.generation else ""
        label = Text.assemble((guide, "dim"), (short_id(shard.shard_id), _STYLES[shard.state]))
        times = _times(shard.sampled) if sampled else ()
        told = (_progress(followed.get(shard.shard_id), seen.taken),) if followed else ()
        table.add_row(label, _state(shard), _age(shard, seen.taken), *times, *told)
    rest = len(tree) - _MOST_SHARDS
    return Group(facts, Text(), table, *([Text(f"and {rest:,} more shards")] if rest > 0 else []))


def _facts(seen: Glance) -> Iterator[tuple[str, str]]:
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


def _facts_of(application: ApplicationGlance) -> Iterator[tuple[str, str]]:
    by = "held by nobody" if application.owner is None else f"held by {application.owner}"
    if application.alive is not None:
        by += f", alive {duration(application.taken - application.alive)} ago"
    yield "application", f"{application.address}, {by}"
    if application.lag is not None and application.headroom is not None:
        yield "its lag", f"{duration(application.lag)}, and {duration(application.headroom)} until changes are lost"
    if lost := sum(shard.state == "trimmed" for shard in application.shards):
        yield "", f"of {lost:,} of its shards changes were, or may have been, trimmed unread"


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


def _state(shard: ShardGlance) -> str:
    return f"{shard.state}, partly trimmed" if shard.partly_trimmed else shard.state


def _age(shard: ShardGlance, now: datetime) -> str:
    return "" if shard.created is None else duration(now - shard.created)


def _times(sampled: Sampled | None) -> tuple[str, ...]:
    if sampled is None:
        return "", "", ""
    moments = ("" if moment is None else f"{moment:%H:%M:%S}" for moment in (sampled.first, sampled.last))
    return f"{sampled.records:,}", *moments


def duration(span: timedelta) -> str:
    """The two largest units, such as ``3 h 20 min``."""
    seconds = max(0, round(span.total_seconds()))
    parts: list[str] = []
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")):
        number, seconds = divmod(seconds, size)
        if number or parts:
            parts.append(f"{number} {unit}")
    return " ".join(parts[:2]) or "0 s"


def _draw(parser: Parser, seen: Glance, file: Path | None) -> None:
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
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds greater than 0")
    return seconds


if __name__ == "__main__":
    sys.exit(main())
