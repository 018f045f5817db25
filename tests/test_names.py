"""The name of a test is a sentence of behaviour that can be read at a glance, and is unique in its file."""

from __future__ import annotations

import ast
from pathlib import Path

LONGEST = 85
TESTS = Path(__file__).parent


def test_no_test_has_a_name_that_is_too_long_or_taken() -> None:
    too_long, taken = [], []
    for file in sorted(TESTS.rglob("test_*.py")):
        names = [
            node.name
            for node in ast.parse(file.read_text("utf-8")).body
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
        ]
        too_long += [name for name in names if len(name) > LONGEST]
        taken += [f"{file.name}: {name}" for name in set(names) if names.count(name) > 1]
    assert (too_long, taken) == ([], [])
