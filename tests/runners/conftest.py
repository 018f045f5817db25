"""Flink for the tests: embedded in one job server for a module's tests, started and stopped by our own launcher."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from runners.flink import Flink, class_path


@pytest.fixture(scope="session")
def flink_jars() -> None:
    """Named as not run without Java, or the jars that `make flink` resolves."""
    if class_path() is None:
        pytest.skip("NOT RUN: no Flink; `make flink` resolves it where Java and Maven are installed")


@pytest.fixture(scope="module")
def flink(flink_jars: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flink]:
    """A job server; each job runs on a Flink of its own inside it."""
    with Flink(tmp_path_factory.mktemp("flink")) as started:
        yield started
