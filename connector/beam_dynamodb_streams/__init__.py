"""Amazon DynamoDB Streams for Apache Beam: an unbounded, splittable source of change records, and sinks for them."""

from importlib import import_module
from typing import TYPE_CHECKING, Final

from beam_dynamodb_streams import errors
from beam_dynamodb_streams.errors import ConnectorError

if TYPE_CHECKING:
    from beam_dynamodb_streams.columns import Misfit, Schema, json_field, read_schema
    from beam_dynamodb_streams.commands.run_pipeline import run_pipeline
    from beam_dynamodb_streams.handlers.invoke import InvokeHandler
    from beam_dynamodb_streams.handlers.process_records import ProcessRecords
    from beam_dynamodb_streams.kinesis import KinesisOverStreams
    from beam_dynamodb_streams.lakehouse import CommitToDelta, CommitToIceberg, MirrorToDelta
    from beam_dynamodb_streams.progress.address import Progress
    from beam_dynamodb_streams.progress.commit import CommitProgress
    from beam_dynamodb_streams.records import CHANGE_SCHEMA, ChangeRecord, change_sequence_number
    from beam_dynamodb_streams.records.beam_batches import AsChanges
    from beam_dynamodb_streams.records.dead_letter import DeadLetter
    from beam_dynamodb_streams.records.snapshot_end import SnapshotEnd, snapshot_end
    from beam_dynamodb_streams.rows import AsRows
    from beam_dynamodb_streams.shards.loss import Loss
    from beam_dynamodb_streams.shards.start_stop import LeaseTable
    from beam_dynamodb_streams.shards.stream_position import StreamPosition
    from beam_dynamodb_streams.sinks import (
        AsDebezium,
        WriteChangesToAvro,
        WriteChangesToDebezium,
        WriteChangesToJsonLines,
        WriteChangesToParquet,
        WriteOutputs,
    )
    from beam_dynamodb_streams.sinks.items import read_items
    from beam_dynamodb_streams.source.delivered_position import DeliveredPosition
    from beam_dynamodb_streams.source.export_read import ReadDynamoDBExport
    from beam_dynamodb_streams.source.kinesis import ReadFromKinesisDataStream
    from beam_dynamodb_streams.source.sample import Sample, sample
    from beam_dynamodb_streams.source.transform import ReadFromDynamoDBStreams, ReadOutputs

__all__ = [
    "CHANGE_SCHEMA",
    "AsChanges",
    "AsDebezium",
    "AsRows",
    "ChangeRecord",
    "CommitProgress",
    "CommitToDelta",
    "CommitToIceberg",
    "ConnectorError",
    "DeadLetter",
    "DeliveredPosition",
    "InvokeHandler",
    "KinesisOverStreams",
    "LeaseTable",
    "Loss",
    "MirrorToDelta",
    "Misfit",
    "ProcessRecords",
    "Progress",
    "ReadDynamoDBExport",
    "ReadFromDynamoDBStreams",
    "ReadFromKinesisDataStream",
    "ReadOutputs",
    "Sample",
    "Schema",
    "SnapshotEnd",
    "StreamPosition",
    "WriteChangesToAvro",
    "WriteChangesToDebezium",
    "WriteChangesToJsonLines",
    "WriteChangesToParquet",
    "WriteOutputs",
    "change_sequence_number",
    "errors",
    "json_field",
    "read_items",
    "read_schema",
    "run_pipeline",
    "sample",
    "snapshot_end",
]

#: Where each name above is defined. They are imported when the first one is used, not with the package: so the program
#: `dynamodb-streams` and the test kit start at once, and need no Beam for `--help`.
_MODULES: Final = {
    "columns": ("Misfit", "Schema", "json_field", "read_schema"),
    "commands.run_pipeline": ("run_pipeline",),
    "handlers.invoke": ("InvokeHandler",),
    "handlers.process_records": ("ProcessRecords",),
    "kinesis": ("KinesisOverStreams",),
    "lakehouse": ("CommitToDelta", "CommitToIceberg", "MirrorToDelta"),
    "progress.address": ("Progress",),
    "progress.commit": ("CommitProgress",),
    "records": ("CHANGE_SCHEMA", "ChangeRecord", "change_sequence_number"),
    "records.beam_batches": ("AsChanges",),
    "records.dead_letter": ("DeadLetter",),
    "records.snapshot_end": ("SnapshotEnd", "snapshot_end"),
    "rows": ("AsRows",),
    "shards.loss": ("Loss",),
    "shards.start_stop": ("LeaseTable",),
    "shards.stream_position": ("StreamPosition",),
    "sinks": (
        "AsDebezium",
        "WriteChangesToAvro",
        "WriteChangesToDebezium",
        "WriteChangesToJsonLines",
        "WriteChangesToParquet",
        "WriteOutputs",
    ),
    "sinks.items": ("read_items",),
    "source.delivered_position": ("DeliveredPosition",),
    "source.export_read": ("ReadDynamoDBExport",),
    "source.kinesis": ("ReadFromKinesisDataStream",),
    "source.sample": ("Sample", "sample"),
    "source.transform": ("ReadFromDynamoDBStreams", "ReadOutputs"),
}

#: Modules that no Beam coder is in. Each is imported once one of its own names is used.
_WITHOUT_CODERS: Final = frozenset(
    ("commands.run_pipeline", "handlers.process_records", "kinesis", "lakehouse", "sinks.items", "source.sample")
)

if not TYPE_CHECKING:  # otherwise a type checker would accept any name of this module

    def __getattr__(name: str) -> object:
        """Import all public names with coders at once, so that Beam knows all coders after the first use of any."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from beam_dynamodb_streams.commands import quiet_import

        with quiet_import():
            for module, names in _MODULES.items():
                if module in _WITHOUT_CODERS and name not in names:
                    continue
                found = import_module(f"{__name__}.{module}")
                globals().update({each: getattr(found, each) for each in names})
        return globals()[name]
