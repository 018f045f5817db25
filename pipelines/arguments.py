"""What the command lines here share: which stream, from where to where, and how an error is told."""

from __future__ import annotations

import argparse
import logging
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Any, Final, NoReturn

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from connector import ConnectorError, ReadFromDynamoDBStreams, StreamPosition, errors

_COUNT: Final = re.compile(r"(\d+)(?: *records?)?")
_DURATION: Final = re.compile(r"(?=\d)(?:(?P<hours>\d+)h)?(?:(?P<minutes>\d+)m)?(?:(?P<seconds>\d+)s)?")
_RAISED: Final = re.compile(r"^connector\.errors\.(\w+): (.+)$", re.MULTILINE)
_WHERE: Final = re.compile(r" \[while running '[^']*'\]$")

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
def command(parser: Parser) -> Iterator[Callable[[beam.Pipeline], None]]:
    """Gives what runs a pipeline. Inside, an error of the connector's is told in one line, and is an exit code.

    SIGINT and SIGTERM end the process as ``sys.exit`` does, with 130 and 143, so that Beam stops what it started
    (Prism). For the main thread only, as every signal handler.
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
    worker = logging.getLogger("apache_beam.runners.common")
    level = worker.level
    worker.setLevel(logging.CRITICAL)
    try:
        yield run
    except (ConnectorError, RuntimeError) as failure:
        if interrupted:  # inside a step, where Beam makes a RuntimeError of what the handler raised
            sys.exit(128 + interrupted[0])
        error = connector_error(failure)
        if error is None:
            raise
        if isinstance(error, COMMAND_FAULTS):
            parser.error(str(error))
        parser.exit(1, f"{parser.prog}: failed: {error}\n")
    finally:
        worker.setLevel(level)
        for number, handler in before.items():
            signal.signal(number, handler)


def beam_options(rest: Sequence[str], *, runner: str | None = None) -> PipelineOptions:
    """Beam's options; ``runner`` is the default of ``--runner`` where it is not to be Beam's own."""
    return PipelineOptions([*([f"--runner={runner}"] if runner else []), *rest])
