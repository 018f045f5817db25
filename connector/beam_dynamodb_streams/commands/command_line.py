"""The stream that the options of a command name, as the library takes it, and Beam's options."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, Final

from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from beam_dynamodb_streams import ReadFromDynamoDBStreams
from beam_dynamodb_streams.errors import InvalidOptionError
from beam_dynamodb_streams.source.kinesis import connection_to_kinesis, read_kinesis
from beam_dynamodb_streams.source.options import Connection, connection_to

_OF_DYNAMODB: Final = ("table", "stream_arn", "on_new_stream")
_STREAM: Final = (
    "table",
    "stream_arn",
    "start",
    "stop",
    "region_name",
    "endpoint_url",
    "give_up_after",
    "on_new_stream",
)
_SNAPSHOT: Final = ("snapshot", "scan_segments", "scan_read_units")


def connection_of(arguments: argparse.Namespace) -> Connection:
    """Return how to reach the stream that the options of `add_stream` name."""
    if arguments.kinesis_stream is None:
        return connection_to(arguments.table, arguments.stream_arn, arguments.region_name, arguments.endpoint_url)
    return connection_to_kinesis(
        arguments.kinesis_stream, arguments.changes_of, arguments.region_name, arguments.endpoint_url
    )


def read_from(arguments: argparse.Namespace, **options: Any) -> ReadFromDynamoDBStreams:
    """Return the read that the options of `add_stream` describe. `options` go to the source too, and win."""
    if arguments.kinesis_stream is not None:
        if arguments.snapshot is not None:
            raise InvalidOptionError(
                "--snapshot with --kinesis_stream: a data stream repeats changes and keeps no order of a key, so rows "
                "cannot be joined with it. Use --table, or leave out --snapshot"
            )
        connection_of(arguments)  # an error about these options names those of the command
        found = {each: getattr(arguments, each) for each in _STREAM if each not in _OF_DYNAMODB}
        return read_kinesis(arguments.kinesis_stream, table=arguments.changes_of, **{**found, **options})
    given = {name: getattr(arguments, name) for name in (*_STREAM, *_SNAPSHOT)}
    if given["snapshot"] is not None and len(given["snapshot"]) == 1:
        (given["snapshot"],) = given["snapshot"]
    return ReadFromDynamoDBStreams(**{**given, **options})


def beam_options(rest: Sequence[str], *, in_process: bool) -> PipelineOptions:
    """Return Beam's options.

    Without a runner among them a command runs in this process, which a bounded read can, and one that groups nothing.
    Beam's default, DirectRunner, looks for Prism first, and may download it. An unbounded read that groups needs it.
    """
    options = PipelineOptions([*(["--runner=FnApiRunner"] if in_process else []), *rest])
    if not in_process:
        options.view_as(StandardOptions).streaming = True
    return options
