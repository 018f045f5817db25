"""File sinks for changes: Parquet, Avro and JSON lines, bounded or unbounded, on any filesystem that Beam knows.

* ``write`` holds the transforms; ``chunks`` and ``files`` are their steps before and after the runner's shuffle.
* ``rows``, ``layouts`` and ``changed`` say what a row is; ``formats`` turns rows into the bytes of one file.
* ``windows`` decides which windows the files follow.
* ``output`` knows the output directory, and ``unfinished`` how a file comes to be in it whole or not at all.
* ``manifest``, ``written``, ``coverage`` and ``resume`` make the output its own checkpoint.
"""

from beam_dynamodb_streams.sinks.write import (
    WriteChangesToAvro,
    WriteChangesToJsonLines,
    WriteChangesToParquet,
    WriteOutputs,
)

__all__ = ["WriteChangesToAvro", "WriteChangesToJsonLines", "WriteChangesToParquet", "WriteOutputs"]
