"""When to list the shards, and when the children of an ended shard are all known."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from enum import Enum, auto
from typing import Final, Protocol

from beam_dynamodb_streams.errors import DelayError, NotFoundError, ShardFilterError
from beam_dynamodb_streams.kinesis.known_shards import KnownShards
from beam_dynamodb_streams.reader.settling import Settling
from beam_dynamodb_streams.shards.lineage import Shard
from beam_dynamodb_streams.wire import StreamPage

#: The least seconds between two whole listings; the service allows ten calls a second, for all readers of a stream.
LEAST_SECONDS: Final = 1.0

#: How often the stream is listed at most before the first answer, until a listing shows nothing new (trap 6).
FIRST_LISTINGS: Final = 5

#: After how many seconds a shard that ended without children is reported, and how often then.
WARN_AFTER: Final = 30.0
WARN_EVERY: Final = 60.0

#: For how long a shard is shown that no listing shows any more, in seconds.
FORGET_SECONDS: Final = 3600.0

_log = logging.getLogger(__name__)


class Lister(Protocol):
    """The calls of `wire.Client` that listing needs."""

    def describe_stream(
        self, stream_arn: str, *, exclusive_start_shard_id: str | None = None, children_of: str | None = None
    ) -> StreamPage: ...


class Children(Enum):
    """What is known of the children of an ended shard."""

    WAIT = auto()
    KNOWN = auto()
    NONE = auto()


class ShardListing:
    """The listings of one stream. Thread-safe.

    Args:
      calls: lists the stream.
      stream_arn: the stream.
      clock: returns seconds whose differences are durations.
    """

    def __init__(self, calls: Lister, stream_arn: str, clock: Callable[[], float]) -> None:
        self.known = KnownShards()
        self.lock = threading.RLock()
        self.status = ""
        self.table_name = ""
        self._calls = calls
        self._stream_arn = stream_arn
        self._clock = clock
        self._listed = float("-inf")
        self._settling: dict[str, Settling] = {}  # by parent: since when its children are looked for
        self._warned: dict[str, float] = {}
        self._knows_filter = True

    def refresh(self) -> None:
        """List the stream, unless that was done within a second.

        Raises:
          ServiceError: the listing failed.
        """
        with self.lock:
            if not len(self.known):
                self._begin()
            elif self._clock() - self._listed >= LEAST_SECONDS:
                self._list_all()

    def is_listed(self, shard: str) -> bool:
        with self.lock:
            return self.known.is_listed(shard)

    def last_number(self, shard: str) -> str | None:
        """Return the last sequence number of a shard, as the latest listing shows it."""
        with self.lock:
            return self.known.last_number(shard)

    def children(self, parent: str) -> Children:
        """Return whether all children of an ended shard are known. Call it again while it returns WAIT.

        Each call makes one request at most. A failed one is made again with a later call.
        """
        with self.lock:
            if not len(self.known):
                self._begin()
            now = self._clock()
            settling = self._settling.setdefault(parent, Settling(now, now))
            if not self.known.children(parent) and settling.due <= now:
                self._look_for_children(parent, settling)
            if self.known.children(parent):
                self._settling.pop(parent, None)
                self._warned.pop(parent, None)
                return Children.KNOWN
            if settling.settled(now) and self.status == "DISABLED":
                return Children.NONE
            self._warn(parent, now - settling.since)
            return Children.WAIT

    def _warn(self, parent: str, seconds: float) -> None:
        """Report a shard whose children do not appear after half a minute, and each minute (trap 27)."""
        if seconds >= self._warned.get(parent, 0.0) + (WARN_EVERY if parent in self._warned else WARN_AFTER):
            self._warned[parent] = seconds
            _log.warning(
                "shard %s ended %.0f s ago, and no listing shows its children: its consumers get empty pages until one"
                " does",
                parent,
                seconds,
            )

    def _look_for_children(self, parent: str, settling: Settling) -> None:
        try:
            if self._knows_filter:
                self._list_children(parent, settling)
                return
        except ShardFilterError:
            self._knows_filter = False
        except (DelayError, NotFoundError):
            settling.listed(self._clock(), whole=False)
        if self._clock() - self._listed >= LEAST_SECONDS:
            self._list_all()

    def _list_children(self, parent: str, settling: Settling) -> None:
        page = self._calls.describe_stream(self._stream_arn, children_of=parent)
        now = self._clock()
        self.status = page.status
        self.known.take(_shards(page), now)
        settling.listed(now, whole=page.last_evaluated_shard_id is None)
        self._admit(now)

    def _begin(self) -> None:
        for _ in range(FIRST_LISTINGS):
            if not self._pages():
                break
        self._listed = self._clock()
        self.known.begin()

    def _list_all(self) -> None:
        began = self._clock()
        try:
            self._pages()
        except NotFoundError:
            self.status = "DISABLED"  # the stream is gone
            raise
        now = self._listed = self._clock()
        for parent in self.known.unsettled_parents():
            self._settling.setdefault(parent, Settling(began, now))
        for settling in self._settling.values():
            if settling.since <= began:
                settling.listed(now)
        self._admit(now)
        self.known.forget(now - FORGET_SECONDS)

    def _admit(self, now: float) -> None:
        self.known.admit({parent for parent, settling in self._settling.items() if settling.settled(now)})
        for parent in [parent for parent in self._settling if self.known.children(parent)]:
            del self._settling[parent]

    def _pages(self) -> bool:
        """Take in a whole listing. Return whether it showed a new shard. A cursor that repeats ends it (trap 6)."""
        after: list[str | None] = [None]
        new = False
        while True:
            page = self._calls.describe_stream(self._stream_arn, exclusive_start_shard_id=after[-1])
            self.status, self.table_name = page.status, page.table_name or self.table_name
            new |= self.known.take(_shards(page), self._clock())
            if page.last_evaluated_shard_id is None or page.last_evaluated_shard_id in after:
                return new
            after.append(page.last_evaluated_shard_id)


def _shards(page: StreamPage) -> list[Shard]:
    return [
        Shard(shard.shard_id, shard.parents, shard.starting_sequence_number, shard.ending_sequence_number)
        for shard in page.shards
    ]
