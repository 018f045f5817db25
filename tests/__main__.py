"""`python -m tests`: the tests in four runs of pytest side by side, because most of their time is waiting.

What each run prints is shown when it has ended. Words of the command go to each run. The exit code is 1 if one failed.
"""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

TESTS = Path(__file__).parent

#: The folders of the first three runs, chosen to take about the same time. The fourth run has all others.
FIRST = ("runners", "contract", "compat", "sinks", "columns", "records", "wire", "handlers")
SECOND = ("docs", "benchmarks", "notebooks", "shards", "testing", "mutants", "kinesis", "exports")

THIRD = ("e2e", "progress")


def runs() -> list[list[str]]:
    """Return the paths of each run. Every test is in exactly one."""
    named = {*FIRST, *SECOND, *THIRD}
    rest = [path.name for path in TESTS.iterdir() if path.name not in named and _has_tests(path)]
    return [[f"tests/{name}" for name in sorted(names)] for names in (FIRST, SECOND, THIRD, rest)]


def _has_tests(path: Path) -> bool:
    return any(path.rglob("test_*.py")) if path.is_dir() else path.name.startswith("test_") and path.suffix == ".py"


def main(words: list[str]) -> int:
    def run(paths: list[str]) -> int:
        began = time.monotonic()
        ended = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words, *paths],
            cwd=TESTS.parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        sys.stdout.buffer.write(ended.stdout)
        print(f"{' '.join(paths)}: exit code {ended.returncode} after {time.monotonic() - began:.0f} s", flush=True)
        return ended.returncode

    with ThreadPoolExecutor(4) as pool:
        return int(any(pool.map(run, runs())))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
