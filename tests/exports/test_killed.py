"""`pipelines.export --snapshot` with an export to S3, killed at random moments: each row and each change is once."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from beam_dynamodb_streams import read_items
from beam_dynamodb_streams.testing import LocalStreams
from tests.e2e.test_snapshot import Writer, mirror_of
from tests.e2e.test_snapshot_export import complete_in, done, export, latest, rows_in

ITEMS = 5_000


@pytest.fixture
def service() -> Iterator[LocalStreams]:
    with LocalStreams() as service:
        yield service


@pytest.mark.soak
def test_an_export_with_a_snapshot_from_s3_that_is_killed_is_the_table(service: LocalStreams, tmp_path: Path) -> None:
    table, out, random = service.create_table("orders", keys={"id": "S"}, shards=2), tmp_path / "out", Random(1)
    table.put_many({"id": f"o-{n}", "n": 1, "text": "x" * 200} for n in range(ITEMS))
    full = table.export_full(tmp_path / "s3", files=10)
    writer, ending = Writer(table, keys=ITEMS + 1_000), threading.Event()

    def write() -> None:
        while not ending.wait(0.05):
            writer.write(10)

    writing = threading.Thread(target=write, daemon=True)
    writing.start()
    snapshot, kills = ["--snapshot", full, "--window", "2", "--stop", "NOW"], 0
    while kills < 5:  # FnApiRunner writes all files of a bounded read at its end
        process = export(service, out, *snapshot)
        early = random.random() < 0.3
        while process.poll() is None and not early and not any(out.glob("_temporary/*")):
            time.sleep(0.005)
        time.sleep(random.uniform(0, 12) if early else random.choice([0, 0.05, 0.2, 0.5]))
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.communicate()
    ending.set()
    writing.join()
    time.sleep(1.1)
    done(export(service, out, *snapshot))
    rows, changes = rows_in(out)
    assert (len(rows), len(complete_in(out))) == (ITEMS, 1)
    assert max(Counter(row["event_id"] for row in rows + changes).values()) == 1
    assert len(rows + changes) == ITEMS + len(table.changes), (
        "the changes of the last five minutes are in the stream too"
    )
    assert latest(read_items(out).to_pylist()) == mirror_of(table)
