"""Peak memory of an export, summed over all its processes, and its rate by tenths.

`python -m benchmarks.memory [--changes 2000000] [--format parquet] [--layout change_log] [--runner FnApiRunner]`. The
service only replays pages (`benchmarks.replay`) and is not counted. The export is the command, in a process of its own.
Memory is that of this process and all its children (Prism), summed: the proportional set size, which counts shared
pages once, and the resident set size, which counts the pages of libraries in each process. The rate by tenths is that
at which pages are read. The last peak is while the files are written, and the end is that of the command.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from benchmarks.export import SCHEMA
from benchmarks.live import children_of, rss_bytes, runner_options
from benchmarks.replay import Replay, requests_of

SHARDS = 4
PAGE = 1000
RUNNERS = ("FnApiRunner", "PrismRunner")


def processes_of(pid: int) -> list[int]:
    """Return a process and all its descendants."""
    return [pid, *(each for child in children_of(pid) for each in processes_of(child))]


def pss_bytes(pid: int) -> int:
    """Return the proportional set size of a process, its resident memory where there is none, 0 if it has ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return rss_bytes(pid)


@dataclass
class Samples:
    """What was seen of a run: when each tenth of the pages was read, and the memory by tenth, in bytes."""

    pages: int
    pid: int
    url: str
    tenths: list[float] = field(default_factory=list)
    peaks: list[int] = field(default_factory=lambda: [0])
    resident: int = 0
    ended: threading.Event = field(default_factory=threading.Event)

    def take(self) -> None:
        """Look again and again until `ended`."""
        while not self.ended.wait(0.1):
            read = sum(operation == "GetRecords" for _, operation in requests_of(self.url))
            now = time.monotonic()
            while len(self.tenths) < 11 and read > 0 and read * 10 >= len(self.tenths) * self.pages:
                self.tenths.append(now)
                self.peaks.append(0)
            processes = processes_of(self.pid)
            self.peaks[-1] = max(self.peaks[-1], sum(map(pss_bytes, processes)))
            self.resident = max(self.resident, sum(map(rss_bytes, processes)))


@dataclass(frozen=True)
class Measured:
    """Seconds up to the first page and to the end of the command, changes a second by tenth, and MB: first while it
    starts, then by tenth, then while the last files are written."""

    started: float
    written: float
    rates: list[float]
    peaks: list[float]
    resident: float

    @property
    def peak(self) -> float:
        return max(self.peaks)


def environment() -> dict[str, str]:
    """Return the environment of an export."""
    return os.environ | {"AWS_ACCESS_KEY_ID": "replay", "AWS_SECRET_ACCESS_KEY": "replay"}


def options_of(runner: str, url: str, output: Path) -> list[str]:
    """Return the options of an export of all that the service has."""
    where = ["--endpoint_url", url, "--region_name", "us-east-1", "--output", str(output)]
    return ["--table", "orders", "--stop", "NOW", *runner_options(runner), *where]


def measure(changes: int, runner: str, *options: str) -> Measured:
    """Export that many changes with the command, and return what it took."""
    pages = changes // (SHARDS * PAGE)
    scratch = Path(tempfile.mkdtemp())
    output = scratch / "out"
    (saved := scratch / "schema.json").write_text(SCHEMA.to_json())
    given = [each if each != "--schema" else f"--schema={saved}" for each in options]
    with Replay(pages=pages, shards=SHARDS, distinct=min(pages, 10)) as url:
        command = [sys.executable, "-m", "pipelines.export", *options_of(runner, url, output), *given]
        began = time.monotonic()
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment()) as process:  # noqa: S603 - our own
            samples = Samples(pages * SHARDS, process.pid, url)
            sampler = threading.Thread(target=samples.take)
            sampler.start()
            code = process.wait()
            ended = time.monotonic()
            samples.ended.set()
            sampler.join()
    try:
        if code:
            raise SystemExit(f"the export ended with {code}")
        if "latest_image" not in options:
            _check_rows(output, changes)
        times = samples.tenths
        rates = [changes / 10 / max(to - since, 1e-9) for since, to in pairwise(times)]
        peaks = [peak / 1e6 for peak in samples.peaks]
        return Measured(times[0] - began, ended - began, rates, peaks, samples.resident / 1e6)
    finally:
        shutil.rmtree(scratch)


def _check_rows(output: Path, changes: int) -> None:
    written = [json.loads(path.read_bytes())["rows"] for path in output.glob("_manifests/*/*.json")]
    if sum(written) != changes:
        raise AssertionError(f"{sum(written)} rows were written of {changes}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--changes", type=int, default=2_000_000)
    parser.add_argument("--format", default="parquet")
    parser.add_argument("--layout", default="change_log")
    parser.add_argument("--schema", action=argparse.BooleanOptionalAction, help="typed images; by default both")
    parser.add_argument("--runner", choices=RUNNERS)
    chosen = parser.parse_args()
    print(f"{chosen.changes:,} changes of about 1.25 kB, {chosen.format}, {chosen.layout}\n")
    columns = ("images", "runner", "peak MB", "resident MB", "peak by tenth", "changes a second by tenth")
    print(f"| {' | '.join([*columns, 'first page, s', 'end, s'])} |")
    print("|---|---|---:|---:|---|---|---:|---:|")
    for typed in [False, True] if chosen.schema is None else [chosen.schema]:
        options = ["--format", chosen.format, "--layout", chosen.layout, *(["--schema"] if typed else [])]
        for runner in [chosen.runner] if chosen.runner else RUNNERS:
            found = measure(chosen.changes, runner, *options)
            peaks = " ".join(f"{each:.0f}" for each in found.peaks)
            rates = " ".join(f"{each:,.0f}" for each in found.rates)
            print(f"| {'typed' if typed else 'text'} | {runner} | {found.peak:.0f} | {found.resident:.0f} |", end="")
            print(f" {peaks} | {rates} | {found.started:.1f} | {found.written:.1f} |", flush=True)


if __name__ == "__main__":
    main()
