"""Runs of a pipeline in processes that a test kills."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable


def run_for_each_line(run: Callable[..., None], arguments: list[str]) -> None:
    """Start `run(*arguments)` for each line on standard input, in a process group of its own whose id is printed.

    The caller has imported all that it needs, so each run starts at once.
    """
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            os.setsid()
            status = 1
            try:
                run(*arguments)
                status = 0
            finally:
                os._exit(status)
        print(child, flush=True)
