"""Runs of a handler with progress, in processes that a test kills.

`python -m tests.handlers.driver ENDPOINT DIRECTORY` imports all that it needs, then starts one run for each line on its
standard input, in a process of its own whose id it answers with.
"""

from __future__ import annotations

import sys
from datetime import timedelta

import apache_beam as beam

from beam_dynamodb_streams import InvokeHandler, Progress, ReadFromDynamoDBStreams
from beam_dynamodb_streams.commands.handle import build
from tests.forked import run_for_each_line


def run(endpoint_url: str, directory: str) -> None:
    pipeline = beam.Pipeline("FnApiRunner")
    progress = Progress(
        f"file:{directory}/progress.json", takeover_after=timedelta(seconds=2), commit_every=timedelta(milliseconds=300)
    )
    read = ReadFromDynamoDBStreams(
        table="orders",
        endpoint_url=endpoint_url,
        region_name="us-east-1",
        on_new_stream="finish",
        watermark_slack=timedelta(seconds=1),
        quiet_pages=8,
        quiet_time=timedelta(seconds=1),
        slice_time=timedelta(milliseconds=300),
        progress=progress,
    )
    handler = InvokeHandler(
        "tests.handlers.noting:handle", batch_size=20, maximum_retry_attempts=1, bisect_on_error=True
    )
    build(pipeline, read, handler, f"{directory}/failures")
    pipeline.run().wait_until_finish()


if __name__ == "__main__":
    run_for_each_line(run, sys.argv[1:])
