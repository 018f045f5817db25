"""Workers in processes of their own, where nothing of this project is installed but what the job stages."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from pathlib import Path

import apache_beam as beam
import pyarrow.dataset as ds
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from beam_dynamodb_streams import ReadFromDynamoDBStreams, WriteChangesToParquet
from beam_dynamodb_streams.testing import LocalStreams
from runners.workers import WorkerPool, boot, clean_environment

ROOT = Path(__file__).parents[2]


@pytest.mark.prism
def test_workers_install_the_package_that_setup_file_stages_and_run_it(
    service: LocalStreams, prism: str, tmp_path: Path
) -> None:
    if (container := boot()) is None:
        pytest.skip("NOT RUN: no boot executable; `make boot` builds it where Go is installed")
    orders = service.create_table("orders", keys={"id": "S"}, shards=2)
    orders.put_many({"id": f"o-{n}", "n": n} for n in range(300))
    orders.roll_all()
    orders.put_many({"id": f"o-{n}", "n": n + 1000} for n in range(300))
    python = clean_environment(tmp_path / "venv")
    with WorkerPool(tmp_path, python=python, boot=container) as pool:
        options = PipelineOptions(
            [
                "--runner=PrismRunner",
                f"--prism_location={prism}",
                "--prism_log_level=error",
                "--environment_type=EXTERNAL",
                f"--environment_config={pool.address}",
                f"--setup_file={ROOT / 'setup.py'}",
            ]
        )
        with beam.Pipeline(options=options) as pipeline:
            read = ReadFromDynamoDBStreams(
                table="orders",
                endpoint_url=service.endpoint_url,
                region_name="us-east-1",
                stop="NOW",
                watermark_slack=timedelta(milliseconds=500),
                quiet_pages=3,
                quiet_time=timedelta(milliseconds=500),
            )
            _ = pipeline | read | WriteChangesToParquet(tmp_path / "out")
    assert next((tmp_path / "venv").glob("lib/python3*/site-packages/beam_dynamodb_streams/source/dofn.py")).exists()
    rows = ds.dataset(tmp_path / "out", format="parquet").to_table(columns=["shard_id", "event_id"])
    written = Counter(zip(*(rows[name].to_pylist() for name in ("shard_id", "event_id")), strict=True))
    assert written == Counter((change.shard_id, change.event_id) for change in orders.changes)
