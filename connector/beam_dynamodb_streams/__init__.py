"""Amazon DynamoDB Streams for Apache Beam: an unbounded, splittable source of change records, and sinks for them."""

from beam_dynamodb_streams import errors
from beam_dynamodb_streams.columns import Schema, json_field, read_schema
from beam_dynamodb_streams.errors import ConnectorError
from beam_dynamodb_streams.progress.address import Progress
from beam_dynamodb_streams.progress.commit import CommitProgress
from beam_dynamodb_streams.records import CHANGE_SCHEMA, ChangeRecord
from beam_dynamodb_streams.records import register_coders as _register_record_coders
from beam_dynamodb_streams.records.beam_batches import AsChanges
from beam_dynamodb_streams.records.beam_batches import register_batches as _register_batches
from beam_dynamodb_streams.shards.loss import Loss
from beam_dynamodb_streams.shards.stream_position import StreamPosition
from beam_dynamodb_streams.sinks import WriteChangesToAvro, WriteChangesToJsonLines, WriteChangesToParquet
from beam_dynamodb_streams.source.coders import register_coders as _register_source_coders
from beam_dynamodb_streams.source.delivered_position import DeliveredPosition
from beam_dynamodb_streams.source.outputs import DeadLetter
from beam_dynamodb_streams.source.sample import Sample, sample
from beam_dynamodb_streams.source.transform import ReadFromDynamoDBStreams

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
