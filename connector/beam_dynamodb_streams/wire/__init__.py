"""The only door to AWS: credentials and signing by botocore, answers as typed pages, codes as our errors."""

from beam_dynamodb_streams.wire.client import Client
from beam_dynamodb_streams.wire.counts import CallCounts, Counts
from beam_dynamodb_streams.wire.decode import decode_records
from beam_dynamodb_streams.wire.pages import (
    ListedShard,
    MalformedEntry,
    RawRecord,
    RawStreamRecord,
    RecordsPage,
    StreamPage,
    Table,
)
from beam_dynamodb_streams.wire.retry import Backoff

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
