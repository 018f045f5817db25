"""Decodes the answers of Kinesis Data Streams. A record's data is one change, as Kinesis Data Streams for DynamoDB
writes it; it becomes the same `RawRecord` that DynamoDB Streams' decoder returns.

A change in a data stream has no sequence number, so it takes that of its Kinesis record, and no stream view type.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final, Literal

import msgspec

from beam_dynamodb_streams.wire.decode import DECODE_FAULTS, are_digits, check_shard_id, refuse
from beam_dynamodb_streams.wire.envelope import Int64, RawChange, RawOrNone, RawRecord, drop_nulls
from beam_dynamodb_streams.wire.pages import DataStream, ListedShard, MalformedEntry, RecordsPage

#: The Kinesis Producer Library packs several records into one that begins so. DynamoDB never does.
AGGREGATED: Final = b"\xf3\x89\x9a\xc2"

#: A time as large as this is in microseconds where the record does not say its precision; in milliseconds it would be
#: in the year 5138.
_LEAST_MICROSECONDS: Final = 10**14


class _Record(msgspec.Struct, gc=False, rename="pascal"):
    sequence_number: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    data: bytes
    approximate_arrival_timestamp: float = 0.0


class _Records(msgspec.Struct, rename="pascal"):
    records: list[_Record]
    next_shard_iterator: str | None = None
    millis_behind_latest: int | None = None


class _Change(msgspec.Struct, gc=False, rename="pascal"):
    creation_time: Annotated[int, msgspec.Meta(ge=0)] = msgspec.field(name="ApproximateCreationDateTime")
    keys: msgspec.Raw
    precision: Literal["MILLISECOND", "MICROSECOND"] | None = msgspec.field(
        default=None, name="ApproximateCreationDateTimePrecision"
    )
    size_bytes: Int64 | None = None
    new_image: RawOrNone = None
    old_image: RawOrNone = None


class _Data(msgspec.Struct, gc=False, rename="camel"):
    event_id: str = msgspec.field(name="eventID")
    event_name: Literal["INSERT", "MODIFY", "REMOVE"]
    table_name: str
    change: _Change = msgspec.field(name="dynamodb")
    event_source: str = ""
    aws_region: str = ""
    user_identity: RawOrNone = None


class _SequenceNumberRange(msgspec.Struct, rename="pascal"):
    starting_sequence_number: str | None = None
    ending_sequence_number: str | None = None


class _Shard(msgspec.Struct, rename="pascal"):
    shard_id: str
    parent_shard_id: str | None = None
    adjacent_parent_shard_id: str | None = None
    sequence_number_range: _SequenceNumberRange = msgspec.field(default_factory=_SequenceNumberRange)


class _Shards(msgspec.Struct, rename="pascal"):
    shards: list[_Shard]
    next_token: str | None = None


class _Summary(msgspec.Struct):
    StreamName: str
    StreamARN: str
    StreamStatus: str
    RetentionPeriodHours: Annotated[int, msgspec.Meta(ge=1)]


class _Described(msgspec.Struct):
    StreamDescriptionSummary: _Summary


_records = msgspec.json.Decoder(_Records)
_data = msgspec.json.Decoder(_Data)
_shards = msgspec.json.Decoder(_Shards)
_described = msgspec.json.Decoder(_Described)

TableCheck = Callable[[str], bool]
"""Returns whether the changes of a table, by its name, are wanted. May raise to refuse the stream."""


def decode_kinesis_records(body: bytes, wants: TableCheck) -> RecordsPage:
    """Return a page. Each record is a change, malformed, or of a table that is not wanted.

    Args:
      body: the answer to GetRecords.
      wants: whether a table's changes are wanted.

    Raises:
      IncompleteAnswerError: the answer has no records, not even an empty list.
      UnavailableError: the body is not JSON; it was cut off on the way.
      ServiceError: the frame of the page is not what the service documents.
    """
    try:
        page = _records.decode(body)
    except DECODE_FAULTS as error:
        refuse("GetRecords", error, body, "Records")
    changes: list[RawRecord] = []
    malformed: list[MalformedEntry] = []
    numbers = [record.sequence_number for record in page.records]
    all_are_digits = are_digits(numbers)
    for index, record in enumerate(page.records):
        number = record.sequence_number if all_are_digits or are_digits([record.sequence_number]) else None
        try:
            change = _change(record, number)
        except DECODE_FAULTS as error:
            reason = "nested far deeper than 32 levels" if isinstance(error, RecursionError) else str(error)
            malformed.append(MalformedEntry(index, record.data, reason, number))
            continue
        if wants(change[0]):
            changes.append(change[1])
    drop_nulls(changes)
    behind = None if page.millis_behind_latest is None else page.millis_behind_latest / 1000
    if not all_are_digits:
        numbers = [number for number in numbers if are_digits([number])]
    first, last = (numbers[0], numbers[-1]) if numbers else (None, None)
    return RecordsPage(body, changes, malformed, page.next_shard_iterator or None, behind, first, last)


def _change(record: _Record, number: str | None) -> tuple[str, RawRecord]:
    """Return the table of a record, and its change. Raises one of DECODE_FAULTS if it is not a change."""
    if record.data.startswith(AGGREGATED):
        raise msgspec.ValidationError(
            "an aggregated record of the Kinesis Producer Library: DynamoDB never writes one, so another producer "
            "writes to this stream"
        )
    data = _data.decode(record.data)
    if not record.data.isascii():
        record.data.decode()
    if number is None:
        raise msgspec.ValidationError("Expected digits - at `$.SequenceNumber`")
    change = data.change
    return data.table_name, RawRecord(
        data.event_id,
        data.event_name,
        RawChange(
            _in_seconds(change.creation_time, change.precision),
            change.keys,
            number,
            "",
            change.size_bytes,
            change.new_image,
            change.old_image,
        ),
        "",
        data.event_source,
        data.aws_region,
        data.user_identity,
    )


def _in_seconds(moment: int, precision: str | None) -> float:
    """Return epoch seconds. The unit is the record's own, or is known by the size of the number."""
    in_micros = precision == "MICROSECOND" if precision else moment >= _LEAST_MICROSECONDS
    seconds = moment / (1_000_000 if in_micros else 1_000)
    if seconds >= 253_370_764_800:
        raise msgspec.ValidationError("a time after the year 9998 - at `$.dynamodb.ApproximateCreationDateTime`")
    return seconds


def decode_shards(body: bytes) -> tuple[list[ListedShard], str | None]:
    """Return a page of ListShards, and the token of the next one. Raises as `decode_kinesis_records` does."""
    try:
        page = _shards.decode(body)
    except DECODE_FAULTS as error:
        refuse("ListShards", error, body, "Shards")
    listed = []
    for shard in page.shards:
        parents = tuple(filter(None, (shard.parent_shard_id, shard.adjacent_parent_shard_id)))
        for name in (shard.shard_id, *parents):
            check_shard_id(name, "ListShards")
        numbers = shard.sequence_number_range
        listed.append(
            ListedShard(
                shard.shard_id,
                parents,
                numbers.starting_sequence_number or None,
                numbers.ending_sequence_number or None,
            )
        )
    return listed, page.next_token or None


def decode_summary(body: bytes) -> DataStream:
    """Return what DescribeStreamSummary says of a stream. Raises as `decode_kinesis_records` does."""
    try:
        summary = _described.decode(body).StreamDescriptionSummary
    except DECODE_FAULTS as error:
        refuse("DescribeStreamSummary", error, body, "StreamDescriptionSummary")
    return DataStream(summary.StreamName, summary.StreamARN, summary.StreamStatus, summary.RetentionPeriodHours * 3600)
