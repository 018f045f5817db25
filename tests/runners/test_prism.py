"""On Prism, the runner that streams on one machine: files while the run continues, and shards that appear during it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import apache_beam as beam
import pyarrow.dataset as ds
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.runner import PipelineState

from beam_dynamodb_streams import WriteChangesToParquet
from beam_dynamodb_streams.testing import LocalStreams, Table
from tests.e2e.workload import read_orders

pytestmark = pytest.mark.prism


def pipeline_on(prism: str) -> beam.Pipeline:
    return beam.Pipeline(
        options=PipelineOptions(
            ["--runner=PrismRunner", f"--prism_location={prism}", "--prism_log_level=error", "--streaming"]
        )
    )


def written(directory: Path) -> Counter[tuple[str, str]]:
    """Shard and event id of every row in the files that are there now."""
    files = sorted(str(path) for path in directory.glob("*.parquet"))
    if not files:
        return Counter()
    rows = ds.dataset(files, format="parquet").to_table(columns=["shard_id", "event_id"])
    return Counter(zip(*(rows[name].to_pylist() for name in ("shard_id", "event_id")), strict=True))


def changes_of(table: Table) -> Counter[tuple[str, str]]:
    return Counter((change.shard_id, change.event_id) for change in table.changes)


ALIVE = (PipelineState.STARTING, PipelineState.RUNNING)  # on a busy machine the state is reported late


def until(holds: Callable[[], bool], result: object, *, seconds: float = 30.0) -> None:
    """Waits for something to show in the files of a pipeline that must run on all the while."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert result.state in ALIVE, f"the pipeline is {result.state}"
        assert time.monotonic() < deadline, f"not seen within {seconds} seconds"
        time.sleep(0.05)
    assert result.state in ALIVE


def test_files_are_written_during_the_run_and_a_shard_that_appears_is_found(
    service: LocalStreams, prism: str, tmp_path: Path
) -> None:
    orders = service.create_table("orders", keys={"id": "S"}, shards=2)
    orders.put_many({"id": f"o-{n}", "n": n} for n in range(200))
    pipeline = pipeline_on(prism)
    _ = pipeline | read_orders(service) | WriteChangesToParquet(tmp_path, window=1)
    result = pipeline.run()

    first = set(orders.shard_ids)
    until(lambda: first <= service.counts.readers.keys(), result)
    later = {orders.roll(orders.open_shard_ids[0]), *orders.split(orders.open_shard_ids[1])}
    orders.put_many({"id": f"o-{n}", "n": n + 1000} for n in range(200))
    until(lambda: first | later <= {shard for shard, _ in written(tmp_path)}, result)

    orders.put_many({"id": f"o-{n}", "n": n + 2000} for n in range(50))
    orders.disable_stream()  # an unbounded read ends with its stream (trap 14)
    result.wait_until_finish()
    assert result.state == PipelineState.DONE
    assert written(tmp_path) == changes_of(orders)


def test_a_bounded_run_writes_every_change_once(service: LocalStreams, prism: str, tmp_path: Path) -> None:
    orders = service.create_table("orders", keys={"id": "S"}, shards=2)
    orders.put_many({"id": f"o-{n}", "n": n} for n in range(500))
    orders.split(orders.open_shard_ids[0])
    orders.roll(orders.open_shard_ids[-1])
    orders.put_many({"id": f"o-{n}", "n": n + 1000} for n in range(500))
    with pipeline_on(prism) as pipeline:
        _ = pipeline | read_orders(service, stop="NOW") | WriteChangesToParquet(tmp_path)
    assert written(tmp_path) == changes_of(orders)
    assert len(orders.shard_ids) == 5
