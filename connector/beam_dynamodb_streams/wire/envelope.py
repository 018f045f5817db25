"""The envelope of a change: what a stream says about it besides the images, which stay undecoded.

The decoder fills it in the same pass as the page, so its types are here. `records.envelope` makes changes of it. The
service's names are in this module alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

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

_NULL = msgspec.Raw(b"null")


class RawChange(msgspec.Struct, gc=False, rename="pascal"):
    """The part "dynamodb" of a record.

    Attributes:
      creation_time: epoch seconds, rounded down by the service to a whole second (traps 3 and 19). Emulators send
        fractions.
      keys: DynamoDB JSON as received, a view into the page's body, as are the images.
      sequence_number: an integer in text (trap 4): 21 to 40 digits by the documentation, 1 to 40 are accepted.
      stream_view_type: empty if the endpoint does not send it.
      size_bytes: as the service counts; None if the endpoint does not send it.
      new_image: None if the stream's view or the kind of change has none (trap 17).
      old_image: see `new_image`.
    """

    creation_time: EpochSeconds = msgspec.field(name="ApproximateCreationDateTime")
    keys: msgspec.Raw
    sequence_number: NumberText
    stream_view_type: str = ""
    size_bytes: Int64 | None = None
    new_image: RawOrNone = None
    old_image: RawOrNone = None


class RawRecord(msgspec.Struct, gc=False, rename="camel"):
    """One stream record. `user_identity` is undecoded JSON, which TTL deletes have."""

    event_id: str = msgspec.field(name="eventID")
    event_name: Literal["INSERT", "MODIFY", "REMOVE"]
    change: RawChange = msgspec.field(name="dynamodb")
    event_version: str = ""
    event_source: str = ""
    aws_region: str = ""
    user_identity: RawOrNone = None

    @property
    def sequence_number(self) -> str:
        return self.change.sequence_number

    @property
    def creation_time(self) -> float:
        return self.change.creation_time


class _SequenceNumberOnly(msgspec.Struct, rename="pascal"):
    sequence_number: NumberText | None = None


class NumberedRecord(msgspec.Struct):
    """A record with only its sequence number decoded."""

    change: _SequenceNumberOnly = msgspec.field(name="dynamodb")

    @property
    def sequence_number(self) -> str | None:
        return self.change.sequence_number


def row_record(event_id: str, seconds: float, keys: bytes, image: bytes) -> RawRecord:
    """Return an item that a scan read in the form of a record that was created at `seconds`.

    It has no sequence number, no old image and no size that the service counted. Its name, READ, is in no stream.
    """
    name: Any = "READ"
    return RawRecord(event_id, name, RawChange(seconds, msgspec.Raw(keys), "", "NEW_IMAGE", None, msgspec.Raw(image)))


def largest_record(records: list[RawRecord]) -> int:
    """Return the most bytes that the keys and images of one record have; 0 without records."""
    changes = [record.change for record in records]
    return max(
        (len(each.keys) + len(each.new_image or b"") + len(each.old_image or b"") for each in changes), default=0
    )


def sequence_numbers(records: list[RawRecord]) -> list[str]:
    return [record.change.sequence_number for record in records]


def drop_nulls(records: list[RawRecord]) -> None:
    """Set what is an explicit null to None: it means absent, as in every other optional field."""
    for record in records:
        change = record.change
        if change.new_image == _NULL:
            change.new_image = None
        if change.old_image == _NULL:
            change.old_image = None
        if record.user_identity == _NULL:
            record.user_identity = None
