"""Small HTML tables for notebooks, and texts of limited length. All HTML text is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from html import escape
from typing import Final

_LONGEST_NUMBER: Final = 40
"""A number with more digits than this, zeros included, is shown with an exponent."""


def readable(value: object) -> str:
    """Return the text of an attribute value for people: as Python writes it, but numbers plain and sets in order."""
    if isinstance(value, Decimal):
        return f"{value:f}" if abs(value.adjusted()) < _LONGEST_NUMBER else str(value)
    if isinstance(value, dict):
        return f"{{{', '.join(f'{name!r}: {readable(each)}' for name, each in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(readable, value))}]"
    if isinstance(value, set):
        return f"{{{', '.join(map(readable, sorted(value)))}}}" if value else "set()"
    return repr(value)


def short(value: object, limit: int = 80) -> str:
    """Return the text of the value for people, cut to at most `limit` characters."""
    text = value if isinstance(value, str) else readable(value)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def html_table(head: Sequence[str], rows: Iterable[Sequence[str]], *, title: str = "", note: str = "") -> str:
    """Return a table with a line above it and a line below; empty lines are left out. Cells are text, not HTML."""
    above = f"<div><b>{escape(title)}</b></div>" if title else ""
    below = f"<div><small>{escape(note)}</small></div>" if note else ""
    return f"<div>{above}<table><thead>{_row('th', head)}</thead><tbody>{_rows(rows)}</tbody></table>{below}</div>"


def _rows(rows: Iterable[Sequence[str]]) -> str:
    return "".join(_row("td", row) for row in rows)


def _row(tag: str, cells: Sequence[str]) -> str:
    return "<tr>" + "".join(f'<{tag} style="text-align:left">{escape(cell)}</{tag}>' for cell in cells) + "</tr>"


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Return how many there are of something, as in `1 file`, `1,200 files` and, with a plural, `2 losses`."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"
