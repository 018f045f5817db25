"""A user's code that uses the public surface has types, and runs."""

from __future__ import annotations

import ast
from pathlib import Path

import beam_dynamodb_streams
from tests.docs import public_surface
from tests.docs.pages import ROOT


def test_the_public_surface_is_used_as_its_types_say(tmp_path: Path) -> None:
    """`mypy --strict` reads the same file in `make check`."""
    public_surface.main(tmp_path)


def test_everything_public_is_in_the_typed_example() -> None:
    tree = ast.parse(Path(public_surface.__file__).read_text("utf-8"))
    used = {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert set(beam_dynamodb_streams.__all__) - used <= {"CHANGE_SCHEMA", "json_field"}


def test_the_package_says_that_it_is_typed() -> None:
    assert (ROOT / "connector" / "beam_dynamodb_streams" / "py.typed").exists()
    assert "tests/docs/public_surface.py" in (ROOT / "pyproject.toml").read_text("utf-8")
