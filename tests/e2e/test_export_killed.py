"""SIGKILL at random moments: an export that is started again leaves each change in exactly one file."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from random import Random

import pyarrow.dataset as ds
import pytest

from beam_dynamodb_streams import StreamPosition
from beam_dynamodb_streams.sinks.output import open_output
from beam_dynamodb_streams.sinks.resume import position_of, read_manifests
from beam_dynamodb_streams.testing import Faults, LocalStreams, Table
from tests.e2e.workload import Writer


class Exports:
    """One export after the other into the same output, each in a process group of its own."""

    def __init__(self, command: list[str], log: Path) -> None:
        self._command, self._log = command, log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, start_new_session=True)

    def kill(self) -> None:
        """SIGKILL to the export and the prism that it started."""
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text()[-3000:]
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def finish(self, seconds: float) -> None:
        assert self._process is not None
        try:
            status = self._process.wait(seconds)
        finally:
            if self._process.poll() is None:
                self.kill()
        assert status == 0, self._log.read_text()[-3000:]


def run_with_kills(exports: Exports, writer: Writer, *, kills: int, seed: int, gap: float) -> None:
    random = Random(seed)
    writer.start()
    for _ in range(kills):
        exports.start()
        time.sleep(random.uniform(0.3, 1.7) * gap)  # other processes: there is no clock to pass
        exports.kill()
    exports.start()
    writer.join()
    exports.finish(180)


def assert_exactly_once(table: Table, output: Path, columns: str = "event_id") -> None:
    files = sorted(output.rglob("changes-*.parquet"))
    ids = Counter(ds.dataset(output, format="parquet").to_table(columns=[columns])[columns].to_pylist())
    assert {event_id: count for event_id, count in ids.items() if count > 1} == {}
    assert ids.keys() == {change.event_id for change in table.changes}
    manifests = [json.loads(path.read_bytes()) for path in output.glob("_manifests/*/*.json")]
    named = Counter(file["path"] for manifest in manifests for file in manifest["files"])
    assert named == Counter(path.relative_to(output).as_posix() for path in files)
    assert list((output / "_temporary").iterdir()) == []
    last: dict[str, int] = {}
    for change in table.changes:
        last[change.shard_id] = max(last.get(change.shard_id, 0), int(change.sequence_number))
    found = open_output(str(output))
    stream_arn = json.loads((output / "_export.json").read_bytes())["stream_arn"]  # None where `resume` got no stream
    assert stream_arn in (None, table.stream_arn)
    position = position_of(read_manifests(found, found.list("_manifests/"), stream_arn), stream_arn)
    assert position.stream_arn == stream_arn
    assert position.shards == StreamPosition.delivered({shard: str(number) for shard, number in last.items()}).shards


@pytest.mark.prism
def test_an_export_that_is_killed_and_started_again_has_each_change_in_one_file(
    service: LocalStreams, tmp_path: Path, prism: str
) -> None:
    table = service.create_table("orders", keys={"id": "S"}, shards=3)
    output = tmp_path / "out"
    command = [sys.executable, "-m", "tests.e2e.export_driver", service.endpoint_url, str(output), prism]
    exports = Exports(command, tmp_path / "log")
    service.faults = Faults(disorder=3.0)  # more than the export's slack: some changes are late
    run_with_kills(exports, Writer(table, 20_000, seed=5, batch=50), kills=3, seed=5, gap=6)
    assert len(table.shard_ids) > 3
    assert_exactly_once(table, output)


@pytest.mark.prism
@pytest.mark.soak
def test_an_export_killed_ten_times_under_load_has_each_change_in_one_file(
    service: LocalStreams, tmp_path: Path, prism: str
) -> None:
    table = service.create_table("orders", keys={"id": "S"}, shards=4)
    output = tmp_path / "out"
    command = [
        sys.executable,
        "-m",
        "pipelines.export",
        "--table=orders",
        "--on_new_stream=finish",
        f"--endpoint_url={service.endpoint_url}",
    ]
    command += [f"--output={output}", "--format=parquet", "--window=5s", "--partitions=hour"]
    command += ["--runner=PrismRunner", f"--prism_location={prism}", "--prism_log_level=error"]
    exports = Exports(command, tmp_path / "log")
    service.faults = Faults(disorder=8.0, empty_page=0.2)
    seen: list[int] = []
    over = threading.Event()
    threading.Thread(target=_watch, args=(output, over, seen), daemon=True).start()
    started = time.monotonic()
    run_with_kills(exports, Writer(table, 300_000, seed=7), kills=10, seed=7, gap=17)
    over.set()
    print(f"{len(table.changes)} changes, {len(table.shard_ids)} shards, 10 kills, ", end="")
    print(
        f"{time.monotonic() - started:.0f} s, {len(list(output.rglob('changes-*')))} files; seen while written: {seen}"
    )
    assert_exactly_once(table, output)
    assert len(set(seen)) > 5, "files appear while the export runs"


def _watch(output: Path, over: threading.Event, seen: list[int]) -> None:
    """How many rows a reader meets from time to time, while files come to be."""
    while not over.wait(10):
        if output.exists():
            seen.append(ds.dataset(output, format="parquet").count_rows())
