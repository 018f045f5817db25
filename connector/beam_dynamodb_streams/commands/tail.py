"""A table's changes as they arrive, one JSON line each on stdout, until interrupted.

    python -m pipelines.tail --table orders | jq .keys

Changes of one key come in the order of writing. A line is ``ChangeRecord.to_json()``. A change is printed once it is
read, and waits some 2 seconds for that where its shard was idle. By default this runs on FnApiRunner, inside this
process. Exit code: 130 after SIGINT, 143 after SIGTERM or when the reader of the output has gone, 0 at a ``--stop``, 1
when the run failed, 2 when the command is at fault.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

import apache_beam as beam

from beam_dynamodb_streams import ChangeRecord, ReadFromDynamoDBStreams
from beam_dynamodb_streams.commands.arguments import Parser, beam_options, command, read_of


def build(pipeline: beam.Pipeline, read: ReadFromDynamoDBStreams) -> beam.PCollection:
    return pipeline | "Read" >> read | "Print" >> beam.Map(print_line)


def print_line(change: ChangeRecord) -> None:
    try:
        sys.stdout.write(change.to_json() + "\n")
        sys.stdout.flush()
    except BrokenPipeError:  # `| head` has what it wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is still buffered goes nowhere
        os.kill(os.getpid(), signal.SIGTERM)


def main(argv: Sequence[str] | None = None) -> int:
    parser = Parser("python -m pipelines.tail", "Prints a table's changes as JSON lines, until interrupted.")
    parser.add_stream(start="LATEST")
    arguments, rest = parser.parse_with_beam(argv)
    # Nothing here groups, so that FnApiRunner lets nothing past a grouping is no matter.
    with command(parser, quiet=["beam_dynamodb_streams.beam.graph"]) as run:
        pipeline = beam.Pipeline(options=beam_options(rest, runner="FnApiRunner"))
        build(pipeline, read_of(arguments))
        run(pipeline)
    return 0


if __name__ == "__main__":
    sys.exit(main())
