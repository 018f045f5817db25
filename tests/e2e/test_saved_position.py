"""A run saves what it delivered, and the next one resumes there (trap 21)."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import apache_beam as beam

from beam_dynamodb_streams import ChangeRecord, DeliveredPosition, ReadFromDynamoDBStreams, StreamPosition
from beam_dynamodb_streams.testing import LocalStreams


def run(service: LocalStreams, directory: Path, **options: Any) -> tuple[list[str], StreamPosition]:
    """Reads up to now; gives the event ids and the position that the pipeline itself put out."""
    start = options.get("start")
    with beam.Pipeline("FnApiRunner") as pipeline:
        changes = pipeline | ReadFromDynamoDBStreams(
            table="orders",
            endpoint_url=service.endpoint_url,
            region_name="us-east-1",
            quiet_pages=5,
            quiet_time=timedelta(seconds=1),
            watermark_slack=timedelta(0),
            **{"stop": "NOW", **options},
        )
        _ = changes | beam.combiners.ToList() | "Ids" >> beam.Map(_write_ids, str(directory / "ids"))
        _ = (
            changes
            | DeliveredPosition(start if isinstance(start, StreamPosition) else None)
            | "Position" >> beam.Map(_write_position, str(directory / "position"))
        )
    ids = json.loads((directory / "ids").read_text())
    return ids, StreamPosition.from_json((directory / "position").read_text())


def _write_ids(records: list[ChangeRecord], path: str) -> None:
    Path(path).write_text(json.dumps([record.event_id for record in records]))


def _write_position(position: StreamPosition, path: str) -> None:
    Path(path).write_text(position.to_json())


def test_a_run_resumes_where_the_saved_position_of_the_last_one_ended(service: LocalStreams, tmp_path: Path) -> None:
    orders = service.create_table("orders", keys={"id": "S"}, shards=3)
    orders.put_many({"id": f"o-{n}", "n": n} for n in range(100))
    orders.roll_all()
    orders.put_many({"id": f"o-{n}", "n": n + 1000} for n in range(100))
    first, position = run(service, tmp_path, stop=150)
    assert len(first) == 150
    orders.split(orders.open_shard_ids[0])
    orders.put_many({"id": f"o-{n}", "n": n + 2000} for n in range(100))
    second, _ = run(service, tmp_path, start=position)
    assert sorted(first + second) == sorted(change.event_id for change in orders.changes)
