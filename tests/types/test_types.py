"""Type checkers accept right calls, refuse each wrong one, and understand the README."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, blocks

HERE = Path(__file__).parent
RIGHT, WRONG = HERE / "right.py", HERE / "wrong.py"
PYRIGHT = ROOT / ".build" / "pyright" / "node_modules" / ".bin" / "pyright"
MARKED = [number for number, line in enumerate(WRONG.read_text().splitlines(), 1) if line.endswith("# wrong")]


def refused_by_mypy(*files: Path, config: Path = ROOT / "pyproject.toml") -> set[tuple[str, int, str]]:
    """Return the name of the file, the line and the message of each error."""
    command = [sys.executable, "-m", "mypy", "--config-file", str(config), "--output", "json", *map(str, files)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode in (0, 1), done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {(Path(each["file"]).name, each["line"], each["message"]) for each in found if each["severity"] == "error"}


def refused_by_pyright(directory: Path, *files: Path) -> set[tuple[str, int, str]]:
    for file in files:
        (directory / file.name).write_text(file.read_text())
    settings = {
        "extraPaths": [str(ROOT / "connector"), str(ROOT)],
        "venvPath": str(Path(sys.prefix).parent),
        "venv": Path(sys.prefix).name,
        "pythonVersion": "3.11",
    }
    (directory / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [str(PYRIGHT), "--project", str(directory), "--outputjson"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    found = json.loads(done.stdout)["generalDiagnostics"]
    return {
        (Path(each["file"]).name, each["range"]["start"]["line"] + 1, each["message"])
        for each in found
        if each["severity"] == "error"
    }


def test_mypy_refuses_each_wrong_call_and_nothing_else() -> None:
    refused = refused_by_mypy(RIGHT, WRONG)
    assert {(file, line) for file, line, _ in refused} == {(WRONG.name, line) for line in MARKED}
    assert len(MARKED) >= 25


def test_pyright_refuses_each_wrong_call_and_nothing_else(tmp_path: Path) -> None:
    if not PYRIGHT.exists():
        pytest.skip("NOT RUN: no pyright; `make types` installs it where Node.js is")
    refused = refused_by_pyright(tmp_path, RIGHT, WRONG)
    assert {(file, line) for file, line, _ in refused} == {(WRONG.name, line) for line in MARKED}


def test_the_examples_of_the_readme_have_types(tmp_path: Path) -> None:
    """As a reader runs them: one after the other, in a program that is not strict about its own functions."""
    page = ROOT / "README.md"
    program = "\n".join(block.text for block in blocks(page) if block.language == "python" and block.not_run is None)
    example = tmp_path / "readme.py"
    example.write_text(program)
    config = tmp_path / "mypy.ini"
    config.write_text(
        f"[mypy]\nmypy_path = {ROOT / 'connector'}\ncheck_untyped_defs = true\nallow_redefinition = true\n"
        "[mypy-apache_beam.*,pyarrow.*,duckdb.*,pandas.*]\nfollow_imports = skip\nignore_missing_imports = true\n"
    )
    assert program.count("import") > 3
    assert refused_by_mypy(example, config=config) == set()
