"""Small HTML tables, for what notebooks show. All text is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape


def short(value: object, most: int = 80) -> str:
    """The value's text, cut to ``most`` characters."""
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def html_table(head: Sequence[str], rows: Iterable[Sequence[str]], *, title: str = "", note: str = "") -> str:
    """A table with a line above it and a line below, each left out where empty. Cells are text, not HTML."""
    above = f"<div><b>{escape(title)}</b></div>" if title else ""
    below = f"<div><small>{escape(note)}</small></div>" if note else ""
    return f"<div>{above}<table><thead>{_row('th', head)}</thead><tbody>{_rows(rows)}</tbody></table>{below}</div>"


def _rows(rows: Iterable[Sequence[str]]) -> str:
    return "".join(_row("td", row) for row in rows)


def _row(tag: str, cells: Sequence[str]) -> str:
    return "<tr>" + "".join(f'<{tag} style="text-align:left">{escape(cell)}</{tag}>' for cell in cells) + "</tr>"
