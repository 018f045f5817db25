"""What an operation returns, before it is written as a dict of boto3, as JSON or as CBOR."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

from beam_dynamodb_streams.kinesis.record_data import Records


class Moment:
    """A time in an answer, in epoch seconds: each protocol writes it in its own way.

    It is not a dataclass, which msgspec would write as an object without asking.
    """

    __match_args__ = ("seconds",)
    __slots__ = ("seconds",)

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


@dataclass(frozen=True, slots=True)
class RecordsAnswer:
    """The answer to GetRecords. Without `next_iterator` the shard has ended, and `child_shards` are its children."""

    records: Records
    next_iterator: str | None
    behind: int
    child_shards: list[dict[str, Any]] = field(default_factory=list)


Answer: TypeAlias = RecordsAnswer | dict[str, Any]
