"""The moment at which the pipeline starts: the table is resolved to its stream, "NOW" and "LATEST" to seconds."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from beam_dynamodb_streams.beam.checked_read import refuse_workers_without_splittable_dofns
from beam_dynamodb_streams.errors import NotFoundError, StreamNotEnabledError
from beam_dynamodb_streams.progress.address import Progress
from beam_dynamodb_streams.progress.commit import StartsRun
from beam_dynamodb_streams.shards.loss import RETENTION_SECONDS
from beam_dynamodb_streams.shards.position import AtTime
from beam_dynamodb_streams.shards.start_stop import Place, resolve_bounds
from beam_dynamodb_streams.shards.stream_position import StreamPosition
from beam_dynamodb_streams.source.bundle_progress import beating, held, keep, owner_of, place_of
from beam_dynamodb_streams.source.options import ReadOptions
from beam_dynamodb_streams.source.sharing import share
from beam_dynamodb_streams.source.stream_read import StreamRead
from beam_dynamodb_streams.source.worker_cache import client
from beam_dynamodb_streams.wire import Client, Table

_LOGGER: Final = logging.getLogger(__name__)


class StartRead(StartsRun):
    """One element in, one :class:`StreamRead` for each group out. Runs once: a restored pipeline starts past it."""

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
        beat = beating(self._options.progress, read.run, read.stream_arn)
        yield from share(read, service, self._options, self._groups, beat)


def begin_read(service: Client, options: ReadOptions) -> StreamRead:
    """The read that begins at this moment of the service's clock, under a name of its own."""
    run = uuid.uuid4().hex
    stream_arn = options.stream_arn or find_stream(service, options.table or "")
    service.describe_stream(stream_arn, limit=1)  # a stream that is not there is told of now, not by a worker
    if options.progress is None:
        return _from_the_start(run, stream_arn, service, options)
    with held(options.progress, owner_of(run), stream_arn) as kept:
        if kept is not None:
            return _read_from(kept, run, stream_arn, service, options)
        read = _from_the_start(run, stream_arn, service, options)
        keep(options.progress, owner_of(run), StreamPosition(stream_arn, read.start, read.saved, read.until))
        return read


def _from_the_start(run: str, stream_arn: str, service: Client, options: ReadOptions) -> StreamRead:
    check_position(options.start, stream_arn)
    beat = beating(options.progress, run, stream_arn)
    start = place_of(options.start, stream_arn, service, options.connection, beat)
    return _read_from(start, run, stream_arn, service, options)


def _read_from(start: Place, run: str, stream_arn: str, service: Client, options: ReadOptions) -> StreamRead:
    now = service.service_time()
    bounds = resolve_bounds(start, options.stop, now)
    if isinstance(bounds.start, AtTime) and not bounds.saved and bounds.start.second < now - RETENTION_SECONDS:
        _LOGGER.warning(
            "start=%s is more than 24 hours ago: the service has no changes that old, and reading begins with the "
            "oldest that it has",
            datetime.fromtimestamp(bounds.start.second, UTC).isoformat(),
        )
    return StreamRead(
        run, stream_arn, bounds.start, bounds.saved, bounds.stop_second, bounds.records, until=bounds.until
    )


def find_stream(service: Client, table: str) -> str:
    """The ARN of the table's latest stream; see :func:`find_table`."""
    return find_table(service, table)[1]


def find_table(service: Client, table: str) -> tuple[Table, str]:
    """The table, and the ARN of its latest stream; a disabled one stays readable for 24 hours (fact 14).

    Raises :class:`NotFoundError` for an unknown table, :class:`StreamNotEnabledError` for one that never had a stream.
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
    """A re-enabled stream is another stream (fact 14): a position saved on the old one says nothing about it."""
    if isinstance(start, StreamPosition) and start.stream_arn not in (None, stream_arn):
        raise NotFoundError(
            f"the saved position is of stream {start.stream_arn}, no longer the table's stream: read the old "
            "one to its end with stream_arn=…, then start the new one at TRIM_HORIZON",
            stream=stream_arn,
        )
