"""A mirror of a table in a database, as a user would write it: README's recipe with a snapshot and `progress=`.

Run as `python -m tests.e2e.snapshot_driver ENDPOINT DIRECTORY STOP [BEAM OPTION …]`; killed, it continues.
STOP is "NOW", or "NEVER" for an unbounded read.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from beam_dynamodb_streams import ChangeRecord, Progress, ReadFromDynamoDBStreams


class UpsertOrders(beam.DoFn):
    """The latest image of each order, in one transaction a bundle. A deletion stays as a row without an image."""

    TABLE = "CREATE TABLE IF NOT EXISTS orders (id TEXT PRIMARY KEY, image TEXT, version TEXT)"
    UPSERT = """INSERT INTO orders VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE
        SET image = excluded.image, version = excluded.version WHERE excluded.version >= version"""

    def __init__(self, path: str) -> None:
        self._path = path

    def start_bundle(self) -> None:
        self._database = sqlite3.connect(self._path, timeout=60)
        self._database.execute(self.TABLE)

    def process(self, change: ChangeRecord) -> None:
        image = None if change.new_image_json is None else change.new_image_json.decode()
        self._database.execute(self.UPSERT, (change.keys["id"], image, change.version))

    def finish_bundle(self) -> None:
        self._database.commit()
        self._database.close()


def mirror_in(directory: Path) -> dict[str, Any]:
    """Return the items that the database holds, by their ids."""
    with sqlite3.connect(directory / "orders.db") as database:
        rows = database.execute("SELECT id, image FROM orders WHERE image IS NOT NULL").fetchall()
    return {key: json.loads(image) for key, image in rows}


def build(
    pipeline: beam.Pipeline,
    endpoint_url: str,
    directory: Path,
    *,
    stop: object,
    units: float | None = None,
    sink: type[UpsertOrders] = UpsertOrders,
) -> None:
    """Add the steps to the pipeline."""
    read = ReadFromDynamoDBStreams(
        table="orders",
        snapshot="scan",
        stop=stop,
        endpoint_url=endpoint_url,
        region_name="us-east-1",
        scan_read_units=units,
        watermark_slack=timedelta(seconds=1),
        quiet_pages=3,
        quiet_time=timedelta(seconds=0.5),
        idle_poll_interval=timedelta(seconds=0.5),
        progress=Progress(
            f"file:{directory / 'progress.json'}",
            commit_every=timedelta(seconds=0.5),
            takeover_after=timedelta(seconds=3),
        ),
        on_data_loss="continue",
    )
    _ = pipeline | "Read" >> read | "Upsert" >> beam.ParDo(sink(str(directory / "orders.db")))


def main(endpoint_url: str, directory: str, stop: str, *options: str) -> None:
    streaming = ["--streaming"] if stop == "NEVER" else []
    with beam.Pipeline(options=PipelineOptions([*options, *streaming])) as pipeline:
        build(pipeline, endpoint_url, Path(directory), stop=None if stop == "NEVER" else stop)


if __name__ == "__main__":
    main(*sys.argv[1:])
