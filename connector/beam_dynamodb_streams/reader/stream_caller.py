"""Makes the calls of a request, on the fetcher's threads.

Answers are data; an error that no reader can handle is `Failed`.
"""

from __future__ import annotations

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
from beam_dynamodb_streams.reader.requests import (
    Answer,
    Delayed,
    Failed,
    Found,
    Gone,
    List,
    NoShardFilter,
    PageListed,
    PageRead,
    Probe,
    Read,
    Request,
)
from beam_dynamodb_streams.reader.stream import Entry, Stream
from beam_dynamodb_streams.shards.frontier import Hint
from beam_dynamodb_streams.shards.position import AtTime, Horizon

#: An iterator with less than this left of its life is not worth the call.
SPARE_SECONDS: Final = 60

#: One for each reason to repeat the request for a page, and some in reserve. More is a fault of the endpoint.
MOST_ITERATORS: Final = 5


class StreamCaller:
    """Performs requests against one stream. Thread-safe as the stream is."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
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
        if request.hint and self._stream.time() - request.hint.second < self._hint_seconds:
            iterator = request.hint.iterator
        while True:
            if not iterator:
                if renewals == MOST_ITERATORS:
                    raise UnavailableError(
                        "every new shard iterator was refused",
                        stream=self._stream.name,
                        shard=shard,
                        position=str(position),
                    )
                renewals += 1
                try:
                    iterator = self._stream.iterator(shard, position if trimmed is None else Horizon())
                except TrimmedDataError:  # the position is past the horizon; everything after it may still exist
                    trimmed = bool(trimmed)
                    continue
            asked = self._stream.time()
            try:
                page = self._stream.fetch(shard, iterator)
            except (ExpiredIteratorError, IteratorTypeError):
                pass
            except TrimmedDataError:  # the service says that the iterator's own record is gone (trap 10)
                trimmed = True
            except (NotFoundError, DelayError):
                raise
            except ServiceError:
                if renewals:
                    raise
                # An iterator is only a hint: this one is not of this stream.
            else:
                records = page.records
                if isinstance(position, AtTime):
                    records = _from(records, position.second)
                hint = None if page.next_iterator is None else Hint(page.next_iterator, int(asked))
                return PageRead(request, asked, page, records, hint, renewals, trimmed)
            iterator = ""


def _from(records: Sequence[Entry], second: int) -> Sequence[Entry]:
    """Return the entries from the first one created at or after `second`, as a start at a moment means it."""
    for index, record in enumerate(records):
        if record.creation_time >= second:
            return records[index:]
    return []
