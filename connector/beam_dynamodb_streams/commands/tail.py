"""Print a table's changes as they arrive, one line each, until it is interrupted.

    dynamodb-streams tail --table orders
    dynamodb-streams tail --table orders --event_names INSERT,REMOVE
    dynamodb-streams tail --table orders --raw | jq .keys

A line is for people, such as `MODIFY o-9  total 9 → 1009`, with colours on a terminal. With `--raw` it is for machines:
`ChangeRecord.to_json()`, whole and unchanged. The changes of one key are printed in the order in which they were
written. A change is printed once it is read, which takes about 2 seconds in a shard that was idle. By default this runs
on FnApiRunner, inside this process.

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
from beam_dynamodb_streams.commands.change_text import change_text
from beam_dynamodb_streams.commands.command_line import beam_options, read_from
from beam_dynamodb_streams.commands.exit_codes import exit_codes
from beam_dynamodb_streams.commands.options.tail import parser_of
from beam_dynamodb_streams.commands.printable import printable_json

Print = Callable[[ChangeRecord], None]


def print_change(change: ChangeRecord) -> None:
    """Print the change in one line for people."""
    _print(change_text(change, colours=_has_colours()))


def print_line(change: ChangeRecord) -> None:
    """Print the change as one line of JSON."""
    _print(printable_json(change.to_json()))


def build(pipeline: beam.Pipeline, read: ReadFromDynamoDBStreams, show: Print = print_line) -> None:
    """Add the steps to the pipeline. `show` prints a change: `print_change` or `print_line`."""
    pipeline | "Read" >> read | "Print" >> beam.Map(show)


def _print(line: str) -> None:
    try:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    except BrokenPipeError:  # `| head` has read what it wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is still buffered goes nowhere
        os.kill(os.getpid(), signal.SIGTERM)


def _has_colours() -> bool:
    """Return whether a terminal shows the output that knows colours, and whose user has not turned them off."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def main(
    argv: Sequence[str] | None = None,
    *,
    prog: str = "dynamodb-streams tail",
    build: Callable[[beam.Pipeline, ReadFromDynamoDBStreams, Print], object] = build,
) -> int:
    """Run the command and return its exit code. `build` adds the steps to the pipeline."""
    parser = parser_of(prog)
    arguments, rest = parser.parse_with_beam(argv)
    if arguments.snapshot is not None and arguments.start == "LATEST":
        arguments.start = "TRIM_HORIZON"  # the default of a read with a snapshot: from where the scan begins
    if (sys.stdout.encoding or "").lower() not in ("utf-8", "utf8") and hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that cannot show `→` does not end the run
    # The warning that FnApiRunner holds back what is behind a grouping is of no use here: nothing groups.
    quiet = ["beam_dynamodb_streams.beam.checked_read"]
    with exit_codes(parser, quiet=quiet) as run, aws_profile(arguments.profile):
        pipeline = beam.Pipeline(options=beam_options(rest, in_process=True))
        read = read_from(arguments, event_names=arguments.event_names)
        build(pipeline, read, print_line if arguments.raw else print_change)
        run(pipeline)
    return 0
