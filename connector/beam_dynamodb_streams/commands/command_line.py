"""The options that the commands share: which stream is read, from where to where, and what is written."""

from __future__ import annotations

import argparse
import difflib
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any, Final, NoReturn

from apache_beam.options.pipeline_options import PipelineOptions

from beam_dynamodb_streams import ReadFromDynamoDBStreams
from beam_dynamodb_streams.commands.argument_types import (
    give_up_argument,
    start_argument,
    stop_argument,
    window_argument,
)
from beam_dynamodb_streams.commands.printable import printable, printable_lines
from beam_dynamodb_streams.errors import InvalidOptionError
from beam_dynamodb_streams.source.kinesis import connection_to_kinesis, read_kinesis
from beam_dynamodb_streams.source.options import Connection, connection_to

_PYTHON: Final = re.compile(r"(?<![\w/-])(\w+)=(?=(\S?))")
_OPTION_OF: Final = {"path": "output"}
_WITH_OUTPUTS: Final = re.compile(r"\.with_outputs\(\) for dead letters, or on_malformed=\"skip\"")
_CHOOSE_TABLE: Final = re.compile(r"with table=, for example table=(.+?) \(changes_of= .*?\)")
_RUNNERS_WITH_SERVER: Final = ("flinkrunner", "portablerunner", "sparkrunner")

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


class Parser(argparse.ArgumentParser):
    """A parser that reports an error in one line.

    It abbreviates no option, since it passes unknown options on to Beam: `--region` is Beam's, `--region_name` ours.
    """

    def __init__(self, prog: str, description: str = "", *, epilog: str | None = None, **options: Any) -> None:
        super().__init__(prog=prog, description=description, epilog=epilog, allow_abbrev=False, **options)

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        super().exit(status, message and printable_lines(message))
        raise AssertionError("unreachable: argparse has exited")

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {printable(message)}\n")

    def in_options(self, message: object) -> str:
        """Return a message of the library with its advice in terms of the command line: `stop=` becomes `--stop`."""
        options = self._option_string_actions

        def option(found: re.Match[str]) -> str:
            name = f"--{_OPTION_OF.get(found[1], found[1])}"
            valued = "=" if found[2] not in ("", ",", ")") else ""
            return f"{name}{valued}" if name in options else found[0]

        text = _CHOOSE_TABLE.sub(r"with --changes_of, for example --changes_of=\1", str(message))
        if "--dead_letters" in options:
            in_schema = ', or "on_misfit": "text" in the schema' if "does not fit its column" in text else ""
            text = _WITH_OUTPUTS.sub(f"--dead_letters DIR{in_schema}", text)
        return _PYTHON.sub(option, text)

    def add_connection(self) -> None:
        """Add the options that say which endpoint is called."""
        self.add_argument("--region_name", metavar="REGION", help="the AWS region (default: the one that boto3 finds)")
        self.add_argument(
            "--endpoint_url", metavar="URL", help="an endpoint other than AWS, such as a local one (default: AWS)"
        )

    def add_table(self, *, kinesis: bool = False) -> None:
        """Add the options that name the stream, which exclude each other. `kinesis`: also for a Kinesis data stream."""
        stream = self.add_mutually_exclusive_group(required=not kinesis)  # else `parse_with_beam` requires one
        stream.add_argument("--table", metavar="TABLE", help="the table's name or ARN; its latest stream is read")
        stream.add_argument("--stream_arn", metavar="ARN", help="the stream, in place of its table")
        if kinesis:
            stream.add_argument(
                "--kinesis_stream",
                metavar="STREAM",
                help="a Kinesis data stream to which the table sends its changes, by name or ARN",
            )
            self.add_argument(
                "--changes_of",
                metavar="TABLE",
                help="with --kinesis_stream: the table whose changes are read (default: the only one in the stream)",
            )

    def add_snapshot(self) -> None:
        """Add the options of a snapshot of the table that is joined with its stream."""
        self.add_argument(
            "--snapshot",
            nargs="+",
            metavar="WHAT",
            help="deliver the whole table first: scan, by a consistent scan that is joined with the changes; or the"
            " folder of a full export to S3, and those of the incremental ones after it (default: the changes alone)",
        )
        self.add_argument(
            "--scan_segments", type=int, metavar="N", help="into how many segments the scan divides the table"
        )
        self.add_argument(
            "--scan_read_units",
            type=float,
            metavar="N",
            help="how many read units the scan may consume a second (default: as many as the table allows)",
        )

    def add_give_up_after(self) -> None:
        """Add the option that ends a read whose calls keep failing."""
        self.add_argument(
            "--give_up_after",
            type=give_up_argument,
            metavar="LENGTH",
            help="end the run when a call has failed for this long without a break, in seconds or such as 10m (default:"
            " never; it is reported in the log)",
        )


