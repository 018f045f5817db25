"""Every metric is reported when what it counts happens, and the page of metrics lists each of them."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import apache_beam as beam
import pytest
from apache_beam.metrics import MetricsFilter
from apache_beam.metrics.execution import MetricsContainer
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.sdf_utils import (
    RestrictionTrackerView,
    ThreadsafeRestrictionTracker,
    ThreadsafeWatermarkEstimator,
)
from apache_beam.runners.worker import statesampler
from apache_beam.utils.counters import CounterFactory

from beam_dynamodb_streams import ReadFromDynamoDBStreams, metrics
from beam_dynamodb_streams.shards.frontier import EARLIEST, Frontier, Reading, begin
from beam_dynamodb_streams.shards.position import TRIM_HORIZON, After
from beam_dynamodb_streams.source.dofn import ReadUnboundedStream
from beam_dynamodb_streams.source.elements import ONE_BY_ONE
from beam_dynamodb_streams.source.live_status import faults_now, watching
from beam_dynamodb_streams.source.options import Connection, ReadOptions
from beam_dynamodb_streams.source.restriction import FrontierTracker, StreamWatermark
from beam_dynamodb_streams.source.stream_read import StreamRead
from beam_dynamodb_streams.source.worker_cache import client
from beam_dynamodb_streams.testing import Clock, Faults, LocalStreams, Table

TOLD = {
    name: value for name, value in vars(metrics).items() if name.isupper() and isinstance(value, str)
}  # constant: name


@dataclass
class Reported:
    """A read whose slices are run with a metrics container of Beam's, and what it reported."""

    service: LocalStreams
    orders: Table
    frontier: Frontier = field(init=False)
    container: MetricsContainer = field(default_factory=lambda: MetricsContainer("Read"))
    run: str = field(default_factory=lambda: uuid4().hex)

    def __post_init__(self) -> None:
        self.frontier = begin(TRIM_HORIZON, stream_arn=self.orders.stream_arn)

    def slices(self, count: int = 1) -> Reported:
        options = ReadOptions(
            "orders",
            None,
            TRIM_HORIZON,
            None,
            Connection("us-east-1", self.service.endpoint_url),
            "continue",
            "skip",
            0.5,
        )
        do_fn = ReadUnboundedStream(options, ONE_BY_ONE, tagged=True)
        do_fn.setup()
        element = StreamRead(self.run, self.orders.stream_arn)
        with counted_in(self.container):
            for _ in range(count):
                tracker = ThreadsafeRestrictionTracker(FrontierTracker(self.frontier, bounded=False))
                estimator = ThreadsafeWatermarkEstimator(StreamWatermark(EARLIEST))
                for _ in do_fn.process(element, tracker=RestrictionTrackerView(tracker), watermark=estimator):
                    pass
                self.frontier, _ = tracker.deferred_status()
        return self

    def __getitem__(self, name: str) -> int:
        """A counter's or a gauge's value; 0 where it was never reported."""
        found = {key.metric_name.name: cell for key, cell in self.container.metrics.items()}
        if (cell := found.get(name)) is None:
            return 0
        value = cell.get_cumulative()
        return int(getattr(value, "value", value) or 0)


@contextmanager
def counted_in(container: MetricsContainer) -> Iterator[None]:
    """As on a worker: metrics go to the container of the step that runs."""
    sampler = statesampler.StateSampler("test", CounterFactory())
    before = statesampler.get_current_tracker()
    statesampler.set_current_tracker(sampler)
    try:
        with sampler.scoped_state("Read", "process", metrics_container=container):
            yield
    finally:
        statesampler.set_current_tracker(before)


@pytest.fixture
def reported(service: LocalStreams) -> Reported:
    client.cache_clear()  # counts what it has called, whoever asked
    return Reported(service, service.create_table("orders", keys={"id": "S"}, shards=2))


def test_what_is_delivered_is_counted(reported: Reported) -> None:
    reported.orders.put_many({"id": f"o-{n}"} for n in range(20))
    reported.slices(2)
    assert reported[metrics.RECORDS] == 20
    assert reported[metrics.PAGES] == 2, "one of each shard"
    assert reported[metrics.BYTES] > 20 * 200
    assert reported[metrics.EMPTY_PAGES] > 0
    assert reported[metrics.SHARDS_OPENED] == 2
    assert reported[metrics.SHARDS_OPEN] == 2
    assert reported[metrics.ITERATOR_RENEWALS] == 2


def test_calls_are_counted_by_operation_as_the_service_counts_them(reported: Reported) -> None:
    reported.slices(2)
    counted = reported.service.counts.calls
    assert counted["GetRecords"] > 2
    later = len(reported.orders.open_shard_ids) + 1  # submitted when the slice ended, and sent after it
    for operation, calls in counted.items():
        assert calls - later <= reported[metrics.by_operation(metrics.CALLS, operation)] <= calls
    every = [reported[metrics.by_operation(metrics.CALLS, operation)] for operation in counted]
    assert reported[metrics.CALLS] == sum(every)


