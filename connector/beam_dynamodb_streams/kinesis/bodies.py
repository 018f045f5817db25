"""The two protocols of Kinesis: JSON 1.1, and CBOR 1.1, which the Java SDKs speak. Each answers in kind. Pure."""

from __future__ import annotations

import struct
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import msgspec

from beam_dynamodb_streams.kinesis.answers import Answer, Moment, RecordsAnswer
from beam_dynamodb_streams.kinesis.faults import KinesisFault
from beam_dynamodb_streams.kinesis.libraries import cbor2
from beam_dynamodb_streams.kinesis.record_data import Records


@dataclass(frozen=True, slots=True)
class Protocol:
    """How bodies are written and read.

    Attributes:
      content_type: of answers.
      decode: returns the parameters in a request's body. It raises a `KinesisFault`.
      encode: returns the body of an answer.
    """

    content_type: str
    decode: Callable[[bytes], Any]
    encode: Callable[[Answer], bytes]


def protocol_of(content_type: str) -> Protocol:
    """Return the protocol of a request. Whatever is not CBOR is taken for JSON."""
    return CBOR if "cbor" in content_type.lower() else JSON


# JSON


def _decode_json(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body or b"{}")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise KinesisFault("SerializationException", f"the body is not JSON: {error}") from None


def _encode_json(answer: Answer) -> bytes:
    if not isinstance(answer, RecordsAnswer):
        return msgspec.json.encode(answer, enc_hook=_json_moment)
    found = answer.records
    records = b",".join(
        [
            b'{"SequenceNumber":"%b","ApproximateArrivalTimestamp":%b,"Data":"%b","PartitionKey":"%b",'
            b'"EncryptionType":"NONE"}' % (number.encode(), _json_seconds(arrival), b64encode(data), key.encode())
            for number, arrival, data, key in zip(found.numbers, found.arrivals, found.data, found.keys, strict=True)
        ]
    )
    return b'{"Records":[%b],%b' % (records, msgspec.json.encode(_rest(answer))[1:])


def _json_moment(value: object) -> object:
    if isinstance(value, Moment):
        return value.seconds
    raise TypeError(f"{type(value).__name__} has no form in JSON")


@lru_cache(maxsize=64)
def _json_seconds(milliseconds: int) -> bytes:
    return b"%d.%03d" % divmod(milliseconds, 1000)


# CBOR. A time is tag 1 with an integer of milliseconds, where RFC 8949 has seconds.


def _seconds(milliseconds: Any, *_: object) -> float:
    """Return a time of a request in seconds. cbor2 also passes whether it must be immutable, which a number is."""
    return float(milliseconds / 1000)


def _decode_cbor(body: bytes) -> Any:
    try:
        return cbor2.loads(body, semantic_decoders={1: _seconds}) if body else {}
    except (cbor2.CBORDecodeError, ValueError, TypeError, OverflowError) as error:
        raise KinesisFault("SerializationException", f"the body is not CBOR: {error}") from None


def _encode_cbor(answer: Answer) -> bytes:
    if not isinstance(answer, RecordsAnswer):
        return bytes(cbor2.dumps(answer, default=_cbor_moment))
    found, rest = answer.records, bytes(cbor2.dumps(_rest(answer)))
    if not found.encoded:
        found.encoded.append(_encode_cbor_records(found))
    return b"".join((bytes([rest[0] + 1]), _RECORDS, found.encoded[0], rest[1:]))


def _encode_cbor_records(found: Records) -> bytes:
    """Return an array of records.

    It is written by hand, a column at a time: an encoder takes longer for a page of 1,000 records than all the rest.
    """
    if not len(found):
        return _head(0x80, 0)
    before_data = {arrival: _before_data(arrival) for arrival in set(found.arrivals)}
    sizes = list(map(len, found.data))
    before_bytes = {size: _head(0x40, size) for size in set(sizes)}
    parts = [b""] * (8 * len(found))
    parts[0::8] = [_before_number(len(number)) for number in found.numbers]
    parts[1::8] = _bytes_of(found.numbers)
    parts[2::8] = [before_data[arrival] for arrival in found.arrivals]
    parts[3::8] = [before_bytes[size] for size in sizes]
    parts[4::8] = found.data
    parts[5::8] = [_before_key(len(key)) for key in found.keys]
    parts[6::8] = _bytes_of(found.keys)
    parts[7::8] = [_NO_ENCRYPTION] * len(found)
    parts.insert(0, _head(0x80, len(found)))
    return b"".join(parts)


def _bytes_of(texts: list[str]) -> list[bytes]:
    """Return ASCII texts without line feeds as bytes: faster than one after the other."""
    return "\n".join(texts).encode().split(b"\n")


def _cbor_moment(encoder: Any, value: object) -> None:
    if not isinstance(value, Moment):
        raise TypeError(f"{type(value).__name__} has no form in CBOR")
    encoder.encode(cbor2.CBORTag(1, round(value.seconds * 1000)))


@lru_cache(maxsize=4096)
def _head(kind: int, size: int) -> bytes:
    """Return what stands before a text (0x60), bytes (0x40) or an array (0x80) of a size."""
    if size < 24:
        return bytes([kind + size])
    if size < 0x100:
        return struct.pack(">BB", kind + 24, size)
    if size < 0x10000:
        return struct.pack(">BH", kind + 25, size)
    return struct.pack(">BI", kind + 26, size)


@lru_cache(maxsize=64)
def _before_number(length: int) -> bytes:
    return b"\xa5" + _text("SequenceNumber") + _head(0x60, length)  # a map of five


@lru_cache(maxsize=64)
def _before_data(milliseconds: int) -> bytes:
    time = struct.pack(">BBQ", 0xC1, 0x1B, milliseconds)
    return _text("ApproximateArrivalTimestamp") + time + _text("Data")


@lru_cache(maxsize=64)
def _before_key(length: int) -> bytes:
    return _text("PartitionKey") + _head(0x60, length)


def _text(text: str) -> bytes:
    return _head(0x60, len(text)) + text.encode()


_RECORDS: Final = _text("Records")
_NO_ENCRYPTION: Final = _text("EncryptionType") + _text("NONE")


def _rest(answer: RecordsAnswer) -> dict[str, Any]:
    """Return the members of the answer besides its records: always one at least."""
    members: dict[str, Any] = {"MillisBehindLatest": answer.behind}
    if answer.next_iterator is not None:
        members["NextShardIterator"] = answer.next_iterator
    if answer.child_shards:
        members["ChildShards"] = answer.child_shards
    return members


JSON: Final = Protocol("application/x-amz-json-1.1", _decode_json, _encode_json)
CBOR: Final = Protocol("application/x-amz-cbor-1.1", _decode_cbor, _encode_cbor)
