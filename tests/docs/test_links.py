"""The links of the pages lead to pages, headings and tests that exist."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from beam_dynamodb_streams import errors
from tests.docs.pages import PAGES, ROOT, links, name_of
from tests.mutants.table import MUTANTS, TRAPS

GUARANTEES = ROOT / "docs" / "guarantees.md"
ERRORS = ROOT / "docs" / "errors.md"

ERROR_CLASSES = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, errors.ConnectorError)
}


@cache
def functions(file: Path) -> frozenset[str]:
    tree = ast.parse(file.read_text("utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef))


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_somewhere(page: Path) -> None:
    lost = []
    for link in links(page):
        place, _, anchor = link.target.partition("#")
        if "://" in place:
            continue
        target = (page.parent / place).resolve() if place else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            lost.append(link.target)
    assert not lost


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_test_that_a_page_names_exists(page: Path) -> None:
    for link in links(page):
        target = (page.parent / link.target.partition("#")[0]).resolve()
        for name in re.findall(r"test_\w+", link.text):
            if target.suffix == ".py" and name != target.stem:
                assert name in functions(target), link.target
    for path in re.findall(r"`(tests/[\w/]+(?:\.py)?)`", page.read_text("utf-8")):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("trap", TRAPS)
def test_every_trap_names_the_tests_that_fail_without_its_handling(trap: int) -> None:
    (row,) = re.findall(rf"^\| {trap} \| .*$", GUARANTEES.read_text("utf-8"), re.MULTILINE)
    named = set(re.findall(r"\[`?(test_\w+)`?\]", row))
    held = {mutant.test.partition("::")[2].partition("[")[0] for mutant in MUTANTS if mutant.trap == trap}
    assert named, "at least one"
    assert named <= held, f"make mutants does not hold trap {trap} to {named - held}"


def test_every_guarantee_names_a_test() -> None:
    """The README has them in short, docs/guarantees.md in full."""
    section = GUARANTEES.read_text("utf-8").partition("## ")[0]
    rows = [row for row in section.splitlines() if row.startswith("| ")][2:]
    assert len(rows) > 5
    assert not [row for row in rows if "(../tests/" not in row]


@pytest.mark.parametrize("name", ERROR_CLASSES)
def test_every_error_is_explained_and_names_the_test_that_raises_it(name: str) -> None:
    rows = re.findall(rf"^\| `{name}` \|.*$", ERRORS.read_text("utf-8"), re.MULTILINE)
    assert len(rows) == 1
    assert "(../tests/" in rows[0]


def test_no_error_is_explained_that_is_not_there() -> None:
    assert set(re.findall(r"^\| `(\w+Error)` \|", ERRORS.read_text("utf-8"), re.MULTILINE)) == set(ERROR_CLASSES)


def test_each_option_of_a_read_is_explained_where_it_is_used() -> None:
    """The API reference is made of docstrings: a user cannot find an option that is not in one."""
    from beam_dynamodb_streams import ReadFromDynamoDBStreams

    docstring = ReadFromDynamoDBStreams.__doc__ or ""
    options = set(ReadFromDynamoDBStreams.__init__.__annotations__) - {"return"}
    assert not [option for option in options if option not in docstring]
