"""The package as people install it: one top-level name and one program, beside whatever their project has."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from runners.workers import clean_environment

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the package, built from a copy of its sources, and with all that it needs; its `bin`."""
    directory = tmp_path_factory.mktemp("installed")
    sources = directory / "sources"
    shutil.copytree(
        ROOT,
        sources,
        ignore=shutil.ignore_patterns(".*", "build", "dist", "__pycache__", "*.egg-info", "demo-output"),
    )
    python = clean_environment(directory / "environment")
    options = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    run(directory, [python, "-m", "pip", "install", *options, sources])
    return python.parent


def run(directory: Path, command: list[str | Path]) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_installs_one_top_level_name_and_one_program(installed: Path) -> None:
    (record,) = installed.parent.glob("lib/python3*/site-packages/beam_dynamodb_streams-*.dist-info/RECORD")
    files = [line.split(",")[0] for line in record.read_text("utf-8").splitlines()]
    assert {file.split("/")[0] for file in files} == {"beam_dynamodb_streams", record.parent.name, ".."}
    assert [file for file in files if file.startswith("..")] == ["../../../bin/dynamodb-streams"]
    assert "beam_dynamodb_streams/py.typed" in files


@pytest.mark.parametrize("regular", [True, False], ids=["with __init__.py", "without __init__.py"])
def test_a_project_with_folders_of_our_names_has_its_own_modules_and_ours(
    regular: bool, installed: Path, tmp_path: Path
) -> None:
    for name in ("connector", "pipelines"):
        (tmp_path / name).mkdir()
        if regular:
            (tmp_path / name / "__init__.py").touch()
    (tmp_path / "connector" / "source.py").write_text("NAME = 'their connector'\n")
    (tmp_path / "pipelines" / "orders.py").write_text(
        "from beam_dynamodb_streams import ReadFromDynamoDBStreams\n"
        "from connector.source import NAME\n"
        "print(NAME, ReadFromDynamoDBStreams.__name__)\n"
    )
    python = installed / "python"
    assert run(tmp_path, [python, "-m", "pipelines.orders"]) == "their connector ReadFromDynamoDBStreams\n"
    found = run(tmp_path, [python, "-c", "import beam_dynamodb_streams, pipelines.orders as it; print(it.__file__)"])
    assert found.splitlines()[-1] == str(tmp_path / "pipelines" / "orders.py")
    assert run(tmp_path, [installed / "dynamodb-streams", "--version"]).startswith("dynamodb-streams 0.")
    assert run(tmp_path, [python, "-m", "beam_dynamodb_streams", "--version"]).startswith("dynamodb-streams 0.")


def test_the_installed_program_runs_a_command(installed: Path, tmp_path: Path) -> None:
    assert run(tmp_path, [installed / "dynamodb-streams", "tail", "--help"]).startswith("usage: dynamodb-streams tail")
