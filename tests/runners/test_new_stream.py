"""A table's stream is disabled and enabled again under a read that runs: on each runner the next stream is read."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from beam_dynamodb_streams import Loss
from beam_dynamodb_streams.testing import LocalStreams, Table
from runners.flink import Flink
from tests.e2e.workload import Note, assert_each_once_and_in_order, noted, read_orders

EACH = 150


def put(orders: Table, generation: int) -> None:
    orders.put_many({"id": f"o-{n % 40}", "n": generation * 1000 + n} for n in range(EACH))


def write_and_enable_again(orders: Table, notes: Path) -> None:
    """Write, enable the stream again once some of it was read, and write more."""
    put(orders, 0)
    deadline = time.monotonic() + 60
    while not notes.read_text() and time.monotonic() < deadline:
        time.sleep(0.05)
    orders.split(orders.open_shard_ids[0])
    put(orders, 1)
    orders.disable_stream()
    time.sleep(1)
    orders.put({"id": "between"})
    orders.enable_stream(shards=2)
    put(orders, 2)


def add_line(loss: Loss, path: str) -> None:
    with Path(path).open("a") as lines:
        lines.write(f"{loss.next_position}\n")


def read_over_a_new_stream(
    service: LocalStreams, directory: Path, arguments: list[str], **options: object
) -> tuple[beam.Pipeline, Table, Path]:
    orders = service.create_table("orders", keys={"id": "S"}, shards=2)
    notes, losses = directory / "notes", directory / "losses"
    notes.touch()
    pipeline = beam.Pipeline(options=PipelineOptions(arguments))
    read = read_orders(service, on_new_stream="follow", on_data_loss="continue", **options).with_outputs()
    changes, _, lost = pipeline | read
    _ = changes | "note" >> beam.ParDo(Note(str(notes)))
    _ = lost | "lost" >> beam.Map(add_line, str(losses))
    Thread(target=write_and_enable_again, args=(orders, notes), daemon=True).start()
    return pipeline, orders, notes


def assert_followed(orders: Table, notes: Path) -> None:
    assert_each_once_and_in_order(orders, notes)
    assert len(orders.streams) == 2
    assert (notes.parent / "losses").read_text().split() == [orders.stream_arn]


def test_fn_api_runner_follows_to_the_next_stream(service: LocalStreams, tmp_path: Path) -> None:
    pipeline, orders, notes = read_over_a_new_stream(service, tmp_path, ["--runner=FnApiRunner"], stop=3 * EACH)
    pipeline.run().wait_until_finish()
    assert_followed(orders, notes)


@pytest.mark.prism
def test_prism_follows_to_the_next_stream(service: LocalStreams, tmp_path: Path, prism: str) -> None:
    arguments = ["--runner=PrismRunner", f"--prism_location={prism}", "--prism_log_level=error", "--streaming"]
    pipeline, orders, notes = read_over_a_new_stream(service, tmp_path, arguments, stop=3 * EACH)
    pipeline.run().wait_until_finish()
    assert_followed(orders, notes)


def until(holds: Callable[[], bool], *, seconds: float = 90.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not seen within {seconds} seconds"
        time.sleep(0.1)


@pytest.mark.flink
def test_on_flink_one_of_several_groups_follows_to_the_next_stream(
    service: LocalStreams, tmp_path: Path, flink: Flink
) -> None:
    """Order is that of each stream: a group does not know when another one has read the old stream to its end."""
    pipeline, orders, notes = read_over_a_new_stream(service, tmp_path, flink.arguments(parallelism=2), shard_groups=2)
    pipeline.run()
    until(lambda: len(noted(notes)) >= 3 * EACH)
    time.sleep(3)
    flink.job.cancel()
    assert sorted(tuple(note[:2]) for note in noted(notes)) == sorted(
        (change.shard_id, change.sequence_number) for change in orders.changes
    )
    assert max(service.counts.readers.values()) == 1
    assert (tmp_path / "losses").read_text().split() == [orders.stream_arn]
