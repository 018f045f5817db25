"""Call a handler of a Lambda trigger with a table's changes: a trigger without Lambda.

    dynamodb-streams handle --table orders --handler app.handler --progress file:progress.json

`--config FILE` takes the configuration of an event source mapping, as JSON or YAML with the names of
CreateEventSourceMapping. An option on the command line wins over it.

Changes that are discarded after `--maximum_retry_attempts` or at `--maximum_record_age` are written to `--on_failure
DIR` as JSON lines, in the form of Lambda's on-failure destination. Without these two a handler that keeps failing ends
the run, and the next run with the same `--progress` repeats the batch.

Exit code: 0 at a `--stop`; 130 after SIGINT; 143 after SIGTERM; 1 if the run failed; 2 for a usage error.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems

from beam_dynamodb_streams import CommitProgress, InvokeHandler, ReadFromDynamoDBStreams
from beam_dynamodb_streams.commands.aws_profile import aws_profile
from beam_dynamodb_streams.commands.command_line import beam_options, read_from
from beam_dynamodb_streams.commands.exit_codes import exit_codes
from beam_dynamodb_streams.commands.on_failure_files import WriteOnFailureRecords
from beam_dynamodb_streams.commands.options.handle import parser_of
from beam_dynamodb_streams.commands.options.spelling import respelled
from beam_dynamodb_streams.commands.status_line import start_text, status_line
from beam_dynamodb_streams.errors import InvalidOptionError
from beam_dynamodb_streams.handlers.event_source_mapping import Mapped, read_mapping
from beam_dynamodb_streams.handlers.invoke import HandlerOutputs
from beam_dynamodb_streams.sinks.directory import check_writable

_HANDLER: Final = (
    *("batch_size", "batching_window", "parallelization_factor", "bisect_on_error", "maximum_retry_attempts"),
    *("maximum_record_age", "report_batch_item_failures", "tumbling_window"),
)
_SLICE_SECONDS: Final = 1.0


def build(
    pipeline: beam.Pipeline, read: ReadFromDynamoDBStreams, handler: InvokeHandler, on_failure: str | None = None
) -> HandlerOutputs:
    """Add the steps to the pipeline. `on_failure` is the directory of the on-failure records, if they are kept."""
    outputs: HandlerOutputs = pipeline | "Read" >> read | "Handle" >> handler
    if on_failure is not None:
        outputs.on_failure | "Write failures" >> beam.ParDo(WriteOnFailureRecords(on_failure))
    return outputs


Build = Callable[[beam.Pipeline, ReadFromDynamoDBStreams, InvokeHandler, str | None], HandlerOutputs]


def main(argv: Sequence[str] | None = None, *, prog: str = "dynamodb-streams handle", build: Build = build) -> int:
    """Run the command and return its exit code. `build` adds the steps to the pipeline."""
    parser = parser_of(prog)
    words = respelled(sys.argv[1:] if argv is None else argv, parser.own_options)
    with exit_codes(parser) as run:
        mapped = mapped_by(words)
        arguments, rest = parser.parse_with_beam([*([] if mapped is None else words_of(mapped, words)), *words])
        with aws_profile(arguments.profile):
            options = beam_options(rest, in_process=arguments.stop is not None)
            FileSystems.set_options(options)
            if os.getcwd() not in sys.path:  # as Lambda finds a handler in its own directory
                sys.path.insert(0, os.getcwd())
            handler, read = handler_of(arguments), read_of(arguments)
            if mapped is not None and mapped.destination is not None and arguments.on_failure is None:
                raise InvalidOptionError(
                    f"{arguments.config} has the on-failure destination {mapped.destination}, which this command does"
                    " not write to: give --on_failure=DIR for the records, as files"
                )
            if arguments.on_failure is not None:
                check_writable(arguments.on_failure)
            pipeline = beam.Pipeline(options=options)
            outputs = build(pipeline, read, handler, arguments.on_failure)
            if arguments.tumbling_window and arguments.progress is not None:  # these windows leave the read's bundles
                _ = outputs.handled | "Commit" >> CommitProgress(arguments.progress)
            with status_line(start=start_text(arguments.start, snapshot=arguments.snapshot), prog=prog):
                run(pipeline)
    return 0


def mapped_by(words: Sequence[str]) -> Mapped | None:
    """Return what the file of `--config` says; None without it."""
    finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    finder.add_argument("--config", nargs="?")
    config = finder.parse_known_args(list(words))[0].config
    return None if config is None else read_mapping(config)


def words_of(mapped: Mapped, words: Sequence[str]) -> list[str]:
    """Return a mapping as words of a command line, to be put before the others. A table or stream among these wins."""
    given: list[str] = []
    if mapped.stream_arn is not None and not any(word.startswith(("--table", "--stream_arn")) for word in words):
        given.append(f"--stream_arn={mapped.stream_arn}")
    if mapped.start is not None:
        start = mapped.start.isoformat() if isinstance(mapped.start, datetime) else mapped.start
        given.append(f"--start={start}")
    if mapped.function is not None:
        given.append(f"--function_name={mapped.function}")
    for name, value in mapped.handler.items():
        if isinstance(value, bool):
            given.append(f"--{name}" if value else f"--no-{name}")
        else:
            given.append(f"--{name}={json.dumps(value) if name == 'filter_criteria' else value}")
    return given


def handler_of(arguments: argparse.Namespace) -> InvokeHandler:
    """Return the step that the options describe. The read applies `--filter_criteria`."""
    given: dict[str, Any] = {name: getattr(arguments, name) for name in _HANDLER}
    context = {name: getattr(arguments, name) for name in ("function_name", "timeout")}
    return InvokeHandler(
        arguments.handler,
        context={name: value for name, value in context.items() if value is not None} or None,
        **{name: value for name, value in given.items() if value is not None},
    )


def read_of(arguments: argparse.Namespace) -> ReadFromDynamoDBStreams:
    """Return the read that the options describe. Its bundles last as long as a batch may wait."""
    window = max(_SLICE_SECONDS, arguments.batching_window or 0.0)
    return read_from(
        arguments,
        progress=arguments.progress,
        filter_criteria=_criteria(arguments.filter_criteria),
        slice_time=timedelta(seconds=window),
    )


def _criteria(text: str | None) -> str | None:
    if text is None or not text.startswith("@"):
        return text
    try:
        return Path(text[1:]).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidOptionError(f"--filter_criteria={text} cannot be read: {error}") from error
