"""One request to the service and its answer: what the reader asks, and what every answer means to it.

Runs on the fetcher's threads. An answer is data: only an error that no reader can mend is left as an exception.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from beam_dynamodb_streams.errors import (
    DelayError,
    ExpiredIteratorError,
    IteratorTypeError,
    NotFoundError,
    ServiceError,
    ShardFilterError,
    TrimmedDataError,
    UnavailableError,
)
from beam_dynamodb_streams.shards.frontier import Hint
from beam_dynamodb_streams.shards.position import After, AtTime, Horizon, Position
from beam_dynamodb_streams.wire import RawRecord, RecordsPage, StreamPage

#: The service takes back an iterator after 15 minutes; one that is older than this is not worth the call.
HINT_SECONDS: Final = 14 * 60

#: One for each reason there is to ask again within a page, with some to spare; more is a fault of the endpoint.
MOST_ITERATORS: Final = 5


class Service(Protocol):
    """What the reader needs of :class:`wire.Client`."""

    def describe_stream(
        self, stream_arn: str, *, exclusive_start_shard_id: str | None = None, children_of: str | None = None
    ) -> StreamPage: ...
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


@dataclass(frozen=True, slots=True)
class Read:
    """The next page of a shard, from ``position``."""

    shard: str
    position: Position
    hint: Hint | None = None


@dataclass(frozen=True, slots=True)
class List:
    """A page of the listing after a shard, or with ``children_of`` the children of one."""

    after: str | None = None
    children_of: str | None = None


@dataclass(frozen=True, slots=True)
class Probe:
    """Whether the service still knows a shard that no listing shows."""

    shard: str


Request: TypeAlias = Read | List | Probe


@dataclass(frozen=True, slots=True)
class PageRead:
    """A page of records, without those older than the start. ``hint`` is None at the shard's end.

    ``trimmed``: None, or that unread records before this page are gone, True if that is certain.
    """

    request: Read
    asked: float
    page: RecordsPage
    records: list[RawRecord]
    hint: Hint | None
    renewals: int
    trimmed: bool | None


@dataclass(frozen=True, slots=True)
class PageListed:
    request: List
    page: StreamPage


@dataclass(frozen=True, slots=True)
class Found:
    """The probed shard exists."""

    request: Probe


@dataclass(frozen=True, slots=True)
class Gone:
    """The service does not know the shard, or the whole stream."""

    request: Request


@dataclass(frozen=True, slots=True)
class NoShardFilter:
    """The endpoint does not know ShardFilter: children are found in full listings."""

    request: List


@dataclass(frozen=True, slots=True)
class Delayed:
    """A fault that passes (fact 15): ask again later."""

    request: Request
    error: DelayError


@dataclass(frozen=True, slots=True)
class Failed:
    """An error that no waiting mends."""

    request: Request
    error: Exception


Answer: TypeAlias = PageRead | PageListed | Found | Gone | NoShardFilter | Delayed | Failed


class StreamCaller:
    """Performs requests against one stream. Thread-safe: it only remembers whether the endpoint knows AT_TIMESTAMP."""

    def __init__(self, service: Service, stream_arn: str, *, limit: int = 1000) -> None:
        self._service = service
        self._stream = stream_arn
        self._limit = limit
        self._knows_at_timestamp = True

    def perform(self, request: Request) -> Answer:
        try:
            match request:
                case Read():
                    return self._read(request)
                case List():
                    page = self._service.describe_stream(
                        self._stream, exclusive_start_shard_id=request.after, children_of=request.children_of
                    )
                    return PageListed(request, page)
                case Probe():
                    self._service.get_shard_iterator(self._stream, request.shard, "TRIM_HORIZON")
                    return Found(request)
        except TrimmedDataError:
            return Found(Probe(request.shard)) if isinstance(request, Probe) else Gone(request)
        except NotFoundError:
            return Gone(request)
        except ShardFilterError as error:
            return NoShardFilter(request) if isinstance(request, List) else Failed(request, error)
        except DelayError as error:
            return Delayed(request, error)
        except Exception as error:  # noqa: BLE001 - crosses a thread: the reader raises it where the pipeline sees it
            return Failed(request, error)

    def _read(self, request: Read) -> Answer:
        shard, position, renewals = request.shard, request.position, 0
        trimmed: bool | None = None
        iterator = ""
        if request.hint and self._service.service_time() - request.hint.second < HINT_SECONDS:
            iterator = request.hint.iterator
        while True:
            if not iterator:
                if renewals == MOST_ITERATORS:
                    raise UnavailableError(
                        "every new shard iterator was refused", stream=self._stream, shard=shard, position=str(position)
                    )
                renewals += 1
                try:
                    iterator = self._iterator(shard, position if trimmed is None else Horizon())
                except TrimmedDataError:  # the position is past the horizon; what follows it may be there in full
                    trimmed = bool(trimmed)
                    continue
            asked = self._service.service_time()
            try:
                page = self._service.get_records(iterator, limit=self._limit, stream_arn=self._stream, shard_id=shard)
            except ExpiredIteratorError:
                pass
            except TrimmedDataError:  # the iterator's own record is gone: the service says so (fact 10)
                trimmed = True
            except IteratorTypeError:  # some emulators hand out an AT_TIMESTAMP iterator that they cannot read
                self._knows_at_timestamp = False
            except (NotFoundError, DelayError):
                raise
            except ServiceError:
                if renewals:
                    raise
                # An iterator is only a hint: this one was not of this stream's making.
            else:
                records = page.records
                if isinstance(position, AtTime):
                    records = _from(records, position.second)
                hint = None if page.next_iterator is None else Hint(page.next_iterator, int(asked))
                return PageRead(request, asked, page, records, hint, renewals, trimmed)
            iterator = ""

    def _iterator(self, shard: str, position: Position) -> str:
        match position:
            case After(sequence_number):
                return self._service.get_shard_iterator(
                    self._stream, shard, "AFTER_SEQUENCE_NUMBER", sequence_number=sequence_number
                )
            case AtTime(second) if self._knows_at_timestamp:
                try:
                    return self._service.get_shard_iterator(self._stream, shard, "AT_TIMESTAMP", timestamp=second)
                except IteratorTypeError:
                    self._knows_at_timestamp = False
        return self._service.get_shard_iterator(self._stream, shard, "TRIM_HORIZON")


def _from(records: list[RawRecord], second: int) -> list[RawRecord]:
    """The records from the first one on that was created at or after ``second``: what AT_TIMESTAMP itself gives."""
    for index, record in enumerate(records):
        if record.creation_time >= second:
            return records[index:]
    return []
