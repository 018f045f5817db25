"""Handlers on Prism: an unbounded read whose changes are handled in order, and tumbling windows that it closes."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from beam_dynamodb_streams import InvokeHandler
from beam_dynamodb_streams.commands.handle import build
from beam_dynamodb_streams.testing import LocalStreams
from tests.e2e.workload import read_orders
from tests.handlers.made import numbers_of
from tests.handlers.noting import is_bad, noted


def on_prism(prism: str) -> beam.Pipeline:
    return beam.Pipeline(options=PipelineOptions(["--runner=PrismRunner", f"--prism_location={prism}"]))


@pytest.mark.prism
def test_an_unbounded_read_on_prism_is_handled_in_order_and_its_failures_are_written(
    service: LocalStreams, prism: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders = service.create_table("orders", keys={"id": "S"}, shards=2)
    for number in range(200):
        if number == 100:
            orders.roll(orders.open_shard_ids[0])
        orders.put({"id": f"o-{number % 9}", "number": number})
    orders.disable_stream()  # so that the read ends
    notes = tmp_path / "notes"
    notes.touch()
    monkeypatch.setenv("HANDLER_NOTES", str(notes))
    handler = InvokeHandler(
        "tests.handlers.noting:handle",
        batch_size=20,
        parallelization_factor=3,
        maximum_retry_attempts=0,
        bisect_on_error=True,
    )
    pipeline = on_prism(prism)
    build(pipeline, read_orders(service, on_new_stream="finish"), handler, str(tmp_path / "failures"))
    pipeline.run().wait_until_finish()
    came: dict[str, list[int]] = defaultdict(list)
    for _, key, _, number in noted(notes):
        came[key].append(number)
    assert sorted(number for numbers in came.values() for number in numbers) == [
        number for number in range(200) if not is_bad(number)
    ]
    assert all(numbers == sorted(numbers) for numbers in came.values())
    lines = [line for path in (tmp_path / "failures").glob("*.jsonl") for line in path.read_text().splitlines()]
    discarded = [int(each["NewImage"]["number"]["N"]) for each in map(_change_of, lines)]
    assert sorted(discarded) == [13, 110]


def _change_of(line: str) -> Any:
    return json.loads(line)["payload"]["Records"][0]["dynamodb"]


def count(event: Any, context: Any) -> dict[str, Any]:
    state = event["state"]
    state.setdefault("seen", []).extend(numbers_of(event))
    if event["isFinalInvokeForWindow"]:
        with Path(state["path"]).open("a") as file:
            file.write(json.dumps([event["shardId"], event["window"]["start"], len(state["seen"])]) + "\n")
    return {"state": state}


class Counting:
    """The same, with the path of its file."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)

    def __call__(self, event: Any, context: Any) -> dict[str, Any]:
        event["state"]["path"] = self._path
        return count(event, context)


@pytest.mark.prism
def test_tumbling_windows_of_an_unbounded_read_are_closed_on_prism(
    service: LocalStreams, prism: str, tmp_path: Path
) -> None:
    orders = service.create_table("orders", keys={"id": "S"}, shards=2)
    orders.put_many({"id": f"o-{number % 9}", "number": number} for number in range(50))
    orders.disable_stream()
    pipeline = on_prism(prism)
    read = read_orders(service, on_new_stream="finish")
    _ = pipeline | read | InvokeHandler(Counting(tmp_path / "windows"), tumbling_window=timedelta(seconds=10))
    pipeline.run().wait_until_finish()
    windows = [json.loads(line) for line in (tmp_path / "windows").read_text().splitlines()]
    assert sum(seen for _, _, seen in windows) == 50
    assert len({(shard, start) for shard, start, _ in windows}) == len(windows)
    for shard in {shard for shard, _, _ in windows}:
        starts = [start for other, start, _ in windows if other == shard]
        assert starts == sorted(starts)
