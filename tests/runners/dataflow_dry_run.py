"""Translates a pipeline for Dataflow without submitting it, and prints what an update compares, as JSON.

Run with the interpreter of `make dataflow`, which has Google's libraries: nothing is sent to them.
"""

from __future__ import annotations

import json
import logging
import sys

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.transforms.window import FixedWindows

from beam_dynamodb_streams import ChangeRecord, CommitProgress, ReadFromDynamoDBStreams, WriteChangesToParquet
from tests.runners.translated import compared

ARGUMENTS = [
    "--runner=DataflowRunner",
    "--dry_run=True",
    "--streaming",
    "--project=some-project",
    "--region=us-central1",
    "--temp_location=gs://some-bucket-name/temp",
    "--job_name=orders",
]
PROGRESS = "dynamodb://progress/orders"


def translated() -> beam_runner_api_pb2.Pipeline:
    """Return the pipeline as the runner would send it."""
    pipeline = beam.Pipeline(options=PipelineOptions([*ARGUMENTS, *sys.argv[1:]]))
    changes = pipeline | "Read" >> ReadFromDynamoDBStreams(
        "orders", region_name="us-east-1", shard_groups=4, progress=PROGRESS
    )
    _ = changes | "Sink" >> WriteChangesToParquet("gs://some-bucket-name/out")
    delivered = changes | beam.Reshuffle()
    _ = delivered | "Commit" >> CommitProgress(PROGRESS)
    counts = changes | beam.WindowInto(FixedWindows(60)) | "Ones" >> beam.Map(one)
    _ = counts | "Count" >> beam.CombinePerKey(sum)
    pipeline.run()
    return pipeline.runner.proto_pipeline


def one(change: ChangeRecord) -> tuple[str, int]:
    return change.event_name, 1


def main() -> None:
    logging.disable(logging.WARNING)
    print(json.dumps(compared(translated())))


if __name__ == "__main__":
    main()
