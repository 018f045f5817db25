"""A Kinesis data stream as a `reader.stream.Stream`."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, Protocol

from beam_dynamodb_streams.errors import TrimmedDataError
from beam_dynamodb_streams.reader.stream import StreamTraits
from beam_dynamodb_streams.shards.position import After, AtTime, Position
from beam_dynamodb_streams.shards.quiet import QuietRule
from beam_dynamodb_streams.wire import RecordsPage, StreamCalls, StreamPage

#: The rule counts only where an endpoint leaves out how far a page is behind.
QUIET: Final = QuietRule(pages=30, seconds=10.0)

#: The service allows five GetRecords calls a second for each shard.
LEAST_SECONDS: Final = 0.2

#: How often to ask for the retention, which anybody may change while the stream is read, in seconds.
RETENTION_EVERY: Final = 60.0

#: The same once a position seems to be trimmed: whether that is a loss depends on it.
_RETENTION_SOON: Final = 10.0

_CHECKED: Final = "after:"


class KinesisCalls(StreamCalls, Protocol):
    """The calls of `wire.KinesisClient` that a stream needs."""

    def retention_seconds(self, stream_arn: str, *, now: bool = False) -> int: ...


class KinesisStream:
    """One Kinesis data stream. Thread-safe: its only state is what it knows of the retention.

    A position that the service no longer has silently becomes the horizon (trap 34). So a page after a position begins
    at the position itself. Its record is returned again, and left out. If another record is first, the position was
    trimmed. The iterator of such a page says so in its text, until the page has come.

    Args:
        calls: The client.
        stream_arn: The stream.
        limit: How many records a page may have.
    """

    def __init__(self, calls: KinesisCalls, stream_arn: str, *, limit: int) -> None:
        self.name = stream_arn
        self.traits = StreamTraits(
            retention_seconds=calls.retention_seconds(stream_arn),
            iterator_seconds=5 * 60,
            page_entries=10_000,
            quiet=QUIET,
            trims_by_age_alone=True,
            least_seconds=LEAST_SECONDS,
        )
        self._calls = calls
        self._limit = limit
        self._asked = calls.service_time()

    def list_shards(self, *, after: str | None, children_of: str | None) -> StreamPage:
        self._ask_for_retention(every=RETENTION_EVERY)
        return self._calls.describe_stream(self.name, exclusive_start_shard_id=after, children_of=children_of)

    def find_shard(self, shard: str) -> None:
        self._calls.get_shard_iterator(self.name, shard, "TRIM_HORIZON")

    def iterator(self, shard: str, position: Position) -> str:
        match position:
            case After(sequence_number):
                iterator = self._calls.get_shard_iterator(
                    self.name, shard, "AT_SEQUENCE_NUMBER", sequence_number=sequence_number
                )
                return f"{_CHECKED}{sequence_number}:{iterator}"
            case AtTime(second):
                return self._calls.get_shard_iterator(self.name, shard, "AT_TIMESTAMP", timestamp=second)
        return self._calls.get_shard_iterator(self.name, shard, "TRIM_HORIZON")

    def fetch(self, shard: str, iterator: str) -> RecordsPage:
        number, own = "", iterator
        if iterator.startswith(_CHECKED):
            _, number, own = iterator.split(":", 2)
        page = self._calls.get_records(own, limit=self._limit, stream_arn=self.name, shard_id=shard)
        return page if not number else self._checked(page, shard, number)

    def time(self) -> float:
        return self._calls.service_time()

    def _ask_for_retention(self, *, every: float) -> None:
        now = self._calls.service_time()
        if now - self._asked >= every:
            seconds = self._calls.retention_seconds(self.name, now=True)
            self.traits = replace(self.traits, retention_seconds=seconds)
            self._asked = now

    def _checked(self, page: RecordsPage, shard: str, number: str) -> RecordsPage:
        """Return the page without the record at the position. Raises `TrimmedDataError` if it is not there."""
        first, following = page.first_number, page.next_iterator
        if first is None and following is not None:
            if page.behind == 0:  # nothing is left of the position, or of what came after it
                self._ask_for_retention(every=_RETENTION_SOON)
            return replace(page, next_iterator=f"{_CHECKED}{number}:{following}", unproven=True)
        if first is None or int(first) > int(number):
            error = TrimmedDataError(
                f"sequence number {number} is older than the stream keeps records: the shard now begins at "
                f"{first or 'its end'}",
                stream=self.name,
                shard=shard,
                position=number,
            )
            error.certain = False
            self._ask_for_retention(every=_RETENTION_SOON)
            raise error
        return replace(
            page,
            records=[record for record in page.records if int(record.sequence_number) > int(number)],
            malformed=[
                entry
                for entry in page.malformed
                if entry.sequence_number is None or int(entry.sequence_number) > int(number)
            ],
        )
