"""A mutant: one trap's handling, or one part of it, disabled by a change to one place in one file."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

#: The source root, from the project's root.
SOURCE = "connector"


class StaleMutantError(Exception):
    """The code or the test that a mutant names is no longer there: write the mutant anew."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """``text`` occurs exactly once in the package's ``<file>``; with ``replacement`` in its place, ``test`` must fail.

    ``bug`` is what the reader does then. ``test`` is a pytest node id below ``tests/``; one without a parameter's id
    fails if any of its cases does.
    """

    trap: int
    bug: str
    file: str
    text: str
    replacement: str
    test: str

    @property
    def path(self) -> str:
        return f"{SOURCE}/beam_dynamodb_streams/{self.file}"

    @property
    def module(self) -> str:
        return f"beam_dynamodb_streams/{self.file}".removesuffix(".py").replace("/", ".")

    @property
    def node_id(self) -> str:
        return f"tests/{self.test}"

    def line(self, root: Path) -> int:
        """The line on which ``text`` begins."""
        return (root / self.path).read_text().partition(self.text)[0].count("\n") + 1

    def mutated(self, root: Path) -> str:
        """The file's source with the handling disabled. Raises :class:`StaleMutantError`."""
        source = (root / self.path).read_text()
        if (found := source.count(self.text)) != 1:
            raise StaleMutantError(f"{self.path} has this text {found} times, not once: {self.text!r}")
        mutated = source.replace(self.text, self.replacement)
        try:
            same = ast.dump(ast.parse(mutated)) == ast.dump(ast.parse(source))
        except SyntaxError as error:
            raise StaleMutantError(f"{self.path} is no Python any more with {self.replacement!r}: {error}") from error
        if same:
            raise StaleMutantError(f"{self.path} means the same with {self.replacement!r}")
        return mutated

    def check_test(self, root: Path) -> None:
        """Raises :class:`StaleMutantError` if there is no such test."""
        file, _, name = self.node_id.partition("::")
        function = name.partition("[")[0]
        if not (root / file).is_file() or function not in _functions((root / file).read_text()):
            raise StaleMutantError(f"there is no test {self.node_id}")


def _functions(source: str) -> set[str]:
    return {node.name for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)}
