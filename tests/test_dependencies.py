"""Every library that the package imports is declared, and what an import does to the process that imports it."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "connector" / "beam_dynamodb_streams"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


#: A library that loads the module itself, and is therefore there whenever the module is.
LOADED_BY = {"testing/pytest_plugin.py": "pytest"}


def names_of(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=!~ ;]", requirement)[0].lower() for requirement in requirements}


DECLARED = names_of(PROJECT["dependencies"])
OPTIONAL = set[str]().union(*map(names_of, PROJECT["optional-dependencies"].values()))


def imports_of(module: Path, *, at_the_top: bool) -> Iterator[str]:
    """Yield the top-level name of each import of others' code, either of those that run with the module or all."""
    tree = ast.parse(module.read_text())
    for node in tree.body if at_the_top else ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        for name in names:
            top = name.partition(".")[0]
            loader = LOADED_BY.get(module.relative_to(PACKAGE).as_posix())
            if top not in sys.stdlib_module_names and top not in (PACKAGE.name, loader):
                yield top


def distributions_of(names: set[str]) -> dict[str, set[str]]:
    known = packages_distributions()
    return {name: {found.lower() for found in known.get(name, [name])} for name in names}


@pytest.mark.parametrize(
    ("at_the_top", "allowed"), [(True, DECLARED), (False, DECLARED | OPTIONAL)], ids=["at once", "when it is used"]
)
def test_every_library_that_the_package_imports_is_declared(at_the_top: bool, allowed: set[str]) -> None:
    names = {name for module in PACKAGE.rglob("*.py") for name in imports_of(module, at_the_top=at_the_top)}
    undeclared = {name: found for name, found in distributions_of(names).items() if not found & allowed}
    assert undeclared == {}


def test_every_declared_library_is_in_the_lock() -> None:
    lock = {line.partition("==")[0].lower() for line in (ROOT / "requirements.lock").read_text().splitlines()}
    assert lock >= DECLARED


@pytest.mark.parametrize(
    "module", ["beam_dynamodb_streams", "beam_dynamodb_streams.source.transform", "pipelines.export"]
)
def test_an_import_leaves_the_root_logger_as_it_was(module: str) -> None:
    script = f"""
import logging
root = logging.getLogger()
before = (list(root.filters), root.level)
import {module}
assert (root.filters, root.level) == before, root.filters
"""
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
