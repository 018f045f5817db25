"""The four runs of `python -m tests` hold every test once."""

from __future__ import annotations

from pathlib import Path

from tests.__main__ import runs

TESTS = Path(__file__).parent


def test_every_test_is_in_exactly_one_run() -> None:
    found = [path for each in runs() for name in each for path in _files(TESTS.parent / name)]
    assert sorted(found) == sorted(TESTS.rglob("test_*.py"))
    assert all(runs())


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else list(path.rglob("test_*.py"))
