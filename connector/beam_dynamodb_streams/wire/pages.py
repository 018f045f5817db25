"""The answers of a stream as values. Attribute values stay undecoded bytes inside the body of the answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

if TYPE_CHECKING:
    RawOrNone = msgspec.Raw | None
else:
    # msgspec skips a plain Raw, and decodes a union with it in full: 0.9 ms against 3.4 ms for a page of 1 MB.
    RawOrNone = msgspec.Raw

# Later steps must be able to hold these values, or one wrong record would stop the read for good. A time must fit a
# datetime, with the end of a window around it: from the epoch to the year 9998. A size must fit an int64 column. Of a
# sequence number the decoder checks the length only; `decode_records` checks the digits.
EpochSeconds = Annotated[float, msgspec.Meta(ge=0.0, lt=253_370_764_800.0)]
NumberText = Annotated[str, msgspec.Meta(min_length=1, max_length=40)]
Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class RawStreamRecord(msgspec.Struct, gc=False):
    """The "dynamodb" part of a record, with the service's names.

    Attributes:
      ApproximateCreationDateTime: epoch seconds, rounded down by the service to a whole second (traps 3 and 19).
        Emulators send fractions.
      Keys: DynamoDB JSON as received, a view into the page's body, as are the images.
      SequenceNumber: an integer in text (trap 4): 21 to 40 digits by the documentation, 1 to 40 are accepted.
      NewImage: None if the stream's view or the kind of change has none (trap 17).
      OldImage: see `NewImage`.
    """

    ApproximateCreationDateTime: EpochSeconds
    Keys: msgspec.Raw
    SequenceNumber: NumberText
    StreamViewType: str = ""
    SizeBytes: Int64 | None = None
    NewImage: RawOrNone = None
    OldImage: RawOrNone = None


class RawRecord(msgspec.Struct, gc=False):
    """One stream record, with the service's names. `userIdentity` is undecoded JSON, which TTL deletes have."""

    eventID: str  # noqa: N815
    eventName: Literal["INSERT", "MODIFY", "REMOVE"]  # noqa: N815
    dynamodb: RawStreamRecord
    eventVersion: str = ""  # noqa: N815
    eventSource: str = ""  # noqa: N815
    awsRegion: str = ""  # noqa: N815
    userIdentity: RawOrNone = None  # noqa: N815


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
    """A shard as DescribeStream lists it, which may be wrong (trap 6). It is open without an ending sequence number."""

    shard_id: str
    parent_shard_id: str | None = None
    starting_sequence_number: str | None = None
    ending_sequence_number: str | None = None


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
