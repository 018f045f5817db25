"""The start of the pipeline: it resolves the table to its stream, and "NOW" and "LATEST" to seconds."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Final

from beam_dynamodb_streams.beam.checked_read import refuse_workers_without_splittable_dofns
from beam_dynamodb_streams.errors import NotFoundError, StreamNotEnabledError
from beam_dynamodb_streams.progress.acquire import WallClock, acquire, store_of
from beam_dynamodb_streams.progress.address import Progress
from beam_dynamodb_streams.progress.commit import StartsRun
from beam_dynamodb_streams.progress.kcl import position_of_workers, read_leases
from beam_dynamodb_streams.progress.lease import Lease
from beam_dynamodb_streams.shards.lineage import Lineage, Shard
from beam_dynamodb_streams.shards.loss import RETENTION_SECONDS
from beam_dynamodb_streams.shards.position import AtTime
from beam_dynamodb_streams.shards.start_stop import Leases, Start, StreamStart, resolve_bounds
from beam_dynamodb_streams.shards.stream_position import StreamPosition
from beam_dynamodb_streams.source.bundle_progress import owner_of
from beam_dynamodb_streams.source.options import Connection, ReadOptions
from beam_dynamodb_streams.source.sharing import share
from beam_dynamodb_streams.source.stream_read import StreamRead
from beam_dynamodb_streams.source.worker_cache import client
from beam_dynamodb_streams.wire import Client, Table

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
        service = client(self._options.connection, self._options.pace.requests)
        read = begin_read(service, self._options)
        renew = lease_renewal(self._options.progress, read.run, read.stream_arn)
        yield from share(read, service, self._options, self._groups, renew)


def begin_read(service: Client, options: ReadOptions) -> StreamRead:
    """Return a read that begins at this moment of the service's clock, under a new name."""
    run = uuid.uuid4().hex
    stream_arn = options.stream_arn or find_stream(service, options.table or "")
    service.describe_stream(stream_arn, limit=1)  # an unknown stream is reported now, and not by a worker
    if options.progress is None:
        return _from_the_start(run, stream_arn, service, options)
    with application_acquired(options.progress, owner_of(run), stream_arn) as saved:
        if saved is not None:
            return _read_from(saved, run, stream_arn, service, options)
        read = _from_the_start(run, stream_arn, service, options)
        first = StreamPosition(stream_arn, read.start, read.saved, read.until)
        store_of(options.progress).begin(owner_of(run), first, int(WallClock().now()))
        return read


def _from_the_start(run: str, stream_arn: str, service: Client, options: ReadOptions) -> StreamRead:
    check_position(options.start, stream_arn)
    renew = lease_renewal(options.progress, run, stream_arn)
    start = resolve_start(options.start, stream_arn, service, options.connection, renew)
    return _read_from(start, run, stream_arn, service, options)


def _read_from(start: StreamStart, run: str, stream_arn: str, service: Client, options: ReadOptions) -> StreamRead:
    now = service.service_time()
    bounds = resolve_bounds(start, options.stop, now)
    if isinstance(bounds.start, AtTime) and not bounds.saved and bounds.start.second < now - RETENTION_SECONDS:
        _LOGGER.warning(
            "start=%s is more than 24 hours ago: the service has no changes that old, and the read begins with the "
            "oldest that it has",
            datetime.fromtimestamp(bounds.start.second, timezone.utc).isoformat(),
        )
    return StreamRead(
        run, stream_arn, bounds.start, bounds.saved, bounds.stop_second, bounds.records, until=bounds.until
    )


def find_stream(service: Client, table: str) -> str:
    """Return the ARN of the table's latest stream; see `find_table`."""
    return find_table(service, table)[1]


