"""Makes the calls of a request, on the fetcher's threads.

Answers are data; an error that no reader can handle is `Failed`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

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
from beam_dynamodb_streams.reader.items import ItemTable
from beam_dynamodb_streams.reader.requests import (
    Answer,
    Delayed,
    Failed,
    FindNext,
    Found,
    Gone,
    List,
    NextFound,
    NoShardFilter,
    PageListed,
    PageRead,
    PageScanned,
    Probe,
    Read,
    Request,
    Scan,
)
from beam_dynamodb_streams.reader.stream import Entry, EntryPage, Stream, Succession
from beam_dynamodb_streams.shards.frontier import Hint
from beam_dynamodb_streams.shards.position import After, AtTime, Horizon, Position
from beam_dynamodb_streams.shards.start_stop import AHEAD_SECONDS

_LOGGER: Final = logging.getLogger(__name__)

#: An iterator with less than this left of its life is not worth the call.
SPARE_SECONDS: Final = 60

#: One for each reason to repeat the request for a page, and some in reserve. More is a fault of the endpoint.
MOST_ITERATORS: Final = 5


class StreamCaller:
    """Performs requests against one stream, and its table if that is scanned. Thread-safe as both are.

    `succession` finds the stream that follows it, where a read asks for that.
    """

    def __init__(self, stream: Stream, succession: Succession | None = None, table: ItemTable | None = None) -> None:
        self._stream = stream
        self._succession = succession
        self._table = table
        self._hint_seconds = stream.traits.iterator_seconds - SPARE_SECONDS

    def perform(self, request: Request) -> Answer:
        try:
            match request:
                case Read():
                    return self._read(request)
                case List():
                    page = self._stream.list_shards(after=request.after, children_of=request.children_of)
                    return PageListed(request, page)
                case Probe():
                    self._stream.find_shard(request.shard)
                    return Found(request)
                case FindNext():
                    asked = self._stream.time()
                    found = None if self._succession is None else self._succession.find_next(request.stream_arn)
                    return NextFound(request, asked, found)
                case Scan():
                    return self._scan(request)
        except TrimmedDataError:
            return Found(Probe(request.shard)) if isinstance(request, Probe) else Gone(request)
        except NotFoundError as error:
            return Failed(request, error) if isinstance(request, FindNext | Scan) else Gone(request)
        except ShardFilterError as error:
            return NoShardFilter(request) if isinstance(request, List) else Failed(request, error)
        except DelayError as error:
            return Delayed(request, error)
        except Exception as error:  # noqa: BLE001 - crosses a thread: the reader raises it where the pipeline sees it
            return Failed(request, error)

    def _scan(self, request: Scan) -> Answer:
        if self._table is None:
            raise RuntimeError("a scan was requested of a reader without a table")
        page = self._table.scan(request.segment, request.total, request.place, request.limit)
        return PageScanned(request, page, self._stream.time())

    def _read(self, request: Read) -> Answer:
        shard, position, renewals = request.shard, request.position, 0
        trimmed: bool | None = None
        refusal: ServiceError | None = None
        iterator = ""
        if request.hint and self._stream.time() - request.hint.second < self._hint_seconds:
            iterator = request.hint.iterator
        while True:
            if not iterator:
                if renewals == MOST_ITERATORS:
                    raise self._refused(shard, position, refusal)
                renewals += 1
                try:
                    iterator = self._stream.iterator(shard, position if trimmed is None else Horizon())
                except TrimmedDataError as error:  # past the horizon; everything after the position may still exist
                    trimmed, refusal = bool(trimmed), error
                    continue
            asked = self._stream.time()
            try:
                page = self._stream.fetch(shard, iterator)
            except (ExpiredIteratorError, IteratorTypeError) as error:
                refusal = error
            except TrimmedDataError as error:  # the service says that the iterator's own record is gone (trap 10)
                trimmed, refusal = error.certain, error
            except (NotFoundError, DelayError):
                raise
            except ServiceError as error:
                if renewals:
                    raise
                refusal = error  # an iterator is only a hint: this one is not of this stream
            else:
                if (number := _repeated(page, position)) is None:
                    return self._page_read(request, page, asked, renewals, trimmed)
                _LOGGER.warning(
                    "GetRecords of shard %s returned sequence number %s, which is not after the position %s: the page "
                    "is not delivered, and the shard is read again from the position",
                    *(shard, number, position),
                )
                if renewals == MOST_ITERATORS:
                    raise ServiceError(
                        f"GetRecords returned sequence number {number} after the position {position} was asked for, "
                        f"{renewals} times with new iterators: the endpoint repeats what was delivered, or its numbers "
                        "go back. Check the endpoint; if the stream was created again under its old ARN, start again",
                        stream=self._stream.name,
                        shard=shard,
                        position=str(position),
                    )
            iterator = ""

    def _page_read(self, request: Read, page: EntryPage, asked: float, renewals: int, trimmed: bool | None) -> PageRead:
        records = page.records
        if isinstance(request.position, AtTime):
            records = _from(records, request.position.second, asked + AHEAD_SECONDS)
        hint = None if page.next_iterator is None else Hint(page.next_iterator, int(asked))
        retention = self._stream.traits.retention_seconds
        return PageRead(request, asked, page, records, hint, renewals, trimmed, retention)

    def _refused(self, shard: str, position: Position, refusal: ServiceError | None) -> UnavailableError:
        error = UnavailableError(
            f"GetRecords refused {MOST_ITERATORS} new shard iterators: {refusal.message if refusal else 'no reason'}",
            stream=self._stream.name,
            shard=shard,
            position=str(position),
        )
        error.operation = "GetRecords"
        return error


def _repeated(page: EntryPage, position: Position) -> str | None:
    """Return the first sequence number of a page if it is not after the position, which is never right."""
    if not isinstance(position, After):
        return None
    numbers = [entry.sequence_number for entry in page.malformed if entry.sequence_number is not None]
    if page.records:
        numbers.append(page.records[0].sequence_number)
    first = min(numbers, key=int, default=None)
    return None if first is None or int(first) > int(position.sequence_number) else first


def _from(records: Sequence[Entry], second: int, latest: float) -> Sequence[Entry]:
    """Return the entries from the first one created at or after `second`, as a start at a moment means it.

    An entry dated later than `latest` does not begin them, but is one of them.
    """
    for index, record in enumerate(records):
        if second <= record.creation_time <= latest:
            return [*(ahead for ahead in records[:index] if ahead.creation_time > latest), *records[index:]]
    return [record for record in records if record.creation_time > latest]
