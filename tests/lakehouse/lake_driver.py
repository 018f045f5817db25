"""Commits to Iceberg and Delta, or a mirror, as a user would write them: started again after any end, they continue.

Run as `python -m tests.lakehouse.lake_driver KIND ENDPOINT PLACE OPTION…`, with the options of the pipeline. KIND is
"commit", "quiet" (the same, with a scan first), "mirror" (from the trim horizon each time) or "snapshot" (a mirror from
a scan, with progress). On Prism it ends once the stream is disabled and read; FnApiRunner reads up to now.
"""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from beam_dynamodb_streams import (
    CommitProgress,
    CommitToDelta,
    CommitToIceberg,
    MirrorToDelta,
    Progress,
    ReadFromDynamoDBStreams,
    WriteChangesToParquet,
)
from tests.lakehouse.lake import properties_of


def main(kind: str, endpoint_url: str, place: Path, arguments: list[str]) -> None:
    options: dict[str, Any] = {
        "table": "orders",
        "endpoint_url": endpoint_url,
        "region_name": "us-east-1",
        "on_new_stream": "finish",
        "quiet_pages": 5,
        "quiet_time": timedelta(seconds=1),
        "watermark_slack": timedelta(seconds=1),
    }
    if "--runner=FnApiRunner" in arguments:
        options["stop"] = "NOW"
    pipeline = beam.Pipeline(options=PipelineOptions(arguments))
    if kind == "quiet":
        options["snapshot"] = "scan"
    if kind in ("commit", "quiet"):
        sink = WriteChangesToParquet(place / "out", window=1, partitions="hour")
        with sink.resume() as start:
            files = pipeline | ReadFromDynamoDBStreams(start=start, **options).as_batches() | sink
            files | CommitToIceberg(properties_of(place), "db.orders")
            files | CommitToDelta()
            pipeline.run().wait_until_finish()
        return
    progress = Progress(f"file:{place / 'progress'}", takeover_after=3, commit_every=1) if kind == "snapshot" else None
    if progress is not None:
        options.update(progress=progress, snapshot="scan", scan_read_units=150)
    merged = pipeline | ReadFromDynamoDBStreams(**options).as_batches() | MirrorToDelta(place / "mirror", window=1)
    if progress is not None:
        merged | CommitProgress(progress, watermark_slack=1)
    pipeline.run().wait_until_finish()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), sys.argv[4:])
