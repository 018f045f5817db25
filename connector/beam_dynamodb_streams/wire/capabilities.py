"""What an endpoint of DynamoDB Streams supports: the service all of it, older endpoints and emulators not."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Support(Enum):
    """Whether an endpoint supports something, as far as its answers have shown."""

    UNKNOWN = "unknown"
    YES = "yes"
    NO = "no"


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the answers of one endpoint have shown so far. A client replaces it when it learns more.

    Attributes:
      at_timestamp: GetShardIterator's type AT_TIMESTAMP. Some endpoints refuse the type, DynamoDB Local answers it with
        HTTP 500, and moto returns an iterator that cannot be read. YES once such an iterator was read.
      shard_filter: DescribeStream's ShardFilter CHILD_SHARDS. Some endpoints refuse it, and moto ignores it. YES once a
        filtered page listed children of its parent alone.
    """

    at_timestamp: Support = Support.UNKNOWN
    shard_filter: Support = Support.UNKNOWN
