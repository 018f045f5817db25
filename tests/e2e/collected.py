"""A bounded read of the `orders` table on FnApiRunner, and what came out of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import apache_beam as beam
from apache_beam.utils.timestamp import Timestamp

from beam_dynamodb_streams import ReadFromDynamoDBStreams
from beam_dynamodb_streams.testing import LocalStreams
from tests.e2e import workload


def read_orders(service: LocalStreams, **options: Any) -> ReadFromDynamoDBStreams:
    """Up to now, where nothing is out of order."""
    return workload.read_orders(
        service, **{"stop": "NOW", "quiet_pages": 5, "watermark_slack": timedelta(0), **options}
    )


class Keep(beam.DoFn):
    """Notes elements with their event times in lists of this process: FnApiRunner runs in it."""

    kept: ClassVar[dict[str, list[tuple[Any, Timestamp]]]] = {}

    def __init__(self, name: str) -> None:
        self._name = name

    def process(self, element: Any, timestamp: Timestamp = beam.DoFn.TimestampParam) -> None:
        self.kept[self._name].append((element, timestamp))


def outputs_of(
    directory: Path, read: beam.PTransform, *, then: Callable[[Any], Any] = lambda outputs: outputs
) -> list[list[tuple[Any, Timestamp]]]:
    """(element, event time) of each output of the read, in the order in which they came."""
    names: list[str] = []
    with beam.Pipeline("FnApiRunner") as pipeline:
        outputs = then(pipeline | read)
        for output in outputs if isinstance(outputs, tuple) else (outputs,):
            names.append(f"{directory}-{len(names)}")
            Keep.kept[names[-1]] = []
            _ = output | f"Keep{len(names)}" >> beam.ParDo(Keep(names[-1]))
    return [Keep.kept.pop(name) for name in names]
