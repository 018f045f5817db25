"""The test kit: a local DynamoDB Streams service for testing pipelines, and for trying things by hand.

- `LocalStreams`: the service, an HTTP server on loopback.
- `Table`: a table that a test writes to, and whose shards it directs.
- `Clock`: the service's time, moved by the test.
- `Faults`: what goes wrong on purpose.
- `Change`: what a write put into the stream.
- `LocalKinesis` and `KinesisStream`: Kinesis Data Streams, where a table's changes may also go.
- `Counts`: what was called and served.

`python -m beam_dynamodb_streams.testing` serves by hand.

The kit implements the service's API on its own. It shares no code with the parts of this package that read the
service, so that a misreading cannot pass on both sides.
"""

from beam_dynamodb_streams.testing.calls import Counts
from beam_dynamodb_streams.testing.change import Change
from beam_dynamodb_streams.testing.clock import Clock
from beam_dynamodb_streams.testing.faults import Faults
from beam_dynamodb_streams.testing.kinesis import LocalKinesis
from beam_dynamodb_streams.testing.kinesis_shards import KinesisStream
from beam_dynamodb_streams.testing.service import LocalStreams
from beam_dynamodb_streams.testing.table import Table

__all__ = ["Change", "Clock", "Counts", "Faults", "KinesisStream", "LocalKinesis", "LocalStreams", "Table"]
