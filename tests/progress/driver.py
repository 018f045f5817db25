"""A program as a user would write it: an unbounded read on Prism that notes what it delivers, with progress.

`python -m tests.progress.driver ENDPOINT PRISM NOTES ADDRESS [TABLES_ENDPOINT]` imports all that it needs, then starts
one run for each line on its standard input, in a process group of its own whose id it answers with: a kill of the group
takes the run's prism along.
"""

from __future__ import annotations

import sys
from datetime import timedelta

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from beam_dynamodb_streams import Progress, ReadFromDynamoDBStreams
from tests.e2e.workload import Note
from tests.forked import run_for_each_line

TAKEOVER = timedelta(seconds=2)


def run(endpoint_url: str, prism: str, notes: str, address: str, tables: str | None = None) -> None:
    options = PipelineOptions(["--runner=PrismRunner", f"--prism_location={prism}"])
    pipeline = beam.Pipeline(options=options)
    progress = Progress(
        address,
        region_name="us-east-1",
        endpoint_url=tables,
        takeover_after=TAKEOVER,
        commit_every=timedelta(milliseconds=300),
    )
    read = ReadFromDynamoDBStreams(
        table="orders",
        endpoint_url=endpoint_url,
        region_name="us-east-1",
        watermark_slack=timedelta(seconds=1),
        quiet_pages=8,
        quiet_time=timedelta(seconds=1),
        slice_time=timedelta(milliseconds=300),
        progress=progress,
    )
    _ = pipeline | read | beam.ParDo(Note(notes))
    pipeline.run().wait_until_finish()


if __name__ == "__main__":
    run_for_each_line(run, sys.argv[1:])
