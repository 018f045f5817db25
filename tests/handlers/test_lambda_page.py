"""The code of docs/coming-from-lambda.md runs, from its first block to its last, with the files that it speaks of."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest

import beam_dynamodb_streams
from beam_dynamodb_streams import sample
from beam_dynamodb_streams.testing import Table
from tests.docs.commands import run
from tests.docs.conftest import orders  # noqa: F401 - a fixture
from tests.docs.pages import ROOT, blocks, commands_of
from tests.docs.test_code import run_python

PAGE = ROOT / "docs" / "coming-from-lambda.md"


def test_the_page_of_lambda_runs_from_its_first_block_to_its_last(
    orders: Table,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    names: dict[str, Any] = {name: getattr(beam_dynamodb_streams, name) for name in beam_dynamodb_streams.__all__}
    names["beam"] = beam
    given = cache(lambda: list(sample("orders")))
    monkeypatch.syspath_prepend(str(tmp_path))
    found = list(blocks(PAGE))
    (tmp_path / "app.py").write_text(next(block.text for block in found if block.language == "python"))
    (tmp_path / "mapping.yaml").write_text(next(block.text for block in found if block.language == "yaml"))
    printed: list[str] = []
    try:
        for block in found:
            assert block.not_run is None
            if block.language == "python":
                run_python(block, names, given)
            elif block.language == "console":
                for command in commands_of(block):
                    run(command)
            printed.append(capsys.readouterr().out)
    finally:
        sys.modules.pop("app", None)
    assert len(printed) == len(found)
    assert "o-5 250 " in printed[1]  # the handler, in a pipeline
    assert "o-5 250 " in printed[2]  # by the command
    assert "o-5 250 " in printed[4]  # with the mapping
    assert "'payload'" not in printed[5]
    assert "'batchSize': 1" in printed[5]  # o-1 is discarded alone
    assert sum(int(line.rpartition(" ")[2]) for line in printed[-2].splitlines()) == 9  # in the final calls
