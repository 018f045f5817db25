"""What a table's stream is called as a Kinesis stream. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timezone
from hashlib import sha256
from typing import Final

#: Kinesis's names have at most 128 characters; those of tables have up to 255, of the same alphabet.
LONGEST_NAME: Final = 128

_ARN: Final = re.compile(r"arn:([\w-]+):dynamodb:([\w-]*):(\d*):table/([^/]+)/stream/(\S+)")


@dataclass(frozen=True, slots=True)
class StreamNames:
    """The names of one stream.

    Attributes:
      dynamodb_arn: the ARN of the DynamoDB stream.
      table: the table's name.
      name: the table's name, or its beginning with a hash of the rest.
      arn: of a Kinesis stream of that name in the same account and region.
      identity: a short text that identifies the stream in iterators. A stream that is enabled again is another one.
      created: when the stream was enabled, in epoch seconds, as its label says; 0 if it does not.
    """

    dynamodb_arn: str
    table: str
    name: str
    arn: str
    identity: str
    created: float

    @classmethod
    def of(cls, stream_arn: str) -> StreamNames:
        """Return the names of the stream with this ARN, which must be one of a DynamoDB stream."""
        found = _ARN.fullmatch(stream_arn)
        if found is None:
            raise ValueError(f"{stream_arn!r} is not the ARN of a DynamoDB stream")
        partition, region, account, table, label = found.groups()
        name = _short(table)
        # Emulators leave parts of an ARN out, and clients check those of Kinesis.
        arn = f"arn:{partition}:kinesis:{region or 'us-east-1'}:{account.rjust(12, '0')}:stream/{name}"
        return cls(stream_arn, table, name, arn, sha256(stream_arn.encode()).hexdigest()[:8], _moment(label))

    def has(self, name: str) -> bool:
        """Return whether the stream is called so: by its name, its Kinesis ARN, its DynamoDB ARN, or the table's."""
        return name in (self.name, self.arn, self.dynamodb_arn) or (
            name.startswith("arn:") and self.dynamodb_arn.startswith(f"{name}/stream/")
        )


def _short(table: str) -> str:
    if len(table) <= LONGEST_NAME:
        return table
    return f"{table[: LONGEST_NAME - 9]}-{sha256(table.encode()).hexdigest()[:8]}"


def _moment(label: str) -> float:
    try:
        moment = datetime.fromisoformat(label)
    except ValueError:
        return 0.0
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=timezone.utc)).timestamp()
