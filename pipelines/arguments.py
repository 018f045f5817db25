"""What the command lines here share: which stream, from where to where, and how an error is told."""

from __future__ import annotations

import argparse
import re
import signal
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Any, Final, NoReturn

from apache_beam.options.pipeline_options import PipelineOptions

from connector import ConnectorError, ReadFromDynamoDBStreams, StreamPosition, errors

_COUNT: Final = re.compile(r"(\d+)(?: *records?)?")
_DURATION: Final = re.compile(r"(?=\d)(?:(?P<hours>\d+)h)?(?:(?P<minutes>\d+)m)?(?:(?P<seconds>\d+)s)?")
_RAISED: Final = re.compile(r"^connector\.errors\.(\w+): (.+)$", re.MULTILINE)
_WHERE: Final = re.compile(r" \[while running '[^']*'\]$")

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

    def add_stream(self, *, start: str) -> None:
        """The options that say what is read; ``start`` is the default of ``--start``."""
        self.add_argument("--table", metavar="NAME", help="the table: its latest stream is read")
        self.add_argument("--stream_arn", metavar="ARN", help="or the stream itself")
        self.add_argument(
            "--start",
            type=start_of,
            default=start,
            metavar="WHERE",
            help="TRIM_HORIZON, LATEST, a time such as 2026-01-31T12:00:00Z, or @FILE with a saved position"
            " (default: %(default)s)",
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

    def parse(self, argv: Sequence[str] | None) -> tuple[argparse.Namespace, list[str]]:
        """The options known here, and the rest for Beam."""
        arguments, rest = self.parse_known_args(argv)
        if words := [word for word in rest[:1] if not word.startswith("-")]:
            self.error(f"{words[0]!r} is no option")
        return arguments, rest


def start_of(text: str) -> object:
    """``--start`` as the source takes it; what is a start, the source decides."""
    if text.startswith("@"):
        try:
            return StreamPosition.from_json(Path(text[1:]).read_text("utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise argparse.ArgumentTypeError(f"{text!r} cannot be read: {error}") from error
        except ConnectorError as error:
            raise argparse.ArgumentTypeError(f"{text!r}: {error}") from error
    return _moment(text)


def stop_of(text: str) -> object:
    """``--stop`` as the source takes it."""
    if count := _COUNT.fullmatch(text):
        return int(count[1])
    if duration := _DURATION.fullmatch(text):
        return timedelta(**{unit: int(number) for unit, number in duration.groupdict().items() if number})
    return _moment(text)


def _moment(text: str) -> object:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return text


def read_of(arguments: argparse.Namespace, **options: Any) -> ReadFromDynamoDBStreams:
    """The read that the options of ``add_stream`` ask for; ``options`` go to the source too."""
    return ReadFromDynamoDBStreams(
        table=arguments.table,
        stream_arn=arguments.stream_arn,
        start=arguments.start,
        stop=arguments.stop,
        region_name=arguments.region_name,
        endpoint_url=arguments.endpoint_url,
        **options,
    )


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


def tell(parser: Parser, failure: Exception) -> int:
    """One line on stderr and the exit code, for an error of the connector's; any other is raised again."""
    error = connector_error(failure)
    if error is None:
        raise failure
    if isinstance(error, COMMAND_FAULTS):
        parser.error(str(error))
    print(f"{parser.prog}: failed: {error}", file=sys.stderr)
    return 1


def exit_on_signals() -> None:
    """SIGINT and SIGTERM end the process as ``sys.exit`` does, with 130 and 143: Beam stops what it started (Prism)."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _exit)


def _exit(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001 - the signature of a handler
    sys.exit(128 + number)


def beam_options(rest: Sequence[str], *, runner: str | None = None) -> PipelineOptions:
    """Beam's options; ``runner`` is the default of ``--runner`` where it is not to be Beam's own."""
    return PipelineOptions([*([f"--runner={runner}"] if runner else []), *rest])
