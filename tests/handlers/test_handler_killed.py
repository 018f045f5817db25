"""SIGKILL during a run with progress: every change is handled at least once, in order, and no failure is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random

from beam_dynamodb_streams.testing import LocalStreams, Table
from tests.handlers.made import numbers_of
from tests.handlers.noting import is_bad, noted

CHANGES = 1_500


def write(orders: Table) -> None:
    """Write to the table while its shards roll, then disable its stream, so that a read ends."""
    random = Random(18)
    for first in range(0, CHANGES, 10):
        orders.put_many({"id": f"o-{random.randrange(40)}", "number": number} for number in range(first, first + 10))
        if first % 300 == 150:
            orders.roll(random.choice(orders.open_shard_ids))
        time.sleep(0.16)
    orders.disable_stream()


def until(holds: Callable[[], bool], *, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not seen within {seconds} seconds"
        time.sleep(0.05)


def test_a_handler_that_is_killed_five_times_misses_no_change_and_no_failure(
    service: LocalStreams, tmp_path: Path
) -> None:
    orders = service.create_table("orders", keys={"id": "S"}, shards=3)
    notes = tmp_path / "notes"
    notes.touch()
    random = Random(5)
    writer = threading.Thread(target=write, args=(orders,), daemon=True)
    driver = subprocess.Popen(
        [sys.executable, "-m", "tests.handlers.driver", service.endpoint_url, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "HANDLER_NOTES": str(notes)},
    )
    assert driver.stdin is not None
    assert driver.stdout is not None
    began: list[int] = []

    def start() -> int:
        assert driver.stdin is not None
        assert driver.stdout is not None
        driver.stdin.write("run\n")
        driver.stdin.flush()
        began.append(int(driver.stdout.readline()))
        return began[-1]

    with driver:
        try:
            writer.start()
            for _ in range(5):
                before = len(noted(notes))
                run = start()
                until(lambda before=before: len(noted(notes)) > before)
                time.sleep(random.uniform(0.0, 0.8))
                os.kill(run, signal.SIGKILL)
            assert writer.is_alive(), "the kills came too late to prove anything"
            start()
            writer.join()
            good = {number for number in range(CHANGES) if not is_bad(number)}
            until(lambda: {number for *_, number in noted(notes)} >= good)
            bad = set(range(CHANGES)) - good
            until(lambda: discarded_in(tmp_path / "failures") == bad)
        finally:
            for run in began:
                with suppress(ProcessLookupError):
                    os.kill(run, signal.SIGKILL)
            driver.stdin.close()
    came: dict[tuple[int, str], list[int]] = defaultdict(list)
    for run, key, _, number in noted(notes):
        came[run, key].append(number)
    for numbers in came.values():  # in each run, the changes of a key in their order
        assert numbers == sorted(numbers)
    assert len(noted(notes)) < 2 * CHANGES


def discarded_in(directory: Path) -> set[int]:
    """Return the numbers of the changes in the on-failure files."""
    records = [json.loads(line) for path in directory.glob("*.jsonl") for line in path.read_text().splitlines()]
    assert all(record["requestContext"]["approximateInvokeCount"] == 2 for record in records)
    assert all(len(numbers_of(record["payload"])) == 1 for record in records)
    return {
        int(each["dynamodb"]["NewImage"]["number"]["N"]) for record in records for each in record["payload"]["Records"]
    }
