"""What Beam's runners print and log that says nothing to the person at the terminal.

A step that fails is raised by the runner in the end, and becomes one line. Until then its traceback is printed by the
worker, logged by the worker, and on Prism logged four times more.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Final, TextIO

from beam_dynamodb_streams.commands.pass_through import PassThrough
from beam_dynamodb_streams.commands.printable import printable_lines

#: What Beam and Prism log at each start and end of Prism.
_PRISM_NOISE: Final = re.compile(r'Really (starting|destroying) service|\{.*"level":"(DEBUG|INFO)"')
_PRISM_LOGGERS: Final = ("apache_beam.utils.subprocess_server", "PrismJobServer")
#: A failure as a worker and Prism log it (2.77), before the runner raises it.
_FAILURE: Final = re.compile(
    r"Error processing instruction |Prism received bundle error|stage\.Execute aborting|Bundle Failed|job failed"
    r"|bundle \S+ \S+ failed:Traceback|[\w.]+: Error received from SDK harness"
)
#: What a worker logs when its peer has gone, which the runner reports; and Beam's S3 writer before it raises the same.
_REPORTED: Final = ("Failed to read inputs in the data plane", "Error in _start_upload while", "Error in _upload_part")
_TRACEBACK: Final = "Traceback (most recent call last):"
_LAST_LINE: Final = re.compile(r"^(?:[\w.]+\.)?(\w+(?:Error|Exception)?: .+)$", re.MULTILINE)


class Noise:
    """What is left out.

    Attributes:
        failures_are_final: whether the runner repeats nothing, and so raises each failure.
        process_ends: whether a signal ends the process: Beam's threads then report at length that their peer has gone.
    """

    def __init__(self) -> None:
        self.failures_are_final = True
        self.process_ends = False
        self._shown: set[str] = set()

    def is_shown(self, record: logging.LogRecord) -> bool:
        """Return whether to show a record, made safe for a terminal. A failure that may be repeated is made short."""
        with suppress(TypeError, ValueError, KeyError):  # its handler reports a record whose arguments do not fit
            text = record.getMessage()
            if text.startswith(_REPORTED):
                return False
            if _FAILURE.match(text):
                text = f"a bundle failed: {_last_line(text)}"
                if self.failures_are_final or text in self._shown:
                    return False
                self._shown.add(text)
            record.msg, record.args = printable_lines(text), ()
        return True


class _WithoutTracebacks(PassThrough):
    """A stream that leaves out the tracebacks that a worker prints, since it logs them too."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._after_traceback = False

    def write(self, text: str) -> int:
        left_out = (text.startswith(_TRACEBACK) and "sdk_worker.py" in text) or (self._after_traceback and text == "\n")
        self._after_traceback = left_out and text != "\n"
        return len(text) if left_out else self._stream.write(text)


@contextmanager
def without_noise(noise: Noise, quiet: Iterable[str] = ()) -> Iterator[None]:
    """Leave out what Prism logs when it starts and ends, tracebacks of failing steps, and the warnings of `quiet`."""
    # Beam's worker logs the traceback of a failing step before it raises it.
    levels = {"apache_beam.runners.common": logging.CRITICAL, **dict.fromkeys(quiet, logging.ERROR)}
    before = {name: logging.getLogger(name).level for name in levels}
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    handlers = [handler for handler in (logging.lastResort, *logging.getLogger().handlers) if handler is not None]
    for handler in handlers:
        handler.addFilter(noise.is_shown)
    for name in _PRISM_LOGGERS:
        logging.getLogger(name).addFilter(_is_news)
    stderr, hook = sys.stderr, threading.excepthook

    def unless_peer_gone(failed: threading.ExceptHookArgs) -> None:
        if not noise.process_ends and not failed.exc_type.__module__.startswith("grpc"):
            hook(failed)

    sys.stderr, threading.excepthook = _WithoutTracebacks(stderr), unless_peer_gone
    try:
        yield
    finally:
        if not noise.process_ends:  # else they stay up to the end
            sys.stderr, threading.excepthook = stderr, hook
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)
        for handler in handlers:
            handler.removeFilter(noise.is_shown)
        # The filters of these loggers stay: Prism ends after the command, when the interpreter exits.


def _last_line(text: str) -> str:
    """Return the last error of the tracebacks in a text; the text's first line where there is none."""
    found = _LAST_LINE.findall(text)
    return found[-1] if found else text.partition("\n")[0]


def _is_news(record: logging.LogRecord) -> bool:
    return _PRISM_NOISE.match(record.getMessage()) is None
