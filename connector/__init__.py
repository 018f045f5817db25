"""Amazon DynamoDB Streams for Apache Beam: an unbounded, splittable source of change records, and sinks for them."""

from connector import errors
from connector.errors import ConnectorError
from connector.progress.address import Progress
from connector.progress.commit import CommitProgress
from connector.records import CHANGE_SCHEMA, ChangeRecord, Schema, json_field, read_schema
from connector.records import register_coders as _register_record_coders
from connector.records.batched import AsChanges
from connector.records.batched import register_batches as _register_batches
from connector.shards.loss import Loss
from connector.shards.stream_position import StreamPosition
from connector.sinks import WriteChangesToAvro, WriteChangesToJsonLines, WriteChangesToParquet
from connector.source.coders import register_coders as _register_source_coders
from connector.source.delivered import DeliveredPosition
from connector.source.outputs import DeadLetter
from connector.source.sample import Sample, sample
from connector.source.transform import ReadFromDynamoDBStreams

_register_record_coders()
_register_source_coders()
_register_batches()

__all__ = [
    "CHANGE_SCHEMA",
    "AsChanges",
    "ChangeRecord",
    "CommitProgress",
    "ConnectorError",
    "DeadLetter",
    "DeliveredPosition",
    "Loss",
    "Progress",
    "ReadFromDynamoDBStreams",
    "Sample",
    "Schema",
    "StreamPosition",
    "WriteChangesToAvro",
    "WriteChangesToJsonLines",
    "WriteChangesToParquet",
    "errors",
    "json_field",
    "read_schema",
    "sample",
]
