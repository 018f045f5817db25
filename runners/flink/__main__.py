"""Serve one Flink until it is interrupted, and print the options of a pipeline on it: `python -m runners.flink`."""

from __future__ import annotations

import argparse
import signal
import tempfile
from pathlib import Path

from runners.flink.launch import Flink


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m runners.flink", description=__doc__)
    parser.add_argument(
        "--cluster", action="store_true", help="start a session cluster, so that jobs outlive the job server"
    )
    parser.add_argument(
        "--slots", type=int, default=4, help="the slots of the cluster's task manager (default: %(default)s)"
    )
    parser.add_argument(
        "--directory", type=Path, help="where logs, checkpoints and savepoints go (default: a temporary directory)"
    )
    asked = parser.parse_args()
    directory = asked.directory or Path(tempfile.mkdtemp(prefix="flink-"))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with Flink(directory.absolute(), cluster=asked.cluster, slots=asked.slots) as flink:
        print(" ".join(flink.arguments(parallelism=asked.slots if asked.cluster else 2)))
        print("# a read with a stop needs --shutdown_sources_after_idle_ms=1000 to end; one without must not have it")
        if asked.cluster:
            print(f"# web interface: {flink.rest_url}; savepoint directory: {flink.savepoints}")
        print(f"# files: {directory}; Ctrl-C stops it and all that it started", flush=True)
        try:
            signal.pause()
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    main()
