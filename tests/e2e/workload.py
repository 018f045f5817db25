"""A table that is written to while its shards split and roll, and a place where a pipeline notes what came out."""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import apache_beam as beam

from beam_dynamodb_streams import ChangeRecord, ReadFromDynamoDBStreams
from beam_dynamodb_streams.testing import LocalStreams, Table


def read_orders(service: LocalStreams, **options: Any) -> ReadFromDynamoDBStreams:
    """The table `orders`, unbounded if no stop is given, with a quick proof of quiet. It ends with its stream."""
    quick = {
        "on_new_stream": "finish",
        "watermark_slack": timedelta(seconds=1),
        "quiet_pages": 8,
        "quiet_time": timedelta(seconds=1),
    }
    where = {"endpoint_url": service.endpoint_url, "region_name": "us-east-1"}
    return ReadFromDynamoDBStreams(table="orders", **{**where, **quick, **options})


class Writer(threading.Thread):
    """Writes `changes` updates of 500 keys, splitting or rolling a shard about every `restless` seconds; then
    disables the stream, so that an unbounded read ends (trap 14)."""

    def __init__(self, table: Table, changes: int, *, seed: int, restless: float = 1.5, batch: int = 100) -> None:
        super().__init__(daemon=True)
        self._table, self._changes, self._restless, self._batch = table, changes, restless, batch
        self._random = Random(seed)

    def run(self) -> None:
        moved = time.monotonic()
        for first in range(0, self._changes, self._batch):
            self._table.put_many(
                {"id": f"o-{self._random.randrange(500)}", "n": number} for number in range(first, first + self._batch)
            )
            if time.monotonic() - moved > self._restless:
                moved = time.monotonic()
                shards = self._table.open_shard_ids
                if len(shards) < 12 and self._random.random() < 0.6:
                    self._table.split(self._random.choice(shards))
                else:
                    self._table.roll(self._random.choice(shards))
            time.sleep(0.05)
        self._table.disable_stream()


class Note(beam.DoFn):
    """Appends each record's place and content to a file, in the order in which they come, and passes it on."""

    def __init__(self, path: str) -> None:
        self._path = path

    def process(self, element: ChangeRecord) -> Iterator[ChangeRecord]:
        image = element.new_image or {}
        line = [element.shard_id, element.sequence_number, str(element.keys["id"]), int(image.get("n", -1))]
        with Path(self._path).open("a") as notes:
            notes.write(json.dumps(line) + "\n")
        yield element


def noted(path: Path) -> list[tuple[str, str, str, int]]:
    whole = path.read_text().rpartition("\n")[0]  # the last line may just be being written
    return [tuple(json.loads(line)) for line in whole.splitlines()]


def assert_each_once_and_in_order(table: Table, path: Path) -> None:
    """Every change of the table was noted exactly once, and each key's in the order of its writes."""
    notes = noted(path)
    assert len(notes) == len(table.changes)
    assert {note[:2] for note in notes} == {(change.shard_id, change.sequence_number) for change in table.changes}
    latest: dict[str, int] = defaultdict(lambda: -1)
    for _, _, key, number in notes:
        assert number > latest[key], f"{key}: {number} came after {latest[key]}"
        latest[key] = number
