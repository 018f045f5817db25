"""The test kit: a local DynamoDB Streams service for testing pipelines, and for trying things by hand.

``LocalStreams`` serves, ``Table`` is written to, ``Clock`` moves time, ``Faults`` go wrong on purpose,
``Change`` is what a write put into the stream, ``Counts`` what was called. ``python -m beam_dynamodb_streams.testing``
serves by hand.

It is a reading of the service's API of its own: it shares nothing with the parts of this package that read
the service, so that no misreading passes on both sides.
"""

from beam_dynamodb_streams.testing.calls import Counts
from beam_dynamodb_streams.testing.change import Change
from beam_dynamodb_streams.testing.clock import Clock
from beam_dynamodb_streams.testing.faults import Faults
from beam_dynamodb_streams.testing.service import LocalStreams
from beam_dynamodb_streams.testing.table import Table

__all__ = ["Change", "Clock", "Counts", "Faults", "LocalStreams", "Table"]