def test_throttles_are_counted_by_operation_and_each_request_that_is_sent_again(reported: Reported) -> None:
    """Trap 15."""
    reported.service.faults = Faults(throttle={"GetRecords": 0.4})
    while not reported[metrics.THROTTLES]:
        reported.slices()
    reported.service.faults = Faults()
    reported.slices(2)
    refusals = reported.service.counts.refusals
    refused = refusals.total() - refusals["ResourceNotFoundException"]  # the trimmed parents (trap 23)
    assert refused > 0
    assert reported[metrics.by_operation(metrics.THROTTLES, "GetRecords")] == reported[metrics.THROTTLES] == refused
    assert 0 < reported[metrics.by_operation(metrics.RETRIES, "GetRecords")] <= refused
    assert reported[metrics.RETRIES] == reported[metrics.by_operation(metrics.RETRIES, "GetRecords")]


def test_a_shard_that_waits_for_children_is_a_gauge(reported: Reported) -> None:
    """Trap 27: it shows a shard that ended while its stream is enabled, for as long as no listing shows a child."""
    reported.slices(2)
    assert reported[metrics.SHARDS_WAITING] == 0
    parent = reported.orders.open_shard_ids[0]
    child = reported.orders.roll(parent)
    reported.orders.hide(child)
    reported.slices(3)
    assert (reported[metrics.SHARDS_WAITING], reported[metrics.SHARDS_OPEN]) == (1, 1)
    reported.orders.reveal(child)
    while reported[metrics.SHARDS_WAITING]:
        reported.slices()
    assert reported[metrics.SHARDS_OPEN] == 2


def test_faults_other_than_throttles_are_retries(reported: Reported) -> None:
    """Trap 15."""
    reported.service.faults = Faults(error={"GetRecords": 0.5})
    while not reported[metrics.RETRIES]:
        reported.slices()
    assert reported[metrics.by_operation(metrics.RETRIES, "GetRecords")] == reported[metrics.RETRIES]
    assert reported[metrics.THROTTLES] == 0


def test_a_request_that_fails_however_often_it_is_sent_is_a_delay(reported: Reported) -> None:
    """Trap 15."""
    reported.service.faults = Faults(error={"GetRecords": 1.0})
    while not reported[metrics.DELAYS]:
        reported.slices()
    assert reported[metrics.RECORDS] == 0


def test_an_expired_iterator_is_a_renewal(reported: Reported) -> None:
    """Trap 9."""
    reported.service.faults = Faults(expire=1.0)
    while not reported[metrics.ITERATOR_RENEWALS] and not reported[metrics.DELAYS]:
        reported.slices()
    reported.service.faults = Faults()
    reported.slices(8)
    assert reported[metrics.ITERATOR_RENEWALS] >= 2


def test_shards_that_end_are_finished_and_wait_for_their_children(reported: Reported) -> None:
    first, _ = reported.orders.open_shard_ids
    reported.frontier = Frontier(reported.orders.stream_arn, shards={first: Reading(TRIM_HORIZON)})
    reported.service.faults = Faults(list_delay=3600.0)
    reported.orders.split(first)
    reported.slices(2)
    assert reported[metrics.SHARDS_FINISHED] == 1
    assert reported[metrics.SHARDS_WAITING] == 1
    reported.service.faults = Faults()
    for _ in range(60):
        if reported.slices()[metrics.SHARDS_WAITING] == 0:
            break
    assert reported[metrics.SHARDS_WAITING] == 0
    assert reported[metrics.SHARDS_OPEN] == 3, "its children, and the shard that the listing showed besides"


def test_a_parent_that_no_listing_shows_is_doubted(reported: Reported) -> None:
    """Trap 8."""
    first, _ = reported.orders.open_shard_ids
    reported.orders.hide(first)
    reported.orders.roll(first)
    reported.slices(3)
    assert reported[metrics.PARENTS_DOUBTED] == 1


def test_shards_that_vanish_and_ranges_that_are_trimmed_are_losses(reported: Reported) -> None:
    """Traps 10 and 11."""
    lost, trimmed = reported.orders.open_shard_ids
    for shard in (lost, trimmed):
        reported.orders.put_many(reported.orders.keys_in(shard, 3))
    numbers = {change.shard_id: change.sequence_number for change in reversed(reported.orders.changes)}
    reported.orders.trim(trimmed, keep=1)
    reported.orders.drop(lost)
    reported.frontier = Frontier(
        reported.orders.stream_arn, shards={shard: Reading(After(numbers[shard])) for shard in (lost, trimmed)}
    )
    reported.slices(3)
    assert reported[metrics.SHARDS_LOST] == 1
    assert reported[metrics.LOSSES] == 2


def test_malformed_records_are_dead_letters(reported: Reported) -> None:
    reported.orders.append(reported.orders.open_shard_ids[0], b'{"dynamodb": 7}')
    reported.slices(2)
    assert reported[metrics.DEAD_LETTERS] == 1


