"""How Flink changes the delays that the source requests between its slices, and that its calls do not depend on it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from beam_dynamodb_streams.reader.reader import Reader
from beam_dynamodb_streams.source import dofn
from beam_dynamodb_streams.source.worker_cache import ReaderCache
from beam_dynamodb_streams.testing import LocalStreams
from runners.flink import Flink
from tests.e2e.workload import read_orders
from tests.runners.test_flink import is_left_alone, until

pytestmark = pytest.mark.flink

IDLE_SECONDS = 3.0
SLICE_SECONDS = 1.0


class Rest(NamedTuple):
    """Between two slices: the seconds that were asked for, and those that passed."""

    asked: float
    got: float

    @property
    def rounded_to(self) -> float:
        """Flink subtracts the time since the request, and then drops fractions of a second."""
        return self.asked - 1


class Slices(ReaderCache):
    """The readers that wait for their next slice, with a note of how long each waited. Workers are in this process."""

    def __init__(self) -> None:
        super().__init__()
        self.began = 0
        self.rests: list[Rest] = []
        self._ended: tuple[float, float] | None = None

    def take(self, key: str, make: Callable[[], Reader]) -> Reader:
        self.began += 1
        if self._ended is not None:
            resumes, ended = self._ended
            self.rests.append(Rest(resumes - ended, time.monotonic() - ended))
        return super().take(key, make)

    def give_back(self, key: str, reader: Reader, now: float) -> None:
        self._ended = reader.resumes, now
        super().give_back(key, reader, now)

    def long(self) -> list[Rest]:
        """Those that are well above a rounding."""
        return [rest for rest in self.rests if rest.asked > IDLE_SECONDS - 1]


@pytest.fixture
def slices(monkeypatch: pytest.MonkeyPatch) -> Iterator[Slices]:
    noting = Slices()
    monkeypatch.setattr(dofn, "READERS", noting)
    yield noting
    noting.close()


def rests_of(flink: Flink, service: LocalStreams, slices: Slices, arguments: list[str], **options: Any) -> list[Rest]:
    """Those of a read of one idle shard. However long they are, the shard is asked when it is due, and no slice follows
    another sooner than one that has waited for an answer, or for its whole time."""
    orders = service.create_table("orders", keys={"id": "S"}, shards=1)
    orders.put({"id": "o-1"})
    pace = {"poll_interval": timedelta(seconds=IDLE_SECONDS), "idle_poll_interval": timedelta(seconds=IDLE_SECONDS)}
    pipeline = beam.Pipeline(options=PipelineOptions(arguments))
    _ = pipeline | read_orders(service, slice_time=timedelta(seconds=SLICE_SECONDS), **pace, **options)
    pipeline.run()
    until(lambda: len(slices.long()) >= 2)
    service.reset_counts()
    slices.rests.clear()
    began, before = time.monotonic(), slices.began
    until(lambda: len(slices.long()) >= 3)
    calls, seconds, begun, rests = service.counts.calls, time.monotonic() - began, slices.began - before, slices.long()
    flink.job.cancel()
    until(lambda: is_left_alone(service), seconds=30)
    print(f"{seconds:.1f} s, {begun} slices, {dict(calls)}, {rests}")
    assert calls["GetRecords"] <= seconds / IDLE_SECONDS + 2
    assert calls["GetShardIterator"] == 0
    assert begun <= seconds / SLICE_SECONDS + calls.total() + 1
    return rests


def test_with_checkpoints_a_delay_is_as_requested_up_to_whole_seconds(
    flink: Flink, service: LocalStreams, slices: Slices
) -> None:
    rests = rests_of(flink, service, slices, flink.arguments())
    assert all(rest.got >= rest.rounded_to for rest in rests)


def test_once_sources_shut_down_delays_are_ignored_and_the_reader_keeps_its_own_time(
    flink: Flink, service: LocalStreams, slices: Slices
) -> None:
    stop = datetime.now(timezone.utc) + timedelta(hours=1)
    rests = rests_of(flink, service, slices, flink.arguments(finite=True), stop=stop)
    assert all(rest.got < rest.rounded_to for rest in rests), "it does wait: this test no longer shows anything"


@pytest.mark.soak
def test_without_checkpoints_delays_are_ignored_and_the_reader_keeps_its_own_time(
    flink: Flink, service: LocalStreams, slices: Slices
) -> None:
    arguments = [each for each in flink.arguments() if not each.startswith("--checkpointing_interval")]
    rests = rests_of(flink, service, slices, arguments)
    assert all(rest.got < rest.rounded_to for rest in rests), "it does wait: this test no longer shows anything"
