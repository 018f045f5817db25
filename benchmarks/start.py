"""From the command to the first change, by the clock.

`python -m benchmarks.start [rounds]`. The local service holds 1,000 changes. `tail` is a process of its own, with its
imports, and the clock stops at its first line. `sample(limit=100)` is called in a process that has imported it. Imports
are in CPU, beside those of Beam, since the clock depends on what the system has in its cache. Figures are medians.
"""

from __future__ import annotations

import contextlib
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

from beam_dynamodb_streams.testing import LocalStreams
from benchmarks.live import runner_options
from benchmarks.memory import environment

CHANGES, SHARDS = 1_000, 4
_CPU = "import resource; used = resource.getrusage(resource.RUSAGE_SELF); print(used.ru_utime + used.ru_stime)"
_SAMPLE = """
import sys, time
from beam_dynamodb_streams import sample
began = time.monotonic()
assert len(sample("orders", limit=100, endpoint_url=sys.argv[1], region_name="us-east-1")) == 100
print(time.monotonic() - began)
"""


def tail(endpoint_url: str, runner: str) -> float:
    """Return the seconds from the command to the first change that it prints."""
    where = ["--table=orders", "--start=TRIM_HORIZON", f"--endpoint_url={endpoint_url}", "--region_name=us-east-1"]
    command = [sys.executable, "-m", "pipelines.tail", *where, *runner_options(runner)]
    began = time.monotonic()
    with subprocess.Popen(  # noqa: S603 - our own
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment()
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline(), "tail ended before its first change"
        seconds = time.monotonic() - began
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(OSError):
            process.stdout.read()
    return seconds


def printed(code: str, *arguments: str) -> float:
    """Return the number that a Python process prints last."""
    command = [sys.executable, "-W", "ignore", "-c", code, *arguments]
    answer = subprocess.run(command, check=True, capture_output=True, text=True, env=environment())  # noqa: S603 - our own
    return float(answer.stdout.splitlines()[-1])


def measure(rounds: int) -> dict[str, float]:
    """Return the median seconds of each start."""
    with LocalStreams() as service:
        orders = service.create_table("orders", keys={"id": "S"}, shards=SHARDS)
        for number in range(CHANGES):
            orders.put({"id": f"o-{number}", "total": number})
        url = service.endpoint_url
        ways: dict[str, Callable[[], float]] = {
            "tail, FnApiRunner": lambda: tail(url, "FnApiRunner"),
            "tail, PrismRunner": lambda: tail(url, "PrismRunner"),
            "sample(limit=100), after imports": lambda: printed(_SAMPLE, url),
            "import apache_beam, CPU": lambda: printed(f"import apache_beam; {_CPU}"),
            "import of the read and sample, CPU": lambda: printed(
                f"from beam_dynamodb_streams import ReadFromDynamoDBStreams, sample; {_CPU}"
            ),
        }
        found: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, run in ways.items():
                found[name].append(run())
    return {name: statistics.median(seconds) for name, seconds in found.items()}


def main(rounds: int = 5) -> None:
    print("| what | seconds |")
    print("|---|---:|")
    for name, seconds in measure(rounds).items():
        print(f"| {name} | {seconds:.2f} |")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