def find_table(service: Client, table: str) -> tuple[Table, str]:
    """Return the table and the ARN of its latest stream. A disabled stream stays readable for 24 hours (trap 14).

    Raises:
      NotFoundError: the table does not exist.
      StreamNotEnabledError: the table never had a stream.
    """
    try:
        described = service.describe_table(table)
    except NotFoundError as error:
        raise NotFoundError(
            f"table {table!r} does not exist in {service.region_name}: check the name, region_name= and the account"
        ) from error
    if described.latest_stream_arn is None:
        raise StreamNotEnabledError(
            f"table {table!r} has no stream: enable one, e.g. aws dynamodb update-table --table-name {table} "
            "--stream-specification StreamEnabled=true,StreamViewType=NEW_AND_OLD_IMAGES"
        )
    return described, described.latest_stream_arn


def check_position(start: object, stream_arn: str) -> None:
    """Raise `NotFoundError` for a position of another stream.

    A stream that is enabled again is a new stream (trap 14), and a position in the old one means nothing in it.
    """
    if isinstance(start, StreamPosition) and start.stream_arn not in (None, stream_arn):
        raise NotFoundError(
            f"the saved position is of stream {start.stream_arn}, no longer the table's stream: read the old "
            "one to its end with stream_arn=…, then start the new one at TRIM_HORIZON",
            stream=stream_arn,
        )


@contextmanager
def application_acquired(progress: Progress, owner: str, stream_arn: str) -> Iterator[StreamPosition | None]:
    """Acquire the application while a read begins, and yield its saved position in the stream; None if it has none.

    The application is released again if the body fails.

    Raises:
      NotFoundError: the application has progress in another stream of the table and none in this one. What is unread
        of the other stream would be lost (trap 14).
    """
    store = store_of(progress)
    acquire(store, owner, stream_arn, progress.takeover_after.total_seconds(), WallClock())
    try:
        streams = store.read().streams
        saved = streams.get(stream_arn)
        if saved is None:
            _check_other_streams(progress, stream_arn, list(streams))
        elif expired := saved.expired_shards():
            store.forget(owner, stream_arn, expired)
            saved = store.read().streams[stream_arn]
        yield None if saved is None else saved.position(stream_arn)
    except BaseException:
        store.release(owner)
        raise


def _check_other_streams(progress: Progress, stream_arn: str, saved: list[str]) -> None:
    table = stream_arn.partition("/stream/")[0]
    for other in saved:
        if other.partition("/stream/")[0] == table:
            raise NotFoundError(
                f"{progress.address} has progress in {other}, no longer the table's stream: read that one to its end "
                f"with stream_arn=…, then forget it: dynamodb-streams progress reset {progress.address} "
                f"--stream_arn {other}",
                stream=stream_arn,
            )


def lease_renewal(progress: Progress | None, run: str, stream_arn: str) -> Callable[[], None]:
    """Return a function that renews the run's lease where that is due, while its read begins."""
    if progress is None:
        return _nothing
    return Lease(store_of(progress), owner_of(run), stream_arn, progress, WallClock()).renew


def _nothing() -> None:
    pass


def resolve_start(
    start: Start, stream_arn: str, service: Client, connection: Connection, renew: Callable[[], None] = _nothing
) -> StreamStart:
    """Return the start as a position in the stream. A lease table of the KCL becomes the position that it stores."""
    if not isinstance(start, Leases):
        return start
    leases, created = read_leases(start.table, region_name=connection.region_name, endpoint_url=connection.endpoint_url)
    lineage = list_lineage(service, stream_arn, renew)
    return position_of_workers(leases, stream_arn, start.table, created=created, lineage=lineage)


def list_lineage(service: Client, stream_arn: str, renew: Callable[[], None] = _nothing) -> Lineage:
    """Return what a few whole listings show together. A listing of 10,000 shards has 100 pages.

    `renew` is called at each page. Raises what `Client.describe_stream` does.
    """
    lineage = Lineage()
    for _ in range(_LISTINGS):
        for page in service.listing(stream_arn):
            renew()
            lineage.add(Shard(shard.shard_id, shard.parents) for shard in page.shards)
    return lineage
