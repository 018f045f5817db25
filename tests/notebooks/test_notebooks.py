"""The notebooks run offline from top to bottom, and what is kept of them is what a reader should see."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

from tests.notebooks.executed import NOTEBOOKS, SCRIPT, executed, sources

NAMES = [path.stem for path in sources()]
PNG = b"\x89PNG\r\n\x1a\n"

pytestmark = [
    # The client's own event loop and sockets, closed late.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


def cells(name: str) -> Iterator[nbformat.NotebookNode]:
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    return (cell for cell in notebook.cells if cell.cell_type == "code")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.prism) if name[0] == "3" else name for name in NAMES]
)
def test_it_runs_from_top_to_bottom(name: str, request: pytest.FixtureRequest) -> None:
    if name.startswith("3"):
        request.getfixturevalue("prism")
    kept = [cell.get("outputs") != [] for cell in cells(name)]
    run = [cell.outputs != [] for cell in executed(NOTEBOOKS / f"{name}.ipynb").cells if cell.cell_type == "code"]
    assert run == kept  # the cells that show something are those of which something is kept


@pytest.mark.parametrize("name", NAMES)
def test_its_outputs_are_kept_without_errors_pictures_whole_and_nothing_of_the_machine(name: str) -> None:
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
def test_its_cells_were_kept_in_one_run(name: str) -> None:
    counts = [cell.execution_count for cell in cells(name)]
    assert counts == list(range(1, len(counts) + 1))
