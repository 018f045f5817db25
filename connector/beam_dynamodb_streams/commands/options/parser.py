"""The parser of a command, and the options that several commands have."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from typing import Any, Final, NoReturn

from beam_dynamodb_streams.commands.options.argument_types import give_up_argument
from beam_dynamodb_streams.commands.options.spelling import option_names, question, respelled, suggestions
from beam_dynamodb_streams.commands.printable import printable, printable_lines

_PYTHON: Final = re.compile(r"(?<![\w/-])(\w+)=(?=(\S?))")
_OPTION_OF: Final = {"path": "output"}
_CHOOSE_TABLE: Final = re.compile(r"with table=, for example table=(.+?) \(changes_of= .*?\)")
_WITH_OUTPUTS: Final = re.compile(r"\.with_outputs\(\) for dead letters, or on_malformed=\"skip\"")


class Parser(argparse.ArgumentParser):
    """A parser that reports an error in one line.

    Options are shown with `_`, as Beam's are, and taken with `-` too, as those of the AWS command line are. No option
    is abbreviated: the error for an unknown one names what was probably meant, before anything that is missing.
    """

    def __init__(self, prog: str, description: str = "", *, epilog: str | None = None, **options: Any) -> None:
        super().__init__(prog=prog, description=description, epilog=epilog, allow_abbrev=False, **options)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        words = respelled(sys.argv[1:] if args is None else args, self._option_string_actions)
        self.check_names(words)
        return super().parse_known_args(words, namespace)

    def check_names(self, words: Sequence[str]) -> None:
        """Exit with an error that names the option that was meant, if one of the words is an unknown option."""
        if self._subparsers is not None:  # the options are those of a command among the words, whose parser checks them
            return
        for name in option_names(words):
            if name not in self._option_string_actions:
                near = suggestions(name, self.own_options)
                self.error(f"unknown option {name}: {question(near) if near else '--help lists the options'}")

    @property
    def own_options(self) -> list[str]:
        """The long options of this command."""
        return [option for option in self._option_string_actions if option.startswith("--")]

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
        """Add the options that say which endpoint is called, and as whom."""
        self.add_argument(
            "--region",
            "--region_name",
            dest="region_name",
            metavar="REGION",
            help="the AWS region (default: the one that boto3 finds)",
        )
        self.add_argument(
            "--profile", metavar="NAME", help="a profile of the AWS configuration (default: what boto3 finds)"
        )
        self.add_argument(
            "--endpoint_url", metavar="URL", help="an endpoint other than AWS, such as a local one (default: AWS)"
        )

    def add_table(self) -> None:
        """Add the options that name the stream, which exclude each other; `check_table` requires one."""
        stream = self.add_mutually_exclusive_group()
        stream.add_argument("--table", metavar="TABLE", help="the table's name or ARN; its latest stream is read")
        stream.add_argument("--stream_arn", metavar="ARN", help="the stream, in place of its table")
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

    def check_table(self, arguments: argparse.Namespace) -> None:
        """Report an error unless a stream is named. argparse would name its options in another way."""
        if arguments.table is arguments.stream_arn is arguments.kinesis_stream is None:
            self.error("one of the arguments --table --stream_arn is required, or --kinesis_stream")
        if arguments.kinesis_stream is None and arguments.changes_of is not None:
            self.error(
                f"--changes_of={arguments.changes_of} is of a data stream: give --kinesis_stream too, or use --table"
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

    def add_output(self) -> None:
        """Add the option that chooses between a table for people and JSON for scripts."""
        self.add_argument(
            "--output",
            choices=("table", "json"),
            default="table",
            help="a table for people, or one line of JSON for scripts (default: %(default)s)",
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
