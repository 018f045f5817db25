"""The code of the pages runs, each page from its first block to its last."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.transforms.window import TimestampedValue
from apache_beam.utils.timestamp import Timestamp

import beam_dynamodb_streams
from beam_dynamodb_streams import ChangeRecord, sample
from beam_dynamodb_streams.testing import Table
from tests.docs.canary import KNOWING, assert_clean, set_canaries
from tests.docs.commands import run
from tests.docs.pages import PAGES, ROOT, Block, blocks, commands_of, name_of

#: Pages whose code a test of their own runs and looks at.
ELSEWHERE = {
    "docs/coming-from-lambda.md": "tests/handlers/test_lambda_page.py",
    "docs/databases.md": "tests/databases/test_databases.py",
    "docs/files.md": "tests/e2e/test_export_page.py",
    "docs/kinesis-data-streams.md": "tests/e2e/test_kinesis_read.py",
    "docs/schemas.md": "tests/records/test_schemas_page.py",
    "docs/testing-your-pipeline.md": "tests/testing/test_testing_page.py",
}

RUN_HERE = [page for page in PAGES if name_of(page) not in ELSEWHERE and any(blocks(page))]
BLOCKS = [block for page in PAGES for block in blocks(page, "python")]


class TakenAsGiven(ast.NodeVisitor):
    """Return the names that a block uses and does not define, except those inside its functions."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self._made: set[str] = set()

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Store):
            self._made.add(node.id)
        elif node.id not in self._made:
            self.names.add(node.id)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None: ...
    def visit_ClassDef(self, node: ast.ClassDef) -> None: ...
    def visit_Lambda(self, node: ast.Lambda) -> None: ...


def run_python(block: Block, names: dict[str, Any], given: Callable[[], list[ChangeRecord]]) -> str:
    """Run a block, with a pipeline and changes in it if the block assumes them. Return what a notebook shows of it."""
    taken = TakenAsGiven()
    taken.visit(ast.parse(block.text))
    pipeline = None
    if taken.names & {"pipeline", "changes"}:
        names["pipeline"] = pipeline = beam.Pipeline("FnApiRunner")
        if "changes" in taken.names:
            names["changes"] = pipeline | "Given" >> beam.Create(given()) | "At its time" >> beam.Map(at_its_time)
    code = ast.parse(block.compiled())
    shown = ast.Expression(code.body.pop().value) if isinstance(code.body[-1], ast.Expr) else None  # type: ignore[attr-defined]
    exec(compile(code, str(block.page), "exec"), names)  # noqa: S102 - our own page
    value = None if shown is None else eval(compile(shown, str(block.page), "eval"), names)  # noqa: S307 - the same
    if pipeline is not None and pipeline.transforms_stack[0].parts:
        pipeline.run().wait_until_finish()
    return f"{value!r}{value._repr_html_() if hasattr(value, '_repr_html_') else ''}"


@beam.typehints.with_output_types(ChangeRecord)
def at_its_time(change: ChangeRecord) -> TimestampedValue:
    return TimestampedValue(change, Timestamp(micros=change.creation_micros))


@pytest.mark.parametrize("page", RUN_HERE, ids=name_of)
def test_what_a_page_says_runs_from_its_first_block_to_its_last(
    page: Path,
    orders: Table,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Run a page in one directory, as a reader who follows it would. No secret is shown, logged or written."""
    set_canaries(monkeypatch, caplog, loggers=KNOWING)
    names: dict[str, Any] = {name: getattr(beam_dynamodb_streams, name) for name in beam_dynamodb_streams.__all__}
    names["beam"] = beam
    given = cache(lambda: list(sample("orders")))
    for block in blocks(page):
        if block.language == "python" and not block.not_run:
            assert_clean(run_python(block, names, given))
        elif block.language == "console":
            for command in commands_of(block):
                run(command)
    said = capfd.readouterr()
    assert_clean(said.out, said.err, *(record.getMessage() for record in caplog.records))
    assert_clean(*(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()))


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.name)
def test_code_that_is_not_run_is_python_all_the_same(block: Block) -> None:
    compile(block.compiled(), str(block.page), "exec")


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.name)
def test_the_code_of_the_pages_has_the_projects_own_format(block: Block) -> None:
    """People copy the blocks. Lines around them do not count: a block is a part of a file."""
    ruff = [Path(sys.executable).with_name("ruff"), "format", "--stdin-filename", str(ROOT / "block.py"), "-"]
    formatted = subprocess.run(ruff, input=block.text, capture_output=True, text=True, check=True).stdout
    assert block.text.strip() == formatted.strip()


def test_a_page_whose_code_runs_elsewhere_is_named_there() -> None:
    for page, test in ELSEWHERE.items():
        assert Path(page).name in (ROOT / test).read_text("utf-8")
