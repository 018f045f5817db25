"""Answers' bytes to values: one typed pass by msgspec, not botocore's parser."""

from __future__ import annotations

from typing import NoReturn

import msgspec

from beam_dynamodb_streams.errors import ServiceError, UnavailableError
from beam_dynamodb_streams.wire.pages import (
    ListedShard,
    MalformedEntry,
    NumberText,
    RawRecord,
    RecordsPage,
    StreamPage,
    Table,
)


class _Records(msgspec.Struct):
    Records: list[RawRecord] = []
    NextShardIterator: str | None = None


class _UndecodedRecords(msgspec.Struct):
    Records: list[msgspec.Raw] = []
    NextShardIterator: str | None = None


class _SequenceNumberOnly(msgspec.Struct):
    SequenceNumber: NumberText | None = None


class _RecordPlace(msgspec.Struct):
    dynamodb: _SequenceNumberOnly


class _SequenceNumberRange(msgspec.Struct, frozen=True, rename="pascal"):
    starting_sequence_number: str | None = None
    ending_sequence_number: str | None = None


class _Shard(msgspec.Struct, rename="pascal"):
    shard_id: str
    parent_shard_id: str | None = None
    sequence_number_range: _SequenceNumberRange = _SequenceNumberRange()


class _StreamDescription(msgspec.Struct, rename="pascal"):
    stream_arn: str
    table_name: str = ""
    stream_status: str = ""
    stream_view_type: str = ""
    shards: list[_Shard] = []
    last_evaluated_shard_id: str | None = None


class _DescribedStream(msgspec.Struct, rename="pascal"):
    stream_description: _StreamDescription


class _StreamSpecification(msgspec.Struct, rename="pascal"):
    stream_enabled: bool = False
    stream_view_type: str | None = None


class _Key(msgspec.Struct, rename="pascal"):
    attribute_name: str
    key_type: str


class _Attribute(msgspec.Struct, rename="pascal"):
    attribute_name: str
    attribute_type: str


class _TableDescription(msgspec.Struct, rename="pascal"):
    table_name: str
    key_schema: list[_Key] = []
    attribute_definitions: list[_Attribute] = []
    latest_stream_arn: str | None = None
    stream_specification: _StreamSpecification | None = None


class _DescribedTable(msgspec.Struct, rename="pascal"):
    table: _TableDescription


class _ShardIterator(msgspec.Struct, rename="pascal"):
    shard_iterator: str


_NULL = msgspec.Raw(b"null")

_records = msgspec.json.Decoder(_Records)
_undecoded_records = msgspec.json.Decoder(_UndecodedRecords)
_record = msgspec.json.Decoder(RawRecord)
_record_place = msgspec.json.Decoder(_RecordPlace)
_described_stream = msgspec.json.Decoder(_DescribedStream)
_described_table = msgspec.json.Decoder(_DescribedTable)
_shard_iterator = msgspec.json.Decoder(_ShardIterator)


def decode_records(body: bytes) -> RecordsPage:
    """The page in one typed pass; only when that fails, record by record: a bad one costs itself alone.

    Raises UnavailableError for a body that is no JSON (cut off on the way), ServiceError for a page whose
    frame is not what the service documents.
    """
    if not _is_text(body):
        return _decode_each(body)
    try:
        page = _records.decode(body)
    except msgspec.ValidationError:
        return _decode_each(body)
    except msgspec.DecodeError as error:
        _refuse("GetRecords", error)
    if not _are_digits([record.dynamodb.SequenceNumber for record in page.Records]):
        return _decode_each(body)
    _drop_nulls(page.Records)
    return RecordsPage(body, page.Records, [], page.NextShardIterator)


