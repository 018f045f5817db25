"""The start of the pipeline: it resolves the table to its stream, and "NOW" and "LATEST" to seconds."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timezone
from typing import Final

from beam_dynamodb_streams.beam.checked_read import refuse_workers_without_splittable_dofns
from beam_dynamodb_streams.progress.acquire import WallClock, acquire, store_of
from beam_dynamodb_streams.progress.address import Progress
from beam_dynamodb_streams.progress.commit import StartsRun
from beam_dynamodb_streams.progress.kcl import KclLease, names_stream, position_of_workers, read_leases
from beam_dynamodb_streams.progress.lease import Lease
from beam_dynamodb_streams.shards.encoding import saved_scan
from beam_dynamodb_streams.shards.lineage import Lineage, Shard
from beam_dynamodb_streams.shards.position import TRIM_HORIZON, AtTime
from beam_dynamodb_streams.shards.segments import without_marks
from beam_dynamodb_streams.shards.start_stop import LeaseTable, Start, StreamStart, resolve_bounds
from beam_dynamodb_streams.shards.stream_position import StreamPosition
from beam_dynamodb_streams.source.bundle_progress import owner_of
from beam_dynamodb_streams.source.export_snapshot import begin_after_exports, joined_exports, start_of
from beam_dynamodb_streams.source.options import Connection, ReadOptions
from beam_dynamodb_streams.source.sharing import share
from beam_dynamodb_streams.source.snapshot import begin_scan, check_view, scan_start
from beam_dynamodb_streams.source.stream_read import StreamRead
from beam_dynamodb_streams.source.streams import StreamsOfTable, find_streams
from beam_dynamodb_streams.source.worker_cache import client
from beam_dynamodb_streams.wire import Client, StreamClient

_LOGGER: Final = logging.getLogger(__name__)
_LISTINGS: Final = 3  # a listing may leave shards out that another one shows (trap 6)


class StartRead(StartsRun):
    """Turns one element into one `StreamRead` for each group. It runs once; a restored pipeline resumes behind it."""

    def __init__(self, options: ReadOptions, groups: int = 1) -> None:
        self._options = options
        self._groups = groups

    @property
    def progress(self) -> Progress | None:
        return self._options.progress

    @staticmethod
    def owner(element: StreamRead) -> str:
        return owner_of(element.run)

    def process(self, element: object) -> Iterator[StreamRead]:  # noqa: ARG002 - an impulse says nothing
        refuse_workers_without_splittable_dofns()
        service = client(self._options.connection)
        read = begin_read(service, self._options)
        renew = lease_renewal(self._options.progress, read.run, read.stream_arn)
        yield from share(read, service, self._options, self._groups, renew)


def begin_read(service: StreamClient, options: ReadOptions) -> StreamRead:
    """Return a read that begins at this moment of the service's clock, under a new name."""
    run = uuid.uuid4().hex
    streams = find_streams(service, options)
    if options.snapshot is not None:
        check_view(streams.latest, service.describe_stream(streams.latest, limit=1).view_type)
    if options.exports is not None:
        exports = [export for export, _ in joined_exports(service, options, streams)]
        begin = options.start if isinstance(options.start, StreamPosition) else start_of(exports)
        return begin_after_exports(_read_from(begin, run, streams, service, options), exports)
    if options.progress is None:
        return _from_the_start(run, streams, service, options)
    with application_acquired(options.progress, owner_of(run), streams) as saved:
        if saved:
            return _read_from(saved[0], run, streams, service, options, later=saved[1:])
        read = _from_the_start(run, streams, service, options)
        first = StreamPosition(read.stream_arn, read.start, read.saved, read.until)
        store_of(options.progress).begin(owner_of(run), first, int(WallClock().now()))
        return read


def _from_the_start(run: str, streams: StreamsOfTable, service: StreamClient, options: ReadOptions) -> StreamRead:
    start = options.start
    if isinstance(start, LeaseTable):
        renew = lease_renewal(options.progress, run, streams.latest)
        start = position_in_leases(start, streams, service, options.connection, renew)
    return _read_from(start, run, streams, service, options)


