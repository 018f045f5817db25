"""A lineage as a picture: a column a generation, a row a leaf, a line from each shard to its children. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape
from typing import Final, Literal

from beam_dynamodb_streams.shards.lineage import Lineage

State = Literal["open", "closed", "unlisted"]

MOST_ROWS: Final = 200
"""A picture of more leaves is cut here: nobody reads it, and a notebook would carry it for ever."""

_COLUMN: Final = 190
_ROW: Final = 44
_WIDTH: Final = 150
_HEIGHT: Final = 34
_STYLE: Final[Mapping[State, str]] = {
    "open": 'fill="#2b8a3e" stroke="#2b8a3e"',
    "closed": 'fill="#5c677d" stroke="#5c677d"',
    "unlisted": 'fill="#ffffff" stroke="#5c677d" stroke-dasharray="4 3"',
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a shard stands: its generation counts from 0, its row is a leaf's or between its children's."""

    shard_id: str
    parent: str | None
    state: State
    generation: int
    row: float


def places(lineage: Lineage) -> Iterator[Place]:
    """Every shard and every parent that no listing showed (its state is "unlisted"), parents before children.

    Siblings are ordered by id, which begins with the time of creation. A shard in a loop of parents is left out.
    """
    order = _parents_first(lineage)
    rows: dict[str, float] = {}
    for shard in order:  # depth first, so the leaves come from top to bottom
        if not lineage.children(shard):
            rows[shard] = len(rows)
    for shard in reversed(order):
        if children := lineage.children(shard):
            rows[shard] = (min(rows[child] for child in children) + max(rows[child] for child in children)) / 2
    for shard, generation in order.items():
        yield Place(shard, lineage.parent(shard), _state(lineage, shard), generation, rows[shard])


def svg(lineage: Lineage, notes: Mapping[str, str] | None = None) -> str:
    """The picture, for a browser or a file. ``notes`` is a second line of text for a shard; its whole id is its
    tooltip."""
    drawn = list(places(lineage))
    shown = [place for place in drawn if place.row < MOST_ROWS]
    at = {place.shard_id: place for place in shown}
    width = max(400, _COLUMN * (1 + max((place.generation for place in shown), default=0)))
    height = _ROW * (1 + max((place.row for place in shown), default=0)) + 20
    lines = [_line(at[place.parent], place) for place in shown if place.parent in at]
    boxes = [_box(place, (notes or {}).get(place.shard_id, "")) for place in shown]
    rest = len(drawn) - len(shown)
    below = f"{len(drawn):,} shards" + (f", {rest:,} of them not shown" if rest else "")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height:g}" viewBox="0 0 {width} {height:g}" '
        'font-family="system-ui, sans-serif" font-size="12">'
        '<rect width="100%" height="100%" fill="#ffffff"/>'
        f"{''.join(lines)}{''.join(boxes)}"
        f'<text x="6" y="{height - 6:g}" fill="#495057">{below}: green is open, grey closed, dashed not listed'
        "</text></svg>"
    )


def short_id(shard_id: str) -> str:
    """What tells two shards apart for the eye: the end of the id."""
    return shard_id.rpartition("-")[2][-12:]


def _parents_first(lineage: Lineage) -> dict[str, int]:
    """Each shard with its generation, depth first."""
    roots = {shard for shard in lineage if lineage.parent(shard) is None}
    roots |= {parent for shard in lineage if (parent := lineage.parent(shard)) is not None and parent not in lineage}
    order: dict[str, int] = {}
    ahead = [(root, 0) for root in sorted(roots, reverse=True)]
    while ahead:
        shard, generation = ahead.pop()
        order[shard] = generation
        ahead += [(child, generation + 1) for child in sorted(lineage.children(shard), reverse=True)]
    return order


def _state(lineage: Lineage, shard_id: str) -> State:
    shard = lineage.get(shard_id)
    if shard is None:
        return "unlisted"
    return "open" if shard.ending_sequence_number is None else "closed"


def _left(place: Place) -> float:
    return place.generation * _COLUMN + 8


def _middle(place: Place) -> float:
    return place.row * _ROW + 6 + _HEIGHT / 2


def _line(parent: Place, child: Place) -> str:
    x1, y1, x2, y2 = _left(parent) + _WIDTH, _middle(parent), _left(child), _middle(child)
    half = (x1 + x2) / 2
    path = f"M{x1:g} {y1:g}C{half:g} {y1:g} {half:g} {y2:g} {x2:g} {y2:g}"
    return f'<path d="{path}" fill="none" stroke="#868e96" stroke-width="1.5"/>'


def _box(place: Place, note: str) -> str:
    x, middle = _left(place), _middle(place)
    ink = "#495057" if place.state == "unlisted" else "#ffffff"
    texts = [short_id(place.shard_id), *([note] if note else [])]
    first = middle + 4 - 7 * (len(texts) - 1)
    center = f'x="{x + _WIDTH / 2:g}" text-anchor="middle" fill="{ink}"'
    labels = "".join(
        f'<text {center} y="{first + 14 * line:g}">{escape(text)}</text>' for line, text in enumerate(texts)
    )
    rectangle = f'<rect x="{x:g}" y="{middle - _HEIGHT / 2:g}" width="{_WIDTH}" height="{_HEIGHT}" rx="6" '
    return f"<g><title>{escape(place.shard_id)}: {place.state}</title>{rectangle}{_STYLE[place.state]}/>{labels}</g>"
