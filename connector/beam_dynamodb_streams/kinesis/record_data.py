"""What a record of Kinesis holds of a change: its Data, in one of two forms, and its PartitionKey. Pure.

`"adapter"` is what the DynamoDB Streams Kinesis Adapter for Java (1.x) writes, byte for byte.
`"kinesis-data-streams"` is what Kinesis Data Streams for DynamoDB writes. Images are copied as the service sent them.
Only text with an escape or with spaces between its tokens is written anew, since both forms have one spelling for each.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from hashlib import md5
from typing import Any, Final, Literal, get_args

import msgspec

from beam_dynamodb_streams.records import ChangeRecord
from beam_dynamodb_streams.records.user_identity import decode_identity
from beam_dynamodb_streams.wire import RawRecord, RecordsPage

DataForm = Literal["adapter", "kinesis-data-streams"]
DATA_FORMS: Final = get_args(DataForm)

#: Returns a part of a record as it is spelt in the Data.
Spelling = Callable[[msgspec.Raw], msgspec.Raw]

_UUID_DIGITS: Final = 32
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


def contents_of(page: RecordsPage, form: DataForm, table_name: str) -> tuple[list[bytes], list[str]]:
    """Return the Data and the PartitionKey of each record of a page.

    A PartitionKey is a hash of the item's keys, so that what keeps the order of a key keeps the order of an item.

    Args:
      page: the page as the service sent it.
      form: see `DataForm`.
      table_name: is part of one form.
    """
    normal = _is_normal(page)
    spelling = _as_sent if normal else _normal
    if form == "adapter":
        data = [_adapter_data(record, spelling) for record in page.records]
    else:
        data = [_kinesis_data(record, table_name, spelling) for record in page.records]
    return data, _partition_keys([bytes(record.change.keys) for record in page.records], normal=normal)


def _partition_keys(keys: list[bytes], *, normal: bool) -> list[str]:
    if keys and (not normal or keys[0].count(b'":{') > 1):  # two keys may come in any order
        keys = [_encode_in_order(msgspec.json.decode(each)) for each in keys]
    return [md5(each, usedforsecurity=False).hexdigest() for each in keys]


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
    return md5(_encode_in_order(msgspec.json.decode(keys)), usedforsecurity=False).hexdigest()


def _adapter_data(record: RawRecord, spelling: Spelling) -> bytes:
    found = record.change
    change = _AdapterChange(
        round(found.creation_time * 1000),
        spelling(found.keys),
        found.new_image and spelling(found.new_image),
        found.old_image and spelling(found.old_image),
        found.sequence_number,
        found.size_bytes,
        found.stream_view_type,
    )
    return _encode(
        _AdapterRecord(
            _identity(record),
            record.event_id,
            record.event_name,
            record.event_version,
            record.event_source,
            record.aws_region,
            change,
        )
    )


def _kinesis_data(record: RawRecord, table_name: str, spelling: Spelling) -> bytes:
    found = record.change
    change = _KinesisChange(
        round(found.creation_time * 1000),
        spelling(found.keys),
        found.new_image and spelling(found.new_image),
        found.old_image and spelling(found.old_image),
        found.size_bytes,
    )
    return _encode(
        _KinesisRecord(
            record.aws_region,
            _dashed(record.event_id),
            record.event_name,
            _identity(record),
            "application/json",
            table_name,
            change,
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


def _identity(record: RawRecord) -> _Identity | None:
    if record.user_identity is None:
        return None
    members: dict[str, Any] = {name.lower(): value for name, value in decode_identity(record.user_identity).items()}
    return _Identity(members.get("principalid"), members.get("type"))


def _dashed(event_id: str) -> str:
    """Return the event id as a UUID. DynamoDB Streams writes the same 32 digits without dashes."""
    if len(event_id) != _UUID_DIGITS:
        return event_id
    return f"{event_id[:8]}-{event_id[8:12]}-{event_id[12:16]}-{event_id[16:20]}-{event_id[20:]}"
