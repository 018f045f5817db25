"""The metrics that a read reports to Beam, by the names in `metrics`."""

from __future__ import annotations

from apache_beam.metrics import Metrics
from apache_beam.metrics.metric import Lineage

from beam_dynamodb_streams import metrics
from beam_dynamodb_streams.reader.claim import Claim
from beam_dynamodb_streams.reader.reader import Reader
from beam_dynamodb_streams.shards.frontier import EARLIEST, Frontier
from beam_dynamodb_streams.shards.loss import MICROS
from beam_dynamodb_streams.shards.segments import TableScan, seconds_left
from beam_dynamodb_streams.source.elements import Emitted
from beam_dynamodb_streams.source.live_status import report, report_faults
from beam_dynamodb_streams.source.stream_read import StreamRead
from beam_dynamodb_streams.wire import StreamClient


class ReadMetrics:
    """Beam's metrics of one DoFn instance. Nothing here is done for each record."""

    def __init__(self, service: StreamClient) -> None:
        self._service = service
        self._reported = ""
        self._lag = Metrics.distribution(metrics.NAMESPACE, metrics.LAG_MILLIS)
        self._open = Metrics.gauge(metrics.NAMESPACE, metrics.SHARDS_OPEN)
        self._waiting = Metrics.gauge(metrics.NAMESPACE, metrics.SHARDS_WAITING)
        self._doubted = Metrics.gauge(metrics.NAMESPACE, metrics.PARENTS_DOUBTED)
        self._oldest_fault = Metrics.gauge(metrics.NAMESPACE, metrics.OLDEST_FAULT_SECONDS)
        self._percent = Metrics.gauge(metrics.NAMESPACE, metrics.SNAPSHOT_PERCENT)
        self._seconds_left = Metrics.gauge(metrics.NAMESPACE, metrics.SNAPSHOT_SECONDS_LEFT)
        self._consistent_since = Metrics.gauge(metrics.NAMESPACE, metrics.SNAPSHOT_CONSISTENT_SINCE)
        self._last_slice = Metrics.gauge(metrics.NAMESPACE, metrics.LAST_SLICE_SECONDS)
        self._headroom = Metrics.gauge(metrics.NAMESPACE, metrics.HEADROOM_SECONDS)

    def reads(self, stream_arn: str) -> None:
        """Report what is read as a source to Beam's lineage, once in each instance, and for each stream."""
        if stream_arn != self._reported:
            self._reported = stream_arn
            system, *segments = lineage_of(stream_arn)
            Lineage.sources().add(system, *map(Lineage.wrap_segment, segments))

    def delivered(self, read: StreamRead, claim: Claim, emitted: Emitted) -> None:
        """Count a claim that was delivered, by what was emitted."""
        report(read, claim, emitted.changes, self._service.service_time)
        _count(metrics.RECORDS, emitted.changes)
        if claim.scanned:
            _count(metrics.SNAPSHOT_ROWS, emitted.changes)
            _count(metrics.SNAPSHOT_COMPLETE, claim.frontier.scan is not None and claim.frontier.scan.complete)
        _count(metrics.PAGES, bool(emitted.changes))
        _count(metrics.BYTES, claim.page_bytes)
        _count(metrics.DEAD_LETTERS, len(emitted.malformed))
        _count(metrics.LOSSES, len(claim.losses))
        _count(metrics.SHARDS_OPENED, len(claim.opened))
        _count(metrics.SHARDS_FINISHED, bool(claim.ended))
        if claim.lag is not None:
            self._lag.update(int(claim.lag * 1000))

    def slice(self, read: StreamRead, reader: Reader, frontier: Frontier) -> None:
        """Report what the reader and the client counted since the last slice, and the gauges.

        All reads of the process with the same connection share one client. Its counts are reported once, by the read
        that comes first.
        """
        while reader.tally:
            _count(*reader.tally.popitem())
        counts = self._service.calls.take()
        for name, counted in zip(
            metrics.COUNTED_BY_OPERATION, (counts.calls, counts.throttles, counts.retries), strict=True
        ):
            _count(name, sum(counted.values()))
            for operation, number in counted.items():
                _count(metrics.by_operation(name, operation), number)
        ended = len(frontier.ended_shards)
        self._open.set(len(frontier.shards) - ended)
        self._waiting.set(ended)
        self._doubted.set(reader.doubts)
        if frontier.scan is not None:
            self._snapshot(frontier.scan)
        faults = reader.lasting_faults
        report_faults(read, faults)
        self._oldest_fault.set(int(max((fault.seconds for fault in faults), default=0)))
        now = self._service.service_time()
        self._last_slice.set(int(now))
        if frontier.watermark != EARLIEST:
            behind = now - frontier.watermark / MICROS
            self._headroom.set(int(self._service.retention_seconds(frontier.stream_arn) - behind))

    def _snapshot(self, scan: TableScan) -> None:
        self._percent.set(int(scan.fraction * 100))
        left = seconds_left(scan, self._service.service_time())
        self._seconds_left.set(0 if left is None else int(left))
        self._consistent_since.set(scan.consistent_since // MICROS)


def _count(name: str, by: int) -> None:
    if by:
        Metrics.counter(metrics.NAMESPACE, name).inc(by)


def lineage_of(stream_arn: str) -> tuple[str, str, str, str]:
    """Return the system and the segments under which Beam's lineage has a stream: region, account and name.

    A stream of DynamoDB Streams counts as its table, whose streams follow one another:
    `dynamodb:eu-central-1.123456789012.orders`. A data stream is one of its own: `kinesis:eu-central-1.1234.NAME`.
    """
    _, _, system, region, account, resource = stream_arn.split(":", 5)
    return system, region, account, resource.split("/")[1]
