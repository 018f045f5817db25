"""Print a table's changes as they arrive, one line of JSON each, until it is interrupted.

    dynamodb-streams tail --table orders | jq .keys

The changes of one key are printed in the order in which they were written. A line is `ChangeRecord.to_json()`. A change
is printed once it is read, which takes about 2 seconds in a shard that was idle. By default this runs on FnApiRunner,
inside this process.

Exit code: 130 after SIGINT; 143 after SIGTERM, or once nobody reads the output; 0 at a `--stop`; 1 if the run failed; 2
for a usage error.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence

import apache_beam as beam

from beam_dynamodb_streams import ChangeRecord, ReadFromDynamoDBStreams
from beam_dynamodb_streams.commands.aws_profile import aws_profile
from beam_dynamodb_streams.commands.command_line import beam_options, read_from
from beam_dynamodb_streams.commands.exit_codes import exit_codes
from beam_dynamodb_streams.commands.options.tail import parser_of
from beam_dynamodb_streams.commands.printable import printable_json


def build(pipeline: beam.Pipeline, read: ReadFromDynamoDBStreams) -> None:
    """Add the steps to the pipeline."""
    pipeline | "Read" >> read | "Print" >> beam.Map(print_line)


def print_line(change: ChangeRecord) -> None:
    """Print the change as one line of JSON."""
    try:
        sys.stdout.write(printable_json(change.to_json()) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:  # `| head` has read what it wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is still buffered goes nowhere
        os.kill(os.getpid(), signal.SIGTERM)


def main(
    argv: Sequence[str] | None = None,
    *,
    prog: str = "dynamodb-streams tail",
    build: Callable[[beam.Pipeline, ReadFromDynamoDBStreams], object] = build,
) -> int:
    """Run the command and return its exit code. `build` adds the steps to the pipeline."""
    parser = parser_of(prog)
    arguments, rest = parser.parse_with_beam(argv)
    if arguments.snapshot is not None and arguments.start == "LATEST":
        arguments.start = "TRIM_HORIZON"  # the default of a read with a snapshot: from where the scan begins
    # The warning that FnApiRunner holds back what is behind a grouping is of no use here: nothing groups.
    quiet = ["beam_dynamodb_streams.beam.checked_read"]
    with exit_codes(parser, quiet=quiet) as run, aws_profile(arguments.profile):
        pipeline = beam.Pipeline(options=beam_options(rest, runner="FnApiRunner"))
        build(pipeline, read_from(arguments))
        run(pipeline)
    return 0
