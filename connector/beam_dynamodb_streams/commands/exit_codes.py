"""What ends a command: errors and signals as one line on stderr and an exit code."""

from __future__ import annotations

import atexit
import gc
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
from typing import Any, Final, NoReturn

import apache_beam as beam
from apache_beam.options.pipeline_options import PortableOptions

from beam_dynamodb_streams import errors
from beam_dynamodb_streams.beam.job_servers import ended_job_servers
from beam_dynamodb_streams.beam.runners import outlives_process, traits_of
from beam_dynamodb_streams.commands.options.parser import Parser
from beam_dynamodb_streams.commands.options.pipeline_parser import PipelineParser
from beam_dynamodb_streams.commands.printable import printable
from beam_dynamodb_streams.commands.runner_mistakes import runner_mistake
from beam_dynamodb_streams.commands.runner_noise import Noise, without_noise
from beam_dynamodb_streams.errors import ConnectorError
from beam_dynamodb_streams.source.live_status import faults_now

_RAISED: Final = re.compile(r"^beam_dynamodb_streams\.errors\.(\w+): (.+)$", re.MULTILINE)
_STEP: Final = re.compile(r" \[while running '[^']*'\]$")
_SECONDS_TO_CANCEL: Final = 2.0

atexit.register(gc.freeze)  # Python's end looks through all objects several times: half a second of CPU

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
def exit_codes(parser: Parser, *, quiet: Iterable[str] = ()) -> Iterator[Callable[[beam.Pipeline], Any]]:
    """Yield a function that runs a pipeline; inside, an error of the connector becomes one line and an exit code.

    SIGINT and SIGTERM end the process as `sys.exit` does, with 130 and 143, so that Beam stops what it started (Prism).
    In a thread other than the main one, signals are left alone.

    Args:
        parser: the command's parser, which names the command and its options.
        quiet: loggers whose warnings say nothing in this command.
    """
    signals: list[int] = []
    noise = Noise()
    left_running: list[str] = []
    endpoints: list[str | None] = []

    def leave(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001 - the signature of a handler
        signals.append(number)
        for line in [*map(str, faults_now()), *left_running]:
            sys.stderr.write(f"{parser.prog}: {printable(line)}\n")
        logging.disable()  # Beam's threads report at length that their peer has gone
        noise.process_ends = True
        sys.exit(128 + number)

    @ended_job_servers()
    def run(pipeline: beam.Pipeline) -> Any:
        gc.freeze()  # a pass over all that was imported takes as long as twenty pages
        endpoints.append(pipeline.options.view_as(PortableOptions).job_endpoint)
        noise.failures_are_final = traits_of(pipeline).one_process
        result = pipeline.run()
        if outlives_process(pipeline):
            left_running.append("the job is left running: cancel it in its runner, such as by `flink cancel`")
        if handlers:
            signal.signal(signal.SIGINT, leave)  # Beam has installed its own handler when it started Prism
        try:
            result.wait_until_finish()
        except SystemExit:
            if noise.failures_are_final:
                _cancel(result)
            raise
        return result

    in_main_thread = threading.current_thread() is threading.main_thread()
    ending = (signal.SIGINT, signal.SIGTERM) if in_main_thread else ()
    handlers = {number: signal.signal(number, leave) for number in ending}
    try:
        with _temporary_directory(), without_noise(noise, [*quiet, *_quiet(parser)]):
            yield run
    except Exception as failure:  # what is no mistake of the command line is raised again
        if signals and isinstance(failure, RuntimeError):  # Beam makes one of what the handler raised inside a step
            sys.exit(128 + signals[0])
        error = connector_error(failure)
        if error is not None:
            exit_with(parser, error)
        mistake = runner_mistake(failure, endpoints[-1] if endpoints else None)
        if mistake is None:
            raise
        parser.error(mistake)
    finally:
        gc.unfreeze()
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _cancel(result: Any) -> None:
    """End the job of a runner that ends with this process, so that its workers begin nothing new. It may be gone."""

    def cancel() -> None:
        with suppress(Exception):  # Ctrl-C on a terminal reaches Prism too, and then nobody answers
            result.cancel()

    canceller = threading.Thread(target=cancel, daemon=True)
    canceller.start()
    canceller.join(_SECONDS_TO_CANCEL)


def _quiet(parser: Parser) -> tuple[str, ...]:
    """Return the loggers whose warnings say nothing, since a command has checked its options, those of Beam too."""
    return ("apache_beam.options.pipeline_options",) if isinstance(parser, PipelineParser) else ()


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
