"""The only door to AWS: credentials and signing by botocore, answers as typed pages, codes as our errors."""

from connector.wire.client import Client
from connector.wire.counts import CallCounts, Counts
from connector.wire.decode import decode_records
from connector.wire.pages import (
    ListedShard,
    MalformedEntry,
    RawRecord,
    RawStreamRecord,
    RecordsPage,
    StreamPage,
    Table,
)
from connector.wire.retry import Backoff

__all__ = [
    "Backoff",
    "CallCounts",
    "Client",
    "Counts",
    "ListedShard",
    "MalformedEntry",
    "RawRecord",
    "RawStreamRecord",
    "RecordsPage",
    "StreamPage",
    "Table",
    "decode_records",
]