def decode_stream(body: bytes) -> StreamPage:
    """A page of a listing, its shards as they came. Raises as :func:`decode_records` does."""
    try:
        stream = _described_stream.decode(body).stream_description
    except msgspec.DecodeError as error:
        _refuse("DescribeStream", error)
    return StreamPage(
        stream_arn=stream.stream_arn,
        table_name=stream.table_name,
        status=stream.stream_status,
        view_type=stream.stream_view_type,
        shards=tuple(
            ListedShard(
                shard.shard_id,
                shard.parent_shard_id,
                shard.sequence_number_range.starting_sequence_number,
                shard.sequence_number_range.ending_sequence_number,
            )
            for shard in stream.shards
        ),
        last_evaluated_shard_id=stream.last_evaluated_shard_id,
    )


def decode_table(body: bytes) -> Table:
    """The table, its partition key first. Raises as :func:`decode_records` does."""
    try:
        table = _described_table.decode(body).table
    except msgspec.DecodeError as error:
        _refuse("DescribeTable", error)
    specification = table.stream_specification or _StreamSpecification()
    types = {attribute.attribute_name: attribute.attribute_type for attribute in table.attribute_definitions}
    keys = sorted(table.key_schema, key=lambda key: key.key_type)  # HASH, RANGE
    return Table(
        table.table_name,
        table.latest_stream_arn,
        specification.stream_enabled,
        specification.stream_view_type,
        {key.attribute_name: types[key.attribute_name] for key in keys if key.attribute_name in types},
    )


def decode_iterator(body: bytes) -> str:
    """The shard iterator. Raises as :func:`decode_records` does."""
    try:
        return _shard_iterator.decode(body).shard_iterator
    except msgspec.DecodeError as error:
        _refuse("GetShardIterator", error)


def _decode_each(body: bytes) -> RecordsPage:
    try:
        page = _undecoded_records.decode(body)
    except msgspec.DecodeError as error:
        _refuse("GetRecords", error)
    records: list[RawRecord] = []
    malformed: list[MalformedEntry] = []
    for index, payload in enumerate(page.Records):
        try:
            if not _is_text(payload):
                raise msgspec.ValidationError("not UTF-8")
            record = _record.decode(payload)
            if not _are_digits([record.dynamodb.SequenceNumber]):
                raise msgspec.ValidationError("Expected digits - at `$.dynamodb.SequenceNumber`")
            records.append(record)
        except msgspec.DecodeError as error:
            malformed.append(MalformedEntry(index, bytes(payload), str(error), _sequence_number(payload)))
    _drop_nulls(records)
    return RecordsPage(body, records, malformed, page.NextShardIterator)


def _is_text(json: bytes | msgspec.Raw) -> bool:
    """Whether it is UTF-8 throughout; what is left undecoded is not looked at by the decoder."""
    text = bytes(json)
    if text.isascii():
        return True
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _are_digits(numbers: list[str]) -> bool:
    """All of a page at once: a pattern for the decoder costs a third of the whole page, str.isdigit a tenth (and knows
    digits that are not ASCII), bytes.isdigit nothing that can be measured."""
    text = "".join(numbers)
    return not numbers or (text.isascii() and text.encode().isdigit())


def _drop_nulls(records: list[RawRecord]) -> None:
    """An explicit null means absent, as it does for every other optional field."""
    for record in records:
        change = record.dynamodb
        if change.NewImage == _NULL:
            change.NewImage = None
        if change.OldImage == _NULL:
            change.OldImage = None
        if record.userIdentity == _NULL:
            record.userIdentity = None


def _sequence_number(payload: msgspec.Raw) -> str | None:
    try:
        number = _record_place.decode(payload).dynamodb.SequenceNumber
    except msgspec.DecodeError:
        return None
    return number if number is not None and _are_digits([number]) else None


def _refuse(operation: str, error: msgspec.DecodeError) -> NoReturn:
    if isinstance(error, msgspec.ValidationError):
        raise ServiceError(f"the answer to {operation} is not what the service documents: {error}") from None
    raise UnavailableError(f"the answer to {operation} was cut off or garbled: {error}") from None
