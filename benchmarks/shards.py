"""What shards cost: 1, 10, 100 and 1,000 of them, idle, busy and rolling, on Prism at the source's default settings.

`python -m benchmarks.shards [seconds] [shards …]`. For each number, the local service and the pipeline run in
processes of their own. Idle: measured once every shard is proven quiet; the lag is that of single changes afterwards,
one for each shard. Busy: 1,000 changes a second over all shards. Rolling: the same, and every two seconds a shard
splits or rolls. CPU is in percent of one core. The worker is Beam's driver and SDK harness in one process, the runner
is the prism process. The local service, which stands in for AWS, is not counted.
"""

from __future__ import annotations

import sys
import time
from typing import Literal

from benchmarks.live import Counted, Cpu, Load, Pipeline, Service, latencies, percentile

Kind = Literal["idle", "busy", "rolling"]

RATE = 1000.0
ROLL_EVERY_SECONDS = 2.0
PROBE_SECONDS = 20.0
WARM_UP_SECONDS = 15.0
HEAD = (
    "| shards | | worker, % of a core | Prism, % | both, % | GetRecords a shard and hour | DescribeStream/s "
    "| elements/s | lag p50, s | lag p99, s |"
)


def settle(service: Service, pipeline: Pipeline, shards: int, kind: Kind, warm_up: float) -> None:
    """Wait until each shard has been asked for records, and if idle, no more often than quiet shards are."""
    while service.counts().calls.get("GetRecords", 0) < 2 * shards:
        assert pipeline.alive, "the pipeline ended"
        time.sleep(0.5)
    if kind != "idle":
        service.write()
        time.sleep(warm_up)
        return
    fewest, steady = float("inf"), 0
    while steady < 3:
        before = service.counts()
        time.sleep(10)
        calls = service.counts().since(before).calls["GetRecords"]
        steady = steady + 1 if calls > 0.97 * fewest else 0
        fewest = min(fewest, calls)


def measure(shards: int, seconds: float, kind: Kind, *, warm_up: float = WARM_UP_SECONDS, **options: object) -> str:
    rolls = ROLL_EVERY_SECONDS if kind == "rolling" else None
    load = Load(shards, rate=RATE, roll_every=rolls, most_shards=int(shards * 1.2) + 1)
    with Service(load) as service, Pipeline(service.url, {"start": "LATEST", **options}) as pipeline:
        settle(service, pipeline, shards, kind, warm_up)
        began, at = time.monotonic(), time.time()
        before, cpu_before = service.counts(), Cpu.of(pipeline, service)
        time.sleep(seconds)
        cpu, counted = Cpu.of(pipeline, service).since(cpu_before), service.counts().since(before)
        elapsed = time.monotonic() - began
        if kind == "idle":
            service.probe(PROBE_SECONDS)
            time.sleep(PROBE_SECONDS + 5)
        lags = latencies(pipeline.directory / "fused", since=at)
        return row(shards, kind, elapsed, cpu, counted, lags)


def row(shards: int, kind: Kind, seconds: float, cpu: Cpu, counted: Counted, lags: list[float]) -> str:
    calls = counted.calls.get("GetRecords", 0) / shards / seconds * 3600
    worker, runner = (100 * each / seconds for each in (cpu.worker, cpu.runner))
    elements = "–" if kind == "idle" else f"{len(lags) / seconds:,.0f}"
    return (
        f"| {shards:,} | {kind} | {worker:.1f} | {runner:.1f} | {worker + runner:.1f} | {calls:,.0f} "
        f"| {counted.calls.get('DescribeStream', 0) / seconds:.2f} | {elements} "
        f"| {percentile(lags, 0.5):.2f} | {percentile(lags, 0.99):.2f} |"
    )


def main(seconds: float = 30.0, *shards: float) -> None:
    print(HEAD)
    print("|" + "---|" * 10)
    kinds: tuple[Kind, ...] = ("idle", "busy", "rolling")
    for count in shards or (1, 10, 100, 1000):
        for kind in kinds:
            print(measure(int(count), seconds, kind), flush=True)


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))
