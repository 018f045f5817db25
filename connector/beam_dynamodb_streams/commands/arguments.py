"""What the command lines here share: which stream, from where to where, and how an error is told."""

from __future__ import annotations

import argparse
import difflib
import logging
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final, NoReturn

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from beam_dynamodb_streams import ConnectorError, ReadFromDynamoDBStreams, errors
from beam_dynamodb_streams.commands.moments import start_of, stop_of, window_of

_RAISED: Final = re.compile(r"^connector\.errors\.(\w+): (.+)$", re.MULTILINE)
_WHERE: Final = re.compile(r" \[while running '[^']*'\]$")

_PYTHON: Final = re.compile(r"(?<![\w/-])(\w+)=(?=(\S?))")
_NAMES: Final = {"path": "output"}
_WITH_OUTPUTS: Final = re.compile(r"To go on, use \.with_outputs\(\) for dead letters, or on_malformed=\"skip\"")
_ASKED_RUNNERS: Final = ("flinkrunner", "portablerunner", "sparkrunner")

_STREAM: Final = ("table", "stream_arn", "start", "stop", "region_name", "endpoint_url")

COMMAND_FAULTS: Final = (
    errors.InvalidOptionError,
    errors.RunnerError,
    errors.NotFoundError,
    errors.StreamNotEnabledError,
    errors.AccessDeniedError,
    errors.CredentialsError,
)
"""What a changed command line, or a changed set-up, mends: exit code 2. Other errors are a run that failed: 1."""


class Parser(argparse.ArgumentParser):
    """Tells an error in one line, and leaves what it does not know to Beam, unabbreviated: ``--region`` is Beam's."""

    def __init__(self, prog: str, description: str) -> None:
        super().__init__(
            prog=prog,
            description=description,
            epilog="Any other option goes to Beam, such as --runner.",
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}\n")

    def parse_with_beam(self, argv: Sequence[str] | None) -> tuple[argparse.Namespace, list[str]]:
        """The command's own options, and the rest, which is Beam's; what neither knows is an error.

        A job server has options that Beam learns of from it alone: to a runner that asks one all goes on but what looks
        like a mistyped option of the command's own.
        """
        words = list(sys.argv[1:] if argv is None else argv)
        beams: list[argparse.ArgumentParser] = []
        PipelineOptions([]).get_all_options(add_extra_args_fn=beams.append)
        (beam_parser,) = beams
        known, _ = beam_parser.parse_known_args([word for word in words if word not in ("-h", "--help")])  # not Beam's
        asked = str(known.runner).rpartition(".")[2].lower() in _ASKED_RUNNERS
        options = {**self._option_string_actions, **beam_parser._option_string_actions}
        own = [option for option in self._option_string_actions if option.startswith("--")]
        for name in (word.partition("=")[0] for word in words if word.startswith("--")):
            if name in options:
                continue
            if near := difflib.get_close_matches(name, own, 1, 0.75):
                self.error(f"{name} is known neither here nor to Beam: did you mean {near[0]}?")
            if not asked:
                self.error(f"{name} is known neither here nor to Beam: --help tells of the options here")
        arguments, rest = self.parse_known_args(words)
        _, unknown = beam_parser.parse_known_args(rest)
        if unknown and not asked:
            self.error(f"{unknown[0]!r} belongs to no option")
        return arguments, rest

    def spelt(self, message: object) -> str:
        """A message of the library's with what to do as it is done here: ``stop=`` is ``--stop``."""
        options = self._option_string_actions

        def option(found: re.Match[str]) -> str:
            name = f"--{_NAMES.get(found[1], found[1])}"
            valued = "=" if found[2] not in ("", ",", ")") else ""
            return f"{name}{valued}" if name in options else found[0]

        text = str(message)
        if "--dead_letters" in options:
            text_of_all = ', or "on_misfit": "text" in the schema' if "does not fit its column" in text else ""
            text = _WITH_OUTPUTS.sub(f"To go on, use --dead_letters DIR{text_of_all}", text)
        return _PYTHON.sub(option, text)

    def add_stream(self, *, start: str) -> None:
        """The options that say what is read; ``start`` is the default of ``--start``."""
        stream = self.add_mutually_exclusive_group(required=True)
        stream.add_argument("--table", metavar="NAME", help="the table: its latest stream is read")
        stream.add_argument("--stream_arn", metavar="ARN", help="or the stream itself")
        self.add_argument(
            "--start",
            type=start_of,
            default=start,
            metavar="WHERE",
            help="TRIM_HORIZON, LATEST, a time such as 2026-01-31T12:00:00Z, @FILE with a saved position, or"
            " kcl://LEASE_TABLE (default: %(default)s)",
        )
        self.add_argument(
            "--stop",
            type=stop_of,
            metavar="WHEN",
            help='NOW, a time, a number of changes such as "1000 records", or a duration such as 10m'
            " (default: never, which needs a runner that streams)",
        )
        self.add_argument("--endpoint_url", metavar="URL", help="of another service than AWS, such as a local one")
        self.add_argument("--region_name", metavar="REGION", help="by default as boto3 finds it")

    def add_files(self, formats: Iterable[str], layouts: Iterable[str], partitions: Iterable[str]) -> None:
        """The options that say what is written where."""
        self.add_argument(
            "--output",
            required=True,
            metavar="DIR",
            help="on any filesystem that Beam knows; if it holds an export of the same stream and form, that goes on",
        )
        self.add_argument("--format", required=True, choices=sorted(formats))
        self.add_argument("--layout", choices=list(layouts), default="change_log", help="default: %(default)s")
        self.add_argument(
            "--schema", metavar="FILE", help="typed columns, as saved by pipelines.schema (default: images as text)"
        )
        self.add_argument(
            "--keys", type=lambda text: text.split(","), metavar="NAMES", help="the table's keys, if FILE says none"
        )
        self.add_argument(
            "--window",
            type=window_of,
            metavar="LENGTH",
            help="such as 5m: files follow windows of creation time (default: 1m, and none with a stop)",
        )
        self.add_argument("--partitions", choices=list(partitions), help="Hive partitions by creation time")
        self.add_argument("--codec", help="the format's compression")
        self.add_argument(
            "--on_data_loss",
            choices=["fail", "continue"],
            default="fail",
            help="when changes were trimmed unread: end, or tell and go on (default: %(default)s)",
        )
        self.add_argument(
            "--dead_letters",
            metavar="DIR",
            help="JSON lines of what is malformed or does not fit FILE's columns (default: the first one ends the run)",
        )


