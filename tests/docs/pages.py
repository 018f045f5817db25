"""The pages for people, taken apart: fenced blocks, commands, links.

A block runs, unless a comment right before it says why not: `<!-- not run: needs BigQuery -->`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = (
    *(ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").glob("*.md")),
)

_FENCE: Final = re.compile(r"(?:^<!-- not run: ([^\n]+) -->\n\n?)?^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK: Final = re.compile(r"\[([^\]\n]*(?:\n[^\]\n]+)?)\]\(([^)\s]+)\)")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block. `line` is its first line of content, `not_run` the reason why it is not run, if any."""

    page: Path
    line: int
    language: str
    text: str
    not_run: str | None

    @property
    def name(self) -> str:
        return f"{self.page.name}:{self.line}"

    def compiled(self) -> str:
        """The text, with the line numbers of the page."""
        return "\n" * (self.line - 1) + self.text


@dataclass(frozen=True, slots=True)
class Command:
    """Return what follows each `$` in a console block, with continued lines joined and without comments."""

    block: Block
    text: str

    @property
    def name(self) -> str:
        return f"{self.block.page.name}: {self.text}"


@dataclass(frozen=True, slots=True)
class Link:
    page: Path
    text: str
    target: str


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path, language: str | None = None) -> Iterator[Block]:
    text = page.read_text("utf-8")
    for found in _FENCE.finditer(text):
        line = text[: found.start(3)].count("\n") + 1
        if language in (None, found[2]):
            yield Block(page, line, found[2], found[3], found[1])


def commands(page: Path) -> Iterator[Command]:
    for block in blocks(page, "console"):
        yield from commands_of(block)


def commands_of(block: Block) -> Iterator[Command]:
    for line in re.sub(r"\\\n\s*", "", block.text).splitlines():
        if line.startswith("$ "):
            yield Command(block, re.sub(r"\s+# .*", "", line.removeprefix("$ ")).strip())


def links(page: Path) -> Iterator[Link]:
    prose = _FENCE.sub("", page.read_text("utf-8"))
    for found in _LINK.finditer(prose):
        yield Link(page, found[1].replace("\n", " "), found[2])
