"""What a record of Kinesis holds of a change: its Data, in one of two forms, and its PartitionKey. Pure.

`"adapter"` is what the DynamoDB Streams Kinesis Adapter for Java (1.x) writes, byte for byte.
`"kinesis-data-streams"` is what Kinesis Data Streams for DynamoDB writes. Images are copied as the service sent them.
Only text with an escape, or with spaces between its tokens, is encoded again: both forms spell the rest in one way.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2s
from typing import Any, Final, Literal, get_args

import msgspec

from beam_dynamodb_streams.records import ChangeRecord
from beam_dynamodb_streams.records.user_identity import decode_identity
from beam_dynamodb_streams.wire import MalformedEntry, RawChange, RawRecord, RecordsPage

DataForm = Literal["adapter", "kinesis-data-streams"]
DATA_FORMS: Final = get_args(DataForm)

#: Returns a part of a record as it is spelt in the Data.
Spelling = Callable[[msgspec.Raw], msgspec.Raw]

_log = logging.getLogger(__name__)

_UUID_DIGITS: Final = 32
_KEY_BYTES: Final = 16
_ESCAPE: Final = re.compile(rb"\\(?:u00[01][a-f]|.)")
_encode: Final = msgspec.json.Encoder().encode
_encode_in_order: Final = msgspec.json.Encoder(order="deterministic").encode


class _Identity(msgspec.Struct, omit_defaults=True, rename="camel"):
    principal_id: str | None = None
    type: str | None = None


class _AdapterChange(msgspec.Struct, omit_defaults=True, gc=False, rename="pascal"):
    creation_time: int = msgspec.field(name="ApproximateCreationDateTime")
    keys: msgspec.Raw
    new_image: msgspec.Raw | None = None
    old_image: msgspec.Raw | None = None
    sequence_number: str = ""
    size_bytes: int | None = None
    stream_view_type: str = ""


class _AdapterRecord(msgspec.Struct, omit_defaults=True, gc=False, rename="camel"):
    user_identity: _Identity | None = None
    event_id: str = msgspec.field(name="eventID", default="")
    event_name: str = ""
    event_version: str = ""
    event_source: str = ""
    aws_region: str = ""
    content: _AdapterChange | None = msgspec.field(name="dynamodb", default=None)


class _KinesisChange(msgspec.Struct, omit_defaults=True, gc=False, rename="pascal"):
    creation_time: int = msgspec.field(name="ApproximateCreationDateTime")
    keys: msgspec.Raw
    new_image: msgspec.Raw | None = None
    old_image: msgspec.Raw | None = None
    size_bytes: int | None = None


class _KinesisRecord(msgspec.Struct, gc=False, rename="camel"):
    aws_region: str
    event_id: str = msgspec.field(name="eventID")
    event_name: str
    user_identity: _Identity | None
    record_format: str
    table_name: str
    content: _KinesisChange = msgspec.field(name="dynamodb")
    event_source: str


@dataclass(frozen=True, slots=True)
class Records:
    """Records in the order of their shard, in columns. `arrivals` are epoch milliseconds.

    `encoded` is the first answer with all of them in the protocol that costs most to write, once it was written.
    """

    numbers: list[str] = field(default_factory=list)
    arrivals: list[int] = field(default_factory=list)
    data: list[bytes] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    encoded: list[bytes] = field(default_factory=list, compare=False, repr=False)

    def __len__(self) -> int:
        return len(self.numbers)

    def part(self, begin: int, end: int) -> Records:
        if begin == 0 and end >= len(self):
            return self
        return Records(self.numbers[begin:end], self.arrivals[begin:end], self.data[begin:end], self.keys[begin:end])


def records_of(page: RecordsPage, form: DataForm, table_name: str) -> Records:
    """Return the records of a page. A malformed one is passed on as it is, if it has a sequence number.

    Args:
      page: the page as the service sent it.
      form: see `DataForm`.
      table_name: is part of one form.
    """
    normal = _is_normal(page)
    spelling = _as_sent if normal else _normal
    changes = [record.change for record in page.records]
    arrivals = _milliseconds([change.creation_time for change in changes])
    each = zip(page.records, changes, arrivals, strict=True)
    if form == "adapter" and normal:
        data = [
            _adapter_data(record, arrival, change.keys, change.new_image, change.old_image)
            for record, change, arrival in each
        ]
    elif form == "adapter":
        data = [
            _adapter_data(
                record,
                arrival,
                spelling(change.keys),
                change.new_image and spelling(change.new_image),
                change.old_image and spelling(change.old_image),
            )
            for record, change, arrival in each
        ]
    else:
        data = [_kinesis_data(record, change, arrival, spelling, table_name) for record, change, arrival in each]
    if normal and not _has_two_keys(page):
        keys = [blake2s(change.keys, digest_size=_KEY_BYTES).hexdigest() for change in changes]
    else:
        keys = [_key_in_order(change.keys) for change in changes]
    records = Records([change.sequence_number for change in changes], arrivals, data, keys)
    for entry in page.malformed:
        _insert(records, entry)
    return records


def _milliseconds(seconds: list[float]) -> list[int]:
    """Return the times in milliseconds. Many changes of a page are of the same second."""
    found = {each: round(each * 1000) for each in set(seconds)}
    return [found[each] for each in seconds]


def _insert(records: Records, entry: MalformedEntry) -> None:
    """Insert a malformed entry at its place in the page. One without a sequence number has no place in a shard."""
    if entry.sequence_number is None:
        _log.warning("a record without a sequence number is left out: %s", entry.reason)
        return
    place = min(max(entry.index, 0), len(records))
    near = records.arrivals[min(place, len(records) - 1)] if len(records) else 0
    records.numbers.insert(place, entry.sequence_number)
    records.arrivals.insert(place, near)
    records.data.insert(place, entry.payload)
    records.keys.insert(place, entry.sequence_number)


def _key(keys: msgspec.Raw | bytes) -> str:
    """Return a hash of an item's keys, so that what keeps the order of a PartitionKey keeps the order of an item."""
    return blake2s(keys, digest_size=_KEY_BYTES).hexdigest()


