"""`export --snapshot scan`: the rows in files of their own, then the changes, exactly once, killed or not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fastavro
import pyarrow.parquet as pq
import pytest

from beam_dynamodb_streams.testing import LocalStreams, Table
from beam_dynamodb_streams.testing.values import plain_item
from tests.e2e.test_snapshot import Writer, mirror_of

QUICK = ["--give_up_after", "60"]


@pytest.fixture
def service() -> Iterator[LocalStreams]:
    with LocalStreams() as service:
        yield service


def orders_of(service: LocalStreams, items: int) -> Table:
    table = service.create_table("orders", keys={"id": "S"}, shards=2)
    table.put_many({"id": f"o-{n}", "n": 1, "text": "x" * 50} for n in range(items))
    time.sleep(7.1)  # what was written just before the scan arrives as changes, in place of rows
    return table


def export(service: LocalStreams, output: Path, *more: str, form: str = "parquet") -> subprocess.Popen[str]:
    place = ["--endpoint_url", service.endpoint_url, "--region_name", service.region_name]
    words = ["--table", "orders", "--output", str(output), "--format", form, *place, *QUICK, *more]
    environment = {**os.environ, "AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}
    return subprocess.Popen(
        [sys.executable, "-m", "pipelines.export", *words, "--runner=FnApiRunner"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def done(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    return out


def rows_in(output: Path, form: str = "parquet") -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The rows of the snapshot, and the changes."""
    found: tuple[list[dict[str, Any]], list[dict[str, Any]]] = ([], [])
    for path in sorted(output.rglob(f"*.{form}*")):
        if form == "parquet":
            rows = pq.ParquetFile(path).read().to_pylist()
        elif form == "avro":
            with path.open("rb") as file:
                rows = list(fastavro.reader(file))
        else:
            rows = [json.loads(line) for line in path.read_text().splitlines()]
        found["snapshot=" not in str(path)].extend(rows)
    return found


def latest(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The items of the rows with the greatest versions: what the recipe in docs/whole-table.md computes."""
    kept: dict[str, dict[str, Any]] = {}
    for row in rows:
        key = str(row["keys"])
        if key not in kept or kept[key]["version"] < row["version"]:
            kept[key] = row
    images = [row["new_image"] for row in kept.values() if row["event_name"] != "REMOVE"]
    items = [plain_item(json.loads(image) if isinstance(image, str) else image) for image in images]
    return {str(item["id"]): item for item in items}


def complete_in(output: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in output.glob("_snapshots/*/complete.json")]


@pytest.mark.parametrize("form", ["parquet", "avro", "jsonl"])
def test_a_first_copy_and_then_the_changes(service: LocalStreams, tmp_path: Path, form: str) -> None:
    table, out = orders_of(service, 120), tmp_path / "out"
    said = done(export(service, out, "--stop", "NOW", "--snapshot", "scan", form=form))
    assert said.startswith("120 items of the table, and no changes, in ")
    rows, changes = rows_in(out, form)
    assert (len(rows), changes) == (120, [])
    (end,) = complete_in(out)
    assert (end["complete"], end["rows"]) == (True, 120)
    table.put({"id": "o-1", "n": 2})
    table.delete({"id": "o-2"})
    table.put({"id": "o-new", "n": 3})
    time.sleep(1.1)
    said = done(export(service, out, "--stop", "NOW", "--snapshot", "scan", form=form))
    assert said.startswith("3 changes in 1 new file")
    rows, changes = rows_in(out, form)
    assert (len(rows), len(changes)) == (120, 3)
    assert latest(rows + changes) == mirror_of(table)
    assert {row["version"][:13] for row in rows} == {row["version"][:13] for row in changes}


def test_an_export_that_is_killed_while_it_scans_has_each_row_once(service: LocalStreams, tmp_path: Path) -> None:
    table, out = orders_of(service, 400), tmp_path / "out"
    writer = Writer(table, keys=500)
    ending = threading.Event()

    def write() -> None:
        while not ending.wait(0.05):
            writer.write(2)

    writing = threading.Thread(target=write, daemon=True)
    writing.start()
    scan = ["--snapshot", "scan", "--scan_read_units", "4", "--window", "2"]
    for seconds in (22, 26):
        process = export(service, out, *scan, "--stop", "600s")
        time.sleep(seconds)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    ending.set()
    writing.join()
    time.sleep(1.1)
    done(export(service, out, *scan, "--stop", "NOW"))
    rows, changes = rows_in(out)
    assert len(complete_in(out)) == 1
    assert max(Counter(row["event_id"] for row in rows + changes).values()) == 1
    assert len({row["version"] for row in rows}) == 1, "the rows of scans that did not end are removed"
    assert latest(rows + changes) == mirror_of(table)
