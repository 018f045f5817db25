"""Write a table's changes to Parquet, Avro or JSON lines files, each change exactly once.

    dynamodb-streams export --table orders --output out --format parquet --stop NOW

The output is its own checkpoint: run the same command again, however the last run ended, and it resumes where the files
end. While it runs on a terminal, a status line shows how far it is.

`--iceberg CATALOG:NAMESPACE.TABLE` and `--delta DIR` add the files to a table, each once.

A record that is malformed, or an attribute that does not fit its column, ends the run, or goes to `--dead_letters DIR`.

At the end it prints what it wrote: rows, files, dead letters and losses; also after SIGINT or SIGTERM, and if it fails.

Exit code: 0 when all is written; 130 after SIGINT; 143 after SIGTERM; 1 if the run failed; 2 for a usage error. An
error is one line on stderr.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems

from beam_dynamodb_streams import ReadFromDynamoDBStreams, StreamPosition, WriteChangesToAvro, WriteChangesToParquet
from beam_dynamodb_streams.columns import Schema, SchemaOptions, check_keys, read_schema
from beam_dynamodb_streams.commands.aws_profile import aws_profile
from beam_dynamodb_streams.commands.command_line import beam_options, connection_of, read_from
from beam_dynamodb_streams.commands.dead_letter_files import WriteDeadLetters
from beam_dynamodb_streams.commands.exit_codes import exit_codes
from beam_dynamodb_streams.commands.files_written import Written
from beam_dynamodb_streams.commands.lakehouse_tables import WriteAndCommit, tables_of
from beam_dynamodb_streams.commands.options.export import parser_of
from beam_dynamodb_streams.commands.status_line import start_text, status_line
from beam_dynamodb_streams.errors import InvalidOptionError
from beam_dynamodb_streams.exports.folder import export_paths
from beam_dynamodb_streams.shards.position import Horizon
from beam_dynamodb_streams.shards.start_stop import parse_start, parse_stop, resolve_bounds
from beam_dynamodb_streams.sinks import WriteChangesToDebezium, WriteChangesToJsonLines
from beam_dynamodb_streams.sinks.directory import check_writable, is_local
from beam_dynamodb_streams.sinks.formats import return_memory_soon
from beam_dynamodb_streams.source.export_files import read_exports
from beam_dynamodb_streams.source.export_snapshot import start_of
from beam_dynamodb_streams.source.options import parse_on_new_stream
from beam_dynamodb_streams.source.snapshot import scan_start
from beam_dynamodb_streams.source.start import resolve_start
from beam_dynamodb_streams.source.streams import find_data_stream, find_table
from beam_dynamodb_streams.source.worker_cache import client
from beam_dynamodb_streams.wire import KinesisClient

WRITERS: Final[Mapping[str, Any]] = {
    "parquet": WriteChangesToParquet,
    "avro": WriteChangesToAvro,
    "jsonl": WriteChangesToJsonLines,
    "debezium": WriteChangesToDebezium,
}

OUT_OF_ORDER_SECONDS: Final = 60
SLACK_SECONDS: Final = 5.0  # the default of `watermark_slack`


def build(
    pipeline: beam.Pipeline, read: ReadFromDynamoDBStreams, sink: beam.PTransform, dead_letters: str | None = None
) -> None:
    """Add the steps to the pipeline. With `dead_letters`, a directory, the read has `with_outputs()`."""
    changes = pipeline | "Read" >> read
    if dead_letters is not None:
        changes, letters, _ = changes
        letters | "Write dead letters" >> beam.ParDo(WriteDeadLetters(dead_letters))
    changes | "Write" >> sink


def main(
    argv: Sequence[str] | None = None,
    *,
    prog: str = "dynamodb-streams export",
    build: Callable[[beam.Pipeline, ReadFromDynamoDBStreams, beam.PTransform, str | None], object] = build,
) -> int:
    """Run the command and return its exit code. `build` adds the steps to the pipeline."""
    parser = parser_of(prog)
    arguments, rest = parser.parse_with_beam(argv)
    options = beam_options(rest, in_process=arguments.stop is not None)
    FileSystems.set_options(options)
    return_memory_soon()
    with (
        exit_codes(parser) as run,
        aws_profile(arguments.profile),
        removed_if_empty(arguments.output, arguments.dead_letters),
    ):
        read_from(arguments)  # refuses a bad option before the service is asked and before anything is written
        sink, tables = sink_of(arguments), tables_of(arguments)
        for directory in directories_of(arguments):
            check_writable(directory)
        stream_arn, start, until = bounds_of(arguments, sink.schema)
        with sink.resume(start=start, stream_arn=stream_arn, follow=follows(arguments)) as position:
            resumed = position != start
            if resumed:
                print(f"resuming the export of this stream in {arguments.output} where its files end", file=sys.stderr)
            read = read_from(arguments, start=position, on_data_loss=arguments.on_data_loss)
            read = read.as_batches(sink.schema)
            if arguments.dead_letters is not None:
                read = read.with_outputs()
            pipeline = beam.Pipeline(options=options)
            build(pipeline, read, WriteAndCommit(sink, tables) if tables else sink, arguments.dead_letters)
            written = Written(
                arguments.output,
                arguments.dead_letters,
                noun="change" if arguments.layout == "change_log" else "row",
                resumed=resumed,
                losses=arguments.on_data_loss == "continue",
                tables=tables,
            )
            with written.reported():
                with status_line(start=start_text(arguments.start, snapshot=arguments.snapshot), prog=prog):
                    run(pipeline)
                if until is not None:
                    sink.caught_up(until)
    return 0


def follows(arguments: argparse.Namespace) -> bool:
    """Return whether the export continues in the table's next stream."""
    return parse_on_new_stream(arguments.on_new_stream, arguments.table) == "follow"


