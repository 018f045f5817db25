"""`python -m pipelines.export` on Flink: killed, and started again by the same command into the same output."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import pyarrow.dataset as ds
import pytest

from beam_dynamodb_streams.testing import LocalStreams
from runners.flink import Flink
from tests.e2e.test_export_killed import Exports
from tests.e2e.workload import Writer
from tests.runners.test_flink import until

pytestmark = [pytest.mark.flink, pytest.mark.soak]


def test_an_export_that_is_killed_twice_leaves_each_change_in_exactly_one_file(
    flink: Flink, service: LocalStreams, tmp_path: Path
) -> None:
    """SIGKILL to the command and the workers in it, while files come; Flink, left behind, gives up its job."""
    orders = service.create_table("orders", keys={"id": "S"}, shards=3)
    output = tmp_path / "out"
    command = [
        sys.executable,
        "-m",
        "pipelines.export",
        "--table=orders",
        "--on_new_stream=finish",
        f"--output={output}",
        "--format=parquet",
    ]
    command += [f"--endpoint_url={service.endpoint_url}", "--region_name=us-east-1", "--window=2s", "--partitions=date"]
    command += flink.arguments(parallelism=2, finite=True)
    endless, to_the_end = (Exports([*command, f"--stop={stop}"], tmp_path / "log") for stop in ("10m", "NOW"))

    def files() -> int:
        return len(list(output.glob("_manifests/*/*.json")))

    def run_until_killed(enough: int) -> None:
        endless.start()
        until(lambda: files() >= enough, seconds=120)
        endless.kill()

    writer = Writer(orders, 20_000, seed=10, batch=10)
    writer.start()
    run_until_killed(3)
    run_until_killed(files() + 3)
    assert writer.is_alive(), "there was more to come"
    writer.join()
    to_the_end.start()
    to_the_end.finish(180)
    print(f"{len(orders.changes):,} changes of {len(orders.shard_ids)} shards in {files()} files")
    rows = ds.dataset(output, format="parquet").to_table(columns=["event_id"])["event_id"].to_pylist()
    assert Counter(rows) == Counter(change.event_id for change in orders.changes)
    manifests = [json.loads(path.read_bytes()) for path in output.glob("_manifests/*/*.json")]
    named = Counter(file["path"] for manifest in manifests for file in manifest["files"])
    assert named == Counter(path.relative_to(output).as_posix() for path in output.rglob("changes-*.parquet"))
