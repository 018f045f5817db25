"""What a record processor of amazon_kclpy is given, with the attributes of that library's own messages.

amazon_kclpy itself is not needed. Its `CheckpointError` is raised where it is installed, so that processors catch it.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from importlib import import_module
from typing import Any, Protocol


class OwnCheckpointError(Exception):
    """A checkpoint that was refused, where amazon_kclpy is not installed. `value` is the name that the KCL uses."""

    def __init__(self, value: str) -> None:
        super().__init__(value)
        self.value = value


def checkpoint_error(value: str) -> Exception:
    """Return the exception of a checkpoint that is refused."""
    try:
        kind: Any = import_module("amazon_kclpy.checkpoint_error").CheckpointError
    except (ImportError, AttributeError):
        kind = OwnCheckpointError
    error: Exception = kind(value)
    return error


class Checkpoints(Protocol):
    """What a processor checkpoints with."""

    def checkpoint(self, sequence_number: str | None = None, sub_sequence_number: int | None = None) -> None: ...


@dataclass(frozen=True, slots=True)
class Record:
    """A change as a record of Kinesis: `binary_data` is the JSON that the DynamoDB Streams Kinesis Adapter writes."""

    sequence_number: str
    timestamp_millis: int
    partition_key: str
    binary_data: bytes
    sub_sequence_number: int = 0

    @property
    def data(self) -> str:
        """The data in Base64."""
        return base64.b64encode(self.binary_data).decode()

    @property
    def approximate_arrival_timestamp(self) -> datetime:
        """When the change was made, in local time and without a zone, as amazon_kclpy has it."""
        return datetime.fromtimestamp(self.timestamp_millis / 1000.0)  # noqa: DTZ006

    def get(self, name: str) -> Any:
        """Return a field by the name that the KCL's messages have."""
        return self._fields()[name]

    def __getitem__(self, name: str) -> Any:
        return self._fields()[name]

    def _fields(self) -> Mapping[str, Any]:
        return {
            "sequenceNumber": self.sequence_number,
            "subSequenceNumber": self.sub_sequence_number,
            "approximateArrivalTimestamp": self.timestamp_millis,
            "partitionKey": self.partition_key,
            "data": self.data,
            "action": "record",
        }


@dataclass(frozen=True, slots=True)
class InitializeInput:
    """The shard of a processor. Where it begins is not known to the step, so the numbers are None and 0."""

    shard_id: str
    sequence_number: str | None = None
    sub_sequence_number: int = 0
    action: str = field(default="initialize", init=False)


@dataclass(frozen=True, slots=True)
class ProcessRecordsInput:
    """Records in the order of the shard."""

    records: Sequence[Record]
    millis_behind_latest: int
    checkpointer: Checkpoints
    action: str = field(default="processRecords", init=False)


@dataclass(frozen=True, slots=True)
class LeaseLostInput:
    """The processor ends, and can no longer checkpoint."""

    action: str = field(default="leaseLost", init=False)


@dataclass(frozen=True, slots=True)
class ShardEndedInput:
    """The shard was read to its end."""

    checkpointer: Checkpoints
    action: str = field(default="shardEnded", init=False)


@dataclass(frozen=True, slots=True)
class ShutdownRequestedInput:
    """The read is at its end."""

    checkpointer: Checkpoints
    action: str = field(default="shutdownRequested", init=False)


@dataclass(frozen=True, slots=True)
class ShutdownInput:
    """The end of a processor of version 2: TERMINATE at the end of its shard, ZOMBIE where it can not checkpoint."""

    reason: str
    checkpointer: Checkpoints
    action: str = field(default="shutdown", init=False)
