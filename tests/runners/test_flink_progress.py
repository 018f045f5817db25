"""Progress that a step behind a sink commits on Flink while the sink fails; another runner resumes from it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms.window import FixedWindows

from beam_dynamodb_streams import ChangeRecord, CommitProgress, Progress
from beam_dynamodb_streams.progress.acquire import store_of
from beam_dynamodb_streams.testing import LocalStreams, Table
from runners.flink import Flink
from runners.workers import WorkerPool
from tests.e2e.workload import Writer, read_orders
from tests.runners.test_flink import until
from tests.runners.test_flink_faults import PATH, NoteOnWorker
from tests.runners.test_progress import SOON, came, covered, pipeline, written

pytestmark = pytest.mark.flink

SLACK = timedelta(seconds=1)


class Deliver(NoteOnWorker):
    """A sink: passes a change on once it is noted."""

    def process(self, element: ChangeRecord) -> Iterator[ChangeRecord]:  # type: ignore[override]  # what it passes on
        for _ in super().process(element):
            yield element


def delivering(service: LocalStreams, progress: Progress, directory: Path, arguments: list[str]) -> beam.Pipeline:
    made = beam.Pipeline(options=PipelineOptions(arguments))
    delivered = (
        made
        | read_orders(service, progress=progress, shard_groups=2, slice_time=timedelta(milliseconds=500))
        | beam.WindowInto(FixedWindows(2))
        | beam.WithKeys(lambda change: change.shard_id).with_output_types(tuple[str, ChangeRecord])
        | beam.GroupByKey()
        | beam.FlatMap(lambda group: group[1]).with_output_types(ChangeRecord)
        | beam.ParDo(Deliver(str(directory), fails_at=2_000)).with_output_types(ChangeRecord)
    )
    _ = delivered | CommitProgress(progress, watermark_slack=SLACK)
    return made


def test_a_finite_read_ends_with_its_progress_written_and_the_next_resumes_there(
    flink: Flink, service: LocalStreams, tmp_path: Path
) -> None:
    orders = service.create_table("orders", keys={"id": "S"}, shards=2)
    orders.put_many({"id": f"o-{n}"} for n in range(60))
    progress = Progress(f"file:{tmp_path / 'progress.json'}", commit_every=timedelta(seconds=0.5), takeover_after=SOON)
    notes = tmp_path / "notes"
    for count in (20, 40, 60):
        made = pipeline(service, progress, notes, flink.arguments(parallelism=1, finite=True), stop=20)
        assert made.run().wait_until_finish(120_000) == "DONE"
        assert len(came(notes)) == len(covered(orders, progress)) == count
        lease = store_of(progress).read().lease
        assert lease is not None
        assert lease.renewed_at == 0.0, "the next run need not wait"
    assert sorted(came(notes)) == sorted(written(orders))


@pytest.mark.soak
def test_no_progress_is_stored_for_what_a_failing_sink_did_not_deliver(
    flink_jars: None, service: LocalStreams, tmp_path: Path
) -> None:
    """FnApiRunner resumes from it and misses nothing."""
    notes = tmp_path / "notes"
    notes.touch()
    progress = Progress(f"file:{tmp_path / 'progress.json'}", commit_every=timedelta(seconds=0.5), takeover_after=SOON)
    orders = service.create_table("orders", keys={"id": "S"}, shards=4)
    writer = Writer(orders, 20_000, seed=9, batch=10)

    def seen(holds: Callable[[], bool]) -> None:
        until(lambda: assert_never_ahead(orders, progress, notes) and holds(), seconds=120)

    (tmp_path / "cluster").mkdir()
    with (
        WorkerPool(tmp_path, path=PATH) as pool,
        Flink(tmp_path / "cluster", cluster=True) as cluster,
    ):
        delivering(service, progress, tmp_path, cluster.arguments(parallelism=2, environment=pool.address)).run()
        until(lambda: service.counts.calls["GetRecords"] > 0, seconds=180)  # a job starts slowly on a busy machine
        writer.start()
        seen(lambda: (tmp_path / "failed").exists())
        raised = len(covered(orders, progress))
        seen(lambda: len(covered(orders, progress)) > raised + 1_000)
        for worker in tmp_path.glob("worker-*"):
            worker.unlink()  # those that ended with the raise too
        seen(lambda: any(tmp_path.glob("worker-*")))
        for worker in tmp_path.glob("worker-*"):
            os.kill(int(worker.name.removeprefix("worker-")), signal.SIGKILL)
            worker.unlink()
        killed = len(covered(orders, progress))
        seen(lambda: len(covered(orders, progress)) > killed + 1_000)
        assert writer.is_alive(), "all this came while there was more to read"
        cluster.job.cancel()
    kept, delivered = len(covered(orders, progress)), came(notes)
    assert list(tmp_path.glob("worker-*")), "another worker has taken over"
    assert_never_ahead(orders, progress, notes)
    writer.join()
    pipeline(service, progress, notes, ["--runner=FnApiRunner"], stop="NOW").run().wait_until_finish()
    assert set(came(notes)) == written(orders)
    print(
        f"progress after the raise {raised}, the kill {killed}, the job {kept}; delivered by then {len(delivered)}, "
        f"{len(delivered) - len(set(delivered))} of them repeats; repeated by FnApiRunner "
        f"{len(came(notes)) - len(delivered) - len(written(orders) - set(delivered))}"
    )


def assert_never_ahead(orders: Table, progress: Progress, notes: Path) -> bool:
    """Assert that everything the stored progress covers was delivered.

    The progress is read first, so later deliveries do no harm.
    """
    reached = covered(orders, progress)
    missing = reached - set(came(notes))
    assert not missing, f"{len(missing)} changes count as delivered and were not"
    return True
