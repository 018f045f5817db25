"""The calls that both kinds of stream have, as their readers need them. `Client` and `KinesisClient` have all."""

from __future__ import annotations

from typing import Protocol

from beam_dynamodb_streams.wire.pages import RecordsPage, StreamPage


class RecordCalls(Protocol):
    """The calls that read the records of a shard."""

    def get_shard_iterator(
        self,
        stream_arn: str,
        shard_id: str,
        iterator_type: str,
        *,
        sequence_number: str | None = None,
        timestamp: float | None = None,
    ) -> str: ...
    def get_records(self, iterator: str, *, limit: int, stream_arn: str, shard_id: str) -> RecordsPage: ...
    def service_time(self) -> float: ...


class StreamCalls(RecordCalls, Protocol):
    """The calls that list the shards of a stream, and read their records."""

    def describe_stream(
        self, stream_arn: str, *, exclusive_start_shard_id: str | None = None, children_of: str | None = None
    ) -> StreamPage: ...
