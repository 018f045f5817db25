"""Changes, and pipelines that call a handler with them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta, timezone
from typing import Any, ClassVar

import apache_beam as beam
from apache_beam.testing.util import assert_that

from beam_dynamodb_streams import ChangeRecord, InvokeHandler

BEGAN = datetime(2026, 1, 31, 12, 0, tzinfo=timezone.utc)


def change(number: int, *, key: str = "a", shard: str = "shardId-0001", **fields: Any) -> ChangeRecord:
    """Return the change with this sequence number, made that many seconds after `BEGAN`."""
    given: dict[str, Any] = {
        "event_id": f"event-{number}",
        "event_name": "INSERT",
        "keys": {"id": key},
        "new_image": {"id": key, "number": number},
        "sequence_number": str(100_000_000_000_000_000_000 + number),
        "shard_id": shard,
        "approximate_creation_time": BEGAN + timedelta(seconds=number),
        "size_bytes": 40,
    }
    return ChangeRecord(**{**given, **fields})


def numbers_of(event: Any) -> list[int]:
    """Return the numbers of the changes of an event."""
    return [int(record["dynamodb"]["SequenceNumber"]) % 1_000_000 for record in event["Records"]]


class Recorded:
    """What handlers of this process were called with. A handler in a pipeline is pickled, so it is kept outside."""

    calls: ClassVar[list[tuple[Any, Any]]] = []


def record(event: Any, context: Any) -> None:
    Recorded.calls.append((event, context))


def run(
    changes: Iterable[ChangeRecord], step: InvokeHandler, *, on_failure: Callable[[list[Any]], None] | None = None
) -> None:
    """Run a pipeline with these changes, and check the records for the on-failure destination."""
    with beam.Pipeline("FnApiRunner") as pipeline:
        outputs = pipeline | beam.Create(list(changes)) | step
        if on_failure is not None:
            assert_that(outputs.on_failure, on_failure)
