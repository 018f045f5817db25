"""The compiled programs beside which the export is measured: a Go and a Rust consumer of a stream.

`make peers` builds them into `.build/peers`. Each is called with an endpoint, the ARN of a stream and the path of a
file. It reads all shards concurrently, writes the typed columns of `benchmarks.export` to one Parquet file, and prints
the number of rows.
"""

from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path
from typing import Final

BUILT: Final = Path(__file__).parents[2] / ".build" / "peers"
PROGRAMS: Final = {"Go": BUILT / "go" / "peer", "Rust": BUILT / "rust" / "release" / "peer"}


def run_program(language: str, endpoint_url: str, stream_arn: str, file: Path) -> float:
    """Run a program to its end and return its peak memory in MB."""
    peak = 0
    with subprocess.Popen([PROGRAMS[language], endpoint_url, stream_arn, file], stdout=subprocess.DEVNULL) as process:  # noqa: S603 - our own
        while process.poll() is None:
            # Not from `getrusage`: that counts the memory of this process too, until the program took its place.
            peak = max(peak, peak_kilobytes(process.pid))
            time.sleep(0.02)
    if process.returncode:
        raise SystemExit(f"the program in {language} failed with code {process.returncode}")
    return peak / 1024


def peak_kilobytes(pid: int | str = "self") -> int:
    """Return the most memory that a process has had since its program began; 0 for one that has ended."""
    found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) if found else 0
