"""Exports in S3, on moto's server, through Beam's own filesystem."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import apache_beam as beam
import boto3
import pytest
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that, equal_to

from beam_dynamodb_streams import ReadDynamoDBExport
from beam_dynamodb_streams.errors import ExportError
from beam_dynamodb_streams.testing import Clock, LocalStreams
from tests.moto_server import moto_server

START = datetime(2026, 1, 31, 12, tzinfo=timezone.utc)


@pytest.fixture
def s3_url() -> Iterator[str]:
    with moto_server() as url:
        yield url
    FileSystems.set_options(PipelineOptions([]))


@pytest.fixture
def bucket(s3_url: str, tmp_path: Path) -> Any:
    """A bucket with a full export of 30 items, and an incremental one with its writes, and the delete of the first."""
    clock = Clock(START)
    with LocalStreams(clock=clock) as service:
        table = service.create_table("orders", keys={"id": "S"})
        table.put_many({"id": f"o-{n}"} for n in range(30))
        table.export_full(tmp_path, files=4)
        clock.advance(60)
        table.delete({"id": "o-0"})
        clock.advance(3600)
        table.export_incremental(tmp_path, START, START + timedelta(hours=1))
    made = boto3.resource("s3", endpoint_url=s3_url).create_bucket(Bucket="exports")
    for file in tmp_path.rglob("*"):
        if file.is_file():
            made.put_object(Key=f"prefix/{file.relative_to(tmp_path).as_posix()}", Body=file.read_bytes())
    return made


def folders(bucket: Any) -> list[str]:
    keys = sorted(each.key for each in bucket.objects.all() if each.key.endswith("manifest-summary.json"))
    return [f"s3://exports/{key.removesuffix('manifest-summary.json')}" for key in keys]


def options(s3_url: str) -> PipelineOptions:
    place = [f"--s3_endpoint_url={s3_url}", "--s3_region_name=us-east-1"]
    return PipelineOptions([*place, "--s3_access_key_id=test", "--s3_secret_access_key=test"])


def test_exports_are_read_from_s3(bucket: Any, s3_url: str) -> None:
    full, incremental = folders(bucket)
    with beam.Pipeline("FnApiRunner", options=options(s3_url)) as pipeline:
        changes = pipeline | ReadDynamoDBExport([full, incremental])
        counts = changes | beam.Map(lambda change: change.event_name) | beam.combiners.Count.PerElement()
        assert_that(counts, equal_to([("READ", 30), ("INSERT", 29), ("REMOVE", 1)]))


def test_a_data_file_that_is_not_in_the_bucket_is_named(bucket: Any, s3_url: str) -> None:
    missing = next(each for each in bucket.objects.all() if each.key.endswith(".json.gz"))
    missing.delete()
    with (
        pytest.raises(ExportError, match=r"the data file s3://exports/.* does not exist, though its manifest names it"),
        beam.Pipeline("FnApiRunner", options=options(s3_url)) as pipeline,
    ):
        _ = pipeline | ReadDynamoDBExport(folders(bucket))
