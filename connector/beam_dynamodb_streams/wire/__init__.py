"""The only door to AWS: no other part imports botocore, speaks HTTP, or knows an error code.

A call passes through these modules:

    dynamodb_streams, dynamodb, kinesis    the clients: one module for each service that is used
    calls                         one call: sign, send, decode, retry
    ├── endpoint                  the service: its names, region, address, proxies and trust
    ├── signing, signature        credentials, by botocore, and signatures with the key of a day
    ├── transport, connection     HTTP on pooled connections
    ├── retry, clock, counts      back-off, the service's clock, counts of calls
    └── error_codes               a code becomes an exception of `errors`
    decode, pages, envelope       the bytes of an answer become values
"""

from beam_dynamodb_streams.wire.capabilities import Capabilities, Support
from beam_dynamodb_streams.wire.counts import CallCounts, Counts
from beam_dynamodb_streams.wire.decode import decode_records
from beam_dynamodb_streams.wire.dynamodb import DynamoDB, Item, Table
from beam_dynamodb_streams.wire.dynamodb_streams import Client
from beam_dynamodb_streams.wire.envelope import RawChange, RawRecord
from beam_dynamodb_streams.wire.kinesis import KinesisClient
from beam_dynamodb_streams.wire.pages import (
    DataStream,
    ListedShard,
    MalformedEntry,
    RecordsPage,
    StreamPage,
)
from beam_dynamodb_streams.wire.retry import Backoff
from beam_dynamodb_streams.wire.stream_calls import RecordCalls, StreamCalls

#: A client of either kind of stream: both list shards and return pages of changes in the same way.
StreamClient = Client | KinesisClient

__all__ = [
    "Backoff",
    "CallCounts",
    "Capabilities",
    "Client",
    "Counts",
    "DataStream",
    "DynamoDB",
    "Item",
    "KinesisClient",
    "ListedShard",
    "MalformedEntry",
    "RawChange",
    "RawRecord",
    "RecordCalls",
    "RecordsPage",
    "StreamCalls",
    "StreamClient",
    "StreamPage",
    "Support",
    "Table",
    "decode_records",
]