def read_of(arguments: argparse.Namespace, **options: Any) -> ReadFromDynamoDBStreams:
    """The read that the options of ``add_stream`` ask for; ``options`` go to the source too, and win."""
    asked = {name: getattr(arguments, name) for name in _STREAM}
    return ReadFromDynamoDBStreams(**{**asked, **options})


def connector_error(failure: BaseException) -> ConnectorError | None:
    """The connector's own error inside what a runner raised; None if there is none.

    FnApiRunner raises the error itself, with the step's name added to its text; other runners raise one of their own
    with the worker's traceback as text.
    """
    if isinstance(failure, ConnectorError):
        return type(failure)(_WHERE.sub("", str(failure)))
    raised = _RAISED.findall(str(failure))
    if not raised:
        return None
    name, message = raised[-1]
    kind = getattr(errors, name, ConnectorError)
    return kind(_WHERE.sub("", message)) if issubclass(kind, ConnectorError) else None


@contextmanager
def command(parser: Parser, *, quiet: Iterable[str] = ()) -> Iterator[Callable[[beam.Pipeline], None]]:
    """Gives what runs a pipeline. Inside, an error of the connector's is told in one line, and is an exit code.

    SIGINT and SIGTERM end the process as ``sys.exit`` does, with 130 and 143, so that Beam stops what it started
    (Prism). For the main thread only, as every signal handler. ``quiet``: loggers whose warnings say nothing here.
    """
    interrupted: list[int] = []

    def leave(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001 - the signature of a handler
        interrupted.append(number)
        logging.disable()  # Beam's threads tell at length that what they talk to has gone
        threading.excepthook = lambda _: None
        sys.exit(128 + number)

    def run(pipeline: beam.Pipeline) -> None:
        result = pipeline.run()
        signal.signal(signal.SIGINT, leave)  # Beam has put its own in place when it started Prism
        result.wait_until_finish()

    before = {number: signal.signal(number, leave) for number in (signal.SIGINT, signal.SIGTERM)}
    # Beam's worker logs the traceback of a failing step before it raises it.
    levels = {"apache_beam.runners.common": logging.CRITICAL, **dict.fromkeys(quiet, logging.ERROR)}
    levels_before = {name: logging.getLogger(name).level for name in levels}
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    try:
        yield run
    except (ConnectorError, RuntimeError) as failure:
        if interrupted:  # inside a step, where Beam makes a RuntimeError of what the handler raised
            sys.exit(128 + interrupted[0])
        error = connector_error(failure)
        if error is None:
            raise
        told = parser.spelt(error)
        if isinstance(error, COMMAND_FAULTS):
            parser.error(told)
        parser.exit(1, f"{parser.prog}: failed: {told}\n")
    finally:
        for name, level in levels_before.items():
            logging.getLogger(name).setLevel(level)
        for number, handler in before.items():
            signal.signal(number, handler)


def beam_options(rest: Sequence[str], *, runner: str | None = None) -> PipelineOptions:
    """Beam's options; ``runner`` is the default of ``--runner`` where it is not to be Beam's own."""
    return PipelineOptions([*([f"--runner={runner}"] if runner else []), *rest])