def _read_from(
    start: StreamStart,
    run: str,
    streams: StreamsOfTable,
    service: StreamClient,
    options: ReadOptions,
    *,
    later: Sequence[StreamPosition] = (),
) -> StreamRead:
    known = [*later, *([start, *start.following] if isinstance(start, StreamPosition) else [])]
    epoch = max((without_marks(each.shards)[1] for each in known), default=0)
    scan = max(filter(None, (saved_scan(each.shards) for each in known)), key=lambda scan: scan.epoch, default=None)
    crosses = any(streams.is_of_another_table(each.stream_arn or streams.latest) for each in known)
    complete = streams.covers(epoch) if crosses else bool(epoch)
    if scan is not None and scan.epoch > epoch:
        epoch = scan.epoch  # what was delivered has it, and what follows must not have an older one
        if options.snapshot is None or (crosses and not streams.covers(epoch)):
            scan = None
    if isinstance(start, StreamPosition):
        start, *later = (*streams.left_of(start), *later) or (TRIM_HORIZON,)
    stream_arn = streams.stream_of(start)
    earlier = streams.is_of_another_table(stream_arn)  # its rest is read, and then the table that has its name now
    now, retention = service.service_time(), service.retention_seconds(stream_arn)
    if options.snapshot is not None and start == TRIM_HORIZON:
        start = scan_start(now, options.rules.slack)
    bounds = resolve_bounds(start, options.stop, now)
    saved, _ = without_marks(bounds.saved)
    if scan is not None:
        _LOGGER.info("the scan of %s continues after %d rows", scan.table, scan.rows + scan.replaced)
    elif isinstance(service, Client) and options.snapshot is not None and not earlier and not complete:
        scan = begin_scan(service.describe_table(options.table or ""), stream_arn, options.snapshot, now)
        epoch = scan.epoch
    if isinstance(bounds.start, AtTime) and not bounds.saved and bounds.start.second < now - retention:
        _LOGGER.warning(
            "start=%s is more than %g hours ago: the service has no changes that old, and the read begins with the "
            "oldest that it has",
            datetime.fromtimestamp(bounds.start.second, timezone.utc).isoformat(),
            retention / 3600,
        )
    return StreamRead(
        run,
        stream_arn,
        bounds.start,
        saved,
        bounds.stop_second,
        bounds.records,
        until=bounds.until,
        epoch=epoch,
        table_id="" if earlier else streams.table_id,
        later=tuple(replace(each, shards=without_marks(each.shards)[0]) for each in later),
        scan=scan,
    )


@contextmanager
def application_acquired(progress: Progress, owner: str, streams: StreamsOfTable) -> Iterator[list[StreamPosition]]:
    """Acquire the application while a read begins, and yield its saved positions in streams of the table.

    The first one is where the read resumes, the others are in the streams that follow. There is none if nothing is
    saved. The application is released again if the body fails.

    Raises:
      NotFoundError: the application has progress in another stream of the table and none in this one, and the read does
        not follow. What is unread of the other stream would be lost (trap 14).
    """
    store = store_of(progress)
    takeover = progress.takeover_seconds
    acquire(store, owner, streams.latest, takeover, WallClock())
    try:
        saved = streams.resumed(store.read().streams, progress.address)
        for stream_arn in saved:
            if expired := store.read().streams[stream_arn].expired_shards(stream_arn):
                store.forget(owner, stream_arn, expired)
        if saved and saved[0] != streams.latest:
            acquire(store, owner, saved[0], takeover, WallClock())  # the lease names the stream that is read
        stored = store.read().streams if saved else {}
        yield [stored[stream_arn].position(stream_arn) for stream_arn in saved]
    except BaseException:
        store.release(owner)
        raise


def lease_renewal(progress: Progress | None, run: str, stream_arn: str) -> Callable[[], None]:
    """Return a function that renews the run's lease where that is due, while its read begins."""
    if progress is None:
        return _nothing
    return Lease(store_of(progress), owner_of(run), stream_arn, progress, WallClock()).renew


def _nothing() -> None:
    pass


def position_in_leases(
    start: LeaseTable,
    streams: StreamsOfTable,
    service: StreamClient,
    connection: Connection,
    renew: Callable[[], None] = _nothing,
) -> StreamPosition:
    """Return where the workers of a KCL application stopped: in the youngest stream of the table that they reached.

    Raises:
      InvalidOptionError: the lease table has no lease of a stream of the table.
    """
    leases, created = read_leases(start.table, region_name=connection.region_name, endpoint_url=connection.endpoint_url)
    shards = {lease.shard for lease in leases}
    candidates = streams.readable if streams.follows and streams.by_table else [streams.latest]
    for stream_arn in reversed(candidates):
        named = any(lease.stream and names_stream(lease.stream, stream_arn) for lease in leases)
        if not named and len(candidates) == 1:
            break
        if named or any(shard in shards for shard in list_lineage(service, stream_arn, renew)):
            return _position_of_workers(leases, created, start, stream_arn, service, renew)
    return _position_of_workers(leases, created, start, streams.latest, service, renew)


def _position_of_workers(
    leases: list[KclLease],
    created: float,
    start: LeaseTable,
    stream_arn: str,
    service: StreamClient,
    renew: Callable[[], None],
) -> StreamPosition:
    lineage = list_lineage(service, stream_arn, renew)
    return position_of_workers(leases, stream_arn, start.table, created=created, lineage=lineage)


def resolve_start(
    start: Start, stream_arn: str, service: StreamClient, connection: Connection, renew: Callable[[], None] = _nothing
) -> StreamStart:
    """Return the start as a position in the stream. A lease table of the KCL becomes the position that it stores."""
    if not isinstance(start, LeaseTable):
        return start
    leases, created = read_leases(start.table, region_name=connection.region_name, endpoint_url=connection.endpoint_url)
    return _position_of_workers(leases, created, start, stream_arn, service, renew)


def list_lineage(service: StreamClient, stream_arn: str, renew: Callable[[], None] = _nothing) -> Lineage:
    """Return what a few whole listings show together. A listing of 10,000 shards has 100 pages.

    `renew` is called at each page. Raises what `Client.describe_stream` does.
    """
    lineage = Lineage()
    for _ in range(_LISTINGS):
        for page in service.listing(stream_arn):
            renew()
            lineage.add(Shard(shard.shard_id, shard.parents) for shard in page.shards)
    return lineage
