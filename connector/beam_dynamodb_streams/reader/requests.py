"""The requests of the reader and their answers, as values. `reader.stream_caller` makes the calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from beam_dynamodb_streams.errors import DelayError
from beam_dynamodb_streams.reader.items import RowsPage
from beam_dynamodb_streams.reader.stream import Entry, EntryPage, NextStream, ShardPage
from beam_dynamodb_streams.shards.frontier import Hint
from beam_dynamodb_streams.shards.position import Position


@dataclass(frozen=True, slots=True)
class Read:
    """The next page of a shard, from `position`."""

    shard: str
    position: Position
    hint: Hint | None = None


@dataclass(frozen=True, slots=True)
class List:
    """A page of the listing after a shard, or with `children_of` of the children of one."""

    after: str | None = None
    children_of: str | None = None


@dataclass(frozen=True, slots=True)
class Probe:
    """Asks whether a shard that no listing shows still exists in the service."""

    shard: str


@dataclass(frozen=True, slots=True)
class FindNext:
    """Asks which stream of the table follows `stream_arn`, which was read to its end."""

    stream_arn: str


@dataclass(frozen=True, slots=True)
class Scan:
    """The next page of a segment of the table. `attempt` tells the requests of a scan that was begun again apart."""

    segment: int
    total: int
    place: bytes
    limit: int | None = None
    attempt: int = 0


Request: TypeAlias = Read | List | Probe | FindNext | Scan


@dataclass(frozen=True, slots=True)
class PageRead:
    """A page that was read.

    Attributes:
        asked: The service's time before the call.
        records: The entries of the page without those older than the start.
        hint: The next iterator; None at the shard's end.
        renewals: How many iterators were requested.
        trimmed: None if nothing before the page was trimmed unread; True if something certainly was, False if it may
            have been.
        retention: For how many seconds the stream kept a record when the page was read; None for as long as always.
    """

    request: Read
    asked: float
    page: EntryPage
    records: Sequence[Entry]
    hint: Hint | None
    renewals: int
    trimmed: bool | None
    retention: float | None = None


@dataclass(frozen=True, slots=True)
class PageListed:
    request: List
    page: ShardPage


@dataclass(frozen=True, slots=True)
class PageScanned:
    """A page of items. `answered` is the service's time after the call."""

    request: Scan
    page: RowsPage
    answered: float


@dataclass(frozen=True, slots=True)
class Found:
    """The probed shard exists."""

    request: Probe


@dataclass(frozen=True, slots=True)
class Gone:
    """The shard, or the whole stream, does not exist in the service."""

    request: Request


@dataclass(frozen=True, slots=True)
class NoShardFilter:
    """The endpoint cannot list the children of one shard. They are found in whole listings instead."""

    request: List


@dataclass(frozen=True, slots=True)
class NextFound:
    """The stream that follows; None if there is none yet. `asked`: the service's time before the call."""

    request: FindNext
    asked: float
    found: NextStream | None


@dataclass(frozen=True, slots=True)
class Delayed:
    """A temporary fault (trap 15): request again later."""

    request: Request
    error: DelayError


@dataclass(frozen=True, slots=True)
class Failed:
    """An error that does not pass with time."""

    request: Request
    error: Exception


Answer: TypeAlias = PageRead | PageListed | PageScanned | Found | Gone | NoShardFilter | NextFound | Delayed | Failed
