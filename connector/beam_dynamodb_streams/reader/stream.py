"""What the reader knows of a stream: a stream lists shards and serves pages of entries. No service, no I/O.

A kind of stream has one implementation of `Stream` (`reader.dynamodb_streams` is the first), the pages of a `wire`
module, and an envelope in `records`. Its calls raise the exceptions of `errors`; `reader.stream_caller` decides what
each one means.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from beam_dynamodb_streams.shards.generations import Generation
from beam_dynamodb_streams.shards.position import Position
from beam_dynamodb_streams.shards.quiet import QuietRule
from beam_dynamodb_streams.shards.segments import TableScan


class Entry(Protocol):
    """One change as the stream delivers it. The object also is its own payload, which only the envelope's module reads.

    Attributes:
        sequence_number: An integer in text, comparable within one shard's lineage (trap 4).
        creation_time: Epoch seconds.
    """

    @property
    def sequence_number(self) -> str: ...
    @property
    def creation_time(self) -> float: ...


class Malformed(Protocol):
    """An entry that is not as the service documents.

    Attributes:
        index: Its index in the page; -1 if its envelope could be read and one of its values could not.
        payload: Its bytes.
        reason: What is wrong, without any content of the item.
        sequence_number: None if it has none that can be read.
    """

    @property
    def index(self) -> int: ...
    @property
    def payload(self) -> bytes: ...
    @property
    def reason(self) -> str: ...
    @property
    def sequence_number(self) -> str | None: ...


class EntryPage(Protocol):
    """One answer with entries, in the shard's order. Each entry is in `records` or in `malformed`.

    An empty page is not the end (trap 5): the shard has ended where `next_iterator` is None (trap 1).
    """

    @property
    def body(self) -> bytes: ...
    @property
    def records(self) -> Sequence[Entry]: ...
    @property
    def malformed(self) -> Sequence[Malformed]: ...
    @property
    def next_iterator(self) -> str | None: ...
    @property
    def behind(self) -> float | None:
        """The seconds between the end of the page and the shard's newest entry; None if the service does not say."""

    @property
    def last_number(self) -> str | None:
        """The number of the page's last entry, if the page may leave entries out; None otherwise."""

    @property
    def is_full(self) -> bool:
        """Whether the page probably ended because of its bytes, although it has fewer entries than a page may have."""

    @property
    def unproven(self) -> bool:
        """Whether the page does not show if the position that it was read from still exists."""


class ShardListed(Protocol):
    """A shard as a listing shows it, which may be wrong (trap 6)."""

    @property
    def shard_id(self) -> str: ...
    @property
    def parents(self) -> tuple[str, ...]: ...
    @property
    def starting_sequence_number(self) -> str | None: ...
    @property
    def ending_sequence_number(self) -> str | None: ...


class ShardPage(Protocol):
    """A page of a listing. Only `last_evaluated_shard_id` says whether more follow; `status` is the stream's."""

    @property
    def status(self) -> str: ...
    @property
    def shards(self) -> Sequence[ShardListed]: ...
    @property
    def last_evaluated_shard_id(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class StreamTraits:
    """What a kind of stream promises.

    Attributes:
        retention_seconds: How long a record can be read after it was written.
        iterator_seconds: How long an iterator can be used.
        page_entries: How many entries a page has at most.
        quiet: The run of empty pages that proves a shard caught up, unless the read asks for another one.
        trims_by_age_alone: Whether a position that is gone means no loss if everything younger than the retention had
            been seen. A data stream's shard stays open for years, so the position of an idle one grows old.
        least_seconds: The least time between two calls of GetRecords for one shard.
    """

    retention_seconds: int
    iterator_seconds: int
    page_entries: int
    quiet: QuietRule
    trims_by_age_alone: bool = False
    least_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class NextStream:
    """The stream that follows another one.

    Attributes:
        generation: The stream, and when it was created.
        complete: Whether all streams of the table could be listed; if not, others may be between the two.
        view_type: Which images its records have; "" if that is not known.
        replaced: Whether it is the stream of another table of the same name.
        saved: The positions of an earlier run in it; None if no earlier run had begun it.
        refusal: Why it must not be read; "" if it may.
        scan: The scan that begins a new snapshot with it, where it is the stream of another table of the same name;
            None if the read has no snapshot.
    """

    generation: Generation
    complete: bool = True
    view_type: str = ""
    replaced: bool = False
    saved: Mapping[str, Position] | None = None
    refusal: str = ""
    scan: TableScan | None = None


class Succession(Protocol):
    """Finds the stream that follows another one. Thread-safe."""

    def find_next(self, stream_arn: str) -> NextStream | None:
        """Return the stream that follows, or None if there is none yet."""


class Stream(Protocol):
    """One stream of some service. Thread-safe: the fetcher's threads call it."""

    @property
    def name(self) -> str:
        """The name of the stream in errors."""

    @property
    def traits(self) -> StreamTraits: ...

    def list_shards(self, *, after: str | None, children_of: str | None) -> ShardPage:
        """Return the page of the listing after a shard, or of the children of one. Raises `ShardFilterError` where the
        endpoint cannot list children alone."""

    def find_shard(self, shard: str) -> None:
        """Return None if the shard exists. Raises `NotFoundError` if it does not."""

    def iterator(self, shard: str, position: Position) -> str:
        """Return an iterator at the position. Raises `TrimmedDataError` if the position is no longer there."""

    def fetch(self, shard: str, iterator: str) -> EntryPage:
        """Return the next page. Raises `ExpiredIteratorError` or `IteratorTypeError` for an iterator to replace."""

    def time(self) -> float:
        """Return the service's time, in epoch seconds."""
