"""Run the notebooks: for the tests, and by hand to save their outputs.

python -m tests.notebooks.executed            # all of them
python -m tests.notebooks.executed 1_explore  # some
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parent.parent.parent / "notebooks"
SCRIPT = "application/javascript"


def sources() -> list[Path]:
    return sorted(NOTEBOOKS.glob("*.ipynb"))


async def execute(path: Path) -> nbformat.NotebookNode:
    """Return the notebook with the outputs of a fresh kernel. Raise CellExecutionError where a cell fails."""
    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(NOTEBOOKS)}}  # where it runs
    quiet = ["--log-level=ERROR"]  # the kernel warns that it listens on loopback
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=120,
        record_timing=False,
        resources=resources,
        extra_arguments=quiet,
    )
    await client.async_execute()
    return notebook


def save(path: Path) -> None:
    """Execute a notebook and save its outputs, without what differs from one machine to the next."""
    notebook = asyncio.run(execute(path))
    notebook.metadata.language_info = {"name": "python"}
    for cell in notebook.cells:
        if cell.cell_type == "code":  # Beam sends a script that loads others from the web
            cell.outputs = [output for output in cell.outputs if set(output.get("data", ())) != {SCRIPT}]
    nbformat.write(notebook, path)


if __name__ == "__main__":
    for source in sources():
        if len(sys.argv) == 1 or source.stem in sys.argv[1:]:
            save(source)
            print(source.name)
