"""A child process that ends with this process, however this one ends."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

HOST: Final = "localhost"

#: The shell leads a process group of its own, and holds the reading end of a pipe from us. The pipe ends when we do,
#: even by SIGKILL. Then the shell kills the program. Whenever the program ends, the shell kills the whole group. It
#: waits for what it started, since in a container perhaps nobody else does.
_WATCH: Final = """
trap : TERM
exec 3<&0
"$@" </dev/null 3<&- &
child=$!
{ read -r _ <&3; kill -KILL $child; } &
watcher=$!
exec 3<&-
while kill -0 $child 2>/dev/null; do wait $child; done
echo "ended with status $?" >&2
kill $watcher 2>/dev/null
wait $watcher
kill -KILL 0
"""


class Child:
    """A running command, whose output goes to a file. `stop` leaves nothing of its process group behind."""

    def __init__(
        self, command: Sequence[str], log: Path, *, environment: Mapping[str, str] | None = None, directory: Path | None
    ) -> None:
        self.log = log
        self.name = log.stem
        self._earlier = log.stat().st_size if log.exists() else 0  # what an earlier one in the same directory wrote
        with log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 - the callers are ours
                ["/bin/sh", "-c", _WATCH, "sh", *command],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env={**os.environ, **(environment or {})},
                cwd=directory,
                start_new_session=True,
            )

    @property
    def group(self) -> int:
        """The id of its process group."""
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def said(self, pattern: str) -> list[str]:
        """Return what the pattern's group matched in the complete lines of the output so far."""
        return re.findall(pattern, self._output().rpartition("\n")[0])

    def wait_for(self, pattern: str, *, seconds: float = 60.0) -> str:
        """Return the first match of the pattern in the output, and wait for it.

        Raises:
            RuntimeError: the process ended first, or the time is over; with the last lines of the output.
        """
        deadline = time.monotonic() + seconds
        while not (found := self.said(pattern)):
            if not self.running or time.monotonic() > deadline:
                why = f"did not write it within {seconds:g} seconds" if self.running else "ended"
                raise RuntimeError(f"{self.name} {why}, waiting for {pattern!r}; its last lines:\n{self.tail()}")
            time.sleep(0.05)
        return found[0]

    def tail(self, lines: int = 25) -> str:
        return "\n".join(self._output().splitlines()[-lines:])

    def stop(self, *, patience: float = 0.0) -> None:
        """Kill the process. With `patience`, ask it to end first, and wait for that many seconds. Idempotent."""
        if patience and self.running:
            os.killpg(self.group, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(patience)
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()

    def _output(self) -> str:
        return self.log.read_bytes()[self._earlier :].decode(errors="replace")


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
