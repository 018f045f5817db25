"""Mend a loss with incremental exports to S3: say which ones to make, and write what they repair.

    dynamodb-streams repair --table orders --since 2026-01-31T12:00:00Z --s3_bucket exports
    dynamodb-streams repair --table orders --exports s3://exports/AWSDynamoDB/017-a/ --output repaired --format parquet

The first form prints the commands that make the exports. They need point-in-time recovery, which must have been on
since before the loss, and no read units. The second form writes the net change of each item in them, deletes included,
and then the changes since. Their `version` is greater than that of everything written before the repair: of all rows of
a key, in the old files and in these, the one with the greatest version is right.

Exit code: 0 when all is said or written; 1 if the run failed; 2 for a usage error. An error is one line on stderr.
"""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Callable, Sequence
from typing import Final

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems

from beam_dynamodb_streams import ReadFromDynamoDBStreams
from beam_dynamodb_streams.commands.aws_profile import aws_profile
from beam_dynamodb_streams.commands.command_line import beam_options
from beam_dynamodb_streams.commands.exit_codes import exit_codes
from beam_dynamodb_streams.commands.export import build, directories_of, sink_of
from beam_dynamodb_streams.commands.options.argument_types import moment_argument
from beam_dynamodb_streams.commands.options.repair import parser_of
from beam_dynamodb_streams.commands.status_line import start_text, status_line
from beam_dynamodb_streams.display import counted
from beam_dynamodb_streams.errors import InvalidOptionError
from beam_dynamodb_streams.exports.repair import ExportWindow, export_command, repair_windows
from beam_dynamodb_streams.records.fields import EPOCH, MICROSECOND
from beam_dynamodb_streams.shards.generations import table_of
from beam_dynamodb_streams.sinks.directory import check_writable
from beam_dynamodb_streams.sinks.output import open_output
from beam_dynamodb_streams.source.options import connection_to
from beam_dynamodb_streams.source.streams import find_table
from beam_dynamodb_streams.source.worker_cache import client
from beam_dynamodb_streams.wire import Client

_SINCE: Final = re.compile(r"created since (\S+?Z)\b")
_MICROS: Final = 1_000_000


def main(
    argv: Sequence[str] | None = None,
    *,
    prog: str = "dynamodb-streams repair",
    build: Callable[[beam.Pipeline, ReadFromDynamoDBStreams, beam.PTransform, str | None], object] = build,
) -> int:
    """Run the command and return its exit code. `build` adds the steps to the pipeline."""
    parser = parser_of(prog)
    arguments, rest = parser.parse_with_beam(argv)
    options = beam_options(rest, in_process=True)
    FileSystems.set_options(options)
    with exit_codes(parser) as run, aws_profile(arguments.profile):
        if not arguments.exports:
            print(plan(arguments, prog))
            return 0
        if arguments.output is None or arguments.format is None:
            raise InvalidOptionError("--exports without --output and --format: say where the repair is to be written")
        sink = sink_of(arguments)
        for directory in directories_of(arguments):
            check_writable(directory)
        output = open_output(arguments.output)
        if found := output.list():
            raise InvalidOptionError(
                f"--output={arguments.output} holds {found[0]!r}: give a directory of its own, beside the files that "
                "the repair mends"
            )
        read = ReadFromDynamoDBStreams(
            arguments.table,
            repair=arguments.exports,
            stop="NOW",
            region_name=arguments.region_name,
            endpoint_url=arguments.endpoint_url,
            on_data_loss=arguments.on_data_loss,
        ).as_batches(sink.schema)
        pipeline = beam.Pipeline(options=options)
        build(pipeline, read if arguments.dead_letters is None else read.with_outputs(), sink, arguments.dead_letters)
        with status_line(start=start_text(None, arguments.exports), prog=prog):
            run(pipeline)
        print(f"{counted(len(output.list()), 'file')} in {arguments.output}")
    return 0


def plan(arguments: argparse.Namespace, prog: str) -> str:
    """Return what to do about a loss, command by command."""
    since = _since(arguments)
    connection = connection_to(arguments.table, None, arguments.region_name, arguments.endpoint_url)
    service = client(connection)
    assert isinstance(service, Client)  # noqa: S101 - a connection to a table is one to its streams
    _, stream_arn = find_table(service, arguments.table)
    windows = repair_windows(since, int(service.service_time()) * _MICROS)
    commands = commands_of(table_of(stream_arn), windows, arguments.s3_bucket, arguments.s3_prefix)
    prefix = f"{arguments.s3_prefix.strip('/')}/" if arguments.s3_prefix else ""
    folders = " ".join(
        f"s3://{arguments.s3_bucket}/{prefix}AWSDynamoDB/EXPORT_ID_{n + 1}/" for n in range(len(windows))
    )
    return "\n".join(
        [
            f"# 1. Make {counted(len(windows), 'incremental export')}, for which point-in-time recovery must be on:",
            *commands,
            "# 2. Once they are complete, and at most 24 hours later, write what they repair. The last part of an",
            "#    export's ARN is the name of its folder:",
            f"{prog} --table {shlex.quote(arguments.table)} --exports {folders} --output DIR --format parquet",
            "#    or read them into a sink of your own: ReadFromDynamoDBStreams(table=…, repair=[…])",
        ]
    )


def commands_of(table_arn: str, windows: Sequence[ExportWindow], bucket: str, prefix: str | None) -> list[str]:
    """Return the command of each export as a line for a shell."""
    return [shlex.join(export_command(table_arn, window, bucket=bucket, prefix=prefix)) for window in windows]


def _since(arguments: argparse.Namespace) -> int:
    """Return when the loss began, in microseconds."""
    if (arguments.since is None) == (arguments.loss is None):
        raise InvalidOptionError("give --since TIME or --loss TEXT, which say when the loss began, or --exports")
    if arguments.since is not None:
        return int((arguments.since - EPOCH) // MICROSECOND)
    found = _SINCE.findall(arguments.loss)
    if not found:
        raise InvalidOptionError(
            f"--loss={arguments.loss!r} does not say since when changes may be lost: give --since, a time before it at "
            "which all was well"
        )
    return min(int((moment_argument(text) - EPOCH) // MICROSECOND) for text in found)
