"""One application, one runner after another: each resumes where the last one stopped."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from beam_dynamodb_streams import ChangeRecord, CommitProgress, Progress, ReadFromDynamoDBStreams
from beam_dynamodb_streams.progress.acquire import store_of
from beam_dynamodb_streams.shards.position import After
from beam_dynamodb_streams.testing import LocalStreams, Table
from runners.flink import Flink
from tests.e2e.workload import Note, noted
from tests.runners.test_flink import until


@pytest.fixture
def progress(tmp_path: Path) -> Progress:
    return Progress(f"file:{tmp_path / 'progress.json'}", commit_every=timedelta(seconds=0.5), takeover_after=SOON)


SOON = timedelta(seconds=3)


@pytest.fixture
def orders(service: LocalStreams) -> Table:
    return service.create_table("orders", keys={"id": "S"}, shards=3)


def write(orders: Table, generation: int) -> None:
    orders.put_many({"id": f"o-{n}", "n": generation * 1000 + n} for n in range(200))
    orders.split(orders.open_shard_ids[0])
    orders.put_many({"id": f"o-{n}", "n": generation * 1000 + 500 + n} for n in range(200))


def pipeline(
    service: LocalStreams, progress: Progress, notes: Path, arguments: list[str], **options: Any
) -> beam.Pipeline:
    made = beam.Pipeline(options=PipelineOptions(arguments))
    read = ReadFromDynamoDBStreams(
        table="orders",
        endpoint_url=service.endpoint_url,
        region_name="us-east-1",
        watermark_slack=timedelta(seconds=1),
        quiet_pages=8,
        quiet_time=timedelta(seconds=1),
        progress=progress,
        **options,
    )
    _ = made | read | beam.ParDo(Note(str(notes)))
    return made


def came(notes: Path) -> list[tuple[str, str]]:
    return [note[:2] for note in noted(notes)]


def written(orders: Table) -> set[tuple[str, str]]:
    return {(change.shard_id, change.sequence_number) for change in orders.changes}


@pytest.mark.prism
def test_what_prism_left_fn_api_runner_reads_and_nothing_twice(
    service: LocalStreams, orders: Table, progress: Progress, prism: str, tmp_path: Path
) -> None:
    notes = tmp_path / "notes"
    write(orders, 0)
    on_prism = ["--runner=PrismRunner", f"--prism_location={prism}"]
    pipeline(service, progress, notes, on_prism, stop=250).run().wait_until_finish()
    assert len(came(notes)) == 250
    write(orders, 1)
    pipeline(service, progress, notes, ["--runner=FnApiRunner"], stop="NOW").run().wait_until_finish()
    assert sorted(came(notes)) == sorted(written(orders))


@pytest.mark.prism
@pytest.mark.flink
def test_what_prism_left_flink_reads_and_what_flink_left_fn_api_runner(
    service: LocalStreams, orders: Table, progress: Progress, prism: str, flink: Flink, tmp_path: Path
) -> None:
    """Flink's progress trails its checkpoints, so its successor repeats some; it misses none."""
    notes = tmp_path / "notes"
    write(orders, 0)
    on_prism = ["--runner=PrismRunner", f"--prism_location={prism}"]
    pipeline(service, progress, notes, on_prism, stop=250).run().wait_until_finish()
    write(orders, 1)
    before = reached(progress)
    pipeline(service, progress, notes, flink.arguments(parallelism=1)).run()
    until(lambda: set(came(notes)) == written(orders))
    assert len(came(notes)) == len(written(orders)), "Flink resumed where Prism had stopped"
    until(lambda: reached(progress) > before)
    flink.job.cancel()
    write(orders, 2)
    on_flink = len(came(notes))
    pipeline(service, progress, notes, ["--runner=FnApiRunner"], stop="NOW").run().wait_until_finish()
    assert set(came(notes)) == written(orders)
    print(f"{len(came(notes)) - len(written(orders))} repeats, of {on_flink - 250} changes read on Flink")


@pytest.mark.prism
def test_a_step_after_a_grouping_reports_deliveries_while_an_unbounded_read_runs(
    service: LocalStreams, orders: Table, progress: Progress, prism: str, tmp_path: Path
) -> None:
    notes = tmp_path / "notes"
    notes.touch()
    write(orders, 0)
    made = beam.Pipeline(options=PipelineOptions(["--runner=PrismRunner", f"--prism_location={prism}"]))
    delivered = (
        made
        | ReadFromDynamoDBStreams(
            table="orders",
            endpoint_url=service.endpoint_url,
            region_name="us-east-1",
            watermark_slack=timedelta(seconds=1),
            quiet_pages=8,
            quiet_time=timedelta(seconds=1),
            progress=progress,
            on_new_stream="finish",
        )
        | beam.WindowInto(beam.window.FixedWindows(2))
        | beam.Map(lambda change: (change.shard_id, change))
        | beam.GroupByKey()
        | beam.FlatMap(lambda group: group[1])
        | beam.ParDo(Note(str(notes))).with_output_types(ChangeRecord)
    )
    _ = delivered | CommitProgress(progress, watermark_slack=timedelta(seconds=1))
    result = made.run()
    until(lambda: covered(orders, progress) == written(orders))
    assert set(came(notes)) == written(orders), "progress covers nothing before it is delivered"
    write(orders, 1)
    orders.disable_stream()
    result.wait_until_finish()
    assert covered(orders, progress) == written(orders)
    assert sorted(came(notes)) == sorted(written(orders))


def covered(orders: Table, progress: Progress) -> set[tuple[str, str]]:
    """The changes up to the kept positions of their shards."""
    shards = {s: mark for kept in store_of(progress).read().streams.values() for s, mark in kept.shards.items()}
    numbers = {s: int(m.position.sequence_number) for s, m in shards.items() if isinstance(m.position, After)}
    return {(shard, number) for shard, number in written(orders) if int(number) <= numbers.get(shard, -1)}


def reached(progress: Progress) -> int:
    """How far the application got, as a number that only rises."""
    (kept,) = store_of(progress).read().streams.values()
    return sum(
        int(m.position.sequence_number) if isinstance(m.position, After) else 10**30 for m in kept.shards.values()
    )