class PipelineParser(Parser):
    """The parser of a command that runs a pipeline: what it does not know is Beam's."""

    def __init__(self, prog: str, description: str = "") -> None:
        super().__init__(prog, description, epilog="Any other option goes to Beam, such as --runner.")

    def parse_with_beam(self, argv: Sequence[str] | None) -> tuple[argparse.Namespace, list[str]]:
        """Return the command's own options, and the words that are Beam's. An option that neither knows is an error.

        A job server has options that Beam learns from the server alone. For a runner that asks one, every unknown
        option goes to Beam, except one that looks like a mistyped option of the command.
        """
        words = list(sys.argv[1:] if argv is None else argv)
        found: list[argparse.ArgumentParser] = []
        PipelineOptions([]).get_all_options(add_extra_args_fn=found.append)
        (beam_parser,) = found
        known, _ = beam_parser.parse_known_args([word for word in words if word not in ("-h", "--help")])  # not Beam's
        asks_server = str(known.runner).rpartition(".")[2].lower() in _RUNNERS_WITH_SERVER
        options = {**self._option_string_actions, **beam_parser._option_string_actions}
        own = [option for option in self._option_string_actions if option.startswith("--")]
        for name in (word.partition("=")[0] for word in words if word.startswith("--")):
            if name in options:
                continue
            if near := difflib.get_close_matches(name, own, 1, 0.75):
                self.error(f"unknown option {name}: did you mean {near[0]}?")
            if not asks_server:
                self.error(f"unknown option {name}, here and in Beam: --help lists the options of this command")
        arguments, rest = self.parse_known_args(words)
        streams = ("table", "stream_arn", "kinesis_stream")
        if "kinesis_stream" in arguments and all(getattr(arguments, name) is None for name in streams):
            self.error("one of the arguments --table --stream_arn is required, or --kinesis_stream")
        _, unknown = beam_parser.parse_known_args(rest)
        if unknown and not asks_server:
            self.error(f"{unknown[0]!r} belongs to no option: quote a value that contains spaces")
        return arguments, rest

    def add_stream(self, *, start: str) -> None:
        """Add the options that say what is read. `start` is the default of `--start`."""
        self.add_table(kinesis=True)
        self.add_argument(
            "--start",
            type=start_argument,
            default=start,
            metavar="WHERE",
            help="where to begin: TRIM_HORIZON, LATEST, a time such as 2026-01-31T12:00:00Z, @FILE with a saved"
            " position, or kcl://LEASE_TABLE (default: %(default)s)",
        )
        self.add_argument(
            "--stop",
            type=stop_argument,
            metavar="WHEN",
            help='where to end: NOW, a time, a number of changes such as "1000 records", or a duration such as 10m'
            " (default: never, which needs a streaming runner)",
        )
        self.add_argument(
            "--on_new_stream",
            choices=("follow", "fail", "finish"),
            help="what to do once the stream is disabled and read to its end: follow to the table's next stream, fail"
            " if there is one, or finish (default: follow with --table, finish with --stream_arn)",
        )
        self.add_snapshot()
        self.add_give_up_after()
        self.add_connection()

    def add_files(self, formats: Iterable[str], layouts: Iterable[str], partitions: Iterable[str]) -> None:
        """Add the options that say what is written, and where."""
        self.add_argument(
            "--output",
            required=True,
            metavar="DIR",
            help="a directory on any filesystem that Beam supports; an export of the same stream that is in it is"
            " resumed",
        )
        self.add_argument("--format", required=True, choices=sorted(formats), help="the format of the files")
        self.add_argument(
            "--layout", choices=list(layouts), default="change_log", help="what a row is (default: %(default)s)"
        )
        self.add_argument(
            "--schema",
            metavar="FILE",
            help="typed columns, from a file that the command `schema` saved (default: images as text)",
        )
        self.add_argument(
            "--keys",
            type=lambda text: text.split(","),
            metavar="NAMES",
            help="the table's key attributes, separated by a comma (default: as the schema's file says)",
        )
        self.add_argument(
            "--window",
            type=window_argument,
            metavar="LENGTH",
            help="the creation time that one file covers, in seconds or such as 5m (default: 1m, or no windows with"
            " --stop)",
        )
        self.add_argument(
            "--partitions",
            choices=list(partitions),
            help="Hive partitions by creation time (default: no partitions)",
        )
        self.add_argument("--codec", help="the compression (default: the format's own)")
        self.add_argument(
            "--on_data_loss",
            choices=["fail", "continue"],
            default="fail",
            help="end the run when changes were trimmed before they were read, or report it and continue (default:"
            " %(default)s)",
        )
        self.add_argument(
            "--dead_letters",
            metavar="DIR",
            help="where to write, as JSON lines, what is malformed or does not fit its column (default: the first one"
            " ends the run)",
        )


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
    if arguments.changes_of is not None:
        raise InvalidOptionError(
            f"--changes_of={arguments.changes_of} is of a data stream: give --kinesis_stream too, or use --table"
        )
    given = {name: getattr(arguments, name) for name in (*_STREAM, *_SNAPSHOT)}
    if given["snapshot"] is not None and len(given["snapshot"]) == 1:
        (given["snapshot"],) = given["snapshot"]
    return ReadFromDynamoDBStreams(**{**given, **options})


def beam_options(rest: Sequence[str], *, runner: str | None = None) -> PipelineOptions:
    """Return Beam's options. `runner` replaces Beam's default of `--runner`."""
    return PipelineOptions([*([f"--runner={runner}"] if runner else []), *rest])
