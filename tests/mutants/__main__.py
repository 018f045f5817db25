"""`make mutants`: disables each trap's handling in turn and requires its named test to fail.

Works on copies of the tree, never on the checkout. Exits with 1 if a mutant survives, is stale or broken, or if a
named test fails on the code as it is.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue

from tests.mutants.mutant import SOURCE, Mutant, StaleMutantError
from tests.mutants.table import MUTANTS, TRAPS

ROOT = Path(__file__).parents[2]
LEFT_OUT = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist", "demo-output")

#: What is built in the checkout and not in a copy: the consumers of Kinesis.
_BUILT = {"CONNECTOR_KCL": str(ROOT / ".build" / "kcl")}


@dataclass(frozen=True)
class Verdict:
    mutant: Mutant
    word: str  # killed, NOT RUN, SURVIVED, BROKEN, STALE
    reason: str
    seconds: float = 0.0


def main(argv: Sequence[str] | None = None) -> int:
    options = _options(argv)
    chosen = [mutant for mutant in MUTANTS if not options.trap or mutant.trap in options.trap]
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutants-") as directory, ExitStack() as stack:
        paths = _grow(Path(directory), options.jobs)
        first = stack.enter_context(Tree(paths[0]))
        if not _passes_unmutated(first, chosen):
            return 1
        free: SimpleQueue[Tree] = SimpleQueue()
        free.put(first)
        for path in paths[1:]:
            shutil.copytree(paths[0], path)  # with the bytecode of the first run
            free.put(stack.enter_context(Tree(path)))
        with ThreadPoolExecutor(options.jobs) as pool:
            verdicts = []
            for verdict in pool.map(lambda mutant: _try_on_a_free_tree(mutant, free), chosen):
                _print(verdict)
                verdicts.append(verdict)
    killed = sum(verdict.word == "killed" for verdict in verdicts)
    not_run = sum(verdict.word == "NOT RUN" for verdict in verdicts)
    print(
        f"{len({mutant.trap for mutant in chosen})} traps, {len(chosen)} mutants, {killed} killed, {not_run} not run, "
        f"{len(chosen) - killed - not_run} not killed, in {time.monotonic() - began:.0f} s"
    )
    return 0 if killed + not_run == len(chosen) else 1


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trap", type=int, action="append", choices=sorted(TRAPS), metavar="N", help="only trap N")
    parser.add_argument("--jobs", type=int, default=min(4, os.cpu_count() or 1), metavar="N", help="trials at once")
    return parser.parse_args(argv)


def _grow(directory: Path, number: int) -> list[Path]:
    """Return the paths of `number` trees, the first of which is copied already."""
    paths = [directory / f"tree-{index}" for index in range(number)]
    shutil.copytree(ROOT, paths[0], ignore=LEFT_OUT)
    return paths


def _passes_unmutated(tree: Tree, mutants: Sequence[Mutant]) -> bool:
    ends = tree.run("beam_dynamodb_streams", sorted({mutant.node_id for mutant in mutants}), writes_bytecode=True)
    for node_id, error, _ in ends.failed:
        print(f"fails on the code as it is: {node_id}: {error}")
    if not ends.failed and ends.code != 0:
        print(f"the named tests could not be run:\n{ends.output}")
    return ends.code == 0


def _try_on_a_free_tree(mutant: Mutant, free: SimpleQueue[Tree]) -> Verdict:
    tree = free.get()
    try:
        return _try(mutant, tree)
    finally:
        free.put(tree)


def _try(mutant: Mutant, tree: Tree) -> Verdict:
    began = time.monotonic()
    path = tree.root / mutant.path
    try:
        source = path.read_text()
        mutant.check_test(tree.root)
        path.write_text(mutant.mutated(tree.root))
    except (StaleMutantError, OSError) as error:
        return Verdict(mutant, "STALE", str(error))
    try:
        # Bytecode is matched with its source only by a whole second and a length.
        for bytecode in path.parent.glob(f"__pycache__/{path.stem}.*.pyc"):
            bytecode.unlink()
        ends = tree.run(mutant.module, [mutant.node_id], writes_bytecode=False)
    finally:
        path.write_text(source)
    word, reason = ends.verdict()
    return Verdict(mutant, word, reason, time.monotonic() - began)


@dataclass(frozen=True)
class _Ends:
    """How a trial ended. `code` is pytest's, or None if the module could not be imported."""

    code: int | None
    passed: list[str]
    failed: list[tuple[str, str, bool]]
    output: str
    skipped: list[str] = field(default_factory=list)

    def verdict(self) -> tuple[str, str]:
        if self.code is None:
            return "BROKEN", self.output.strip().splitlines()[-1] if self.output.strip() else "it does not end"
        for _, error, expected in self.failed:
            if not expected:
                return "BROKEN", error
        if self.failed:
            return "killed", self.failed[0][1]
        if self.skipped and not self.passed:
            return "NOT RUN", self.skipped[0]
        return ("SURVIVED", "its test passes") if self.passed else ("BROKEN", "its test was not run")


class Tree:
    """A copy of the checkout, and the process that runs trials in it. One thread at a time uses it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __enter__(self) -> Tree:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.mutants.trial"],
            cwd=self.root,
            env={**_BUILT, **os.environ, "PYTHONPATH": os.pathsep.join([str(self.root / SOURCE), str(self.root)])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # of the libraries; a trial's output comes with its outcome
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def run(self, module: str, node_ids: Sequence[str], *, writes_bytecode: bool) -> _Ends:
        outcome = self.root / "outcome.json"
        trial = {
            "module": module,
            "outcome": str(outcome),
            "node_ids": list(node_ids),
            "writes_bytecode": writes_bytecode,
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(trial) + "\n")
        self._process.stdin.flush()
        if not (said := self._process.stdout.readline()):
            raise RuntimeError("cannot run trials: `python -m tests.mutants.trial </dev/null` prints the reason")
        output = json.loads(said)
        if not outcome.exists():
            return _Ends(None, [], [], output)
        ends = json.loads(outcome.read_text())
        return _Ends(ends["code"], ends["passed"], [tuple(each) for each in ends["failed"]], output, ends["skipped"])


def _print(verdict: Verdict) -> None:
    mutant = verdict.mutant
    print(f"{mutant.trap:>2}  {verdict.word:<8} {verdict.seconds:5.1f} s  {mutant.bug:<80}  {mutant.test}", flush=True)
    if verdict.word != "killed":
        place = mutant.path if verdict.word == "STALE" else f"{mutant.path}:{mutant.line(ROOT)}"
        print(f"    {place}: {verdict.reason}\n    - {mutant.code!r}\n    + {mutant.replacement!r}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
