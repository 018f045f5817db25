"""The Kinesis interface over DynamoDB Streams: consumers of Kinesis read a table's stream, unmodified.

`KinesisOverStreams` is an object with the methods of boto3's Kinesis client. `python -m beam_dynamodb_streams.kinesis
--table T` is a server on loopback for consumers in any language, such as the Kinesis Client Library.

Both answer from one `Interface`:

    client, server                    the object, and HTTP with its two protocols
    └── interface                     an operation and its parameters become an answer or a fault
        ├── requests, faults, answers what comes in, what is refused, what goes out
        └── one_stream                one stream
            ├── stream_names          what it is called
            ├── shard_listing         when to list, and when the children of an ended shard are known
            │   └── known_shards, shard_filters, hash_ranges
            └── shard_reader          one request at a time for each shard, pages that consumers share
                └── cursor, record_page, record_data, losses
"""

from beam_dynamodb_streams.kinesis.client import KinesisOverStreams
from beam_dynamodb_streams.kinesis.losses import LostRecords

__all__ = ["KinesisOverStreams", "LostRecords"]
