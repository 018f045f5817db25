"""README's first section works as a new user pastes it: from an environment with the package to each result."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from runners.child import free_port
from tests.docs.pages import ROOT, Block, blocks, commands_of
from tests.e2e.test_installed import installed  # noqa: F401 - a fixture


def start_here() -> list[Block]:
    """Return the blocks of the section "Start here", in their order."""
    text = (ROOT / "README.md").read_text("utf-8")
    first = text[: text.index("## Start here")].count("\n") + 1
    last = text[: text.index("## Two commands")].count("\n") + 1
    return [block for block in blocks(ROOT / "README.md") if first < block.line < last]


def pasted(port: int) -> str:
    """Return the section as one script. The first command makes the environment that the test has already."""
    lines = ["set -e", "export PYTHONUNBUFFERED=1"]
    for number, block in enumerate(start_here()):
        if block.language == "python":
            Path(f"{number}.py").write_text(block.text, "utf-8")
            lines.append(f"python {number}.py")
            continue
        for command in commands_of(block):
            text = command.text.replace("127.0.0.1:8000", f"127.0.0.1:{port}")
            if "-m venv" in text:
                continue
            if "testing" in text:
                lines += [
                    text.replace("--write-rate", f"--port {port} --write-rate"),
                    "service=$!",
                    "trap 'kill $service' EXIT",
                ]
                lines.append("until grep -q http service.log; do sleep 0.1; done; sleep 3")
            elif "tail" in text:
                lines.append(f"timeout --preserve-status -s INT 15 {text} || [ $? = 130 ]")
            else:
                lines.append(text)
    return "\n".join(lines)


@pytest.mark.soak
def test_what_readme_says_first_works_as_it_is_pasted(
    installed: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    script = pasted(free_port())
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTHON"))}
    environment["PATH"] = f"{installed}{os.pathsep}{environment['PATH']}"
    done = subprocess.run(
        ["/bin/bash", "-c", script], env=environment, capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert re.search(r"^(INSERT|MODIFY) \{'id': 'orders-\d+'\} \{", done.stdout, re.MULTILINE)  # the pipeline
    assert re.search(r"│ INSERT +│ +\d+ │", done.stdout)  # the query of the export
    assert "shards" in done.stdout  # inspect
    assert "[100 rows x 3 columns]" in done.stdout  # the sample
    assert list(Path("out").rglob("*.parquet"))
