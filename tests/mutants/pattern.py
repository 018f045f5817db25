"""Finds a piece of Python by its syntax tree and replaces it, whatever its formatting and comments are.

A pattern is Python: one expression, some statements in a row, an `except` clause, a `case`, or a keyword argument
(`adopts=False`, written like an assignment). Names and constants match literally. `...` is a hole: as a statement
it stands for any number of statements, as an expression for any one expression. Holes in the replacement are filled
with what those of the pattern matched, in order. An `if` without `else` matches one with `else`, and keeps it.
"""

from __future__ import annotations

import ast
import builtins
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field

#: Fields of a node that say nothing of what the code means.
IGNORED = {"ctx", "kind", "type_comment"}


@dataclass
class Holes:
    """What the holes of a pattern matched, in the order in which they are written."""

    expressions: list[ast.expr] = field(default_factory=list)
    statements: list[list[ast.AST]] = field(default_factory=list)
    kept_else: list[ast.stmt] = field(default_factory=list)


@dataclass(frozen=True)
class Match:
    """Nodes of `parent` that match: its field `name`, or `length` nodes of it from the index `first`."""

    parent: ast.AST
    name: str
    first: int | None
    length: int
    line: int
    holes: Holes

    def replace(self, replacement: str) -> None:
        """Put `replacement` in the place of the matched nodes, in the tree itself."""
        old = getattr(self.parent, self.name)
        matched = old if self.first is None else old[self.first]
        new = _parse(replacement)
        if isinstance(matched, ast.expr):
            new = [_Filling(self.holes).visit(_expression(new))]
        elif isinstance(matched, ast.keyword):
            new = [_Filling(self.holes).visit(_keyword(new))] if new else []
        else:
            new = _Filling(self.holes).visit(ast.Module(new, [])).body  # type: ignore[arg-type]
            if new and isinstance(new[-1], ast.If) and not new[-1].orelse:
                new[-1].orelse = self.holes.kept_else
        if self.first is None:
            setattr(self.parent, self.name, new[0])
            return
        old[self.first : self.first + self.length] = new
        if not old and self.name == "body":
            old.append(ast.Pass())


def find(tree: ast.AST, pattern: str, replacement: str) -> list[Match]:
    """Return every match of `pattern` below `tree` that `replacement` can replace."""
    wanted, new = _parse(pattern), _parse(replacement)
    if (expression := _expression(wanted)) is not None and _expression(new) is not None:
        return list(_expressions(tree, expression))
    found = list(_sequences(tree, wanted))
    if (keyword := _keyword(wanted)) is not None and (not new or _keyword(new) is not None):
        found += _sequences(tree, [keyword])
    return found


def unknown_names(replacement: str, scope: ast.AST, module: ast.Module) -> set[str]:
    """Return the names that `replacement` uses and `scope` does not know: with them, code would fail for no bug."""
    new = ast.Module(_parse(replacement), [])  # type: ignore[arg-type]
    top = {name for node in module.body for name in _bound(node, into_functions=False)}
    known = set(dir(builtins)) | top | _bound(scope) | _bound(new)
    used = {node.id for node in ast.walk(new) if isinstance(node, ast.Name)} - known
    attributes = {node.attr for node in ast.walk(module) if isinstance(node, ast.Attribute)} | _bound(module)
    return used | {f"self.{name}" for name in _attributes_of_self(new) - attributes}


def _bound(tree: ast.AST, *, into_functions: bool = True) -> set[str]:
    bound: set[str] = set()
    for node in ast.walk(tree) if into_functions else [tree, *ast.iter_child_nodes(tree)]:
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.MatchAs(name=str(name)):
                bound.add(name)
            case ast.ExceptHandler(name=str(name)) | ast.arg(arg=name) | ast.Name(id=name, ctx=ast.Store()):
                bound.add(name)
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                bound |= {each.asname or each.name.partition(".")[0] for each in names}
    return bound


def _attributes_of_self(tree: ast.AST) -> set[str]:
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"
    }


