"""SIGKILL at random moments of an unbounded read on Prism: progress covers only delivered changes (traps 20 and 21)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest

from beam_dynamodb_streams.testing import LocalStreams
from tests.e2e.workload import Writer, noted


@contextmanager
def runs(*arguments: str, module: str = "tests.progress.driver") -> Iterator[Callable[[], int]]:
    """Gives what starts a run, and the run's process group."""
    driver = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert driver.stdin is not None
    assert driver.stdout is not None
    begun: list[int] = []

    def start() -> int:
        assert driver.stdin is not None
        assert driver.stdout is not None
        driver.stdin.write("run\n")
        driver.stdin.flush()
        begun.append(int(driver.stdout.readline()))
        return begun[-1]

    with driver:
        try:
            yield start
        finally:
            for group in begun:
                kill(group)
            driver.stdin.close()


def kill(group: int) -> None:
    with suppress(ProcessLookupError):  # it ended
        os.killpg(group, signal.SIGKILL)


def killed_and_started_again(service: LocalStreams, prism: str, notes: Path, kills: int, *arguments: str) -> None:
    """Kills a run at random moments of its reading, then lets one read to the end of the stream."""
    orders = service.create_table("orders", keys={"id": "S"}, shards=3)
    notes.touch()
    writer = Writer(orders, 3_000 if kills < 10 else 20_000, seed=5, restless=0.7, batch=10)
    random = Random(kills)
    with runs(service.endpoint_url, prism, str(notes), *arguments) as start:
        writer.start()
        for _ in range(kills):
            before = len(noted(notes))
            group = start()
            until(lambda before=before: len(noted(notes)) > before)
            time.sleep(random.uniform(0.0, 1.5))  # another process: there is no clock to pass
            kill(group)
        assert writer.is_alive(), "the kills came too late to prove anything"
        start()
        writer.join()
        written = {(change.shard_id, change.sequence_number) for change in orders.changes}
        until(lambda: {note[:2] for note in noted(notes)} >= written)
    came = [note[:2] for note in noted(notes)]
    assert set(came) == written
    repeats = len(came) - len(written)
    print(f"{kills} kills, {len(orders.shard_ids)} shards, {len(written)} changes, {repeats} repeats")
    # A change is repeated if it was delivered after the last write: those of 0.3 seconds, and of the current bundle.
    assert repeats < len(written) / 2


def until(holds: Callable[[], bool], *, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not seen within {seconds} seconds"
        time.sleep(0.05)


@pytest.mark.prism
def test_a_read_that_is_killed_three_times_misses_nothing(service: LocalStreams, prism: str, tmp_path: Path) -> None:
    killed_and_started_again(service, prism, tmp_path / "notes", 3, f"file:{tmp_path / 'progress.json'}")


@pytest.mark.prism
@pytest.mark.soak
@pytest.mark.parametrize("place", ["file", "table"])
def test_a_read_that_is_killed_ten_times_misses_nothing(
    service: LocalStreams, prism: str, tmp_path: Path, place: str, request: pytest.FixtureRequest
) -> None:
    address: Any = [f"file:{tmp_path / 'progress.json'}"]
    if place == "table":
        address = ["dynamodb://progress/killed", request.getfixturevalue("moto")]
    killed_and_started_again(service, prism, tmp_path / "notes", 10, *address)
