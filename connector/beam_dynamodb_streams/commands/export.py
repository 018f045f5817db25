"""A table's changes to Parquet, Avro or JSON lines files, each change exactly once.

    python -m pipelines.export --table orders --output out --format parquet --stop NOW

The output is its own checkpoint: the same command again, however the last one ended, goes on where its files end.
While it runs, a line on the terminal tells how it gets on.

What no row can hold ends the run, or goes to ``--dead_letters DIR``.

Exit code 0 when all is written, 1 when the run failed, 2 when the command is at fault; errors are one line on stderr.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import StandardOptions

from beam_dynamodb_streams import ReadFromDynamoDBStreams, StreamPosition, WriteChangesToAvro, WriteChangesToParquet
from beam_dynamodb_streams.columns import Schema, check_keys, read_schema
from beam_dynamodb_streams.commands.arguments import Parser, beam_options, command, read_of
from beam_dynamodb_streams.commands.dead_letters import WriteDeadLetters
from beam_dynamodb_streams.commands.progress_line import progress_line
from beam_dynamodb_streams.commands.written import manifests_in, told
from beam_dynamodb_streams.errors import InvalidOptionError
from beam_dynamodb_streams.shards.start_stop import parse_start, parse_stop, resolve_bounds
from beam_dynamodb_streams.sinks import WriteChangesToJsonLines
from beam_dynamodb_streams.sinks.batches import PARTITIONS
from beam_dynamodb_streams.sinks.layouts import LAYOUTS
from beam_dynamodb_streams.sinks.output import check_writable, is_local
from beam_dynamodb_streams.source.bundle_progress import place_of
from beam_dynamodb_streams.source.options import Connection
from beam_dynamodb_streams.source.start import find_table
from beam_dynamodb_streams.source.worker_cache import client

WRITERS: Final[Mapping[str, Any]] = {
    "parquet": WriteChangesToParquet,
    "avro": WriteChangesToAvro,
    "jsonl": WriteChangesToJsonLines,
}

OUT_OF_ORDER_SECONDS: Final = 60


def build(
    pipeline: beam.Pipeline,
    read: ReadFromDynamoDBStreams,
    outputs: Mapping[str, str | beam.PTransform],
    dead_letters: str | None = None,
) -> dict[str, beam.PCollection]:
    """One read to as many formats as wanted: ``outputs`` is ``{"parquet": directory}``, ``{"avro": …}`` or more; in the
    place of a directory may be a sink. ``dead_letters``: the directory of those of a read ``with_outputs()``.

    Gives the files written, by format. Changes without a stop go to files of one minute each.
    """
    changes = pipeline | "Read" >> read
    if dead_letters is not None:
        changes, letters, _ = changes
        letters | "Write dead letters" >> beam.ParDo(WriteDeadLetters(dead_letters))
    sinks = {name: WRITERS[name](output) if isinstance(output, str) else output for name, output in outputs.items()}
    return {name: changes | f"Write {name}" >> sink for name, sink in sinks.items()}


def main(argv: Sequence[str] | None = None) -> int:
    parser = Parser("python -m pipelines.export", "Writes a table's changes to files, each change exactly once.")
    parser.add_stream(start="TRIM_HORIZON")
    parser.add_files(WRITERS, LAYOUTS, PARTITIONS)
    arguments, rest = parser.parse_with_beam(argv)
    options = beam_options(rest)
    if arguments.stop is None:
        options.view_as(StandardOptions).streaming = True
    FileSystems.set_options(options)
    with command(parser) as run, no_trace_of(arguments.output, arguments.dead_letters):
        read_of(arguments)  # a bad option is told of before anything is asked of the service, or written
        sink = sink_of(arguments)
        for directory in directories_of(arguments):
            check_writable(directory)
        stream_arn, start, until = bounds_of(arguments, sink.schema)
        with sink.resume(start=start, stream_arn=stream_arn) as position:
            before = manifests_in(arguments.output)
            if position != start:
                print(f"{arguments.output} holds an export of this stream: going on where it ends", file=sys.stderr)
            read = read_of(arguments, start=position, on_data_loss=arguments.on_data_loss)
            read = read.as_batches(sink.schema)
            if arguments.dead_letters is not None:
                read = read.with_outputs()
            pipeline = beam.Pipeline(options=options)
            build(pipeline, read, {arguments.format: sink}, arguments.dead_letters)
            with progress_line():
                run(pipeline)
            if until is not None:
                sink.caught_up(until)
            rows = "change" if arguments.layout == "change_log" else "row"
            print(told(arguments.output, before, rows=rows, goes_on=position != start))
    return 0


def directories_of(arguments: argparse.Namespace) -> list[str]:
    """Where the run writes. What is in the output's directory is read as a whole, so dead letters are not in there."""
    if arguments.dead_letters is None:
        return [arguments.output]
    inside = f"{arguments.dead_letters.rstrip('/')}/".startswith(f"{arguments.output.rstrip('/')}/")
    if inside:
        raise InvalidOptionError(
            f"--dead_letters={arguments.dead_letters} is inside --output={arguments.output}: give another directory"
        )
    return [arguments.output, arguments.dead_letters]


@contextmanager
def no_trace_of(*directories: str | None) -> Iterator[None]:
    """A local directory that was made for a run which fails before it writes anything is removed again."""
    places = [Path(directory) for directory in directories if directory is not None and is_local(directory)]
    made = [path for place in places for path in (place, *place.parents) if not path.exists()]
    try:
        yield
    except BaseException:
        for path in made:
            with suppress(OSError):  # it holds something, or was not made
                path.rmdir()
        raise


def sink_of(arguments: argparse.Namespace) -> Any:
    given = {"codec": arguments.codec, "partitions": arguments.partitions}
    if arguments.window is not None:
        given["window"] = arguments.window
    if arguments.schema is not None:
        if arguments.format == "jsonl":
            raise InvalidOptionError(
                f"--schema={arguments.schema} makes columns, and JSON lines have none: leave it out, or write Parquet"
                " or Avro"
            )
        given["schema"] = read_schema(arguments.schema, keys=arguments.keys)
    options = {name: option for name, option in given.items() if option is not None}
    return WRITERS[arguments.format](arguments.output, layout=arguments.layout, **options)


def bounds_of(arguments: argparse.Namespace, schema: Schema | None) -> tuple[str, StreamPosition, int | None]:
    """The stream; where an export of it begins that is new: "LATEST" is a moment, and later runs go on from it; and the
    second up to which all is read if the run ends well, a little before a stop in time, since what is out of order
    there is the next run's. A ``schema`` that contradicts the table's key is refused."""
    connection = Connection(arguments.region_name, arguments.endpoint_url)
    service = client(connection, 1)
    stream_arn = arguments.stream_arn
    if stream_arn is None:
        table, stream_arn = find_table(service, arguments.table)
        if schema is not None:
            check_keys(schema, table.key_types)
    service.describe_stream(stream_arn, limit=1)
    start = place_of(parse_start(arguments.start), stream_arn, service, connection)
    bounds = resolve_bounds(start, parse_stop(arguments.stop, start), service.service_time())
    saved_of = start.stream_arn if isinstance(start, StreamPosition) else None
    until = None if bounds.stop_second is None else bounds.stop_second - OUT_OF_ORDER_SECONDS
    return stream_arn, StreamPosition(saved_of or stream_arn, bounds.start, bounds.saved), until


if __name__ == "__main__":
    sys.exit(main())
