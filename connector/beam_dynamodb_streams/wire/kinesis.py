"""Kinesis Data Streams: the calls that a read makes, with the methods of `dynamodb_streams.Client`.

Both clients return the same pages, so whatever lists or reads a stream takes either of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Final, TypeVar

from typing_extensions import Unpack

from beam_dynamodb_streams.errors import ServiceError
from beam_dynamodb_streams.wire.calls import Caller, CallerOptions, CallPlace
from beam_dynamodb_streams.wire.decode import decode_iterator
from beam_dynamodb_streams.wire.endpoint import AwsService
from beam_dynamodb_streams.wire.kinesis_decode import decode_kinesis_records, decode_shards, decode_summary
from beam_dynamodb_streams.wire.kinesis_errors import explained
from beam_dynamodb_streams.wire.pages import DataStream, ListedShard, RecordsPage, StreamPage

_T = TypeVar("_T")

# The regional endpoint serves every operation, also on streams of other accounts by their ARN. The endpoints of an
# account serve either data or control operations.
KINESIS: Final = AwsService(
    name="kinesis",
    target="Kinesis_20131202",
    signing_name="kinesis",
    ask=lambda client, _: client.list_streams(),
    json_version="1.1",
)


class KinesisClient:
    """Kinesis Data Streams through one endpoint. Thread-safe: make one for each process and endpoint.

    Region, credentials, address, retries and `close` are those of `calls.Caller`, and so are the errors.

    Args:
      table: the table whose changes are wanted; None for those of the only table in the stream.
      options: those of `calls.Caller`.
    """

    def __init__(self, *, table: str | None = None, **options: Unpack[CallerOptions]) -> None:
        self._caller = Caller(KINESIS, **options)
        self.region_name = self._caller.region_name
        self.calls = self._caller.counts
        self._table = table
        self._found: dict[str, str] = {}  # the one table that each stream has shown
        self._streams: dict[str, DataStream] = {}

    def describe_data_stream(self, stream: str) -> DataStream:
        """Return a stream by its name or ARN.

        Raises:
          NotFoundError: the stream does not exist.
        """
        place = CallPlace(stream=stream, resource=stream)
        found = self._call("DescribeStreamSummary", _named(stream), decode_summary, place)
        self._streams[found.arn] = found
        return found

    def retention_seconds(self, stream_arn: str, *, now: bool = False) -> int:
        """Return how long the stream keeps its records. The service is asked once, and each time with `now`."""
        known = None if now else self._streams.get(stream_arn)
        return (known or self.describe_data_stream(stream_arn)).retention_seconds

    def describe_stream(
        self,
        stream_arn: str,
        *,
        limit: int | None = None,
        exclusive_start_shard_id: str | None = None,
        children_of: str | None = None,
    ) -> StreamPage:
        """Return one page of at most 1,000 of the stream's shards, or the children of `children_of`.

        A data stream has no end, so its status is always ENABLED here.

        Args:
          stream_arn: the stream.
          limit: shards in the page.
          exclusive_start_shard_id: the last shard of the page before.
          children_of: the parent whose children are listed.

        Raises:
          NotFoundError: the stream does not exist.
        """
        if children_of is None:
            shards, more = self._list(stream_arn, exclusive_start_shard_id, limit)
        else:
            shards, more = self._children(stream_arn, children_of), False
        last = shards[-1].shard_id if shards and more else None
        return StreamPage(stream_arn, self._table or "", "ENABLED", "", tuple(shards), last)

    def listing(self, stream_arn: str) -> Iterator[StreamPage]:
        """Yield the pages of one whole listing. Each is requested when it is needed."""
        after = None
        while True:
            page = self.describe_stream(stream_arn, exclusive_start_shard_id=after)
            yield page
            if page.last_evaluated_shard_id is None:
                return
            after = page.last_evaluated_shard_id

    def get_shard_iterator(
        self,
        stream_arn: str,
        shard_id: str,
        iterator_type: str,
        *,
        sequence_number: str | None = None,
        timestamp: float | None = None,
    ) -> str:
        """Return a shard iterator, which is valid for five minutes.

        A sequence number that is older than the horizon silently becomes the horizon (trap 34).

        Args:
          stream_arn: the stream.
          shard_id: the shard.
          iterator_type: TRIM_HORIZON, LATEST, AT_SEQUENCE_NUMBER, AFTER_SEQUENCE_NUMBER or AT_TIMESTAMP.
          sequence_number: of the types with a sequence number.
          timestamp: of AT_TIMESTAMP, epoch seconds. Reading begins at the first record that arrived at or after it.

        Raises:
          NotFoundError: the shard is gone.
        """
        parameters: dict[str, object] = {
            **_named(stream_arn),
            "ShardId": shard_id,
            "ShardIteratorType": iterator_type,
        }
        if sequence_number is not None:
            parameters["StartingSequenceNumber"] = sequence_number
        if timestamp is not None:
            parameters["Timestamp"] = timestamp
        place = CallPlace(stream_arn, shard_id, sequence_number, stream_arn)
        return self._call("GetShardIterator", parameters, decode_iterator, place)

    def get_records(self, iterator: str, *, limit: int = 10_000, stream_arn: str, shard_id: str = "") -> RecordsPage:
        """Return one page of at most `limit` records or 10 MB, in the shard's order.

        The service allows five calls and 2 MB a second for each shard.

        Args:
          iterator: a shard iterator.
          limit: at most 10,000.
          stream_arn: the stream.
          shard_id: the shard, for errors.

        Raises:
          ExpiredIteratorError: the iterator is older than five minutes (trap 9).
          NotFoundError: the shard is gone.
          ServiceError: the stream carries the changes of several tables, and none was chosen.
        """
        place = CallPlace(stream_arn, shard_id or None, None, stream_arn)
        parameters: dict[str, object] = {"ShardIterator": iterator, "Limit": limit, "StreamARN": stream_arn}
        decode = partial(decode_kinesis_records, wants=partial(self._wants, stream_arn))
        return self._call("GetRecords", parameters, decode, place)

    def service_time(self) -> float:
        """Return epoch seconds by the service's clock; see `dynamodb_streams.Client.service_time`."""
        return self._caller.clock.now()

    def close(self) -> None:
        """Cut the pooled connections and end waits. Later calls raise ClosedError. Idempotent."""
        self._caller.close()

    def _call(
        self, operation: str, parameters: dict[str, object], decode: Callable[[bytes], _T], place: CallPlace
    ) -> _T:
        try:
            return self._caller.call(operation, parameters, decode, place)
        except ServiceError as error:
            raise explained(error) from error

    def _list(self, stream_arn: str, after: str | None, limit: int | None) -> tuple[list[ListedShard], bool]:
        parameters: dict[str, object] = {**_named(stream_arn), "MaxResults": limit or 1000}
        if after is not None:
            parameters["ExclusiveStartShardId"] = after
        place = CallPlace(stream=stream_arn, resource=stream_arn)
        shards, token = self._call("ListShards", parameters, decode_shards, place)
        return shards, token is not None

    def _children(self, stream_arn: str, parent: str) -> list[ListedShard]:
        """Return the listed children of a shard: their ids are greater than its own."""
        found: list[ListedShard] = []
        after, more = parent, True
        while more:
            shards, more = self._list(stream_arn, after, None)
            found += [shard for shard in shards if parent in shard.parents]
            more = more and bool(shards)
            after = shards[-1].shard_id if shards else after
        return found

    def _wants(self, stream_arn: str, table: str) -> bool:
        if self._table is not None:
            return table == self._table
        only = self._found.setdefault(stream_arn, table)  # atomic, and called for each record
        if only != table:
            raise ServiceError(
                f"the data stream carries the changes of several tables, such as {only!r} and {table!r}: choose one "
                f"with table=, for example table={only!r} (changes_of= in sample and in the commands)",
                stream=stream_arn,
            )
        return True


def _named(stream: str) -> dict[str, object]:
    """Return the parameters that name a stream, by name or ARN. Older emulators know the name alone."""
    if not stream.startswith("arn:"):
        return {"StreamName": stream}
    return {"StreamName": stream.rpartition("/")[2], "StreamARN": stream}
