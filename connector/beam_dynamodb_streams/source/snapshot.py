"""The option `snapshot=`: what it allows, and how a scan of the table begins."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timezone
from math import floor, inf
from typing import Final

from beam_dynamodb_streams.errors import InvalidOptionError
from beam_dynamodb_streams.reader.page import Rules
from beam_dynamodb_streams.reader.read_budget import ReadBudget
from beam_dynamodb_streams.reader.table_scan import TableScanner
from beam_dynamodb_streams.records.versions import row_version
from beam_dynamodb_streams.shards.loss import MICROS
from beam_dynamodb_streams.shards.position import AtTime, Horizon
from beam_dynamodb_streams.shards.segments import MOST_SEGMENTS, TableScan
from beam_dynamodb_streams.shards.start_stop import Start
from beam_dynamodb_streams.shards.stream_position import StreamPosition
from beam_dynamodb_streams.source.filter import filter_with
from beam_dynamodb_streams.source.scanned_table import ScannedTable
from beam_dynamodb_streams.wire import Client, Table

_LOGGER: Final = logging.getLogger(__name__)

SEGMENTS: Final = 4
_WITH_NEW_IMAGES: Final = ("NEW_IMAGE", "NEW_AND_OLD_IMAGES")


@dataclass(frozen=True, slots=True)
class ScanSnapshot:
    """A snapshot that a scan of the table reads. `read_units`: a second; None for no limit."""

    segments: int = SEGMENTS
    read_units: float | None = None


def parse_snapshot(
    snapshot: object,
    *,
    segments: object,
    read_units: object,
    table: str | None,
    start: Start,
    groups: int | None,
    event_names: Collection[str] | None,
) -> ScanSnapshot | None:
    """Return the snapshot that the options mean; None for a read of the stream alone.

    Raises:
        InvalidOptionError: The options do not go together, or one is wrong; the message has the reason and the fix.
    """
    if snapshot is None:
        for name, value in (("scan_segments", segments), ("scan_read_units", read_units)):
            if value is not None:
                raise InvalidOptionError(f'{name}={value!r} is of a scan: use it with snapshot="scan", or leave it out')
        return None
    if snapshot != "scan":
        raise InvalidOptionError(
            f'snapshot={snapshot!r} is not a snapshot: use "scan", the folder of an export to S3, as in '
            '"s3://bucket/AWSDynamoDB/01234-abcd/", or None for the stream alone'
        )
    if table is None:
        raise InvalidOptionError(
            'snapshot="scan" with stream_arn=…: a scan reads the table, and its rows fit the table\'s latest stream '
            "alone. Use table=… in place of stream_arn=…"
        )
    if groups is not None and groups > 1:
        raise InvalidOptionError(
            f'shard_groups={groups} with snapshot="scan": a row is delivered once all shards have passed it, so one '
            "worker must read all of them. Leave shard_groups out; once the snapshot is complete, a run with progress= "
            "or a saved position and without snapshot= may have several groups"
        )
    if not isinstance(start, Horizon | StreamPosition):
        raise InvalidOptionError(
            f'start={start} with snapshot="scan": the stream is read from the moment at which the scan begins, so that '
            "no change is missing. Leave start out, or give a saved StreamPosition to continue from"
        )
    if event_names is not None and "READ" not in event_names:
        raise InvalidOptionError(
            f'event_names={event_names!r} with snapshot="scan" leaves out all of its rows: add "READ", or leave '
            "snapshot out"
        )
    count = SEGMENTS if segments is None else segments
    if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= MOST_SEGMENTS:
        raise InvalidOptionError(
            f"scan_segments={segments!r} is not a number of segments: use a whole number from 1 to {MOST_SEGMENTS:,}"
        )
    if read_units is None:
        return ScanSnapshot(count)
    if isinstance(read_units, bool) or not isinstance(read_units, int | float) or not 0 < read_units < inf:
        raise InvalidOptionError(
            f"scan_read_units={read_units!r} is not a number of read units a second: use a number above 0, such as "
            "100, or None for no limit"
        )
    return ScanSnapshot(count, float(read_units))


def check_view(stream_arn: str, view_type: str, *, option: str = 'snapshot="scan"') -> None:
    """Raise `InvalidOptionError` for a stream whose changes do not have the new image of their item."""
    if why := lacks_images(view_type):
        raise InvalidOptionError(
            f"{option} needs changes with new images, and stream {stream_arn} has the view {view_type}: {why}"
        )


def lacks_images(view_type: str) -> str:
    """Return why a stream with this view type cannot be joined with a snapshot; "" if it can."""
    if not view_type or view_type in _WITH_NEW_IMAGES:
        return ""
    return (
        "the rows would never be brought up to date. Disable the stream and enable it with NEW_AND_OLD_IMAGES or "
        "NEW_IMAGE"
    )


def begin_scan(table: Table, stream_arn: str, snapshot: ScanSnapshot, now: float) -> TableScan:
    """Return a scan that begins at `now` by the service's clock."""
    arn = stream_arn.partition("/stream/")[0] if "/stream/" in stream_arn else table.name
    keys = tuple(table.key_types)
    return TableScan(arn, keys, int(now * 1000), snapshot.segments, estimate=table.item_count)


def new_scan(table: Table, stream_arn: str, snapshot: ScanSnapshot | None, now: float) -> TableScan | None:
    """Return the scan of a table that was deleted and created again; None for a read without a snapshot."""
    return None if snapshot is None else begin_scan(table, stream_arn, snapshot, now)


def scan_start(now: float, slack: float) -> AtTime:
    """Return where the stream is read from, so that it has every write that was completed after `now`.

    Creation times may be before their writes by the slack, and are floored to the second.
    """
    return AtTime(max(0, floor(now - slack) - 1))


def scanner_of(
    service: Client, table: str, scan: TableScan, snapshot: ScanSnapshot, rules: Rules, tally: Counter[str]
) -> TableScanner:
    """Return what scans the table. `table` is its name or ARN, as the read was given it."""
    rows = filter_with(rules.filter, row_version(scan.epoch))
    budget = ReadBudget() if snapshot.read_units is None else ReadBudget(snapshot.read_units)
    return TableScanner(ScannedTable(service, table, scan.keys), budget, rules.slack, tally, rows)


def log_complete(scan: TableScan) -> None:
    """Report in the log that a snapshot is complete."""
    since = datetime.fromtimestamp(scan.consistent_since / MICROS, timezone.utc)
    _LOGGER.info(
        "the snapshot of %s is complete: %d rows, and %d left out because newer changes of their items were delivered; "
        "consistent since %s",
        scan.table,
        scan.rows,
        scan.replaced,
        since.isoformat(),
    )