def _key_in_order(keys: msgspec.Raw) -> str:
    """Return the hash of keys that may come in any order, or with any spelling."""
    return _key(_encode_in_order(msgspec.json.decode(keys)))


def _has_two_keys(page: RecordsPage) -> bool:
    return bool(page.records) and bytes(page.records[0].change.keys).count(b'":{') > 1


def adapter_data(change: ChangeRecord, aws_region: str) -> bytes:
    """Return what the adapter writes for one change of a table in this region."""
    change_json = {"keys": change.keys_json, "new": change.new_image_json, "old": change.old_image_json}
    raws = {name: None if json is None else _normal(msgspec.Raw(json)) for name, json in change_json.items()}
    identity: dict[str, Any] = {name.lower(): value for name, value in (change.user_identity or {}).items()}
    content = _AdapterChange(
        change.creation_micros // 1000,
        raws["keys"] or msgspec.Raw(b"{}"),
        raws["new"],
        raws["old"],
        change.sequence_number,
        change.size_bytes,
        change.stream_view_type,
    )
    who = _Identity(identity.get("principalid"), identity.get("type")) if identity else None
    return _encode(_AdapterRecord(who, change.event_id, change.event_name, "1.1", "aws:dynamodb", aws_region, content))


def partition_key(keys: bytes) -> str:
    """Return the partition key of an item with these keys, in DynamoDB JSON."""
    return _key_in_order(msgspec.Raw(keys))


def _adapter_data(
    record: RawRecord, arrival: int, keys: msgspec.Raw, new_image: msgspec.Raw | None, old_image: msgspec.Raw | None
) -> bytes:
    """Return what the adapter writes for a record. This is most of a page's cost."""
    change = record.change
    return _encode(
        _AdapterRecord(
            None if record.user_identity is None else _identity(record.user_identity),
            record.event_id,
            record.event_name,
            record.event_version,
            record.event_source,
            record.aws_region,
            _AdapterChange(
                arrival, keys, new_image, old_image, change.sequence_number, change.size_bytes, change.stream_view_type
            ),
        )
    )


def _kinesis_data(record: RawRecord, change: RawChange, arrival: int, spelling: Spelling, table_name: str) -> bytes:
    return _encode(
        _KinesisRecord(
            record.aws_region,
            _dashed(record.event_id),
            record.event_name,
            None if record.user_identity is None else _identity(record.user_identity),
            "application/json",
            table_name,
            _KinesisChange(
                arrival,
                spelling(change.keys),
                change.new_image and spelling(change.new_image),
                change.old_image and spelling(change.old_image),
                change.size_bytes,
            ),
            record.event_source or "aws:dynamodb",
        )
    )


def _is_normal(page: RecordsPage) -> bool:
    """Return whether a page has no escape and no white space between tokens, so that parts of it can be copied.

    One serializer has written the whole page, so the first and the last record show whether it writes white space.
    """
    if b"\\" in page.body:
        return False
    ends = (page.records[0].change, page.records[-1].change) if page.records else ()
    parts = [bytes(part) for end in ends for part in (end.keys, end.new_image, end.old_image) if part is not None]
    return all(msgspec.json.format(part, indent=-1) == part for part in parts)


def _as_sent(json: msgspec.Raw) -> msgspec.Raw:
    return json


def _normal(json: msgspec.Raw) -> msgspec.Raw:
    """Return JSON of the same value, in the order of its members, as Java's Jackson spells it."""
    text = _encode(msgspec.json.decode(json))
    return msgspec.Raw(_ESCAPE.sub(_upper, text) if b"\\u00" in text else text)


def _upper(escape: re.Match[bytes]) -> bytes:
    """Return an escape as Jackson writes it: with hexadecimal digits in capitals."""
    found = escape[0]
    return b"\\u" + found[2:].upper() if found.startswith(b"\\u") else found


def _identity(identity: msgspec.Raw) -> _Identity:
    members: dict[str, Any] = {name.lower(): value for name, value in decode_identity(identity).items()}
    return _Identity(members.get("principalid"), members.get("type"))


def _dashed(event_id: str) -> str:
    """Return the event id as a UUID. DynamoDB Streams writes the same 32 digits without dashes."""
    if len(event_id) != _UUID_DIGITS:
        return event_id
    return f"{event_id[:8]}-{event_id[8:12]}-{event_id[12:16]}-{event_id[16:20]}-{event_id[20:]}"
