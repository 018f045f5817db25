"""Compare the files of the demo with what was written, change by change, read with the formats' own libraries."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import fastavro
import pyarrow.parquet as pq

from beam_dynamodb_streams.testing import Change

Row = dict[str, Any]


def parquet_rows(path: Path) -> Iterator[Row]:
    yield from pq.read_table(path).to_pylist()


def avro_rows(path: Path) -> Iterator[Row]:
    with path.open("rb") as file:
        yield from fastavro.reader(file)


READERS: dict[str, Callable[[Path], Iterator[Row]]] = {"parquet": parquet_rows, "avro": avro_rows}


def written_files(directory: Path, name: str) -> list[Path]:
    return sorted(directory.glob(f"*.{name}"))


def kind_of(change: Change) -> str:
    """Return the event's name, or "TTL DELETE" for a delete by time to live."""
    record = change.record
    return "TTL DELETE" if "userIdentity" in record else record["eventName"]


def differences(changes: Sequence[Change], rows: Iterator[Row], *, at_most: int = 5) -> list[str]:
    """Return how `rows` differ from `changes`, in words: nothing if each change is there once and is equal.

    More than `at_most` differences are summed up in one more line.
    """
    expected = {change.event_id: change for change in changes}
    seen: Counter[str] = Counter()
    found: list[str] = []
    for row in rows:
        event_id = row["event_id"]
        seen[event_id] += 1
        change = expected.get(event_id)
        if change is None:
            found.append(f"{event_id} is in the files, but was never written")
        elif seen[event_id] == 1:
            found += [f"{event_id}: {column} is {row[column]!r}" for column in _unequal(change, row)]
    found += [f"{event_id} is in the files {count} times" for event_id, count in seen.items() if count > 1]
    found += [f"{event_id} is missing" for event_id in expected if event_id not in seen]
    rest = len(found) - at_most
    return found if rest <= 0 else [*found[:at_most], f"and {rest:,} more"]


def _unequal(change: Change, row: Row) -> Iterator[str]:
    record = change.record
    stored = record["dynamodb"]
    values: Row = {
        "event_name": record["eventName"],
        "sequence_number": change.sequence_number,
        "shard_id": change.shard_id,
        "approximate_creation_time": datetime.fromtimestamp(stored["ApproximateCreationDateTime"], timezone.utc),
        "size_bytes": stored["SizeBytes"],
        "stream_view_type": stored["StreamViewType"],
    }
    texts: Row = {
        "user_identity": record.get("userIdentity"),
        "keys": stored["Keys"],
        "new_image": stored.get("NewImage"),
        "old_image": stored.get("OldImage"),
    }
    for column, value in values.items():
        if row[column] != value:
            yield column
    for column, value in texts.items():
        if (None if row[column] is None else json.loads(row[column])) != value:
            yield column
