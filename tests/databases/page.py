"""docs/databases.md taken apart, so that the recipes are tested as people copy them."""

from __future__ import annotations

from typing import Any

import apache_beam as beam

from beam_dynamodb_streams import ChangeRecord
from tests.docs.pages import ROOT, blocks

PAGE = ROOT / "docs" / "databases.md"
_BLOCKS = [block for block in blocks(PAGE, "python") if not block.not_run]


def recipe() -> dict[str, Any]:
    """Return the names that the blocks define which need no database and no pipeline."""
    names: dict[str, Any] = {"beam": beam}
    for block in _BLOCKS:
        if "changes |" not in block.text and "duckdb.connect" not in block.text:
            exec(compile(block.compiled(), str(PAGE), "exec"), names)  # noqa: S102 - our own page
    return names


def run_page(changes: list[ChangeRecord], *, without: str | None = None) -> dict[str, Any]:
    """Run the page from its first block to its last, and return its names. `without`: leave out blocks with this."""
    names: dict[str, Any] = {"beam": beam}
    for block in _BLOCKS:
        if without is not None and without in block.text:
            continue
        code = compile(block.compiled(), str(PAGE), "exec")
        if "changes |" in block.text:
            with beam.Pipeline("FnApiRunner") as pipeline:
                names["changes"] = pipeline | beam.Create(changes)
                exec(code, names)  # noqa: S102
        else:
            exec(code, names)  # noqa: S102
    return names
