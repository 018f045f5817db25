"""File sinks for changes: Parquet, Avro, JSON lines and Debezium's form, on any filesystem that Beam knows.

* `write` holds the sinks, and `transform` what they share. `chunks` and `files` are the steps before and after the
  shuffle.
* `batches`, `layouts` and `changed_attributes` say what a row is; `formats` turns rows into the bytes of one file.
* `windows` decides which windows the files follow.
* `directory` says which output directories are accepted. With `output` and `unfinished`, a file gets there whole or
  not at all.
* `manifest`, `leftovers`, `coverage` and `resume` make the output its own checkpoint.
"""

from beam_dynamodb_streams.sinks.as_debezium import AsDebezium
from beam_dynamodb_streams.sinks.transform import WriteOutputs
from beam_dynamodb_streams.sinks.write import (
    WriteChangesToAvro,
    WriteChangesToDebezium,
    WriteChangesToJsonLines,
    WriteChangesToParquet,
)

__all__ = [
    "AsDebezium",
    "WriteChangesToAvro",
    "WriteChangesToDebezium",
    "WriteChangesToJsonLines",
    "WriteChangesToParquet",
    "WriteOutputs",
]
