"""Decodes the bytes of answers in one typed pass by msgspec, not by botocore's parser."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Final, NoReturn

import msgspec

from beam_dynamodb_streams.errors import ServiceError, UnavailableError
from beam_dynamodb_streams.wire.envelope import NumberedRecord, RawRecord, drop_nulls, sequence_numbers
from beam_dynamodb_streams.wire.pages import (
    ListedShard,
    MalformedEntry,
    RecordsPage,
    StreamPage,
    StreamsPage,
)
from beam_dynamodb_streams.wire.split import SplitError, find_member, split_page

#: What the decoder raises for text that it cannot decode: it is not JSON, is nested too deeply, or is not UTF-8.
DECODE_FAULTS: Final = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)

#: The service's ids have at most 65 characters.
_LONGEST_SHARD_ID: Final = 255


class IncompleteAnswerError(UnavailableError):
    """An answer with status 200 that lacks what it must have: a proxy's own answer, or an error in disguise."""


# An answer without its required member is never a page: `{}` must not end a shard.
class _Records(msgspec.Struct):
    Records: list[RawRecord]
    NextShardIterator: str | None = None


class _UndecodedRecords(msgspec.Struct):
    Records: list[msgspec.Raw]
    NextShardIterator: str | None = None


class _SequenceNumberRange(msgspec.Struct, frozen=True, rename="pascal"):
    starting_sequence_number: str | None = None
    ending_sequence_number: str | None = None


class _Shard(msgspec.Struct, rename="pascal"):
    shard_id: str
    parent_shard_id: str | None = None
    sequence_number_range: _SequenceNumberRange = _SequenceNumberRange()


class _StreamDescription(msgspec.Struct, rename="pascal"):
    shards: list[_Shard]
    stream_arn: str = ""
    table_name: str = ""
    stream_status: str = ""
    stream_view_type: str = ""
    last_evaluated_shard_id: str | None = None


class _DescribedStream(msgspec.Struct, rename="pascal"):
    stream_description: _StreamDescription


class _Stream(msgspec.Struct, rename="pascal"):
    stream_arn: str


class _Streams(msgspec.Struct, rename="pascal"):
    streams: list[_Stream]
    last_evaluated_stream_arn: str | None = None


class _ShardIterator(msgspec.Struct, rename="pascal"):
    shard_iterator: str


_records = msgspec.json.Decoder(_Records)
_undecoded_records = msgspec.json.Decoder(_UndecodedRecords)
_record = msgspec.json.Decoder(RawRecord)
_numbered_record = msgspec.json.Decoder(NumberedRecord)
_number = msgspec.json.Decoder(str)
_described_stream = msgspec.json.Decoder(_DescribedStream)
_streams = msgspec.json.Decoder(_Streams)
_shard_iterator = msgspec.json.Decoder(_ShardIterator)


def decode_records(body: bytes) -> RecordsPage:
    """Return the page, decoded in one typed pass, or record by record if that fails, so that only bad records are lost.

    Raises:
      IncompleteAnswerError: the answer has no records, not even an empty list.
      UnavailableError: the body is not JSON; it was cut off on the way.
      ServiceError: the frame of the page is not what the service documents.
    """
    if not _is_text(body):
        _check_frame(body)
        return _decode_each(body)
    try:
        page = _records.decode(body)
    except DECODE_FAULTS:
        return _decode_each(body)
    if not are_digits(sequence_numbers(page.Records)):
        return _decode_each(body)
    drop_nulls(page.Records)
    return RecordsPage(body, page.Records, [], page.NextShardIterator or None)


def decode_stream(body: bytes) -> StreamPage:
    """Return a page of a listing, with its shards in the order of the answer. Raises as `decode_records` does."""
    try:
        stream = _described_stream.decode(body).stream_description
    except DECODE_FAULTS as error:
        refuse("DescribeStream", error, body, "StreamDescription", "Shards")
    for shard in stream.shards:
        check_shard_id(shard.shard_id)
        if shard.parent_shard_id:
            check_shard_id(shard.parent_shard_id)
    return StreamPage(
        stream_arn=stream.stream_arn,
        table_name=stream.table_name,
        status=stream.stream_status,
        view_type=stream.stream_view_type,
        shards=tuple(
            ListedShard(
                shard.shard_id,
                (shard.parent_shard_id,) if shard.parent_shard_id else (),
                shard.sequence_number_range.starting_sequence_number or None,
                shard.sequence_number_range.ending_sequence_number or None,
            )
            for shard in stream.shards
        ),
        last_evaluated_shard_id=stream.last_evaluated_shard_id or None,
    )


def decode_streams(body: bytes) -> StreamsPage:
    """Return a page of a table's streams. Raises as `decode_records` does."""
    try:
        page = _streams.decode(body)
    except DECODE_FAULTS as error:
        refuse("ListStreams", error, body, "Streams")
    return StreamsPage(tuple(each.stream_arn for each in page.streams), page.last_evaluated_stream_arn or None)


def check_shard_id(shard_id: str, operation: str = "DescribeStream") -> None:
    """Raise if nothing can be read or stored under this id. Its length and its form are the endpoint's affair."""
    if not shard_id or "\0" in shard_id or len(shard_id) > _LONGEST_SHARD_ID:
        fault = "has a NUL character" if "\0" in shard_id else f"has {len(shard_id):,} characters"
        raise ServiceError(
            f"the answer to {operation} is not what the service documents: the shard id {shard_id[:80]!r} {fault}, "
            f"and ids have 1 to {_LONGEST_SHARD_ID} characters without NUL. Check the endpoint"
        )


