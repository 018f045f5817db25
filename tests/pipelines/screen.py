"""A terminal for tests: what was written to it, and what it shows."""

from __future__ import annotations

import io


class Screen(io.StringIO):
    """A terminal of 80 columns, without scrolling."""

    def isatty(self) -> bool:
        return True


def screen(written: str) -> list[str]:
    """Return what a terminal shows after this was written to it."""
    lines = []
    for line in written.replace("\r\n", "\n").split("\n"):
        cells: list[str] = []
        for part in line.split("\r"):
            cells[: len(part)] = part
        lines.append("".join(cells).rstrip())
    return lines
