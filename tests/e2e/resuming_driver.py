"""A program as a user would write it: reads up to now, and saves the position of what it delivered, bundle by bundle.

Run as `python -m tests.e2e.resuming_driver ENDPOINT DIRECTORY`; killed at any moment, it resumes at its next start.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import timedelta
from pathlib import Path

import apache_beam as beam

from beam_dynamodb_streams import ChangeRecord, ReadFromDynamoDBStreams, StreamPosition


class Deliver(beam.DoFn):
    """Delivers a bundle's records to a file, and only then saves the position that covers them (trap 21)."""

    def __init__(self, directory: str) -> None:
        self._directory = directory

    def setup(self) -> None:
        self._position = saved_position(Path(self._directory)) or StreamPosition()

    def start_bundle(self) -> None:
        self._lines: list[str] = []
        self._reached: dict[str, str] = {}

    def process(self, record: ChangeRecord) -> None:
        self._lines.append(json.dumps([record.shard_id, record.sequence_number]) + "\n")
        self._reached[record.shard_id] = record.sequence_number

    def finish_bundle(self) -> None:
        if not self._lines:
            return
        with (Path(self._directory) / "delivered").open("a") as delivered:
            delivered.writelines(self._lines)
        self._position = self._position.merge(StreamPosition.delivered(self._reached))
        fresh = Path(self._directory) / "position.new"
        fresh.write_text(self._position.to_json())
        os.replace(fresh, Path(self._directory) / "position")


def saved_position(directory: Path) -> StreamPosition | None:
    path = directory / "position"
    return StreamPosition.from_json(path.read_text()) if path.exists() else None


def main(endpoint_url: str, directory: str) -> None:
    with beam.Pipeline("FnApiRunner") as pipeline:
        read = ReadFromDynamoDBStreams(
            table="orders",
            start=saved_position(Path(directory)) or "TRIM_HORIZON",
            stop="NOW",
            endpoint_url=endpoint_url,
            region_name="us-east-1",
            quiet_pages=5,
            quiet_time=timedelta(seconds=1),
            watermark_slack=timedelta(0),
            slice_time=timedelta(milliseconds=100),
        )
        pipeline | read | beam.ParDo(Deliver(directory))


if __name__ == "__main__":
    main(*sys.argv[1:])
