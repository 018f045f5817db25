"""A pattern finds code by what it means, and says where it is not, or not once."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.mutants.mutant import Mutant, StaleMutantError

CODE = """
LIMIT: int = 5  # calls


class Read:
    def next(self, page):
        if (
            page.records and  # none is fine
            not page.ended
        ):
            self.claim(page, keep=True)
        elif page.ended:
            return None
        self.claim(page, keep=False)
"""


def mutated(tmp_path: Path, name: str, code: str, replacement: str) -> str:
    module = tmp_path / "connector/beam_dynamodb_streams/read.py"
    module.parent.mkdir(parents=True, exist_ok=True)
    module.write_text(CODE)
    return Mutant(1, "", f"read.py::{name}", code, replacement, "").mutated(tmp_path)


@pytest.mark.parametrize(
    ("name", "code", "replacement", "old", "new"),
    [
        ("LIMIT", "5", "500", "= 5", "= 500"),
        ("Read.next", "page.records and not page.ended", "False", "page.records and (not page.ended)", "False"),
        ("Read.next", "page.records and ...", "...", "page.records and (not page.ended)", "not page.ended"),
        ("Read.next", "if page.ended: ...", "if True: ...", "elif page.ended:", "elif True:"),
        ("Read.next", "if ... and ...: ...", "if ...: ...", "page.records and (not page.ended)", "page.records"),
        ("Read", "keep=False", "keep=None", "keep=False", "keep=None"),
        ("Read.next", "self.claim(page, keep=False)", "", "        self.claim(page, keep=False)\n", ""),
        ("Read.next", "return None", "", "return None", "pass"),
    ],
)
def test_code_is_found_whatever_its_formatting(
    tmp_path: Path, name: str, code: str, replacement: str, old: str, new: str
) -> None:
    plain = ast.unparse(ast.parse(CODE)) + "\n"
    assert plain.count(old) == 1
    assert mutated(tmp_path, name, code, replacement) + "\n" == plain.replace(old, new)


@pytest.mark.parametrize(
    ("name", "code", "replacement", "reason"),
    [
        ("Read.last", "5", "6", "has no Read.last; its module has the code in line 2"),
        ("Read.next", "5", "6", "does not have this code: '5'; its module has the code in line 2"),
        ("Read.next", "page.ended", "True", "in lines 9, 12"),
        ("LIMIT", "5", "5", "means the same"),
        ("Read.next", "page.records", "pages.records and self.kept", r"does not know \['pages', 'self.kept'\]"),
    ],
)
def test_a_stale_mutant_says_what_is_wrong(tmp_path: Path, name: str, code: str, replacement: str, reason: str) -> None:
    with pytest.raises(StaleMutantError, match=reason):
        mutated(tmp_path, name, code, replacement)
