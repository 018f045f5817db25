"""A change in the form that Kinesis Data Streams for DynamoDB gives it."""

from __future__ import annotations

import hashlib
import uuid
from typing import Literal

import msgspec

from beam_dynamodb_streams.testing.change import Change

Precision = Literal["MILLISECOND", "MICROSECOND"]


def kinesis_record(change: Change, *, precision: Precision | None = "MICROSECOND") -> tuple[bytes, str]:
    """Return the data of a change's record in a Kinesis data stream, and its partition key.

    The data has no sequence number, no stream view type and no ARN, and its creation time is an integer.
    """
    record = msgspec.json.decode(change.body)
    inner = record["dynamodb"]
    table = change.stream_arn.partition(":table/")[2].partition("/")[0]
    unit = 1_000_000 if precision == "MICROSECOND" else 1_000
    described = {
        "ApproximateCreationDateTime": round(inner["ApproximateCreationDateTime"] * unit),
        **{name: inner[name] for name in ("Keys", "NewImage", "OldImage", "SizeBytes") if name in inner},
    }
    if precision is not None:
        described["ApproximateCreationDateTimePrecision"] = precision
    identity = record.get("userIdentity")
    data = {
        "awsRegion": record["awsRegion"],
        "eventID": str(uuid.UUID(record["eventID"])),
        "eventName": record["eventName"],
        "userIdentity": identity and {"principalId": identity["PrincipalId"], "type": identity["Type"]},
        "recordFormat": "application/json",
        "tableName": table,
        "dynamodb": described,
        "eventSource": "aws:dynamodb",
    }
    key = hashlib.sha256(msgspec.json.encode(inner["Keys"], order="sorted")).hexdigest()[:32].upper()
    return msgspec.json.encode(data), key
