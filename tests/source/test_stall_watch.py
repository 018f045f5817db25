"""A read that its runner never resumes is reported within two minutes, though nothing of it runs any more."""

from __future__ import annotations

import itertools
import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.utils.timestamp import Duration

from beam_dynamodb_streams import Progress
from beam_dynamodb_streams.source import dofn, stall_watch
from beam_dynamodb_streams.source.stall_watch import PATIENCE_SECONDS, StallWatch, alive_by
from beam_dynamodb_streams.testing import LocalStreams
from pipelines.inspect import main as inspect
from tests.e2e.workload import Note, read_orders
from tests.runners.test_prism import until
from tests.source.test_slice import Slices

NOBODY = lambda: False  # noqa: E731 - no other worker reads


class Seconds:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Seconds:
    return Seconds()


@pytest.fixture
def watch(clock: Seconds, monkeypatch: pytest.MonkeyPatch) -> Iterator[StallWatch]:
    monkeypatch.setattr(stall_watch, "LOOK_SECONDS", 3600.0)  # the test looks
    made = StallWatch(clock)
    yield made
    made.clear()


def reports(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == stall_watch.__name__]


def test_a_restriction_that_is_never_scheduled_again_is_reported_within_two_minutes(
    service: LocalStreams,
    watch: StallWatch,
    clock: Seconds,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(dofn, "STALL_WATCH", watch)
    orders = service.create_table("orders", keys={"id": "S"}, shards=1)
    orders.put({"id": "o-1"})
    bundle = Slices(service, orders).bundle(seconds=0.3)
    assert len(bundle.changes()) == 1
    bundle.deferred()  # and nobody resumes it
    clock.now += 60
    assert watch.look()
    assert (watch.stalled(), reports(caplog)) == ([], [])
    clock.now += 60
    watch.look()
    [(stream_arn, seconds)] = watch.stalled()
    assert stream_arn == orders.stream_arn
    assert PATIENCE_SECONDS <= seconds <= 120
    [report] = reports(caplog)
    for part in (orders.stream_arn, "is not read", "savepoint", "progress=", "docs/flink.md"):
        assert part in report
    watch.look()
    assert len(reports(caplog)) == 1, "it is not repeated at each look"


def test_a_read_that_is_resumed_in_time_is_not_reported(
    watch: StallWatch, clock: Seconds, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(10):
        watch.slice_ended("read", "arn", 60.0, NOBODY)
        clock.now += 60 + PATIENCE_SECONDS - 1
        assert watch.look()
        watch.slice_began("read")
    assert not watch.look()
    assert reports(caplog) == []


def test_a_read_that_is_resumed_late_is_reported_as_resumed(
    watch: StallWatch, clock: Seconds, caplog: pytest.LogCaptureFixture
) -> None:
    watch.slice_ended("read", "arn", 0.0, NOBODY)
    clock.now += 200
    watch.look()
    watch.slice_began("read")
    assert "is read again: its runner resumed it 200 seconds late" in reports(caplog)[-1]
    assert watch.stalled() == []


def test_a_stalled_read_is_reported_again_and_at_last_forgotten(
    watch: StallWatch, clock: Seconds, caplog: pytest.LogCaptureFixture
) -> None:
    watch.slice_ended("read", "arn", 0.0, NOBODY)
    while watch.look():
        clock.now += 100
    assert len(reports(caplog)) == 18
    assert watch.stalled() == []


def test_a_read_that_another_worker_has_taken_over_is_not_reported(
    watch: StallWatch, clock: Seconds, caplog: pytest.LogCaptureFixture
) -> None:
    watch.slice_ended("read", "arn", 0.0, lambda: True)
    clock.now += 200
    assert not watch.look()
    assert reports(caplog) == []


def test_the_lease_of_its_progress_shows_whether_a_read_is_alive_elsewhere(tmp_path: Path) -> None:
    from beam_dynamodb_streams.progress.acquire import store_of
    from beam_dynamodb_streams.progress.store import LeaseRecord

    progress = Progress(f"file:{tmp_path / 'progress.json'}")
    store = store_of(progress)
    assert not alive_by(progress, "run", lambda: 1000.0)(), "nothing is stored"
    store.swap_lease(None, LeaseRecord("run", "arn", 1000.0))
    assert alive_by(progress, "run", lambda: 1020.0)()
    assert not alive_by(progress, "run", lambda: 1100.0)()
    assert alive_by(progress, "an older run", lambda: 1100.0)(), "it was replaced"
    assert not alive_by(None, "run", lambda: 1000.0)()


def resumed_late(monkeypatch: pytest.MonkeyPatch, directory: Path, seconds: float) -> None:
    """After its third slice a read is resumed only after that time, and the slices leave files of their own."""
    slices = itertools.count(1)

    def delayed(wait: float) -> Duration:
        number = next(slices)
        (directory / f"slice-{number}").touch()
        return Duration(seconds if number == 3 else wait)

    monkeypatch.setattr(dofn, "Duration", delayed)


@pytest.mark.prism
def test_a_job_that_runs_and_reads_nothing_is_seen_in_the_log_and_by_inspect(
    service: LocalStreams,
    prism: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With a patience of 3 seconds, an alert after 5, and a runner that resumes the read after 15."""
    resumed_late(monkeypatch, tmp_path, 15.0)
    monkeypatch.setattr(stall_watch, "PATIENCE_SECONDS", 3.0)
    monkeypatch.setattr(stall_watch, "LOOK_SECONDS", 0.5)
    orders = service.create_table("orders", keys={"id": "S"}, shards=1)
    address = f"file:{tmp_path / 'progress.json'}"
    pipeline = beam.Pipeline(options=PipelineOptions(["--runner=PrismRunner", f"--prism_location={prism}"]))
    _ = (
        pipeline
        | read_orders(service, progress=address, on_new_stream="finish")
        | beam.ParDo(Note(str(tmp_path / "notes")))
    )
    result: Any = pipeline.run()
    until((tmp_path / "slice-3").exists, result)
    orders.put({"id": "o-1"})
    with caplog.at_level(logging.WARNING):
        until(lambda: any("is not read" in report for report in reports(caplog)), result)
    command = ["--table=orders", f"--endpoint_url={service.endpoint_url}", "--region_name=us-east-1", "--json"]
    began = time.monotonic()
    while inspect([*command, f"--application={address}", "--stalled_after=5"]) == 0:
        assert time.monotonic() - began < 30
        time.sleep(0.5)
    shown = capsys.readouterr()
    assert "has not read for" in shown.err
    assert "without its savepoint" in shown.err
    assert json.loads(shown.out.splitlines()[-1])["application"]["alive_age_seconds"] >= 5
    assert str(result.state) == "RUNNING"
    assert not (tmp_path / "notes").exists(), "nothing is read"
    until((tmp_path / "notes").exists, result)
    assert "is read again" in reports(caplog)[-1]
    orders.disable_stream()
    result.wait_until_finish()
