"""The same as `tests.progress.driver`, with windows, a `CombinePerKey` and a step that notes its results."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms.combiners import ToListCombineFn

from beam_dynamodb_streams import CommitProgress, Progress, ReadFromDynamoDBStreams
from tests.forked import run_for_each_line
from tests.progress.driver import TAKEOVER


class NoteResults(beam.DoFn):
    """Appends the places of the changes that a result is made of, one a line, and passes the result on."""

    def __init__(self, notes: str) -> None:
        self._notes = Path(notes)

    def process(self, element: tuple[str, list[str]]) -> Any:
        shard, numbers = element
        with self._notes.open("a") as file:
            file.write("".join(f'["{shard}", "{number}"]\n' for number in numbers))
        yield shard, len(numbers)


def run(endpoint_url: str, prism: str, notes: str, address: str) -> None:
    options = PipelineOptions(["--runner=PrismRunner", f"--prism_location={prism}"])
    pipeline = beam.Pipeline(options=options)
    progress = Progress(address, takeover_after=TAKEOVER, commit_every=0.3)
    read = ReadFromDynamoDBStreams(
        table="orders",
        endpoint_url=endpoint_url,
        region_name="us-east-1",
        watermark_slack=1,
        poll_interval=timedelta(milliseconds=100),
        idle_poll_interval=0.3,
        quiet_pages=4,
        quiet_time=0.3,
        slice_time=0.3,
        progress=progress,
    )
    _ = (
        pipeline
        | read
        | beam.Map(lambda change: (change.shard_id, change.sequence_number))
        | beam.WindowInto(beam.window.FixedWindows(1))
        | beam.CombinePerKey(ToListCombineFn())
        | beam.ParDo(NoteResults(notes))
        | CommitProgress(progress, watermark_slack=1)
    )
    pipeline.run().wait_until_finish()


if __name__ == "__main__":
    run_for_each_line(run, sys.argv[1:])
