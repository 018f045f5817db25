"""What the service answers, as values. Attribute values stay undecoded bytes inside the answer's body."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

if TYPE_CHECKING:
    RawOrNone = msgspec.Raw | None
else:
    # msgspec skips a plain Raw, but decodes a union with it in full: 0.9 ms against 3.4 ms for a 1 MB page.
    RawOrNone = msgspec.Raw

# What follows must be able to hold them, or one record that is off would stop the read for good. A time as a datetime,
# with the end of a window around it: from the epoch to the year 9998. A size as a column. Of a sequence number the
# decoder looks at the length only, and `decode_records` at the digits.
EpochSeconds = Annotated[float, msgspec.Meta(ge=0.0, lt=253_370_764_800.0)]
NumberText = Annotated[str, msgspec.Meta(min_length=1, max_length=40)]
Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class RawStreamRecord(msgspec.Struct, gc=False):
    """The "dynamodb" part of a record, named as the service names it.

    ``ApproximateCreationDateTime`` is epoch seconds, floored by the service to a whole second (facts 3 and
    19; emulators send fractions). ``SequenceNumber`` is 21 to 40 digits, of which 1 to 40 are taken: an integer
    in text (fact 4). ``Keys`` and the images are DynamoDB JSON as received, views into the page's body; an image
    is None where the stream's view or the kind of change has none (fact 17).
    """

    ApproximateCreationDateTime: EpochSeconds
    Keys: msgspec.Raw
    SequenceNumber: NumberText
    StreamViewType: str = ""
    SizeBytes: Int64 | None = None
    NewImage: RawOrNone = None
    OldImage: RawOrNone = None


class RawRecord(msgspec.Struct, gc=False):
    """One stream record, named as the service names it; ``userIdentity`` is undecoded JSON (TTL deletes)."""

    eventID: str  # noqa: N815
    eventName: Literal["INSERT", "MODIFY", "REMOVE"]  # noqa: N815
    dynamodb: RawStreamRecord
    eventVersion: str = ""  # noqa: N815
    eventSource: str = ""  # noqa: N815
    awsRegion: str = ""  # noqa: N815
    userIdentity: RawOrNone = None  # noqa: N815


@dataclass(frozen=True, slots=True)
class MalformedEntry:
    """A record that is not what the service documents: its place in the page, its bytes and what is wrong.

    ``index`` is -1 for one whose envelope could be read, and a value not. ``reason`` names the field and quotes no
    item content; ``sequence_number`` is digits, None when the record has no such number.
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
    """One GetRecords answer: up to 1,000 records or 1 MB in the shard's order; empty is not the end (fact 5).

    ``next_iterator`` None means that the shard has ended, also when the page brings records (fact 1).
    ``body`` keeps the bytes alive that the records view. ``malformed`` are the entries that are not in
    ``records``.
    """

    body: bytes
    records: list[RawRecord]
    malformed: list[MalformedEntry]
    next_iterator: str | None

    def __repr__(self) -> str:
        return (
            f"RecordsPage({len(self.body)} bytes, {len(self.records)} records, "
            f"{len(self.malformed)} malformed, {'open' if self.next_iterator else 'last'})"
        )


class ListedShard(msgspec.Struct, frozen=True, gc=False):
    """A shard as DescribeStream lists it, which is not always the truth (fact 6). A shard without
    ``ending_sequence_number`` is open."""

    shard_id: str
    parent_shard_id: str | None = None
    starting_sequence_number: str | None = None
    ending_sequence_number: str | None = None


@dataclass(frozen=True, slots=True)
class StreamPage:
    """One DescribeStream answer, at most 100 shards; only ``last_evaluated_shard_id`` says that more follow.

    ``status`` is ENABLING, ENABLED, DISABLING or DISABLED.
    """

    stream_arn: str
    table_name: str
    status: str
    view_type: str
    shards: tuple[ListedShard, ...]
    last_evaluated_shard_id: str | None


@dataclass(frozen=True, slots=True)
class Table:
    """A table and its latest stream, readable for 24 h after it was disabled (``stream_enabled`` False).

    ``latest_stream_arn`` is None for a table that never had a stream, or none in the last 24 h. ``key_types`` is like
    ``{"order_id": "S", "line": "N"}``, the partition key first.
    """

    name: str
    latest_stream_arn: str | None
    stream_enabled: bool
    stream_view_type: str | None
    key_types: dict[str, str]
