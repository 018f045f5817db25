"""What the reader asks, and what each answer means to it. No calls: `reader.stream_caller` makes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from beam_dynamodb_streams.errors import DelayError
from beam_dynamodb_streams.reader.stream import Entry, EntryPage, ShardPage
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
    """Asks whether the service still knows a shard that no listing shows."""

    shard: str


Request: TypeAlias = Read | List | Probe


@dataclass(frozen=True, slots=True)
class PageRead:
    """A page that was read.

    Attributes:
        asked: The service's time before the call.
        records: The entries of the page without those older than the start.
        hint: The next iterator; None at the shard's end.
        renewals: How many iterators were asked for.
        trimmed: None, or that unread records before this page are gone: True if that is certain.
    """

    request: Read
    asked: float
    page: EntryPage
    records: Sequence[Entry]
    hint: Hint | None
    renewals: int
    trimmed: bool | None


@dataclass(frozen=True, slots=True)
class PageListed:
    request: List
    page: ShardPage


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
    """The endpoint cannot list the children of a shard alone: they are found in full listings."""

    request: List


@dataclass(frozen=True, slots=True)
class Delayed:
    """A fault that passes (trap 15): ask again later."""

    request: Request
    error: DelayError


@dataclass(frozen=True, slots=True)
class Failed:
    """An error that waiting does not mend."""

    request: Request
    error: Exception


Answer: TypeAlias = PageRead | PageListed | Found | Gone | NoShardFilter | Delayed | Failed
