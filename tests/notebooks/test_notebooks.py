"""The notebooks run offline from top to bottom, and their saved outputs are what a reader should see."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

from tests.notebooks.executed import NOTEBOOKS, SCRIPT, execute, sources

NAMES = [path.stem for path in sources()]
STREAMS = ("3_lag_and_life",)
SECRETS = {
    "AWS_ACCESS_KEY_ID": "AKIACANARYOFTHEACCESS",
    "AWS_SECRET_ACCESS_KEY": "canary-of-the-secret-key",
    "AWS_SESSION_TOKEN": "canary-of-the-session-token",
}
PNG = b"\x89PNG\r\n\x1a\n"


def cells(name: str) -> Iterator[nbformat.NotebookNode]:
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    return (cell for cell in notebook.cells if cell.cell_type == "code")


@pytest.fixture(scope="module")
def runs() -> dict[str, nbformat.NotebookNode | BaseException]:
    """Run all of them side by side, since they mostly wait."""

    async def run() -> list[nbformat.NotebookNode | BaseException]:
        return await asyncio.gather(*map(execute, sources()), return_exceptions=True)

    with pytest.MonkeyPatch.context() as environment:
        for name, value in SECRETS.items():
            environment.setenv(name, value)
        return dict(zip(NAMES, asyncio.run(run()), strict=True))


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.prism] * (name in STREAMS)) for name in NAMES])
def test_it_runs_from_top_to_bottom(
    name: str, runs: dict[str, nbformat.NotebookNode | BaseException], request: pytest.FixtureRequest
) -> None:
    if name in STREAMS:
        request.getfixturevalue("prism")
    run = runs[name]
    if isinstance(run, BaseException):
        raise run
    shown = [bool(cell.outputs) for cell in run.cells if cell.cell_type == "code"]
    assert shown == [bool(cell.outputs) for cell in cells(name)]  # what shows something has a saved output


@pytest.mark.parametrize("name", NAMES)
def test_its_saved_outputs_have_whole_pictures_no_errors_and_nothing_of_the_machine(name: str) -> None:
    outputs = [output for cell in cells(name) for output in cell.outputs]
    assert outputs
    assert not [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"]
    pictures = [
        base64.b64decode(output.data["image/png"]) for output in outputs if "image/png" in output.get("data", {})
    ]
    assert pictures
    assert all(picture.startswith(PNG) and len(picture) > 5_000 for picture in pictures)
    text = (NOTEBOOKS / f"{name}.ipynb").read_text("utf-8")
    assert SCRIPT not in text
    assert str(Path.home()) not in text
    assert str(NOTEBOOKS.parent) not in text
    assert len(text) < 300_000


@pytest.mark.parametrize("name", NAMES)
def test_no_cell_shows_a_value_of_the_environment(name: str, runs: dict[str, nbformat.NotebookNode]) -> None:
    """Jupyter shows, and saves, the value of a cell's last expression."""
    saved, run = [list(cells(name)), [cell for cell in runs[name].cells if cell.cell_type == "code"]]
    for cell in [*saved, *run]:
        assert "AWS_" not in cell.source or not cell.outputs


@pytest.mark.parametrize("name", NAMES)
def test_no_output_has_a_credential_in_it(name: str, runs: dict[str, nbformat.NotebookNode | BaseException]) -> None:
    run = runs[name]
    text = f"{run!r} {run}" if isinstance(run, BaseException) else nbformat.writes(run)
    assert "canary" not in text.lower()


@pytest.mark.parametrize("name", NAMES)
def test_its_cells_were_saved_in_one_run(name: str) -> None:
    counts = [cell.execution_count for cell in cells(name)]
    assert counts == list(range(1, len(counts) + 1))
