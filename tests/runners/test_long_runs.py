"""A pipeline that reads for hours is not given up by Beam's driver."""

from __future__ import annotations

from pathlib import Path
from threading import Timer

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions, PortableOptions
from apache_beam.runners.runner import PipelineState

from beam_dynamodb_streams import ReadFromDynamoDBStreams
from beam_dynamodb_streams.beam.runners import LONGEST_RUN_SECONDS
from beam_dynamodb_streams.testing import LocalStreams
from tests.e2e.workload import read_orders
from tests.runners.test_prism import until


def timeout_after_a_read(*flags: str) -> int:
    pipeline = beam.Pipeline(options=PipelineOptions([*flags]))
    _ = pipeline | ReadFromDynamoDBStreams("orders")
    return int(pipeline.options.view_as(PortableOptions).job_server_timeout)


def test_beams_wait_for_a_job_is_longer_than_any_run() -> None:
    """Its default ends an unbounded pipeline on Prism after five minutes, with DEADLINE_EXCEEDED."""
    assert timeout_after_a_read() == LONGEST_RUN_SECONDS


@pytest.mark.parametrize("seconds", [60, 300])
@pytest.mark.parametrize("flag", ["--job_server_timeout", "--job-server-timeout"])
def test_a_wait_that_the_user_chose_is_left_alone(flag: str, seconds: int) -> None:
    """Also where it is Beam's own default."""
    assert timeout_after_a_read(f"{flag}={seconds}") == seconds
    assert timeout_after_a_read(flag, str(seconds)) == seconds


def test_a_runner_without_a_job_server_keeps_beams_default() -> None:
    assert timeout_after_a_read("--runner=FnApiRunner") == 300


@pytest.mark.prism
def test_prism_runs_a_pipeline_with_that_wait(service: LocalStreams, prism: str, tmp_path: Path) -> None:
    orders = service.create_table("orders", keys={"id": "S"})
    orders.put({"id": "o-1"})
    pipeline = beam.Pipeline(options=PipelineOptions(["--runner=PrismRunner", f"--prism_location={prism}"]))
    _ = pipeline | read_orders(service) | beam.Map(lambda change: (tmp_path / change.keys["id"]).touch())
    result = pipeline.run()
    until((tmp_path / "o-1").exists, result)
    orders.disable_stream()
    result.wait_until_finish()
    assert result.state == PipelineState.DONE


@pytest.mark.soak
@pytest.mark.prism
@pytest.mark.timeout(900)
def test_an_unbounded_pipeline_runs_for_more_than_five_minutes(service: LocalStreams, prism: str) -> None:
    orders = service.create_table("orders", keys={"id": "S"})
    flags = ["--runner=PrismRunner", f"--prism_location={prism}", "--prism_log_level=error"]
    pipeline = beam.Pipeline(options=PipelineOptions(flags))
    _ = pipeline | read_orders(service)
    result = pipeline.run()
    later = Timer(320, orders.disable_stream)
    later.start()
    result.wait_until_finish()
    assert not later.is_alive(), "it ended before its stream"
    assert result.state == PipelineState.DONE
