"""Exports of a stream older than a day, by the command in a process of its own (trap 23)."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pyarrow.dataset
import pytest

from beam_dynamodb_streams.testing import LocalStreams

ROOT = Path(__file__).parent.parent.parent


def export(service: LocalStreams, roots: int, output: Path) -> float:
    """Export a table of that many roots, with a change in each, and return the seconds."""
    orders = service.create_table(f"orders-{roots}", keys={"id": "S"}, shards=roots)
    orders.put_many({**keys, "n": 1} for shard in orders.open_shard_ids for keys in orders.keys_in(shard))
    command = [
        sys.executable,
        "-m",
        "pipelines.export",
        f"--table={orders.name}",
        "--stop=NOW",
        f"--output={output}",
        "--format=parquet",
    ]
    began = time.monotonic()
    subprocess.run(
        [*command, f"--endpoint_url={service.endpoint_url}", "--region_name=us-east-1"], cwd=ROOT, check=True
    )
    seconds = time.monotonic() - began
    assert pyarrow.dataset.dataset(output, exclude_invalid_files=True).count_rows() == roots
    return seconds


@pytest.mark.soak
def test_an_export_of_300_roots_ends_within_5_s_of_one_of_8(service: LocalStreams, tmp_path: Path) -> None:
    """Trap 23."""
    few, many = export(service, 8, tmp_path / "few"), export(service, 300, tmp_path / "many")
    print(f"8 roots {few:.1f} s, 300 roots {many:.1f} s")
    assert many - few < 5
