"""A lineage as a picture: a column for each generation, a row for each leaf, lines from parents to children. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape
from typing import Final, Literal

from beam_dynamodb_streams.shards.lineage import Lineage

State = Literal["open", "closed", "unlisted"]

MOST_ROWS: Final = 200
"""A picture of more leaves is cut here: nobody reads it, and a notebook would keep it for ever."""

_PAGE: Final = 960
"""The width of a picture in pixels, as that of a notebook's output. More generations than fit make it wider."""

_ROOMY: Final = 12
"""More leaves than these are drawn close together, if no shard has a note."""

_STYLE: Final[Mapping[State, str]] = {
    "open": 'fill="#2b8a3e" stroke="#2b8a3e"',
    "closed": 'fill="#5c677d" stroke="#5c677d"',
    "unlisted": 'fill="#ffffff" stroke="#5c677d" stroke-dasharray="4 3"',
}


@dataclass(frozen=True, slots=True)
class Box:
    """Where a shard is drawn. Its generation counts from 0; its row is a leaf's own, or between its children's."""

    shard_id: str
    parents: tuple[str, ...]
    state: State
    generation: int
    row: float


def boxes(lineage: Lineage) -> Iterator[Box]:
    """Yield every shard and every parent that no listing showed (its state is "unlisted"), parents before children.

    Siblings are ordered by id, which begins with the time of creation. A shard with several parents is drawn under the
    first one. A shard in a loop of parents is left out.
    """
    order = _parents_first(lineage)
    rows: dict[str, float] = {}
    for shard in order:  # depth first, so the leaves come from top to bottom
        if not _children(lineage, shard):
            rows[shard] = len(rows)
    for shard in reversed(order):
        if children := _children(lineage, shard):
            rows[shard] = (min(rows[child] for child in children) + max(rows[child] for child in children)) / 2
    for shard, generation in order.items():
        yield Box(shard, lineage.parents(shard), _state(lineage, shard), generation, rows[shard])


def svg(lineage: Lineage, notes: Mapping[str, str] | None = None) -> str:
    """Return the picture, for a browser or a file.

    `notes` has a second line of text for a shard. The tooltip of a shard is its whole id.
    """
    drawn = list(boxes(lineage))
    shown = [box for box in drawn if box.row < MOST_ROWS]
    at = {box.shard_id: box for box in shown}
    generations = 1 + max((box.generation for box in shown), default=0)
    rows = 1 + max((box.row for box in shown), default=0)
    scale = _scale(generations, rows, noted=bool(notes))
    width = max(400, scale.column * generations)
    height = scale.row * rows + 20
    lines = [_line(scale, at[parent], box) for box in shown for parent in box.parents if parent in at]
    shapes = [_box(scale, box, (notes or {}).get(box.shard_id, "")) for box in shown]
    rest = len(drawn) - len(shown)
    below = f"{len(drawn):,} shards" + (f", {rest:,} of them not shown" if rest else "")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height:g}" viewBox="0 0 {width} {height:g}" '
        'font-family="system-ui, sans-serif" font-size="12">'
        '<rect width="100%" height="100%" fill="#ffffff"/>'
        f"{''.join(lines)}{''.join(shapes)}"
        f'<text x="6" y="{height - 6:g}" fill="#495057">{below}: green is open, grey closed, dashed not listed'
        "</text></svg>"
    )


def short_id(shard_id: str, length: int = 12) -> str:
    """Return the end of the id, which is enough to distinguish two shards."""
    return shard_id.rpartition("-")[2][-length:]


@dataclass(frozen=True, slots=True)
class _Scale:
    """The size of a column and of a row, and of a box in them, in pixels."""

    column: int
    row: int
    width: int
    height: int


def _scale(generations: int, rows: float, *, noted: bool) -> _Scale:
    column = min(190, max(100, _PAGE // generations))
    row, height = (28, 22) if rows > _ROOMY and not noted else (44, 34)
    return _Scale(column, row, column - min(40, column // 5), height)


def _parents_first(lineage: Lineage) -> dict[str, int]:
    """Return each shard with its generation, depth first."""
    roots = {shard for shard in lineage if not lineage.parents(shard)}
    roots |= {parent for shard in lineage for parent in lineage.parents(shard) if parent not in lineage}
    order: dict[str, int] = {}
    ahead = [(root, 0) for root in sorted(roots, reverse=True)]
    while ahead:
        shard, generation = ahead.pop()
        order[shard] = generation
        ahead += [(child, generation + 1) for child in sorted(_children(lineage, shard), reverse=True)]
    return order


def _children(lineage: Lineage, shard: str) -> list[str]:
    """Return the children that are drawn under the shard."""
    return [child for child in lineage.children(shard) if lineage.first_parent(child) == shard]


def _state(lineage: Lineage, shard_id: str) -> State:
    shard = lineage.get(shard_id)
    if shard is None:
        return "unlisted"
    return "open" if shard.ending_sequence_number is None else "closed"


def _left(scale: _Scale, box: Box) -> float:
    return box.generation * scale.column + 8


def _middle(scale: _Scale, box: Box) -> float:
    return box.row * scale.row + 6 + scale.height / 2


def _line(scale: _Scale, parent: Box, child: Box) -> str:
    x1, y1 = _left(scale, parent) + scale.width, _middle(scale, parent)
    x2, y2 = _left(scale, child), _middle(scale, child)
    half = (x1 + x2) / 2
    path = f"M{x1:g} {y1:g}C{half:g} {y1:g} {half:g} {y2:g} {x2:g} {y2:g}"
    return f'<path d="{path}" fill="none" stroke="#868e96" stroke-width="1.5"/>'


def _box(scale: _Scale, box: Box, note: str) -> str:
    x, middle = _left(scale, box), _middle(scale, box)
    ink = "#495057" if box.state == "unlisted" else "#ffffff"
    fits = int(scale.width / 7)  # characters of this font
    shown = [short_id(box.shard_id, min(12, fits)), *([note] if note and len(note) <= fits else [])]
    first = middle + 4 - 7 * (len(shown) - 1)
    center = f'x="{x + scale.width / 2:g}" text-anchor="middle" fill="{ink}"'
    labels = "".join(
        f'<text {center} y="{first + 14 * line:g}">{escape(text)}</text>' for line, text in enumerate(shown)
    )
    rectangle = (
        f'<rect x="{x:g}" y="{middle - scale.height / 2:g}" width="{scale.width}" height="{scale.height}" rx="6" '
    )
    title = f"{box.shard_id}: {box.state}{f', {note}' if note and note not in shown else ''}"
    return f"<g><title>{escape(title)}</title>{rectangle}{_STYLE[box.state]}/>{labels}</g>"
