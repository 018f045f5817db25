"""A stream record as the service serves it, and as a test looks at it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypedDict

import msgspec

from beam_dynamodb_streams.testing.stream import ViewType
from beam_dynamodb_streams.testing.values import Attributes, Image, plain_item

Kind = Literal["INSERT", "MODIFY", "REMOVE"]


class UserIdentity(TypedDict):
    Type: str
    PrincipalId: str


class StreamRecord(TypedDict, total=False):
    ApproximateCreationDateTime: float
    Keys: Attributes
    NewImage: Attributes
    OldImage: Attributes
    SequenceNumber: str
    SizeBytes: int
    StreamViewType: str


class Record(TypedDict, total=False):
    """One element of `Records` in an answer to GetRecords."""

    eventID: str
    eventName: Kind
    eventVersion: str
    eventSource: str
    awsRegion: str
    userIdentity: UserIdentity
    dynamodb: StreamRecord


_decoder = msgspec.json.Decoder(Record)


@dataclass(frozen=True, slots=True)
class Change:
    """What one write put into the stream. `body` is the record's JSON, as GetRecords serves it."""

    stream_arn: str
    shard_id: str
    sequence_number: str
    body: bytes

    @property
    def record(self) -> Record:
        """The record as a client sees it. Each access decodes it again."""
        return _decoder.decode(self.body)

    @property
    def event_id(self) -> str:
        return self.record["eventID"]

    @property
    def event_name(self) -> Kind:
        return self.record["eventName"]

    @property
    def keys(self) -> dict[str, object]:
        """The key attributes as Python values."""
        return plain_item(self.record["dynamodb"]["Keys"])

    @property
    def new_image(self) -> dict[str, object] | None:
        """The item after the write, as Python values, or None if the record has no new image."""
        image = self.record["dynamodb"].get("NewImage")
        return None if image is None else plain_item(image)

    @property
    def old_image(self) -> dict[str, object] | None:
        """The item before the write, as Python values, or None if the record has no old image."""
        image = self.record["dynamodb"].get("OldImage")
        return None if image is None else plain_item(image)


def record_body(
    *,
    event_id: str,
    region: str,
    created: int,
    keys: Image,
    new: Image | None,
    old: Image | None,
    sequence_number: str,
    view_type: ViewType,
    by_ttl: bool,
) -> bytes:
    """Return one record's JSON. The view decides which images it has (trap 17)."""
    kind = "INSERT" if old is None else "REMOVE" if new is None else "MODIFY"
    size = keys.size
    images = b""
    if new is not None and view_type in ("NEW_IMAGE", "NEW_AND_OLD_IMAGES"):
        images += b',"NewImage":' + new.json
        size += new.size
    if old is not None and view_type in ("OLD_IMAGE", "NEW_AND_OLD_IMAGES"):
        images += b',"OldImage":' + old.json
        size += old.size
    identity = ',"userIdentity":{"PrincipalId":"dynamodb.amazonaws.com","Type":"Service"}' if by_ttl else ""
    return b"%b%b%b%b" % (
        (f'{{"awsRegion":"{region}","dynamodb":{{"ApproximateCreationDateTime":{epoch(created)},"Keys":').encode(),
        keys.json,
        images,
        (
            f',"SequenceNumber":"{sequence_number}","SizeBytes":{size},"StreamViewType":"{view_type}"}},'
            f'"eventID":"{event_id}","eventName":"{kind}","eventSource":"aws:dynamodb","eventVersion":"1.1"{identity}}}'
        ).encode(),
    )


@lru_cache(maxsize=64)
def epoch(seconds: int) -> str:
    """Return epoch seconds as the service prints a double, such as `1.7672256E9`."""
    digits = str(seconds)
    return f"{digits[0]}.{digits[1:].rstrip('0') or '0'}E{len(digits) - 1}"
