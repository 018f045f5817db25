"""A mutant: one trap's handling, or one part of it, disabled by a change in one place of the code."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

from tests.mutants import pattern

#: The source root, from the project's root.
SOURCE = "connector"


class StaleMutantError(Exception):
    """The code or the test that a mutant names is not there, or not once: adapt the mutant to the code."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """Where `code` is replaced with `replacement`, `test` must fail.

    Args:
        trap: The trap whose handling is disabled.
        bug: What the reader does then.
        place: A module of the package and what holds the code in it, for example `shards/frontier.py::Frontier.end`:
            a function, a class, or the name of a constant.
        code: The code in that place, once, as a pattern of `tests.mutants.pattern`: formatting and comments are free.
        replacement: What stands there instead; empty to leave it out.
        test: A pytest node id below `tests/`; one without a parameter's id fails if any of its cases does.
    """

    trap: int
    bug: str
    place: str
    code: str
    replacement: str
    test: str

    @property
    def path(self) -> str:
        return f"{SOURCE}/beam_dynamodb_streams/{self.place.partition('::')[0]}"

    @property
    def module(self) -> str:
        return self.path.removeprefix(f"{SOURCE}/").removesuffix(".py").replace("/", ".")

    @property
    def node_id(self) -> str:
        return f"tests/{self.test}"

    def line(self, root: Path) -> int:
        """Return the line on which the code begins. Raises `StaleMutantError`."""
        return self._match(_parsed(root / self.path)).line

    def mutated(self, root: Path) -> str:
        """Return the module's source with the handling disabled. Raises `StaleMutantError`."""
        tree = _parsed(root / self.path)
        before = ast.unparse(tree)
        if unknown := sorted(pattern.unknown_names(self.replacement, self._scope(tree), tree)):
            raise StaleMutantError(f"{self.place} does not know {unknown} of {self.replacement!r}")
        self._match(tree).replace(self.replacement)
        try:
            mutated = ast.unparse(tree)
            ast.parse(mutated)
        except (SyntaxError, AttributeError) as error:
            raise StaleMutantError(f"{self.place} is not Python with {self.replacement!r}: {error}") from error
        if mutated == before:
            raise StaleMutantError(f"{self.place} means the same with {self.replacement!r}")
        return mutated

    def check_test(self, root: Path) -> None:
        """Raise `StaleMutantError` if the test does not exist."""
        file, _, name = self.node_id.partition("::")
        function = name.partition("[")[0]
        if not (root / file).is_file() or function not in _functions((root / file).read_text()):
            raise StaleMutantError(f"there is no test {self.node_id}")

    def _scope(self, tree: ast.Module) -> ast.AST:
        name = self.place.partition("::")[2]
        scope = _named(tree, name)
        if scope is None:
            raise StaleMutantError(f"{self.path} has no {name}{_elsewhere(tree, self)}")
        return scope

    def _match(self, tree: ast.Module) -> pattern.Match:
        found = pattern.find(self._scope(tree), self.code, self.replacement)
        if not found:
            raise StaleMutantError(f"{self.place} does not have this code: {self.code!r}{_elsewhere(tree, self)}")
        if len(found) > 1:
            lines = ", ".join(map(str, sorted(match.line for match in found)))
            raise StaleMutantError(f"{self.place} has this code in lines {lines}; name more of it: {self.code!r}")
        return found[0]


def _parsed(path: Path) -> ast.Module:
    if not path.is_file():
        raise StaleMutantError(f"there is no module {path}")
    return ast.parse(path.read_text())


def _named(tree: ast.Module, qualified_name: str) -> ast.AST | None:
    """Return the function, class or assignment of that name, or None."""
    node: ast.AST | None = tree
    for name in qualified_name.split("."):
        node = next((each for each in ast.iter_child_nodes(node) if name in _names(each)), None) if node else None
    return node


def _names(node: ast.AST) -> list[str]:
    match node:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.AnnAssign(target=ast.Name(name)):
            return [name]
        case ast.Assign(targets=targets):
            return [target.id for target in targets if isinstance(target, ast.Name)]
        case _:
            return []


def _elsewhere(tree: ast.Module, mutant: Mutant) -> str:
    found = pattern.find(tree, mutant.code, mutant.replacement)
    return f"; its module has the code in line {found[0].line}" if found else ""


def _functions(source: str) -> set[str]:
    return {node.name for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)}
