"""The parser of a command that runs a pipeline: it leaves Beam's options to Beam."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Final

from beam_dynamodb_streams.commands.options.argument_types import start_argument, stop_argument, window_argument
from beam_dynamodb_streams.commands.options.parser import Parser
from beam_dynamodb_streams.commands.options.spelling import option_names, question, respelled, suggestions

FORMATS: Final = ("avro", "debezium", "jsonl", "parquet")
LAYOUTS: Final = ("change_log", "latest_image")
PARTITIONS: Final = ("date", "hour")

_RUNNERS_WITH_SERVER: Final = ("flinkrunner", "portablerunner", "sparkrunner")
_STREAMS: Final = ("table", "stream_arn", "kinesis_stream")


class PipelineParser(Parser):
    """The parser of a command that runs a pipeline: what it does not know is Beam's."""

    def __init__(self, prog: str, description: str = "") -> None:
        super().__init__(prog, description, epilog="Any other option goes to Beam, such as --runner.")

    def check_names(self, words: Sequence[str]) -> None:
        """Accept every name here: `parse_with_beam` checks those that are not this command's."""

    def parse_with_beam(self, argv: Sequence[str] | None) -> tuple[argparse.Namespace, list[str]]:
        """Return the command's own options, and the words that are Beam's. An option that neither knows is an error.

        A job server has options that Beam learns from the server alone. For a runner that asks one, every unknown
        option goes to Beam, except one that looks like a mistyped option of the command.

        `--region` is the stream's, as it is for the AWS command line. Dataflow has an option of that name: on its
        runner `--region` is Beam's, and `--region_name` the stream's.
        """
        words = list(sys.argv[1:] if argv is None else argv)
        if {"-h", "--help"} & set(words):
            self.parse_known_args(words)  # shows the help without Beam, which takes long to import
        from apache_beam.options.pipeline_options import PipelineOptions

        found: list[argparse.ArgumentParser] = []
        PipelineOptions([]).get_all_options(add_extra_args_fn=found.append)
        (beam_parser,) = found
        beam_parser.error = self.error  # type: ignore[method-assign]  # one line, without the usage of all of Beam
        words = respelled(words, [*beam_parser._option_string_actions, *self._option_string_actions])
        known, _ = beam_parser.parse_known_args(words)
        runner = str(known.runner).rpartition(".")[2].lower()
        self._check_names_with(beam_parser, words, any_name=runner in _RUNNERS_WITH_SERVER)
        if runner == "dataflowrunner":
            del self._option_string_actions["--region"]
        arguments, rest = self.parse_known_args(words)
        _, unknown = beam_parser.parse_known_args(rest)
        named = "kinesis_stream" not in arguments or any(getattr(arguments, name) is not None for name in _STREAMS)
        if unknown and runner not in _RUNNERS_WITH_SERVER:
            advice = "quote a value that contains spaces" if named else f"did you mean --table {unknown[0]}?"
            self.error(f"{unknown[0]!r} belongs to no option: {advice}")
        if "kinesis_stream" in arguments:
            self.check_table(arguments)
        return arguments, rest

    def _check_names_with(self, beam_parser: argparse.ArgumentParser, words: Sequence[str], *, any_name: bool) -> None:
        """Exit with an error about the first option that neither knows.

        Args:
            beam_parser: Beam's parser.
            words: the command line.
            any_name: whether an option that is near to none of this command may be the job server's.
        """
        beams = list(beam_parser._option_string_actions)
        for name in option_names(words):
            if name in self._option_string_actions or name in beams:
                continue
            closeness = 0.75 if any_name else 0.6
            if near := suggestions(name, self.own_options, closeness=closeness):
                self.error(f"unknown option {name}: {question(near)}")
            if any_name:
                continue
            if near := suggestions(name, beams, closeness=0.8):
                self.error(f"unknown option {name}: {question(near)}")
            self.error(f"unknown option {name}, here and in Beam: --help lists the options of this command")

    def add_stream(self, *, start: str) -> None:
        """Add the options that say what is read. `start` is the default of `--start`."""
        self.add_table()
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

    def add_files(self, *, required: bool = True) -> None:
        """Add the options that say what is written, and where. `required`: whether there must be an output."""
        self.add_argument(
            "--output",
            required=required,
            metavar="DIR",
            help="a directory on any filesystem that Beam supports; an export of the same stream that is in it is"
            " resumed",
        )
        self.add_argument("--format", required=required, choices=FORMATS, help="the format of the files")
        self.add_argument(
            "--layout", choices=LAYOUTS, default="change_log", help="what a row is (default: %(default)s)"
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
            "--rename",
            choices=["safe"],
            help="with --schema: give each column whose name readers of the files refuse another name (default: as the"
            " schema's file says)",
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
            choices=PARTITIONS,
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