def test_a_record_that_cannot_be_decoded_is_counted_as_a_dead_letter_alone(reported: Reported) -> None:
    shard = reported.orders.open_shard_ids[0]
    reported.orders.put_many(reported.orders.keys_in(shard, 3))
    good = reported.orders.changes[0]
    unreadable = good.body.replace(b'"S"', b'"?"').replace(good.sequence_number.encode(), b"%SEQUENCE%")
    reported.orders.append(shard, unreadable)
    with watching() as watch:
        reported.slices(2)
    assert reported[metrics.RECORDS] == 3
    assert reported[metrics.DEAD_LETTERS] == 1
    assert [status.records for status in watch.look()] == [3]


def test_how_far_a_read_is_behind_and_from_loss(tmp_path: Path) -> None:
    """Both of the service's own clock."""
    client.cache_clear()
    clock = Clock(float(int(time.time())))
    with LocalStreams(clock=clock) as service:
        reported = Reported(service, service.create_table("orders", keys={"id": "S"}))
        reported.orders.put({"id": "o-1"})
        clock.advance(7200)
        reported.slices(2)
        (lag,) = (
            cell.get_cumulative()
            for key, cell in reported.container.metrics.items()
            if key.metric_name.name == metrics.LAG_MILLIS
        )
        assert lag.count == 1
        assert 7_200_000 <= lag.max < 7_260_000
        slack = 5
        assert 22 * 3600 - 60 < reported[metrics.HEADROOM_SECONDS] <= 22 * 3600 - slack


def test_how_long_the_oldest_call_fails_is_a_gauge_and_known_to_this_process(reported: Reported) -> None:
    reported.orders.put({"id": "o-1"})
    reported.slices(1)
    assert reported[metrics.OLDEST_FAULT_SECONDS] == 0
    reported.service.faults = Faults(error={"GetRecords": 1.0})
    while not reported[metrics.OLDEST_FAULT_SECONDS]:
        reported.slices()
    (fault,) = [fault for fault in faults_now() if fault.operation == "GetRecords"]
    assert "without a break: GetRecords failed" in str(fault)
    reported.service.faults = Faults()
    while reported[metrics.OLDEST_FAULT_SECONDS]:
        reported.slices()
    assert faults_now() == []


def test_all_metrics_are_reported_in_one_namespace(service: LocalStreams) -> None:
    """In the result of the run, as docs/metrics.md shows it."""
    service.create_table("orders", keys={"id": "S"}).put_many({"id": f"o-{n}"} for n in range(7))
    read = ReadFromDynamoDBStreams(
        "orders",
        stop=7,
        endpoint_url=service.endpoint_url,
        region_name=service.region_name,
        slice_time=timedelta(seconds=0.3),
    )
    pipeline = beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"]))
    _ = pipeline | read
    result = pipeline.run()
    result.wait_until_finish()
    found = result.metrics().query(MetricsFilter().with_namespace(metrics.NAMESPACE))
    counters = {each.key.metric.name: each.committed for each in found["counters"]}
    assert counters[metrics.RECORDS] == 7
    assert {each.key.metric.name for each in found["gauges"]} >= {metrics.SHARDS_OPEN, metrics.SHARDS_WAITING}
    assert {each.key.metric.name for each in found["distributions"]} == {metrics.LAG_MILLIS}


def test_every_metric_has_a_value_once_what_it_counts_has_happened(reported: Reported) -> None:
    read, lost = reported.orders.open_shard_ids
    for shard in (read, lost):
        reported.orders.put_many(reported.orders.keys_in(shard, 3))
    reported.orders.append(read, b'{"dynamodb": 7}')
    reported.slices(2)
    reported.service.faults = Faults(throttle={"GetRecords": 0.4})
    while not reported[metrics.THROTTLES]:
        reported.slices()
    reported.service.faults = Faults(error={"GetRecords": 1.0})
    while not reported[metrics.DELAYS]:
        reported.slices()
    reported.service.faults = Faults()
    reported.orders.roll(read)
    reported.orders.drop(lost)
    while not (reported[metrics.SHARDS_FINISHED] and reported[metrics.SHARDS_LOST]):
        reported.slices()
    # tests/handlers/test_invoke_handler.py has those of handlers, tests/e2e/test_snapshot.py those of a snapshot, and
    # tests/lakehouse/test_commit.py those of commits
    others = ("NAMESPACE", "HANDLER_", "SNAPSHOT_", "COMMIT")
    names = {name for constant, name in TOLD.items() if not constant.startswith(others)}
    assert names <= {key.metric_name.name for key in reported.container.metrics}
    gauges = {metrics.SHARDS_OPEN, metrics.SHARDS_WAITING, metrics.PARENTS_DOUBTED, metrics.HEADROOM_SECONDS}
    gauges |= {metrics.OLDEST_FAULT_SECONDS}
    assert {name for name in names - gauges - {metrics.LAG_MILLIS} if not reported[name]} == set()


def test_the_table_for_people_names_every_metric_and_no_other() -> None:
    page = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|", page, re.MULTILINE)
    assert [name for name, _ in rows] == [value for name, value in TOLD.items() if name != "NAMESPACE"]
    assert {kind for _, kind in rows} == {"counter", "gauge", "distribution"}
    assert f"namespace `{metrics.NAMESPACE}`" in page
