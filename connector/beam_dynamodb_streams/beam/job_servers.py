"""The processes that Beam starts for a runner, such as Prism: they end with the command that needed them."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from beam_dynamodb_streams.beam.private import STARTED_SERVERS

_SECONDS_TO_END: Final = 1.0


@contextmanager
def ended_job_servers() -> Iterator[None]:
    """End what Beam starts inside, without the second that Beam (2.77) sleeps after its signal.

    What takes longer is left to Beam, which ends it when the interpreter exits.
    """
    before = set(_servers())
    try:
        yield
    finally:
        for process in set(_servers()) - before:
            with suppress(OSError, subprocess.TimeoutExpired):
                process.send_signal(signal.SIGINT)
                process.wait(_SECONDS_TO_END)


def _servers() -> list[subprocess.Popen[bytes]]:
    found = [getattr(entry, "obj", ()) for entry in list((STARTED_SERVERS.find() or {}).values())]
    return [each for entry in found for each in entry if isinstance(each, subprocess.Popen) and each.poll() is None]
