"""An export joined with the stream on Flink, in a job that streams and completes its checkpoints."""

from __future__ import annotations

from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from beam_dynamodb_streams import ChangeRecord
from beam_dynamodb_streams.testing import LocalStreams
from runners.flink import Flink
from tests.e2e.workload import read_orders
from tests.exports.test_joined import Append, mirror_of
from tests.runners.test_flink import until

pytestmark = [pytest.mark.flink, pytest.mark.soak]


def test_rows_and_then_the_changes_and_checkpoints_complete(
    flink: Flink, service: LocalStreams, tmp_path: Path
) -> None:
    orders = service.create_table("orders", keys={"id": "S"}, shards=2)
    orders.put_many({"id": f"o-{n}", "n": 0} for n in range(200))
    path = orders.export_full(tmp_path / "s3", files=7)
    out = tmp_path / "out"
    out.mkdir()
    pipeline = beam.Pipeline(options=PipelineOptions(flink.arguments(parallelism=2)))
    _ = pipeline | read_orders(service, snapshot=path) | beam.ParDo(Append(str(out)))
    pipeline.run()

    def found() -> list[ChangeRecord]:
        files = sorted(out.iterdir())
        return [ChangeRecord.from_json(line) for file in files for line in file.read_bytes().splitlines()]

    until(lambda: sum(change.event_name == "READ" for change in found()) >= 200, seconds=120)
    for n in range(100):
        orders.put({"id": f"o-{n * 3}", "n": n}) if n % 2 else orders.delete({"id": f"o-{n * 3}"})
    table = {str(item["id"]): item for item in orders.items()}
    until(lambda: mirror_of(found()) == table, seconds=120)
    job = flink.job
    seen = job.checkpoints
    until(lambda: job.checkpoints > seen, seconds=60)
    job.cancel()
