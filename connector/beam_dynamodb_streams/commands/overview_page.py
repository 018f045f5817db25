"""A stream's overview as one page for a browser: no script, nothing loaded from elsewhere, all text escaped. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, timezone
from html import escape
from typing import Final

from beam_dynamodb_streams.commands.overview_table import age, duration, facts_of, progress_text, state_text
from beam_dynamodb_streams.commands.printable import printable
from beam_dynamodb_streams.inspection.application_progress import ShardProgress
from beam_dynamodb_streams.inspection.shard_tree import boxes, short_id, svg
from beam_dynamodb_streams.inspection.stream_overview import ShardOverview, StreamOverview
from beam_dynamodb_streams.shards.lineage import Lineage, Shard

MOST_BARS: Final = 5_000
"""How many rows the picture and the table have at most."""

_WIDTH: Final = 1076
_LEFT: Final = 8
_TOP: Final = 34
_DAYS_A_MONTH: Final = 30

_CSS: Final = """
:root { color-scheme: light dark; --ink: #1f2933; --dim: #5b6b7b; --line: #d5dce3; --card: #ffffff; --page: #f4f6f8;
  --open: #2b8a3e; --closed: #8496a8; --gone: #c92a2a; --mark: #e8590c; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e9ee; --dim: #9fb0c0; --line: #36424e; --card: #1b242d;
  --page: #11181f; --open: #51cf66; --closed: #6b7f93; --gone: #ff8787; --mark: #ffa94d; } }
body { margin: 0; padding: 24px; background: var(--page); color: var(--ink); font: 14px/1.45 system-ui, sans-serif; }
main { max-width: 1080px; margin: 0 auto; }
h1 { font-size: 22px; margin: 0; overflow-wrap: anywhere; } h2 { font-size: 16px; margin: 28px 0 8px; }
p { margin: 4px 0; color: var(--dim); overflow-wrap: anywhere; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(180px, 1fr)); gap: 12px; margin: 20px 0; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 12px 14px; }
.card b { display: block; font-size: 20px; margin: 2px 0; } .card span { color: var(--dim); font-size: 12px; }
.low b { color: var(--gone); }
.scroll { overflow: auto; max-height: 70vh; background: var(--card); border: 1px solid var(--line);
  border-radius: 8px; }