def directories_of(arguments: argparse.Namespace) -> list[str]:
    """Return the directories that the run writes to.

    Raises:
        InvalidOptionError: the dead letters are inside the output, which readers read as a whole.
    """
    if arguments.dead_letters is None:
        return [arguments.output]
    inside = f"{arguments.dead_letters.rstrip('/')}/".startswith(f"{arguments.output.rstrip('/')}/")
    if inside:
        raise InvalidOptionError(
            f"--dead_letters={arguments.dead_letters} is inside --output={arguments.output}: give another directory"
        )
    return [arguments.output, arguments.dead_letters]


@contextmanager
def removed_if_empty(*directories: str | None) -> Iterator[None]:
    """Remove a local directory again that was made for a run which failed before it wrote anything."""
    paths = [Path(directory) for directory in directories if directory is not None and is_local(directory)]
    made = [path for asked in paths for path in (asked, *asked.parents) if not path.exists()]
    try:
        yield
    except BaseException:
        for path in made:
            with suppress(OSError):  # it is not empty, or was not made
                path.rmdir()
        raise


def sink_of(arguments: argparse.Namespace) -> Any:
    """Return the sink that the options of `add_files` describe."""
    given = {"codec": arguments.codec, "partitions": arguments.partitions}
    if arguments.window is not None:
        given["window"] = arguments.window
    if arguments.schema is not None:
        names: SchemaOptions = {"rename": arguments.rename} if arguments.rename is not None else {}
        given["schema"] = read_schema(arguments.schema, keys=arguments.keys, **names)
    elif arguments.rename is not None:
        raise InvalidOptionError(
            f"--rename={arguments.rename} gives columns other names, and without --schema there are none: make a schema"
            " with `python -m pipelines.schema --rename safe --output FILE`, and give it with --schema FILE"
        )
    if arguments.format == "debezium":
        given["table"] = table_named(arguments)
    options = {name: option for name, option in given.items() if option is not None}
    return WRITERS[arguments.format](arguments.output, layout=arguments.layout, **options)


def table_named(arguments: argparse.Namespace) -> str | None:
    """Return the name of the table that the options name; None if they name a data stream alone."""
    named = arguments.table or getattr(arguments, "stream_arn", None) or getattr(arguments, "changes_of", None)
    return None if named is None else str(named).partition(":table/")[2].partition("/")[0] or str(named)


def bounds_of(arguments: argparse.Namespace, schema: Schema | None) -> tuple[str, StreamPosition, int | None]:
    """Return the stream, where a new export of it begins, and the second up to which all is read if the run ends well.

    "LATEST" becomes a moment, so that later runs resume from it. The second is a little before a stop in time: what is
    out of order there is left to the next run. It is None without a stop in time.

    Raises:
        ConnectorError: the stream cannot be read, or `schema` contradicts the table's key.
    """
    connection = connection_of(arguments)
    service = client(connection)
    stream_arn = arguments.stream_arn
    if isinstance(service, KinesisClient):
        stream_arn = find_data_stream(service, arguments.kinesis_stream)
    elif stream_arn is None:
        table, stream_arn = find_table(service, arguments.table)
        if schema is not None:
            check_keys(schema, table.key_types)
    service.describe_stream(stream_arn, limit=1)
    start = resolve_start(parse_start(arguments.start), stream_arn, service, connection)
    if arguments.snapshot == ["scan"] and isinstance(start, Horizon):
        start = scan_start(service.service_time(), SLACK_SECONDS)  # what is older is in the rows
    elif arguments.snapshot is not None and isinstance(start, Horizon):
        exports = read_exports(export_paths(arguments.snapshot, option="snapshot"))
        start = start_of([export for export, _ in exports])
    bounds = resolve_bounds(start, parse_stop(arguments.stop, start), service.service_time())
    saved_of = start.stream_arn if isinstance(start, StreamPosition) else None
    until = None if bounds.stop_second is None else bounds.stop_second - OUT_OF_ORDER_SECONDS
    return stream_arn, StreamPosition(saved_of or stream_arn, bounds.start, bounds.saved), until
