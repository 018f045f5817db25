"""docs/testing-your-pipeline.md says what is true: its blocks run as they are pasted, and pytest finds the fixtures."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "testing-your-pipeline.md"
PLUGIN = "beam_dynamodb_streams.testing.pytest_plugin"


def python_blocks() -> list[tuple[str, bool]]:
    """Return each block of Python, and whether it is one for pytest."""
    found = []
    parts = PAGE.read_text("utf-8").split("```")
    for before, block in zip(parts[::2], parts[1::2], strict=False):
        if block.startswith("python\n"):
            found.append((block.removeprefix("python\n"), "not run: pytest" in before))
    return found


def test_the_blocks_run_one_after_another_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "pasted"}
    blocks = [block for block, for_pytest in python_blocks() if not for_pytest]
    assert len(blocks) >= 6
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)  # noqa: S102 - our own page


def test_pytest_runs_the_tests_of_the_page_with_the_fixtures_of_the_package(tmp_path: Path) -> None:
    (block,) = [block for block, for_pytest in python_blocks() if for_pytest]
    (tmp_path / "test_orders.py").write_text(block, "utf-8")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment["AWS_CONFIG_FILE"] = os.devnull
    # Where the package is installed, its entry point names the plugin.
    command = [sys.executable, "-m", "pytest", "-q", "-p", PLUGIN, "-p", "no:cacheprovider", "test_orders.py"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


def test_loading_the_fixtures_imports_neither_beam_nor_pyarrow() -> None:
    code = f"import sys, {PLUGIN}; print([name for name in ('apache_beam', 'pyarrow', 'boto3') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
