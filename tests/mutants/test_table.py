"""The table of mutants fits the code and the tests; `make mutants` reports whether each is killed."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.mutants.mutant import Mutant, StaleMutantError
from tests.mutants.table import MUTANTS, TRAPS

ROOT = Path(__file__).parents[2]


def test_every_trap_has_a_mutant_and_a_named_test() -> None:
    assert sorted(TRAPS) == list(range(1, len(TRAPS) + 1))
    assert len(TRAPS) >= 22
    assert {mutant.trap for mutant in MUTANTS} == set(TRAPS)


@pytest.mark.parametrize("trap", TRAPS)
def test_each_mutants_code_is_there_once_and_its_test_exists(trap: int) -> None:
    stale = []
    for mutant in (each for each in MUTANTS if each.trap == trap):
        try:
            assert mutant.mutated(ROOT)
            mutant.check_test(ROOT)
        except StaleMutantError as error:
            stale.append(f"{mutant.bug}: {error}")
    assert stale == []


def test_no_mutant_is_there_twice() -> None:
    assert len({(mutant.place, mutant.code, mutant.replacement, mutant.test) for mutant in MUTANTS}) == len(MUTANTS)


def test_a_named_test_names_the_trap_it_proves() -> None:
    """In its docstring, in a comment beside it, or in the docstring of its file."""
    assert [f"trap {each.trap}: {each.test}" for each in MUTANTS if each.trap not in _traps_of(each)] == []


def _traps_of(mutant: Mutant) -> set[int]:
    file, _, name = mutant.node_id.partition("::")
    source = (ROOT / file).read_text()
    tree = ast.parse(source)
    function = name.partition("[")[0]
    (found,) = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == function)
    first = min([found.lineno, *(decorator.lineno for decorator in found.decorator_list)])
    said = [ast.get_docstring(tree) or "", *source.splitlines()[first - 1 : found.end_lineno]]
    listed = re.findall(r"[Tt]raps? ([0-9, and]+)", "\n".join(said))
    return {int(number) for numbers in listed for number in re.findall("[0-9]+", numbers)}
