"""``python -m runners.flink``: serves one Flink until interrupted, and prints the options of a pipeline on it."""

from __future__ import annotations

import argparse
import signal
import tempfile
from pathlib import Path

from runners.flink.launch import Flink


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m runners.flink", description=__doc__)
    parser.add_argument("--cluster", action="store_true", help="a session cluster: jobs outlive the job server")
    parser.add_argument("--slots", type=int, default=4, help="of the task manager of a cluster")
    parser.add_argument("--directory", type=Path, help="logs, checkpoints, savepoints; a temporary one by default")
    asked = parser.parse_args()
    directory = asked.directory or Path(tempfile.mkdtemp(prefix="flink-"))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with Flink(directory.absolute(), cluster=asked.cluster, slots=asked.slots) as flink:
        print(" ".join(flink.arguments(parallelism=asked.slots if asked.cluster else 2)))
        print("# a read with a stop needs --shutdown_sources_after_idle_ms=1000 to end; one without must not have it")
        if asked.cluster:
            print(f"# web interface: {flink.rest_url}; savepoint directory: {flink.savepoints}")
        print(f"# files: {directory}; Ctrl-C ends it and all that it started", flush=True)
        try:
            signal.pause()
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    main()
