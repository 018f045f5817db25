"""Programs as processes of their own: what they leave behind, and how they end after a signal."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]


@contextmanager
def program(*words: str, cwd: Path = ROOT) -> Iterator[subprocess.Popen[str]]:
    """Run Python in a session of its own, so that every process that it starts can be found."""
    with subprocess.Popen(
        [sys.executable, *words],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def until(holds: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not seen within {seconds} seconds"
        time.sleep(0.02)


def processes_of(session: int) -> list[str]:
    """Return the processes of a session that still run (from /proc, so on Linux only)."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except OSError:  # it ended meanwhile
            continue
        state, _, _, of_session = text.rpartition(")")[2].split()[:4]
        if int(of_session) == session and state != "Z":
            found.append(text)
    return found


def interrupted(process: subprocess.Popen[str], number: signal.Signals) -> tuple[str, str]:
    """Interrupt the process, and return what it wrote to stdout and stderr until it ended."""
    process.send_signal(number)
    printed, said = process.communicate(timeout=20)
    assert process.returncode == 128 + number
    assert "Traceback" not in said, said
    if sys.platform == "linux":
        until(lambda: not processes_of(process.pid), 5.0)
    return printed, said
