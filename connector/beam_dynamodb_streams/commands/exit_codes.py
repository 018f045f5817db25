"""What ends a command: errors and signals as one line on stderr and an exit code."""

from __future__ import annotations

import atexit
import logging
import re
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Final, NoReturn

import apache_beam as beam

from beam_dynamodb_streams import ConnectorError, errors
from beam_dynamodb_streams.commands.options.parser import Parser
from beam_dynamodb_streams.commands.printable import printable, printable_lines
from beam_dynamodb_streams.source.live_status import faults_now

_RAISED: Final = re.compile(r"^beam_dynamodb_streams\.errors\.(\w+): (.+)$", re.MULTILINE)
_STEP: Final = re.compile(r" \[while running '[^']*'\]$")
#: What Beam and Prism log at each start and end of Prism.
_PRISM_NOISE: Final = re.compile(r'Really (starting|destroying) service|\{.*"level":"(DEBUG|INFO)"')
_PRISM_LOGGERS: Final = ("apache_beam.utils.subprocess_server", "PrismJobServer")

USAGE_ERRORS: Final = (
    errors.InvalidOptionError,
    errors.RunnerError,
    errors.NotFoundError,
    errors.StreamNotEnabledError,
    errors.AccessDeniedError,
    errors.CredentialsError,
)
"""The errors that another command line, or another set-up, avoids. Their exit code is 2; that of all others is 1."""


def exit_with(parser: Parser, error: Exception) -> NoReturn:
    """Report the error in one line and exit, with 2 for a usage error and with 1 for any other."""
    message = parser.in_options(error)
    if isinstance(error, USAGE_ERRORS):
        parser.error(message)
    parser.exit(1, f"{parser.prog}: failed: {printable(message)}\n")


def connector_error(failure: BaseException) -> ConnectorError | None:
    """Return the connector's own error inside what a runner raised, or None if there is none.

    FnApiRunner raises the error itself, with the name of the step added to its text. Other runners raise an error of
    their own that has the worker's traceback as text.
    """
    if isinstance(failure, ConnectorError):
        return type(failure)(_STEP.sub("", str(failure)))
    raised = _RAISED.findall(str(failure))
    if not raised:
        return None
    name, message = raised[-1]
    kind = getattr(errors, name, ConnectorError)
    return kind(_STEP.sub("", message)) if issubclass(kind, ConnectorError) else None


@contextmanager
def exit_codes(parser: Parser, *, quiet: Iterable[str] = ()) -> Iterator[Callable[[beam.Pipeline], None]]:
    """Yield a function that runs a pipeline; inside, an error of the connector becomes one line and an exit code.

    SIGINT and SIGTERM end the process as `sys.exit` does, with 130 and 143, so that Beam stops what it started (Prism).
    Use it in the main thread only, since it sets signal handlers.

    Args:
        parser: the command's parser, which names the command and its options.
        quiet: loggers whose warnings say nothing in this command.
    """
    signals: list[int] = []

    def leave(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001 - the signature of a handler
        signals.append(number)
        for fault in faults_now():
            sys.stderr.write(f"{parser.prog}: {printable(str(fault))}\n")
        logging.disable()  # Beam's threads report at length that their peer has gone
        threading.excepthook = lambda _: None
        sys.exit(128 + number)

    def run(pipeline: beam.Pipeline) -> None:
        result = pipeline.run()
        signal.signal(signal.SIGINT, leave)  # Beam has installed its own handler when it started Prism
        result.wait_until_finish()

    handlers = {number: signal.signal(number, leave) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with _quiet_loggers(quiet), _temporary_directory():
            yield run
    except (ConnectorError, RuntimeError) as failure:
        if signals:  # inside a step, where Beam turns what the handler raised into a RuntimeError
            sys.exit(128 + signals[0])
        error = connector_error(failure)
        if error is None:
            raise
        exit_with(parser, error)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


@contextmanager
def _temporary_directory() -> Iterator[None]:
    """Let what Beam leaves behind, 2 to 4 directories a run, be in one that is removed when the interpreter exits.

    Not before: Prism ends then. Handlers run in the reverse order of their registration, so Beam's run first.
    """
    before, place = tempfile.tempdir, tempfile.mkdtemp(prefix="dynamodb-streams-")
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    tempfile.tempdir = place
    try:
        yield
    finally:
        tempfile.tempdir = before


@contextmanager
def _quiet_loggers(names: Iterable[str]) -> Iterator[None]:
    """Drop what Prism logs when it starts and ends, tracebacks of failing steps, and the warnings of these loggers."""
    # Beam's worker logs the traceback of a failing step before it raises it.
    levels = {"apache_beam.runners.common": logging.CRITICAL, **dict.fromkeys(names, logging.ERROR)}
    before = {name: logging.getLogger(name).level for name in levels}
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    handlers = [handler for handler in (logging.lastResort, *logging.getLogger().handlers) if handler is not None]
    for handler in handlers:
        handler.addFilter(_make_printable)
    for name in _PRISM_LOGGERS:
        logging.getLogger(name).addFilter(_is_news)
    try:
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)
        for handler in handlers:
            handler.removeFilter(_make_printable)
        # The filters of these loggers stay: Prism ends after the command, when the interpreter exits.


def _make_printable(record: logging.LogRecord) -> bool:
    """Keep every record, and neutralise what ids and names in it would do to a terminal."""
    with suppress(TypeError, ValueError, KeyError):  # a record whose arguments do not fit is reported by its handler
        record.msg, record.args = printable_lines(record.getMessage()), ()
    return True


def _is_news(record: logging.LogRecord) -> bool:
    return _PRISM_NOISE.match(record.getMessage()) is None
