"""How an export ends by the clock, step by step: what runs before the first request, and after the last record.

`python -m benchmarks.closing [changes]`. Every shard of the service is closed (`benchmarks.replay`). The export is the
command in a process of its own, with its imports. The steps are told apart by the requests that the service receives:

* `start`: from the command to its first request, mostly imports;
* `before`: up to the first page: the stream is found, and its shards are listed;
* `read`: from the first page to the last;
* `proof`: up to the last request: listings and probes prove that there is no other shard;
* `write`: from there to the end of the command: the window is sorted and written.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.memory import PAGE, SHARDS, environment, options_of
from benchmarks.replay import Replay, requests_of

CHANGES = 160_000


@dataclass(frozen=True)
class Steps:
    """Seconds of each step."""

    start: float
    before: float
    read: float
    proof: float
    write: float

    @property
    def after_the_last_record(self) -> float:
        return self.proof + self.write


def measure(changes: int, runner: str) -> Steps:
    """Export that many changes of closed shards, and return how long each step took."""
    pages = max(1, changes // (SHARDS * PAGE))
    with (
        tempfile.TemporaryDirectory() as scratch,
        Replay(pages=pages, shards=SHARDS, distinct=min(pages, 10)) as url,
    ):
        command = [
            sys.executable,
            "-m",
            "pipelines.export",
            *options_of(runner, url, Path(scratch) / "out"),
            "--format=parquet",
        ]
        began = time.monotonic()
        subprocess.run(command, stdout=subprocess.DEVNULL, env=environment(), check=True)  # noqa: S603 - our own
        ended = time.monotonic()
        requests = requests_of(url)
    reads = [moment for moment, operation in requests if operation == "GetRecords"]
    first, last = requests[0][0], requests[-1][0]
    return Steps(first - began, reads[0] - first, reads[-1] - reads[0], last - reads[-1], ended - last)


def main(changes: int = CHANGES, runners: tuple[str, ...] = ("FnApiRunner", "PrismRunner")) -> None:
    print(f"{changes:,} changes of closed shards, seconds of each step\n")
    print("| runner | start | before | read | proof | write | after the last record |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for runner in runners:
        steps = measure(changes, runner)
        each = (steps.start, steps.before, steps.read, steps.proof, steps.write, steps.after_the_last_record)
        print(f"| {runner} | {' | '.join(f'{seconds:.1f}' for seconds in each)} |")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else CHANGES)
