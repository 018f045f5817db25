"""Trials in one tree: a process that has loaded the libraries forks for each trial, since loading takes longest.

`python -m tests.mutants.trial` in the directory of the tree takes a line of JSON for each trial, and prints one.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import time
from pathlib import Path

import apache_beam.runners.direct
import apache_beam.runners.portability.prism_runner  # noqa: F401 - loads what the tests will need
import pyarrow.json
import pyarrow.parquet  # noqa: F401
import pytest
from apache_beam.testing.util import BeamAssertException
from botocore.exceptions import ClientError

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup

TEST_SECONDS = 60
TRIAL_SECONDS = 600

#: The errors by which a test fails for the reason it was written for. Any other error means a broken mutant.
EXPECTED = (AssertionError, BeamAssertException, pytest.fail.Exception, ClientError, ArithmeticError, ValueError)


class Ends:
    """A pytest plugin that keeps the end of each test: the error that failed it, and whether it is expected."""

    def __init__(self, expected: tuple[type[BaseException], ...]) -> None:
        self.expected = expected
        self.passed: list[str] = []
        self.failed: list[tuple[str, str, bool]] = []
        self.skipped: list[str] = []

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> object:
        report = yield
        if call.excinfo is not None and not report.skipped:
            error = call.excinfo.value
            text = f"{type(error).__name__}: {error}".strip().splitlines()[0]
            caught = call.when == "call" and self._is_expected(error) and "Timeout" not in text
            self.failed.append((item.nodeid, text, caught))
        elif report.skipped:
            self.skipped.append(str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr))
        elif call.when == "call" and report.passed:
            self.passed.append(item.nodeid)
        return report

    def _is_expected(self, error: BaseException) -> bool:
        if isinstance(error, BaseExceptionGroup):
            return all(map(self._is_expected, error.exceptions))
        return isinstance(error, self.expected)


def serve() -> None:
    output = Path("trial-output.txt")
    for line in sys.stdin:
        trial = json.loads(line)
        Path(trial["outcome"]).unlink(missing_ok=True)
        child = os.fork()
        if child == 0:
            _work(trial, output)
        _wait(child, TRIAL_SECONDS)
        print(json.dumps(output.read_text(errors="replace")), flush=True)


def _work(trial: dict[str, object], output: Path) -> None:
    """Run the trial in the child process. Never returns."""
    try:
        with output.open("wb", buffering=0) as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        sys.dont_write_bytecode = not trial["writes_bytecode"]
        _run(str(trial["module"]), str(trial["outcome"]), *map(str, trial["node_ids"]))  # type: ignore[call-overload]
    except BaseException as error:  # noqa: BLE001 - reported by its text, whatever it is
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def _wait(child: int, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return
        time.sleep(0.02)


def _run(module: str, outcome: str, *node_ids: str) -> None:
    imported = importlib.import_module(module)
    if not Path(str(imported.__file__)).is_relative_to(Path.cwd()):
        raise ImportError(f"{module} came from {imported.__file__}, not from the tree that is tried")
    from beam_dynamodb_streams.errors import ConnectorError

    ends = Ends((*EXPECTED, ConnectorError))
    options = ["-q", "-p", "no:cacheprovider", "--hypothesis-seed=0", f"--timeout={TEST_SECONDS}"]
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # the package, a plugin itself, is imported already
    code = pytest.main([*options, *node_ids], plugins=[ends])
    found = {"code": int(code), "passed": ends.passed, "failed": ends.failed, "skipped": ends.skipped}
    Path(outcome).write_text(json.dumps(found))


if __name__ == "__main__":
    serve()
