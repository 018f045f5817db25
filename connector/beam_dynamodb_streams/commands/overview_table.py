"""A stream's overview for a terminal, as what the library `rich` prints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from beam_dynamodb_streams.commands.printable import printable
from beam_dynamodb_streams.inspection.application_progress import ApplicationProgress, ShardProgress
from beam_dynamodb_streams.inspection.shard_sample import ShardSample
from beam_dynamodb_streams.inspection.shard_tree import boxes, short_id
from beam_dynamodb_streams.inspection.stream_overview import ShardOverview, StreamOverview
from beam_dynamodb_streams.shards.lineage import Lineage, Shard

if TYPE_CHECKING:
    from rich.console import RenderableType

_STYLES: Final = {"open": "bold green", "closed": "", "trimmed": "dim strike", "unlisted": "yellow"}
_MOST_SHARDS: Final = 300


def overview_table(seen: StreamOverview) -> RenderableType:
    """Return the overview for a terminal: facts about the stream, then a line for each shard, below its parent."""
    from rich.console import Group
    from rich.table import Column, Table
    from rich.text import Text

    facts = Table.grid(Column(), Column(overflow="fold"), padding=(0, 2))
    for name, text in facts_of(seen):
        facts.add_row(Text(name, "dim"), Text(printable(text)))  # a str would be markup
    sampled = any(shard.sampled for shard in seen.shards)
    heads = ["sampled", "first (UTC)", "last (UTC)"] if sampled else []
    ages = [] if seen.is_data_stream else ["age"]  # a data stream's ids do not say it
    followed = {} if seen.application is None else {each.shard_id: each for each in seen.application.shards}
    columns = [Column(head, no_wrap=head != "state") for head in ["shard", "state", *ages, *heads]]
    table = Table(*columns, *(["application"] if followed else []), box=None, header_style="dim", pad_edge=False)
    shards = {shard.shard_id: shard for shard in seen.shards}
    tree = list(boxes(Lineage(Shard(shard.shard_id, shard.parents) for shard in seen.shards)))
    for box in tree[:_MOST_SHARDS]:
        shard = shards[box.shard_id]
        guide = "  " * (box.generation - 1) + "└ " if box.generation else ""
        others = "".join(f" + {short_id(parent)}" for parent in shard.parents[1:])  # of a merge
        label = Text.assemble(
            (guide, "dim"),
            (printable(short_id(shard.shard_id)), _STYLES[shard.state]),
            (printable(others and f" of {short_id(shard.parents[0])}{others}"), "dim"),
        )
        times = _times(shard.sampled) if sampled else ()
        progress = (progress_text(followed.get(shard.shard_id), seen.taken),) if followed else ()
        if seen.application is not None and seen.application.stands_in is not None:
            progress = ("not begun",)
        table.add_row(label, state_text(shard), *(age(shard, seen.taken) for _ in ages), *times, *progress)
    rest = len(tree) - _MOST_SHARDS
    return Group(facts, Text(), table, *([Text(f"and {rest:,} more shards")] if rest > 0 else []))


def facts_of(seen: StreamOverview) -> Iterator[tuple[str, str]]:
    """Yield the facts about the stream and about the application, each with its name."""
    if seen.is_data_stream:
        yield "data stream", f"{seen.stream_arn} ({seen.status}), {seen.region}"
        yield "changes of", f"table {seen.table}" if seen.table else "the only table in it"
        yield "retention", duration(timedelta(seconds=seen.retention_seconds))
    else:
        yield "table", f"{seen.table}, {seen.region}"
        yield "stream", f"{seen.stream_arn} ({seen.status}, {seen.view_type})"
    for each in seen.generations:
        if each.stream_arn != seen.stream_arn:
            label = each.stream_arn.partition("/stream/")[2]
            yield "other stream", f"{label} ({each.status}, {each.view_type})"
    states: Counter[str] = Counter(shard.state for shard in seen.shards)
    yield "shards", ", ".join(f"{states[state]:,} {state}" for state in _STYLES if states[state])
    if seen.oldest is not None and seen.headroom is not None:
        yield "oldest record", f"{seen.oldest:%Y-%m-%d %H:%M:%S} UTC, {duration(seen.taken - seen.oldest)} ago"
        yield "headroom", f"{duration(seen.headroom)} until it is trimmed"
    if seen.application is not None:
        yield from _application_facts(seen.application)
    if failures := seen.failures:
        yield "not sampled", f"{len(failures):,} shards: {next(iter(failures.values()))}"
    if (cost := seen.cost) is None:
        yield "readers", "all of a shard share 5 calls and 2 MB a second"
        return
    yield "GetRecords a day", f"{cost.idle_calls:,} ({cost.idle_usd:.2f} USD) while all shards are idle"
    yield "", f"{cost.busy_calls:,} ({cost.busy_usd:.2f} USD) while all bring changes"


def _application_facts(application: ApplicationProgress) -> Iterator[tuple[str, str]]:
    by = "held by nobody" if application.owner is None else f"held by {application.owner}"
    if application.alive_age is not None:
        by += f", alive {duration(application.alive_age)} ago"
    yield "application", f"{application.address}, {by}"
    if application.stands_in is not None:
        label = application.stands_in.partition("/stream/")[2]
        yield "", f"it stands in the earlier stream {label}, and continues here once that is read to its end"
    if application.snapshot is not None:
        yield "its snapshot", application.snapshot
    if application.lag is not None and application.headroom is not None:
        yield "its lag", f"{duration(application.lag)}, and {duration(application.headroom)} until changes are lost"
    if lost := sum(shard.state == "trimmed" for shard in application.shards):
        yield "", f"changes of {lost:,} of its shards were, or may have been, trimmed before they were read"


def progress_text(shard: ShardProgress | None, now: datetime) -> str:
    """Return how far an application is in a shard; empty if it does not follow it."""
    if shard is None:
        return ""
    said = {"ended": "read to its end", "waiting": "after its parent", "trimmed": "trimmed unread"}.get(shard.state)
    if said is None:
        said = "caught up" if shard.caught_up else "reading"
    if lag := shard.lag(now):
        said += f", {duration(lag)} behind"
    elif shard.moved is not None and shard.state == "reading":
        said += f", moved {duration(now - shard.moved)} ago"
    return said


def state_text(shard: ShardOverview) -> str:
    """Return the state of a shard, with what is trimmed of it."""
    return f"{shard.state}, partly trimmed" if shard.partly_trimmed else shard.state


def age(shard: ShardOverview, now: datetime) -> str:
    """Return how long ago the shard was created; empty if its id does not say."""
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