def decode_iterator(body: bytes) -> str:
    """Return the shard iterator. Raises as `decode_records` does."""
    try:
        iterator = _shard_iterator.decode(body).shard_iterator
    except DECODE_FAULTS as error:
        refuse("GetShardIterator", error, body, "ShardIterator")
    if not iterator:
        raise _incomplete("GetShardIterator", ["ShardIterator"])
    return iterator


def _decode_each(body: bytes) -> RecordsPage:
    payloads, next_iterator = _undecoded(body)
    records: list[RawRecord] = []
    malformed: list[MalformedEntry] = []
    for index, payload in enumerate(payloads):
        try:
            if not _is_text(payload):
                raise msgspec.ValidationError("not UTF-8")
            record = _record.decode(payload)
            if not are_digits([record.sequence_number]):
                raise msgspec.ValidationError("Expected digits - at `$.dynamodb.SequenceNumber`")
            records.append(record)
        except DECODE_FAULTS as error:
            reason = "nested far deeper than 32 levels" if isinstance(error, RecursionError) else str(error)
            malformed.append(MalformedEntry(index, bytes(payload), reason, _sequence_number(bytes(payload))))
    drop_nulls(records)
    return RecordsPage(body, records, malformed, next_iterator)


def _check_frame(body: bytes) -> None:
    """Raise if what is not UTF-8 is outside the records: a garbled name of the next iterator would end the shard."""
    try:
        frame, _ = split_page(body, "Records")
        frame.decode()
    except (SplitError, UnicodeDecodeError) as error:
        refuse("GetRecords", msgspec.DecodeError(f"its frame is not text: {type(error).__name__}"), body, "Records")


def _undecoded(body: bytes) -> tuple[Sequence[bytes | msgspec.Raw], str | None]:
    """Return the text of each record of a page, and the next iterator."""
    payloads: Sequence[bytes | msgspec.Raw] | None = None
    try:
        page = _undecoded_records.decode(body)
    except msgspec.ValidationError as error:
        refuse("GetRecords", error, body, "Records")
    except DECODE_FAULTS as error:  # what is not JSON may be inside a record
        try:
            frame, payloads = split_page(body, "Records")
            page = _undecoded_records.decode(frame)
        except (*DECODE_FAULTS, SplitError):
            refuse("GetRecords", error, body, "Records")
    return page.Records if payloads is None else payloads, page.NextShardIterator or None


def _is_text(json: bytes | msgspec.Raw) -> bool:
    """Return whether all of it is UTF-8. The decoder does not check the parts that it leaves undecoded."""
    text = bytes(json)
    if text.isascii():
        return True
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def are_digits(numbers: list[str]) -> bool:
    """Return whether all of a page's numbers are ASCII digits, checked at once.

    A pattern for the decoder takes a third of the time of the whole page, and str.isdigit a tenth (it also accepts
    digits that are not ASCII). bytes.isdigit takes no time that can be measured.
    """
    text = "".join(numbers)
    return not numbers or (text.isascii() and text.encode().isdigit())


def _sequence_number(payload: bytes) -> str | None:
    try:
        number = _numbered_record.decode(payload).sequence_number
    except msgspec.ValidationError:
        return None
    except DECODE_FAULTS:
        number = _number_by_splitting(payload)
    return number if number is not None and are_digits([number]) else None


def _number_by_splitting(payload: bytes) -> str | None:
    """Return the number of a record that is not JSON: it is needed to read on behind the record."""
    try:
        text = find_member(payload, "dynamodb", "SequenceNumber")
        return None if text is None else _number.decode(text)
    except (*DECODE_FAULTS, SplitError):
        return None


def refuse(operation: str, error: Exception, body: bytes, *required: str) -> NoReturn:
    """Raise the error of an answer that could not be decoded; see `decode_records`.

    Args:
      operation: the call that was answered.
      error: what the decoder raised.
      body: the answer.
      required: the member that each answer has, and a member of that one.
    """
    if not isinstance(error, msgspec.ValidationError):
        reason = "its values are nested too deeply" if isinstance(error, RecursionError) else str(error)
        garbled = UnavailableError(f"the answer to {operation} was cut off or garbled: {reason}")
        garbled.body_checksum = zlib.crc32(body)
        raise garbled from None
    if _lacks(body, required):
        raise _incomplete(operation, required) from None
    raise ServiceError(f"the answer to {operation} is not what the service documents: {error}") from None


def _lacks(body: bytes, required: Sequence[str]) -> bool:
    """Return whether the answer lacks a required member, or is not an object at all. An explicit null is absent."""
    text: bytes | msgspec.Raw = body
    for name in required:
        try:
            members = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
        except DECODE_FAULTS:
            return text is body
        text = members.get(name, msgspec.Raw(b"null"))
        if bytes(text) == b"null":
            return True
    return False


def _incomplete(operation: str, required: Sequence[str]) -> IncompleteAnswerError:
    return IncompleteAnswerError(
        f"the answer to {operation} has no {'.'.join(required)}: it is not the service's, or is an error in disguise"
    )
