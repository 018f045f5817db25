"""DynamoDB Streams as a `reader.stream.Stream`: the only module of the reader that knows a service."""

from __future__ import annotations

from typing import Final

from beam_dynamodb_streams.errors import IteratorTypeError
from beam_dynamodb_streams.reader.stream import StreamTraits
from beam_dynamodb_streams.shards.loss import RETENTION_SECONDS
from beam_dynamodb_streams.shards.position import After, AtTime, Position
from beam_dynamodb_streams.shards.quiet import QuietRule
from beam_dynamodb_streams.wire import RecordsPage, StreamCalls, StreamPage

#: No answer says how far it is behind, and real shards return runs of empty pages before data (trap 5).
TRAITS: Final = StreamTraits(
    retention_seconds=RETENTION_SECONDS,
    iterator_seconds=15 * 60,
    page_entries=1000,
    quiet=QuietRule(pages=30, seconds=10.0),
)


class DynamoDBStream:
    """One stream of a table. Thread-safe: its only state is whether the endpoint supports AT_TIMESTAMP.

    Only a run of empty pages proves that a reader has caught up (`shards.quiet`), because no answer says how far it is
    behind.

    Args:
        calls: The client.
        stream_arn: The stream.
        limit: How many records a page may have.
    """

    def __init__(self, calls: StreamCalls, stream_arn: str, *, limit: int = TRAITS.page_entries) -> None:
        self.name = stream_arn
        self.traits = TRAITS
        self._calls = calls
        self._limit = limit
        self._knows_at_timestamp = True

    def list_shards(self, *, after: str | None, children_of: str | None) -> StreamPage:
        return self._calls.describe_stream(self.name, exclusive_start_shard_id=after, children_of=children_of)

    def find_shard(self, shard: str) -> None:
        self._calls.get_shard_iterator(self.name, shard, "TRIM_HORIZON")

    def iterator(self, shard: str, position: Position) -> str:
        match position:
            case After(sequence_number):
                return self._calls.get_shard_iterator(
                    self.name, shard, "AFTER_SEQUENCE_NUMBER", sequence_number=sequence_number
                )
            case AtTime(second) if self._knows_at_timestamp:
                try:
                    return self._calls.get_shard_iterator(self.name, shard, "AT_TIMESTAMP", timestamp=second)
                except IteratorTypeError:
                    self._knows_at_timestamp = False
        return self._calls.get_shard_iterator(self.name, shard, "TRIM_HORIZON")

    def fetch(self, shard: str, iterator: str) -> RecordsPage:
        try:
            return self._calls.get_records(iterator, limit=self._limit, stream_arn=self.name, shard_id=shard)
        except IteratorTypeError:  # some emulators return an AT_TIMESTAMP iterator and then refuse it
            self._knows_at_timestamp = False
            raise

    def time(self) -> float:
        return self._calls.service_time()
