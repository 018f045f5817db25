"""The whole source against a service where all that passes goes wrong at once (traps 5, 6, 7, 8, 9, 15)."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from beam_dynamodb_streams import ReadFromDynamoDBStreams
from beam_dynamodb_streams.testing import Faults, LocalStreams
from tests.e2e.workload import Note, Writer, assert_each_once_and_in_order

FAULTS = Faults(throttle=0.05, error=0.02, drop=0.02, empty_page=0.3, list_delay=3.0, list_holes=0.1)


def read_to_the_end(changes: int, notes: Path, arguments: list[str]) -> None:
    with LocalStreams(iterator_life=2.0, seed=7) as service:
        service.faults = FAULTS
        orders = service.create_table("orders", keys={"id": "S"}, shards=4)
        Writer(orders, changes, seed=7).start()
        pipeline = beam.Pipeline(options=PipelineOptions(arguments))
        read = ReadFromDynamoDBStreams(
            table="orders",
            endpoint_url=service.endpoint_url,
            region_name="us-east-1",
            on_new_stream="finish",
            watermark_slack=timedelta(seconds=1),
        )
        pipeline | read | beam.ParDo(Note(str(notes)))
        pipeline.run().wait_until_finish()
        assert_each_once_and_in_order(orders, notes)
        assert len(orders.shard_ids) > 4
        assert max(service.counts.readers.values()) == 1, "two readers of ours on one shard"


def test_every_change_comes_once_and_in_order_through_all_faults_on_fn_api_runner(tmp_path: Path) -> None:
    read_to_the_end(5_000, tmp_path / "notes", ["--runner=FnApiRunner"])


@pytest.mark.prism
def test_every_change_comes_once_and_in_order_through_all_faults_on_prism(tmp_path: Path, prism: str) -> None:
    read_to_the_end(5_000, tmp_path / "notes", ["--runner=PrismRunner", f"--prism_location={prism}"])


@pytest.mark.soak
@pytest.mark.parametrize("runner", ["FnApiRunner", "PrismRunner"])
def test_fifty_thousand_changes_come_once_and_in_order_through_all_faults(
    tmp_path: Path, prism: str, runner: str
) -> None:
    read_to_the_end(50_000, tmp_path / "notes", [f"--runner={runner}", f"--prism_location={prism}"])
