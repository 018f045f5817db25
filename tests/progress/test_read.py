"""A read with progress on FnApiRunner: it resumes where the last run of the application stopped, whatever its start."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms.window import FixedWindows, Sessions

from beam_dynamodb_streams import AsChanges, ChangeRecord, CommitProgress, Progress
from beam_dynamodb_streams.errors import InvalidOptionError, NotFoundError, RunnerError
from beam_dynamodb_streams.progress.acquire import store_of
from beam_dynamodb_streams.progress.store import LeaseRecord
from beam_dynamodb_streams.shards.stream_position import StreamPosition
from beam_dynamodb_streams.testing import LocalStreams, Table
from tests.e2e.collected import Keep, outputs_of, read_orders

NO_SLACK = timedelta(0)


@pytest.fixture
def progress(tmp_path: Path) -> str:
    return f"file:{tmp_path / 'progress.json'}"


@pytest.fixture
def orders(service: LocalStreams) -> Table:
    table = service.create_table("orders", keys={"id": "S"}, shards=2)
    write(table, 0)
    return table


def write(table: Table, generation: int, count: int = 60) -> set[str]:
    return {change.event_id for change in table.put_many({"id": f"o-{n}", "n": generation} for n in range(count))}


def ids(elements: list[tuple[Any, Any]]) -> list[str]:
    return [record.event_id for record, _ in elements]


def read(service: LocalStreams, directory: Path, progress: str | Progress, **options: Any) -> list[str]:
    (out,) = outputs_of(directory, read_orders(service, progress=progress, **options))
    return ids(out)


def test_each_run_brings_what_came_since_the_last_one_and_nothing_twice(
    service: LocalStreams, orders: Table, tmp_path: Path, progress: str
) -> None:
    first = read(service, tmp_path, progress, stop=60)
    orders.split(orders.open_shard_ids[0])
    orders.roll(orders.open_shard_ids[-1])
    new = write(orders, 1)
    second = read(service, tmp_path, progress, start="LATEST")
    assert sorted(second) == sorted(new)
    assert sorted(first + second) == sorted(change.event_id for change in orders.changes)


def test_a_count_of_changes_at_a_time_is_not_a_gap(
    service: LocalStreams, orders: Table, tmp_path: Path, progress: str
) -> None:
    came = [id_ for _ in range(3) for id_ in read(service, tmp_path, progress, stop=20)]
    assert sorted(came) == sorted(change.event_id for change in orders.changes)


def test_the_moment_of_the_first_start_is_kept_and_later_runs_miss_nothing_since(
    service: LocalStreams, orders: Table, tmp_path: Path, progress: str
) -> None:
    """Trap 3: "LATEST" again would lose what was written in between."""
    before = read(service, tmp_path, progress, start="LATEST")
    new = write(orders, 1)
    after = read(service, tmp_path, progress, start="LATEST", stop=60)
    assert new <= set(before) | set(after)


def test_what_was_read_when_a_position_was_saved_is_not_a_loss_to_a_later_run(
    service: LocalStreams, orders: Table, tmp_path: Path, progress: str
) -> None:
    """The position of an export by the hour says until when it had read all; its shards are gone by the next one."""
    last = {change.shard_id: change.sequence_number for change in orders.changes}
    saved = replace(StreamPosition.delivered(last), stream_arn=orders.stream_arn, until=int(time.time()))
    for shard in orders.open_shard_ids:
        orders.roll(shard)
        orders.drop(shard)
    new = write(orders, 1)
    for shard in orders.open_shard_ids:
        orders.roll(shard)
    first = read(service, tmp_path, progress, start=saved, stop="NOW")
    assert sorted(first) == sorted(new)
    assert read(service, tmp_path, progress, stop="NOW") == []


def test_progress_that_one_read_left_is_another_applications_nothing(
    service: LocalStreams, orders: Table, tmp_path: Path, progress: str
) -> None:
    one, other = (read(service, tmp_path, address, stop=60) for address in (progress, f"{progress}-2"))
    assert sorted(one) == sorted(other)


def test_a_table_whose_stream_was_enabled_again_is_reported_and_not_begun_silently(
    service: LocalStreams, orders: Table, tmp_path: Path, progress: str
) -> None:
    """Trap 14: what is unread of the old stream would be lost."""
    read(service, tmp_path, progress, stop=10)
    old = orders.stream_arn
    orders.disable_stream()
    orders.enable_stream()
    with pytest.raises(NotFoundError, match=rf"has progress in {old}, no longer the table's stream: read that one"):
        read(service, tmp_path, progress, on_new_stream="finish")
    lease = store_of(Progress(progress)).read().lease
    assert lease is not None
    assert lease.renewed_at == 0.0, "a read that fails to start releases the lease"


def test_a_run_that_cannot_begin_releases_the_application(
    service: LocalStreams, orders: Table, tmp_path: Path, progress: str
) -> None:
    with pytest.raises(NotFoundError, match="lease table 'leases-of-nobody' does not exist"):
        read(service, tmp_path, Progress(progress), start="kcl://leases-of-nobody")
    lease = store_of(Progress(progress)).read().lease
    assert lease is not None
    assert lease.renewed_at == 0.0


def test_a_pipeline_that_beam_rebuilds_from_its_translation_writes_it_too(
    service: LocalStreams, orders: Table, tmp_path: Path, progress: str
) -> None:
    """With --streaming, DirectRunner runs an unbounded read."""
    options = PipelineOptions(["--runner=DirectRunner", "--prism_location=/prism/is/not/there", "--streaming"])
    Keep.kept[progress] = []
    for changes in (40, 20):
        with beam.Pipeline(options=options) as pipeline:
            source = read_orders(service, progress=progress, stop=changes)
            _ = pipeline | source | beam.ParDo(Keep(progress))
    came = [record.event_id for record, _ in Keep.kept.pop(progress)]
    assert sorted(came) == sorted(change.event_id for change in orders.changes)


# Steps in bundles of their own


class Stateful(beam.DoFn):
    COUNT = beam.transforms.userstate.CombiningValueStateSpec("count", sum)

    def process(self, _: Any, count: Any = beam.DoFn.StateParam(COUNT)) -> None:
        count.add(1)


def flattened(changes: beam.PCollection) -> beam.PCollection:
    return (changes, changes | "Twice" >> beam.Filter(bool)) | beam.Flatten() | beam.Map(print)


def grouped(changes: beam.PCollection) -> beam.PCollection:
    return changes | "Key" >> beam.Map(lambda change: (change.shard_id, change)) | beam.GroupByKey()


def stateful(changes: beam.PCollection) -> beam.PCollection:
    return changes | "Key" >> beam.Map(lambda change: (change.shard_id, change)) | beam.ParDo(Stateful())


def aside(changes: beam.PCollection) -> beam.PCollection:
    one = changes.pipeline | beam.Create([1])
    return changes | beam.Map(lambda change, by: (change, by), beam.pvalue.AsList(one))


def hinted(changes: beam.PCollection) -> beam.PCollection:
    return changes | beam.Map(print).with_resource_hints(min_ram="1GB")


@pytest.mark.parametrize("then", [flattened, grouped, stateful, aside, hinted])
def test_a_pipeline_without_a_step_that_reports_deliveries_is_refused(
    service: LocalStreams, orders: Table, tmp_path: Path, progress: str, then: Any
) -> None:
    with pytest.raises(RunnerError, match=r"has progress=, and .* after it delivers in a bundle of its own"):
        outputs_of(tmp_path, read_orders(service, progress=progress), then=then)
    assert not service.counts.calls, "before anything is read"


def brief(progress: str) -> Progress:
    """Its next run waits for a second: if a step behind the read writes the progress, nothing releases the lease."""
    return Progress(progress, takeover_after=timedelta(seconds=1), commit_every=timedelta(seconds=0.3))


def through_a_grouping(
    progress: Progress, *, meanwhile: Callable[[], object] = lambda: None, **windows: Any
) -> Callable[[beam.PCollection], beam.PCollection]:
    """A sink that delivers windows, and passes on what it delivered. `meanwhile` is called while it delivers."""

    def deliver(group: tuple[str, list[ChangeRecord]]) -> list[ChangeRecord]:
        meanwhile()
        return list(group[1])

    def then(changes: beam.PCollection) -> beam.PCollection:
        if windows:
            changes = changes | beam.WindowInto(**windows)
        delivered = (
            changes
            | "Key" >> beam.Map(lambda change: (change.shard_id, change))
            | "Group" >> beam.GroupByKey()
            | "Deliver" >> beam.FlatMap(deliver).with_output_types(ChangeRecord)
        )
        _ = delivered | CommitProgress(progress, watermark_slack=NO_SLACK)
        return delivered

    return then


@pytest.mark.parametrize("windows", [{}, {"windowfn": FixedWindows(1)}], ids=["global", "windows"])
def test_a_step_after_a_grouping_reports_what_was_delivered(
    service: LocalStreams, orders: Table, tmp_path: Path, progress: str, windows: dict[str, Any]
) -> None:
    runs = []
    for generation in (1, 2):
        source = read_orders(service, progress=brief(progress), stop=60)
        (out,) = outputs_of(tmp_path, source, then=through_a_grouping(brief(progress), **windows))
        runs.append(ids(out))
        write(orders, generation)
    assert sorted(runs[0] + runs[1]) == sorted(change.event_id for change in orders.changes[:-60])


def test_batches_report_it_too(service: LocalStreams, orders: Table, tmp_path: Path, progress: str) -> None:
    def then(batches: beam.PCollection) -> beam.PCollection:
        grouped = batches | "Group" >> beam.Reshuffle()
        _ = grouped | CommitProgress(brief(progress), watermark_slack=NO_SLACK)
        return grouped | AsChanges()

    (first,) = outputs_of(tmp_path, read_orders(service, progress=brief(progress), stop=60).as_batches(), then=then)
    new = write(orders, 1)
    (second,) = outputs_of(tmp_path, read_orders(service, progress=brief(progress), stop=60).as_batches(), then=then)
    assert sorted(ids(second)) == sorted(new)
    assert sorted(ids(first + second)) == sorted(change.event_id for change in orders.changes)


def test_what_a_step_has_not_delivered_is_delivered_again(
    service: LocalStreams, orders: Table, tmp_path: Path, progress: str
) -> None:
    """Trap 21: here the sink delivers nothing."""

    def then(changes: beam.PCollection) -> beam.PCollection:
        _ = changes | "None" >> beam.Filter(lambda _: False) | CommitProgress(brief(progress))
        return changes

    for _ in range(2):
        (out,) = outputs_of(tmp_path, read_orders(service, progress=brief(progress), stop=60), then=then)
        assert sorted(ids(out)) == sorted(change.event_id for change in orders.changes)


@pytest.mark.parametrize("replaced_by", ["run two", "run command-reset"])
def test_a_step_of_a_run_that_was_replaced_before_its_first_write_moves_nothing(
    service: LocalStreams, orders: Table, tmp_path: Path, progress: str, replaced_by: str
) -> None:
    """The read has ended by then, so nothing else would notice."""
    store, owner = store_of(brief(progress)), replaced_by.removeprefix("run ")

    def replace() -> None:
        lease = store.read().lease
        assert lease is not None
        if lease.owner != owner:
            assert store.swap_lease(lease, LeaseRecord(owner, orders.stream_arn, 0.0))
            if owner == "command-reset":
                store.forget(owner, orders.stream_arn, None)

    source = read_orders(service, progress=brief(progress))
    with pytest.raises(Exception, match=rf"no longer held by this run .* but by {replaced_by}"):
        outputs_of(tmp_path, source, then=through_a_grouping(brief(progress), meanwhile=replace))
    assert [kept.shards for kept in store.read().streams.values()] == ([{}] if owner == "two" else [])


def test_a_step_without_a_read_of_its_progress_is_refused(service: LocalStreams, progress: str) -> None:
    with pytest.raises(InvalidOptionError, match=r"no read in this pipeline has progress='file:.*-of-nobody'"):
        _ = (
            beam.Pipeline("FnApiRunner")
            | read_orders(service, progress=progress)
            | CommitProgress(f"{progress}-of-nobody")
        )


def test_windows_whose_order_is_unknown_are_refused(progress: str) -> None:
    with pytest.raises(InvalidOptionError, match="use fixed windows or none"):
        _ = (
            beam.Pipeline("FnApiRunner")
            | beam.Create([]).with_output_types(ChangeRecord)
            | beam.WindowInto(Sessions(5))
            | CommitProgress(progress)
        )
    with pytest.raises(InvalidOptionError, match="progress=None"):
        CommitProgress(None)  # type: ignore[arg-type]


def test_a_read_whose_lease_another_run_takes_fails_and_moves_nothing(
    service: LocalStreams, orders: Table, tmp_path: Path, progress: str
) -> None:
    def steal(change: ChangeRecord) -> ChangeRecord:
        store = store_of(Progress(progress))
        lease = store.read().lease
        assert lease is not None
        if lease.owner != "another":
            store.swap_lease(lease, LeaseRecord("another", "arn", 4e9))
        return change

    with pytest.raises(Exception, match="no longer held by this run"):
        outputs_of(
            tmp_path,
            read_orders(
                service, progress=Progress(progress, takeover_after=timedelta(seconds=1), commit_every=NO_SLACK)
            ),
            then=lambda changes: changes | beam.Map(steal),
        )
    (kept,) = store_of(Progress(progress)).read().streams.values()
    assert kept.shards == {}