def _parse(text: str) -> list[ast.AST]:
    text = textwrap.dedent(text).strip("\n")
    if text.startswith("except"):
        whole = ast.parse(f"try:\n    pass\n{text}").body[0]
        return [*whole.handlers] if isinstance(whole, ast.Try) else []
    if text.startswith("case "):
        whole = ast.parse(f"match _:\n{textwrap.indent(text, '    ')}").body[0]
        return [*whole.cases] if isinstance(whole, ast.Match) else []
    return [*ast.parse(text).body]


def _expression(nodes: list[ast.AST]) -> ast.expr | None:
    return nodes[0].value if len(nodes) == 1 and isinstance(nodes[0], ast.Expr) else None


def _keyword(nodes: list[ast.AST]) -> ast.keyword | None:
    match nodes:
        case [ast.Assign(targets=[ast.Name(name)], value=value)]:
            return ast.keyword(name, value)
        case _:
            return None


def _is_hole(node: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is ...


def _is_statement_hole(node: object) -> bool:
    return isinstance(node, ast.Expr) and _is_hole(node.value)


def _expressions(tree: ast.AST, wanted: ast.expr) -> Iterator[Match]:
    for parent in ast.walk(tree):
        for name, value in ast.iter_fields(parent):
            for index, node in enumerate(value) if isinstance(value, list) else [(None, value)]:
                if isinstance(node, ast.expr) and _matches(wanted, node, holes := Holes()):
                    yield Match(parent, name, index, 1, node.lineno, holes)


def _sequences(tree: ast.AST, wanted: list[ast.AST]) -> Iterator[Match]:
    for parent in ast.walk(tree):
        for name, nodes in ast.iter_fields(parent):
            for first in range(len(nodes)) if isinstance(nodes, list) else ():
                for length in range(1, len(nodes) - first + 1):
                    if _match_all(wanted, nodes[first : first + length], holes := Holes(), last_else=True):
                        yield Match(parent, name, first, length, _line(nodes[first]), holes)
                        break


def _line(node: ast.AST) -> int:
    return next(each.lineno for each in ast.walk(node) if isinstance(each, ast.stmt | ast.expr | ast.excepthandler))


def _matches(wanted: object, found: object, holes: Holes) -> bool:
    if _is_hole(wanted) and isinstance(found, ast.expr):
        holes.expressions.append(found)
        return True
    if isinstance(wanted, list):
        return isinstance(found, list) and _match_all(wanted, found, holes)
    if not isinstance(wanted, ast.AST):
        return type(wanted) is type(found) and wanted == found
    return type(wanted) is type(found) and all(
        _matches(value, getattr(found, name), holes)
        for name, value in ast.iter_fields(wanted)
        if name not in IGNORED and not (name == "orelse" and isinstance(wanted, ast.If) and not value)
    )


def _match_all(wanted: list[ast.AST], found: list[ast.AST], holes: Holes, *, last_else: bool = False) -> bool:
    """`last_else` says whether the `else` of a last `if` without one is kept for the replacement."""
    if not wanted:
        return not found
    if _is_statement_hole(wanted[0]):
        for length in range(len(found), -1, -1):
            tried = Holes([*holes.expressions], [*holes.statements, found[:length]])
            if _match_all(wanted[1:], found[length:], tried):
                holes.expressions, holes.statements = tried.expressions, tried.statements
                return True
        return False
    if not found or not _matches(wanted[0], found[0], holes):
        return False
    if last_else and len(wanted) == 1 and isinstance(found[0], ast.If) and not wanted[0].orelse:  # type: ignore[attr-defined]
        holes.kept_else = found[0].orelse
    return _match_all(wanted[1:], found[1:], holes, last_else=last_else)


class _Filling(ast.NodeTransformer):
    """Fills the holes of a replacement."""

    def __init__(self, holes: Holes) -> None:
        self._expressions, self._statements = iter(holes.expressions), iter(holes.statements)

    def visit_Expr(self, node: ast.Expr) -> ast.AST | list[ast.AST]:
        return next(self._statements) if _is_statement_hole(node) else self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        return next(self._expressions) if _is_hole(node) else node
