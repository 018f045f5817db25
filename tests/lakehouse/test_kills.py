"""SIGKILL at random moments: each change is in each table once, and the mirror is the table (traps 43 to 46)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from random import Random
from typing import Any

import pytest
from deltalake import DeltaTable

from beam_dynamodb_streams.records.values import decode_image
from beam_dynamodb_streams.testing import LocalStreams, Table
from tests.lakehouse.lake import delta_rows, iceberg_table, ids_of

PRISM = "PrismRunner"


class Writer(threading.Thread):
    """Puts and deletes items of 200 keys, in shards that split and roll, and then disables the stream."""

    def __init__(self, table: Table, writes: int, seed: int, pause: float = 0.02) -> None:
        super().__init__(daemon=True)
        self.table, self.writes, self.pause = table, writes, pause
        self.random = Random(seed)

    def run(self) -> None:
        for number in range(self.writes):
            key = f"o-{self.random.randrange(200)}"
            if self.random.random() < 0.3:
                self.table.delete({"id": key})
            else:
                self.table.put({"id": key, "n": number})
            if number % 400 == 399:
                shards = self.table.open_shard_ids
                move = self.table.split if len(shards) < 8 and number % 800 == 799 else self.table.roll
                move(self.random.choice(shards))
            if number % 10 == 0:
                time.sleep(self.pause)
        self.table.disable_stream()


class Run:
    """One run after the other of a driver, each in a process group of its own."""

    def __init__(self, kind: str, service: LocalStreams, place: Path, options: list[str]) -> None:
        module = [sys.executable, "-m", "tests.lakehouse.lake_driver"]
        self.command = [*module, kind, service.endpoint_url, str(place), *options]
        self.log = place / f"{kind}.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, start_new_session=True)

    def kill(self) -> None:
        assert self.process is not None
        if self.process.poll() not in (None, 0):
            pytest.fail(self.log.read_text()[-3000:])
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def finish(self, seconds: float) -> None:
        assert self.process is not None
        try:
            status = self.process.wait(seconds)
        finally:
            self.kill()
        assert status == 0, self.log.read_text()[-3000:]


def run_with_kills(runs: list[Run], writer: Writer, *, kills: int, seed: int, gap: float) -> None:
    random = Random(seed)
    writer.start()
    for run in runs:
        run.start()
    for _ in range(kills):
        for run in runs:
            time.sleep(random.uniform(0.3, 1.7) * gap / len(runs))  # other processes: there is no clock to pass
            run.kill()
            run.start()
    writer.join()
    for run in runs:
        if run.process is not None and run.process.wait(240) == 0 and "--runner=FnApiRunner" in run.command:
            run.start()  # what was written after the last run began
        run.finish(240)


def options_of(runner: str, prism: str) -> list[str]:
    if runner != PRISM:
        return ["--runner=FnApiRunner"]
    return ["--runner=PrismRunner", f"--prism_location={prism}", "--prism_log_level=error", "--streaming"]


def assert_each_change_once(table: Table, place: Path) -> None:
    wanted = {change.event_id: 1 for change in table.changes}
    assert ids_of(iceberg_table(place).scan().to_arrow()) == wanted
    assert ids_of(delta_rows(place / "out")) == wanted


def assert_mirrored(table: Table, place: Path) -> None:
    rows = DeltaTable(str(place / "mirror")).to_pyarrow_table().to_pylist()
    held: list[tuple[str, Any]] = [(row["keys"], decode_image(row["image"].encode())) for row in rows]
    items = {image["id"]: image["n"] for _, image in held}
    assert len(items) == len(held)
    assert items == {item["id"]: item["n"] for item in table.items()}


@pytest.mark.prism
def test_tables_and_mirror_are_right_after_kills(service: LocalStreams, tmp_path: Path, prism: str) -> None:
    table = service.create_table("orders", keys={"id": "S"}, shards=2)
    runs = [Run(kind, service, tmp_path, options_of(PRISM, prism)) for kind in ("commit", "mirror")]
    run_with_kills(runs, Writer(table, 1_500, seed=3, pause=0.04), kills=2, seed=3, gap=6)
    assert_each_change_once(table, tmp_path)
    assert_mirrored(table, tmp_path)


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", ["commit", "mirror", "snapshot"])
@pytest.mark.parametrize("runner", ["FnApiRunner", pytest.param(PRISM, marks=pytest.mark.prism)])
def test_ten_kills_at_random_moments_leave_no_trace(
    runner: str, kind: str, service: LocalStreams, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    table = service.create_table("orders", keys={"id": "S"}, shards=3)
    table.put_many({"id": f"o-{number}", "n": -1} for number in range(200))
    prism = request.getfixturevalue("prism") if runner == PRISM else ""
    writer = Writer(table, 30_000, seed=11, pause=0.04)
    started = time.monotonic()
    run_with_kills([Run(kind, service, tmp_path, options_of(runner, prism))], writer, kills=10, seed=11, gap=13)
    print(f"{runner} {kind}: {len(table.changes)} changes, 10 kills, {time.monotonic() - started:.0f} s")
    if kind == "commit":
        assert_each_change_once(table, tmp_path)
    else:
        assert_mirrored(table, tmp_path)


@pytest.mark.soak
@pytest.mark.prism
def test_a_snapshot_of_a_quiet_table_is_committed_once_it_is_complete(
    service: LocalStreams, tmp_path: Path, prism: str
) -> None:
    table = service.create_table("orders", keys={"id": "S"}, view_type=None)
    table.put_many({"id": f"o-{number}", "n": number} for number in range(20))
    table.enable_stream()
    run = Run("quiet", service, tmp_path, options_of(PRISM, prism))
    run.start()
    deadline = time.monotonic() + 60
    try:
        while not (tmp_path / "out" / "_delta_log").exists() or not delta_rows(tmp_path / "out").num_rows:
            assert time.monotonic() < deadline, run.log.read_text()[-2000:]
            time.sleep(0.5)
    finally:
        run.kill()
    assert set(delta_rows(tmp_path / "out").column("event_name").to_pylist()) == {"READ"}
    assert delta_rows(tmp_path / "out").num_rows == 20
