"""SIGKILL at random moments: what was saved was delivered, so the next start misses nothing (traps 20 and 21)."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from random import Random

from beam_dynamodb_streams.testing import Faults, LocalStreams

KILLS = 10


def test_a_read_that_is_killed_ten_times_misses_nothing(service: LocalStreams, tmp_path: Path) -> None:
    orders = service.create_table("orders", keys={"id": "S"}, shards=4)
    for generation in range(4):
        orders.put_many({"id": f"o-{n % 300}", "n": generation * 1000 + n} for n in range(1000))
        if generation < 3:
            orders.roll_all()
    service.faults = Faults(latency=0.03, empty_page=0.5, empty_run=4)  # slow enough that a kill meets it at work
    command = [sys.executable, "-m", "tests.e2e.resuming_driver", service.endpoint_url, str(tmp_path)]
    random, killed = Random(11), 0
    for _ in range(KILLS):
        driver = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        started = time.monotonic()
        while service.counts.calls["GetRecords"] == 0 and time.monotonic() - started < 20:
            time.sleep(0.01)  # another process: there is no clock to pass
        service.reset_counts()
        time.sleep(random.uniform(0.1, 1.5))
        killed += driver.poll() is None
        driver.kill()
        driver.wait()
    assert killed >= KILLS // 2, "the kills came too late to prove anything"
    service.faults = Faults()
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    delivered = {tuple(json.loads(line)) for line in (tmp_path / "delivered").read_text().splitlines()}
    assert delivered == {(change.shard_id, change.sequence_number) for change in orders.changes}
