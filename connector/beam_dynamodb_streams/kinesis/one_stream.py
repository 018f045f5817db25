"""One stream of DynamoDB as one stream of Kinesis: what each operation answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from itertools import count
from typing import Any, Final

from beam_dynamodb_streams.errors import ConnectorError, InvalidRequestError, NotFoundError
from beam_dynamodb_streams.kinesis.answers import Moment, RecordsAnswer
from beam_dynamodb_streams.kinesis.cursor import (
    ITERATOR_SECONDS,
    After,
    At,
    Cursor,
    Oldest,
    Position,
    Since,
    encode_cursor,
)
from beam_dynamodb_streams.kinesis.faults import (
    KinesisFault,
    expired_iterator,
    fault_of,
    invalid_argument,
    not_found,
)
from beam_dynamodb_streams.kinesis.losses import Losses
from beam_dynamodb_streams.kinesis.record_data import DataForm, Records
from beam_dynamodb_streams.kinesis.record_page import PageCache
from beam_dynamodb_streams.kinesis.shard_filters import child_shards, filtered, shards_after
from beam_dynamodb_streams.kinesis.shard_listing import Children, ShardListing
from beam_dynamodb_streams.kinesis.shard_reader import ShardReader
from beam_dynamodb_streams.kinesis.stream_names import StreamNames
from beam_dynamodb_streams.wire import Client

#: DynamoDB Streams keeps a record for a day.
RETENTION_HOURS: Final = 24

#: DynamoDB's pages have at most as many records, however many a consumer asks for.
PAGE_RECORDS: Final = 1000

_STATUS: Final = {"ENABLING": "CREATING"}


class OneStream:
    """Answers for one stream. Thread-safe.

    Args:
      client: calls DynamoDB Streams.
      stream_arn: the stream.
      data: the form of each record's Data.
      losses: what to do when records were trimmed.
      cache: pages that consumers share.
      clock: returns seconds whose differences are durations.
    """

    def __init__(
        self,
        client: Client,
        stream_arn: str,
        *,
        data: DataForm,
        losses: Losses,
        cache: PageCache,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.names = StreamNames.of(stream_arn)
        self._client = client
        self._data = data
        self._losses = losses
        self._cache = cache
        self._clock = clock
        self._listing = ShardListing(client, stream_arn, clock)
        self._readers: dict[str, ShardReader] = {}
        self._lock = threading.Lock()
        self._latest = count(1)

    # Shards

    def shards(self, shard_filter: dict[str, Any] | None, after: str | None) -> list[dict[str, Any]]:
        """Return the shards of ListShards: those that a filter chooses, or those that were discovered after one."""
        self._refresh()
        with self._listing.lock:
            known = self._listing.known
            if after is not None:
                return shards_after(known, after)
            return filtered(known, shard_filter)

    def describe(self, after: str | None, limit: int) -> dict[str, Any]:
        """Return the answer to DescribeStream."""
        shards = self.shards(None, after)
        page = {"Shards": shards[:limit], "HasMoreShards": len(shards) > limit}
        return {"StreamDescription": {**self._description(), **page}}

    def summary(self) -> dict[str, Any]:
        """Return the answer to DescribeStreamSummary."""
        self._refresh()
        with self._listing.lock:
            known = self._listing.known
            opened = sum(known.is_open(shard) for shard in known)
        counts = {"OpenShardCount": opened, "ConsumerCount": 0}
        return {"StreamDescriptionSummary": {**self._description(), **counts}}

    def brief(self) -> dict[str, Any]:
        """Return what ListStreams says of the stream."""
        whole = self._description()
        names = ("StreamName", "StreamARN", "StreamStatus", "StreamModeDetails", "StreamCreationTimestamp")
        return {name: whole[name] for name in names}

    def _description(self) -> dict[str, Any]:
        return {
            "StreamName": self.names.name,
            "StreamARN": self.names.arn,
            "StreamStatus": _STATUS.get(self._listing.status, "ACTIVE"),
            "StreamModeDetails": {"StreamMode": "ON_DEMAND"},
            "RetentionPeriodHours": RETENTION_HOURS,
            "StreamCreationTimestamp": Moment(self.names.created),
            "EnhancedMonitoring": [{"ShardLevelMetrics": []}],
            "EncryptionType": "NONE",
        }

    def _refresh(self) -> None:
        try:
            self._listing.refresh()
        except ConnectorError as error:
            raise fault_of(error, listing=True) from error

    # Records

    def iterator(self, shard: str, kind: str, number: str | None, second: float | None) -> dict[str, Any]:
        """Return the answer to GetShardIterator."""
        position = self._position(kind, number, second)
        self._check_shard(shard)
        try:
            position = self._reader(shard).begin(position)
        except ConnectorError as error:
            if isinstance(error, NotFoundError | InvalidRequestError) and not self._listing.is_listed(shard):
                raise self._unknown(shard) from error
            raise fault_of(error, listing=False) from error
        return {"ShardIterator": self._encode(shard, position)}

    def records(self, cursor: Cursor, limit: int) -> RecordsAnswer:
        """Return the answer to GetRecords."""
        if self._client.service_time() - cursor.issued > ITERATOR_SECONDS:
            raise expired_iterator(
                f"the iterator of shard {cursor.shard} at {cursor.position} is older than {ITERATOR_SECONDS // 60} "
                "minutes: get a new one from the last sequence number"
            )
        try:
            read = self._reader(cursor.shard).read(cursor.position, min(limit, PAGE_RECORDS))
            if not read.ended:
                return RecordsAnswer(read.records, self._encode(cursor.shard, read.following), read.behind)
            return self._end(cursor.shard, read.following)
        except ConnectorError as error:
            raise fault_of(error, listing=False) from error

    def _end(self, shard: str, position: Position) -> RecordsAnswer:
        """Return the end of a shard, or an empty page until its children are known.

        A consumer that gets the end without the children loses them: it never asks again.
        """
        match self._listing.children(shard):
            case Children.WAIT:
                return RecordsAnswer(Records(), self._encode(shard, position), 0)
            case Children.KNOWN:
                with self._listing.lock:
                    return RecordsAnswer(Records(), None, 0, child_shards(self._listing.known, shard))
        raise not_found(
            f"stream {self.names.name} is disabled, and shard {shard} was read to its end: there is nothing behind it"
        )

    def _position(self, kind: str, number: str | None, second: float | None) -> Position:
        numbered, timed = kind in ("AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"), kind == "AT_TIMESTAMP"
        if numbered and number is None:
            raise invalid_argument(f"ShardIteratorType {kind} needs StartingSequenceNumber")
        if timed and second is None:
            raise invalid_argument("ShardIteratorType AT_TIMESTAMP needs Timestamp")
        if number is not None and numbered and not (number.isascii() and number.isdigit()):
            raise invalid_argument(f"StartingSequenceNumber {number} is not a number")
        match kind:
            case "AT_SEQUENCE_NUMBER":
                return At(int(number or 0))
            case "AFTER_SEQUENCE_NUMBER":
                return After(int(number or 0))
            case "AT_TIMESTAMP":
                # The clock of a consumer that wants "now" may be ahead of the service's.
                return Since(round(max(0.0, min(second or 0.0, self._client.service_time())) * 1000))
            case "LATEST":
                return Since(int(self._client.service_time() * 1000), next(self._latest))
        return Oldest()

    def _check_shard(self, shard: str) -> None:
        if self._listing.is_listed(shard):
            return
        self._refresh()

    def _unknown(self, shard: str) -> KinesisFault:
        return not_found(f"Shard {shard} in stream {self.names.name} does not exist")

    def _reader(self, shard: str) -> ShardReader:
        with self._lock:
            reader = self._readers.get(shard)
            if reader is None:
                reader = self._readers[shard] = ShardReader(
                    self._client,
                    self.names.dynamodb_arn,
                    self.names.table,
                    shard,
                    self._data,
                    self._cache,
                    self._losses,
                    self._listing,
                    self._clock,
                )
            return reader

    def _encode(self, shard: str, position: Position) -> str:
        return encode_cursor(Cursor(self.names.identity, shard, position, int(self._client.service_time())))
