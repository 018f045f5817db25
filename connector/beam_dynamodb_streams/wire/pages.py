"""The answers of a stream as values. Attribute values stay undecoded bytes inside the body of the answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec

from beam_dynamodb_streams.wire.envelope import RawRecord, largest_record

#: The service ends a page before the record with which it would be larger.
PAGE_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class MalformedEntry:
    """A record that is not what the service documents.

    Attributes:
      index: its place in the page, or -1 if its envelope could be read and one of its values could not.
      payload: its bytes.
      reason: what is wrong. It names the field and quotes no content of the item.
      sequence_number: digits, or None if the record has no such number.
    """

    index: int
    payload: bytes
    reason: str
    sequence_number: str | None

    def __repr__(self) -> str:
        return (
            f"MalformedEntry(index={self.index}, payload=<{len(self.payload)} bytes>, "
            f"reason={self.reason!r}, sequence_number={self.sequence_number!r})"
        )


@dataclass(frozen=True, slots=True)
class RecordsPage:
    """One GetRecords answer: at most 1,000 records or 1 MB in the shard's order. An empty one is not the end (trap 5).

    Attributes:
      body: the bytes that the records are views of.
      records: the records that could be decoded.
      malformed: the entries that are not in `records`.
      next_iterator: None if the shard has ended, which it may although the page has records (trap 1).
      behind: how many seconds the page's end is behind the shard's newest record, where the service says so.
      first_number: the number of the page's first record, where the page may leave records out.
      last_number: the number of the page's last record, likewise.
      unproven: whether the page does not show if the position that it was read from still exists.
    """

    body: bytes
    records: list[RawRecord]
    malformed: list[MalformedEntry]
    next_iterator: str | None
    behind: float | None = None
    first_number: str | None = None
    last_number: str | None = None
    unproven: bool = False

    @property
    def is_full(self) -> bool:
        """Whether the page ended because of its bytes, which is a guess: one more record like its largest is too much.

        It is False where the service says how far behind the page's end is.
        """
        if self.behind is not None or len(self.body) < PAGE_BYTES // 4:
            return False
        largest = max(largest_record(self.records), *(len(entry.payload) for entry in self.malformed), 0)
        return len(self.body) + largest >= PAGE_BYTES

    def __repr__(self) -> str:
        return (
            f"RecordsPage({len(self.body)} bytes, {len(self.records)} records, "
            f"{len(self.malformed)} malformed, {'open' if self.next_iterator else 'last'})"
        )


class ListedShard(msgspec.Struct, frozen=True, gc=False):
    """A shard as DescribeStream lists it, which may be wrong (trap 6). It is open without an ending sequence number.

    The service names at most one parent. `parents` is a tuple because other kinds of stream name two.
    """

    shard_id: str
    parents: tuple[str, ...] = ()
    starting_sequence_number: str | None = None
    ending_sequence_number: str | None = None


@dataclass(frozen=True, slots=True)
class StreamsPage:
    """One ListStreams answer with at most 100 streams. Only `last_evaluated_stream_arn` says whether more follow."""

    stream_arns: tuple[str, ...]
    last_evaluated_stream_arn: str | None


@dataclass(frozen=True, slots=True)
class StreamPage:
    """One DescribeStream answer with at most 100 shards. Only `last_evaluated_shard_id` says whether more follow.

    `status` is ENABLING, ENABLED, DISABLING or DISABLED.
    """

    stream_arn: str
    table_name: str
    status: str
    view_type: str
    shards: tuple[ListedShard, ...]
    last_evaluated_shard_id: str | None


@dataclass(frozen=True, slots=True)
class DataStream:
    """A Kinesis data stream. `status`: CREATING, DELETING, ACTIVE or UPDATING."""

    name: str
    arn: str
    status: str
    retention_seconds: int
