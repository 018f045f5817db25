"""The test kit is a reading of the API of its own."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import beam_dynamodb_streams.testing

_FOLDER = Path(beam_dynamodb_streams.testing.__file__).parent
_READERS = ("wire", "shards", "records", "source", "sinks")
_FORBIDDEN = tuple(f"beam_dynamodb_streams.{name}" for name in _READERS)


def _imported(module: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(("." * node.level) + (node.module or ""))
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("module", sorted(_FOLDER.rglob("*.py")), ids=lambda path: path.name)
def test_the_kit_shares_no_code_with_the_parts_that_read_the_service(module: Path) -> None:
    names = _imported(module)
    assert not [name for name in names if name.startswith((*_FORBIDDEN, "."))]
    assert all(
        name.startswith("beam_dynamodb_streams.testing") for name in names if name.startswith("beam_dynamodb_streams")
    )


@pytest.mark.parametrize("module", sorted(_FOLDER.rglob("*.py")), ids=lambda path: path.name)
def test_the_kit_needs_neither_beam_nor_an_aws_library(module: Path) -> None:
    packages = {name.split(".")[0] for name in _imported(module)}
    assert not packages & {"apache_beam", "boto3", "botocore"}