svg { display: block; } svg text { fill: var(--dim); font-size: 11px; }
table { border-collapse: collapse; width: 100%; background: var(--card); font-size: 13px; }
th, td { text-align: left; padding: 4px 10px; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { color: var(--dim); font-weight: 600; position: sticky; top: 0; background: var(--card); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 4px 16px; } dt { color: var(--dim); } dd { margin: 0;
  overflow-wrap: anywhere; }
.open { fill: var(--open); } .closed { fill: var(--closed); } .trimmed, .unlisted { fill: none; stroke: var(--closed);
  stroke-dasharray: 3 2; } .link { stroke: var(--closed); fill: none; } .grid { stroke: var(--line); }
.horizon { stroke: var(--gone); stroke-dasharray: 5 3; } .unread { fill: var(--mark); }
"""


def overview_page(seen: StreamOverview, *, refresh: float | None = None) -> str:
    """Return the page. With `refresh`, a browser loads it every `refresh` seconds, while a command rewrites it."""
    title = _text(seen.table or seen.stream_arn)
    again = "" if refresh is None else f'<meta http-equiv="refresh" content="{refresh:g}">'
    # The policy allows nothing but the styles above, so a browser makes no request whatever the page has in it.
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f'<meta name="viewport" content="width=device-width">{again}<title>{title}: shards</title><style>{_CSS}</style>'
        f"</head><body><main><h1>{title}</h1><p>{_text(seen.stream_arn)}</p>"
        f"<p>{seen.taken:%Y-%m-%d %H:%M:%S} UTC, {_text(seen.region)}</p>"
        f'<div class="cards">{"".join(_cards(seen))}</div>'
        "<h2>Shards over time</h2><p>green is open, grey closed, dashed not in the listing; an orange point is where an"
        f" application stands; the pointer shows a shard's id</p>{_picture(seen)}"
        f"<h2>About the stream</h2><dl>{''.join(_facts(seen))}</dl>"
        f"<h2>All shards</h2>{_table(seen)}</main></body></html>\n"
    )


def _cards(seen: StreamOverview) -> Iterator[str]:
    states = [shard.state for shard in seen.shards]
    yield _card("open shards", f"{states.count('open'):,}", f"{states.count('closed'):,} closed, {seen.status.lower()}")
    if seen.application is not None and seen.application.lag is not None:
        yield _card("lag", duration(seen.application.lag), f"of {seen.application.address}")
    else:
        yield _card("lag", "unknown", "--progress and --sample show how far an application is behind")
    headroom, of = seen.headroom, "until the oldest record is trimmed"
    if seen.application is not None and seen.application.headroom is not None:
        headroom, of = seen.application.headroom, "until changes are lost to the application"
    if headroom is None:
        yield _card("headroom to the trim horizon", "unknown", "--sample reads when the oldest record was created")
    else:
        low = headroom < timedelta(hours=6)
        yield _card("headroom to the trim horizon", duration(headroom), of, low=low)
    if seen.cost is not None:
        month = f"{seen.cost.idle_usd * _DAYS_A_MONTH:,.2f} to {seen.cost.busy_usd * _DAYS_A_MONTH:,.2f} USD"
        calls = f"{seen.cost.idle_calls:,} to {seen.cost.busy_calls:,} GetRecords calls a day, idle to busy"
        yield _card("one reader for 30 days", month, calls)


def _card(name: str, value: str, note: str, *, low: bool = False) -> str:
    texts = f"<span>{_text(name)}</span><b>{_text(value)}</b><span>{_text(note)}</span>"
    return f'<div class="card{" low" if low else ""}">{texts}</div>'


def _facts(seen: StreamOverview) -> Iterator[str]:
    for name, text in facts_of(seen):
        yield f"<dt>{_text(name)}</dt><dd>{_text(text)}</dd>"


def _picture(seen: StreamOverview) -> str:
    """Return the tree with time from left to right; without the times of shards, by generations."""
    if not any(shard.created for shard in seen.shards):
        return f'<div class="scroll">{svg(seen.lineage)}</div>' if seen.shards else "<p>no shards</p>"
    return f'<div class="scroll">{_timeline(seen)}</div>'


def _timeline(seen: StreamOverview) -> str:
    shards = {shard.shard_id: shard for shard in seen.shards}
    tree = list(boxes(Lineage(Shard(shard.shard_id, shard.parents) for shard in seen.shards)))
    rows = {box.shard_id: box.row for box in tree if box.shard_id in shards and box.row < MOST_BARS}
    horizon = seen.taken - timedelta(seconds=seen.retention_seconds)
    born = [shard.created for shard in seen.shards if shard.created is not None]
    scale = _Scale(min(*born, horizon), max(*born, seen.taken), 1 + max(rows.values(), default=0.0))
    ends = _ends(seen)
    unread = {} if seen.application is None else {each.shard_id: each for each in seen.application.shards}
    drawn = [
        "".join(_links(scale, shards[shard], rows, shards, ends))
        + _bar(scale, shards[shard], row, ends[shard], seen, unread)
        for shard, row in rows.items()
    ]
    rest = len(tree) - len(rows)
    more = f'<text x="{_LEFT}" y="{scale.height - 6:g}">and {rest:,} more shards</text>' if rest > 0 else ""
    return (
        f'<svg role="img" aria-label="shards over time" width="{_WIDTH}" height="{scale.height:g}" '
        f'viewBox="0 0 {_WIDTH} {scale.height:g}">{"".join(_axis(scale, horizon))}{"".join(drawn)}{more}</svg>'
    )


class _Scale:
    """From moments and rows to pixels. Many rows are drawn close together."""

    def __init__(self, first: datetime, last: datetime, rows: float) -> None:
        self.first, self.last = first, last
        self.row = 22.0 if rows <= 40 else 12.0 if rows <= 150 else 7.0
        self.bar = self.row * 0.6
        self.height = _TOP + self.row * rows + 20

    def x(self, moment: datetime) -> float:
        whole = max(1.0, (self.last - self.first).total_seconds())
        part = (moment - self.first).total_seconds() / whole
        return round(_LEFT + min(1.0, max(0.0, part)) * (_WIDTH - 2 * _LEFT), 1)

    def y(self, row: float) -> float:
        return round(_TOP + row * self.row, 1)


def _axis(scale: _Scale, horizon: datetime) -> Iterator[str]:
    span = scale.last - scale.first
    steps = (60, 300, 900, 3600, 3 * 3600, 6 * 3600, 86_400, 7 * 86_400)
    step = next((each for each in steps if span.total_seconds() / each <= 10), 30 * 86_400)
    form = "%H:%M" if step < 86_400 else "%b %d"
    moment = datetime.fromtimestamp(scale.first.timestamp() // step * step + step, timezone.utc)
    while moment < scale.last:
        x = scale.x(moment)
        yield f'<line class="grid" x1="{x}" y1="{_TOP - 6}" x2="{x}" y2="{scale.height:g}"/>'
        yield f'<text x="{x}" y="{_TOP - 20}" text-anchor="middle">{moment:{form}}</text>'
        moment += timedelta(seconds=step)
    x = scale.x(horizon)
    yield f'<line class="horizon" x1="{x}" y1="{_TOP - 6}" x2="{x}" y2="{scale.height:g}"/>'
    anchor = "start" if x < _WIDTH / 2 else "end"
    yield f'<text x="{x + (4 if anchor == "start" else -4)}" y="{_TOP - 8}" text-anchor="{anchor}">trim horizon</text>'


def _ends(seen: StreamOverview) -> Mapping[str, datetime]:
    """Return when each shard ended: when its first child was created; now, if it is open or has no child."""
    children: dict[str, datetime] = {}
    for shard in seen.shards:
        for parent in shard.parents if shard.created is not None else ():
            assert shard.created is not None  # noqa: S101 - narrows the type
            children[parent] = min(children.get(parent, shard.created), shard.created)
    return {shard.shard_id: children.get(shard.shard_id, seen.taken) for shard in seen.shards}


def _links(
    scale: _Scale,
    shard: ShardOverview,
    rows: Mapping[str, float],
    shards: Mapping[str, ShardOverview],
    ends: Mapping[str, datetime],
) -> Iterator[str]:
    for parent in shard.parents:
        if parent in rows and rows[parent] != rows[shard.shard_id] and shards[parent].created is not None:
            middle = scale.bar / 2
            x, y = scale.x(ends[parent]), scale.y(rows[parent]) + middle
            yield f'<path class="link" d="M{x} {y:g}V{scale.y(rows[shard.shard_id]) + middle:g}"/>'


def _bar(
    scale: _Scale,
    shard: ShardOverview,
    row: float,
    end: datetime,
    seen: StreamOverview,
    followed: Mapping[str, ShardProgress],
) -> str:
    begin = shard.created or end
    x, y = scale.x(begin), scale.y(row)
    width = max(2.0, scale.x(end) - x - 1)
    said = [shard.shard_id, state_text(shard), f"created {age(shard, seen.taken)} ago" if shard.created else ""]
    reached = followed.get(shard.shard_id)
    said.append("" if reached is None else progress_text(reached, seen.taken))
    label = short_id(shard.shard_id) if scale.row > 15 and width > 80 else ""
    text = f'<text x="{x + 4}" y="{y + scale.bar - 2:g}" style="fill:#fff">{_text(label)}</text>' if label else ""
    mark = ""
    if reached is not None and reached.unread is not None:
        mark = f'<circle class="unread" cx="{scale.x(reached.unread)}" cy="{y + scale.bar / 2:g}" r="3"/>'
    tooltip = _text(", ".join(filter(None, said)))
    return (
        f'<g><title>{tooltip}</title><rect class="{shard.state}" x="{x}" y="{y}" width="{width:.1f}" '
        f'height="{scale.bar:g}" rx="2"/>{text if shard.state in ("open", "closed") else ""}{mark}</g>'
    )


def _table(seen: StreamOverview) -> str:
    followed = {} if seen.application is None else {each.shard_id: each for each in seen.application.shards}
    heads = ["shard", "parents", "state", "age", "sampled", "first (UTC)", "last (UTC)", "application"]
    rows = []
    for shard in seen.shards[:MOST_BARS]:
        sampled = shard.sampled
        moments = ("", "") if sampled is None else (sampled.first, sampled.last)
        reached = followed.get(shard.shard_id)
        rows.append(
            [
                shard.shard_id,
                ", ".join(map(short_id, shard.parents)),
                state_text(shard),
                age(shard, seen.taken),
                "" if sampled is None else f"{sampled.records:,}",
                *("" if not moment else f"{moment:%Y-%m-%d %H:%M:%S}" for moment in moments),
                "" if reached is None else progress_text(reached, seen.taken),
            ]
        )
    used = [index for index in range(len(heads)) if index == 0 or any(row[index] for row in rows)]
    head = "".join(f"<th>{heads[index]}</th>" for index in used)
    body = "".join("<tr>" + "".join(f"<td>{_text(row[index])}</td>" for index in used) + "</tr>" for row in rows)
    rest = len(seen.shards) - len(rows)
    more = f"<p>and {rest:,} more shards</p>" if rest > 0 else ""
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{more}'


def _text(text: str) -> str:
    return escape(printable(text))
