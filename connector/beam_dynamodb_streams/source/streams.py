"""The streams of the table that is read, and in which of them a read begins (trap 14)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

from beam_dynamodb_streams.errors import (
    AccessDeniedError,
    InvalidRequestError,
    NewStreamError,
    NotFoundError,
    StreamNotEnabledError,
)
from beam_dynamodb_streams.progress.store import SavedProgress
from beam_dynamodb_streams.reader.dynamodb_streams import DynamoDBStream
from beam_dynamodb_streams.reader.kinesis_stream import KinesisStream
from beam_dynamodb_streams.reader.stream import Stream
from beam_dynamodb_streams.reader.table_streams import list_generations
from beam_dynamodb_streams.shards.generations import Generation, covering, created_at, is_before, is_replaced, table_of
from beam_dynamodb_streams.shards.loss import RETENTION_SECONDS
from beam_dynamodb_streams.shards.position import AtTime
from beam_dynamodb_streams.shards.start_stop import StreamStart
from beam_dynamodb_streams.shards.stream_position import StreamPosition
from beam_dynamodb_streams.source.options import ReadOptions, table_to_ask
from beam_dynamodb_streams.wire import Client, KinesisClient, StreamClient, Table

_LOGGER: Final = logging.getLogger(__name__)


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


def stream_of(service: StreamClient, stream_arn: str, *, limit: int) -> Stream:
    """Return the stream as the reader knows it. `limit`: how many records a page may have."""
    if isinstance(service, KinesisClient):
        return KinesisStream(service, stream_arn, limit=limit)
    return DynamoDBStream(service, stream_arn, limit=limit)


def find_streams(service: StreamClient, options: ReadOptions) -> StreamsOfTable:
    """Return the streams of the table that the options name.

    With `stream_arn=` the latest stream is that one: earlier ones are not read.

    Raises:
      NotFoundError: the table or the stream does not exist.
      StreamNotEnabledError: the table never had a stream.
    """
    if isinstance(service, KinesisClient):
        found_stream = find_data_stream(service, options.stream_arn or "")
        return StreamsOfTable(service, found_stream, None, follows=False, by_table=False)
    follows = options.on_new_stream == "follow"
    if options.stream_arn is not None:
        table = _known_table(service, table_to_ask(options, options.stream_arn)) if follows else None
        service.describe_stream(options.stream_arn, limit=1)  # an unknown stream is reported now, and not by a worker
        return StreamsOfTable(service, options.stream_arn, table, follows=follows, by_table=False)
    found, latest = find_table(service, options.table or "")
    service.describe_stream(latest, limit=1)
    return StreamsOfTable(service, latest, found, follows=follows, rescans=options.snapshot is not None)


def find_data_stream(service: KinesisClient, stream: str) -> str:
    """Return the ARN of a Kinesis data stream, given its name or ARN.

    Raises:
      NotFoundError: the stream does not exist.
    """
    try:
        return service.describe_data_stream(stream).arn
    except NotFoundError as error:
        raise NotFoundError(
            f"the Kinesis data stream {stream!r} does not exist in {service.region_name}: check the name, region_name= "
            "and the account"
        ) from error


def _known_table(service: Client, table: str) -> Table | None:
    """Return the table of a stream; None if it is gone, or its description is denied."""
    try:
        return service.describe_table(table)
    except (NotFoundError, AccessDeniedError, InvalidRequestError):
        return None


@dataclass
class StreamsOfTable:
    """The streams of a table, as far as a read that begins must know them.

    Attributes:
      service: the client.
      latest: the stream that is read unless a position stands in another one.
      table: the table, if it is known.
      follows: whether the read continues from one stream to the next.
      by_table: whether the table was named, and not one of its streams.
      rescans: whether the read begins a new snapshot of a table that was deleted and created again.
    """

    service: StreamClient
    latest: str
    table: Table | None
    follows: bool
    by_table: bool = True
    rescans: bool = False

    @property
    def table_id(self) -> str:
        return "" if self.table is None else self.table.table_id

    @cached_property
    def readable(self) -> list[str]:
        """The streams of the table that can still be read, the oldest first, without those of a deleted table."""
        if isinstance(self.service, KinesisClient):
            return [self.latest]
        generations, _ = list_generations(self.service, self.latest, self.latest)
        return [each.stream_arn for each in generations if not self.is_of_another_table(each.stream_arn)]

    def stream_of(self, start: StreamStart) -> str:
        """Return the stream in which a read with this start begins.

        Raises:
          NotFoundError: the start is a position in another stream, and the read does not follow.
          NewStreamError: the position is in a stream of a table that was deleted and created again.
        """
        if isinstance(start, StreamPosition) and start.stream_arn not in (None, self.latest):
            stream_arn = start.stream_arn or ""
            self.check_position(stream_arn)
            return stream_arn
        created = created_at(self.latest)
        early = isinstance(start, AtTime) and created is not None and start.second < int(created)
        if isinstance(start, AtTime) and early and self.follows and self.by_table:
            return covering(start.second, [Generation.of(arn) for arn in self.readable]).stream_arn
        return self.latest

    def left_of(self, start: StreamPosition) -> list[StreamPosition]:
        """Return a position without streams before its last one that cannot be read any more.

        What follows such a stream was begun only after it was read to its end. The same holds for streams of a table
        that was deleted, where the read takes a new snapshot of the table that has its name now.
        """
        known = [start, *start.following]
        left = self.to_continue([each.stream_arn or self.latest for each in known])
        positions = [each for each in known if (each.stream_arn or self.latest) in left]
        while len(positions) > 1 and not self._is_readable(positions[0].stream_arn or self.latest):
            del positions[0]
        return [replace(each, following=()) for each in positions]

    def to_continue(self, streams: list[str]) -> list[str]:
        """Return those of the streams with saved positions in which a read continues.

        Of a read that takes a new snapshot if the table was created again, streams of the earlier table count only if
        there is no other, and if the service still has them. If none is left, all that is delivered is of the new
        snapshot.
        """
        earlier = [each for each in streams if self.rescans and self.is_of_another_table(each)]
        if len(earlier) < len(streams):
            return [each for each in streams if each not in earlier]
        readable = [each for each in earlier if self._is_readable(each)]
        if earlier and not readable:
            _LOGGER.warning(
                "the table of %s was deleted and created again, and its stream is gone: a new snapshot begins",
                earlier[-1],
            )
        return readable

    def covers(self, epoch: int) -> bool:
        """Return whether a snapshot with this epoch can be of the table that has its name now; 0 is no epoch."""
        created = None if self.table is None else self.table.created
        return bool(epoch) and not is_before(epoch / 1000, created)

    def check_position(self, stream_arn: str) -> None:
        """Raise unless a saved position in this stream, which is not the latest, can be followed to it.

        A stream that is enabled again is a new stream (trap 14), and a position in the old one means nothing in it.

        Raises:
          NotFoundError: it is a stream of another table, or a later one, or the read does not follow.
          NewStreamError: it is a stream of a table that was deleted and created again.
        """
        if isinstance(self.service, KinesisClient):
            raise NotFoundError(
                f"the saved position is of the data stream {stream_arn}, and not of the one that is read: read that "
                "one, or start at TRIM_HORIZON",
                stream=self.latest,
            )
        ours = table_of(stream_arn) == table_of(self.latest)
        if not self.follows or not ours or (created_at(stream_arn) or 0.0) > (created_at(self.latest) or 0.0):
            way = "read the old one to its end with stream_arn=…, then start the new one at TRIM_HORIZON"
            way += ', or set on_new_stream="follow"' if ours and not self.follows else ""
            raise NotFoundError(
                f"the saved position is of stream {stream_arn}, no longer the table's stream: {way}",
                stream=self.latest,
            )
        if self.is_of_another_table(stream_arn) and not self.rescans:
            raise NewStreamError(
                f"the saved position is of stream {stream_arn}, and the table was deleted and created again since: its "
                "items are not those that were delivered. Start a new read at TRIM_HORIZON, with a new output or "
                'application, or set snapshot="scan", which continues in it with a new snapshot',
                stream=self.latest,
            )

    def resumed(self, saved: Mapping[str, SavedProgress], address: str) -> list[str]:
        """Return the streams of the table in which an application has progress, from the one where it resumes.

        An application may have begun a stream while another group was still reading the one before it, so it resumes in
        the oldest one. A stream is left out if the application moved on for so long after that the service cannot have
        it any more.

        Raises:
          NotFoundError: there is progress in another stream only, and the read does not follow.
          NewStreamError: there is progress only in a table that was deleted and created again.
        """
        ours = sorted(
            (arn for arn in saved if table_of(arn) == table_of(self.latest)), key=lambda arn: created_at(arn) or 0.0
        )
        if self.latest in ours and not self.follows:
            return [self.latest]
        for other in ours:
            if not self.follows:
                raise NotFoundError(
                    f"{address} has progress in {other}, no longer the table's stream: read that one to its end with "
                    f"stream_arn=…, then forget it: dynamodb-streams progress reset {address} --stream_arn {other}; or "
                    'set on_new_stream="follow"',
                    stream=self.latest,
                )
        last = max((saved[arn].last_move for arn in ours), default=0)
        kept = [arn for arn in ours if arn == ours[-1] or saved[arn].last_move > last - RETENTION_SECONDS]
        kept = self.to_continue(kept)
        if kept and kept[0] != self.latest:
            self.check_position(kept[0])
        return kept

    def _is_readable(self, stream_arn: str) -> bool:
        try:
            self.service.describe_stream(stream_arn, limit=1)
        except NotFoundError:
            return False
        return True

    def is_of_another_table(self, stream_arn: str) -> bool:
        """Return whether a stream is of a table of the same name that was deleted."""
        table = self.table
        return table is not None and is_replaced(stream_arn, "", table.table_id, table.created)
