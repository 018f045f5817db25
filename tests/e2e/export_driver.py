"""An export as a user would write it, with quick windows: started again after any end, it resumes.

Run as `python -m tests.e2e.export_driver ENDPOINT OUTPUT PRISM`; it ends once the stream is disabled and read.
Little of it stays in the shuffle as bytes, so that kills meet chunks that are files too.
"""

from __future__ import annotations

import sys
from datetime import timedelta

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from beam_dynamodb_streams import ReadFromDynamoDBStreams, WriteChangesToParquet
from beam_dynamodb_streams.sinks import chunk_files

chunk_files.INLINE_BYTES = 100_000


def main(endpoint_url: str, output: str, prism: str) -> None:
    sink = WriteChangesToParquet(output, window=1, partitions="hour")
    options = PipelineOptions(["--runner=PrismRunner", f"--prism_location={prism}", "--streaming"])
    with sink.resume() as start:
        pipeline = beam.Pipeline(options=options)
        read = ReadFromDynamoDBStreams(
            table="orders",
            start=start,
            endpoint_url=endpoint_url,
            region_name="us-east-1",
            on_new_stream="finish",
            quiet_pages=5,
            quiet_time=timedelta(seconds=1),
            watermark_slack=timedelta(seconds=1),
        )
        pipeline | read | sink
        pipeline.run().wait_until_finish()


if __name__ == "__main__":
    main(*sys.argv[1:])
