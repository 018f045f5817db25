"""Import order is the flow: which part of the package may know which library, and which other part."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "connector"
MODULES = sorted(PACKAGE.rglob("*.py"))

#: Where a library may be imported: folders or modules, relative to the package.
LIBRARIES = {
    "apache_beam": (
        "source/",
        "sinks/",
        "metrics.py",
        "records/coder.py",
        "records/batched.py",
        "progress/commit.py",
        "progress/files.py",
    ),
    "pyarrow": (
        "records/",
        "sinks/",
        "progress/commit.py",
        "source/emission.py",
        "source/delivered.py",
        "source/sample.py",
    ),
    "fastavro": ("records/", "sinks/"),
    # requests.py: the codes that wire leaves untouched; progress: tables, which wire does not know
    "botocore": ("wire/", "source/requests.py", "progress/tables.py", "progress/dynamodb.py"),
    "boto3": (),
    "urllib3": ("wire/",),
}

#: What each part may import of the rest of the package. The package's own __init__ is its public surface.
PARTS = {
    "errors": set[str](),
    "html": set[str](),
    "metrics": set[str](),
    "wire": {"errors"},
    "shards": {"errors", "html"},
    "records": {"errors", "html", "wire"},
    "progress": {"errors", "shards", "records"},
    "source": {"errors", "html", "metrics", "wire", "shards", "records", "progress"},
    "sinks": {"errors", "records", "shards"},  # an output says where its stream is to be read on
    "testing": set[str](),
}


def imported(module: Path) -> Iterator[str]:
    """Every name that the module imports, dotted, at any depth of its code."""
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module.name} imports relatively: write the whole name"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def place(module: Path) -> str:
    return module.relative_to(PACKAGE).as_posix()


@pytest.mark.parametrize("module", MODULES, ids=place)
def test_each_library_is_known_only_where_it_belongs(module: Path) -> None:
    for name in imported(module):
        allowed = LIBRARIES.get(name.split(".")[0])
        assert allowed is None or place(module).startswith(allowed), f"{place(module)} imports {name}"


@pytest.mark.parametrize("module", [m for m in MODULES if m.parent != PACKAGE or m.stem in PARTS], ids=place)
def test_each_part_imports_only_what_comes_before_it(module: Path) -> None:
    part = place(module).split("/")[0].removesuffix(".py")
    for name in imported(module):
        package, _, rest = name.partition(".")
        if package == "connector":
            assert rest.split(".")[0] in PARTS[part] | {part}, f"{place(module)} imports {name}"


def test_every_part_is_in_the_law() -> None:
    found = {place(module).split("/")[0].removesuffix(".py") for module in MODULES} - {"__init__"}
    assert found == set(PARTS)
