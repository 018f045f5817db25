"""From write to element: how long a change takes to reach a pipeline on Prism, at 100 and 1,000 changes a second.

`python -m benchmarks.latency [seconds] [shards]`. 200-byte items over 4 shards at the source's default settings. An
item carries the moment of its write; the pipeline compares it with its own clock, which is the same machine's: in a
ParDo fused to the read, and past a GroupByKey of windows of one second. The local service answers at once: to AWS a
round trip must be added.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator

import apache_beam as beam

from beam_dynamodb_streams import ChangeRecord
from benchmarks.live import Cpu, Load, NoteLatency, Pipeline, Service, latencies, percentile


class NoteGrouped(NoteLatency):
    """Notes the latency of each record of a group."""

    def process(  # type: ignore[override]  # a step takes what the step before it returns
        self, group: tuple[int, Iterable[ChangeRecord]]
    ) -> Iterator[None]:
        now = time.time()
        for record in group[1]:
            self._note(now, record)
        yield from ()


def build(changes: beam.PCollection[ChangeRecord], directory: str) -> None:
    fused = changes | "Fused" >> beam.ParDo(NoteLatency(f"{directory}/fused"))
    grouped = (
        changes
        | beam.WindowInto(beam.window.FixedWindows(1))
        | beam.WithKeys(lambda change: hash(change.shard_id) % 4)
        | beam.GroupByKey()
        | "Grouped" >> beam.ParDo(NoteGrouped(f"{directory}/grouped"))
    )
    _ = (fused, grouped) | beam.Flatten()


def measure(rate: float, shards: int, seconds: float, *, warm_up: float = 15.0) -> str:
    load = Load(shards, rate=rate)
    with Service(load) as service, Pipeline(service.url, {"start": "LATEST"}, build=build) as pipeline:
        while service.counts().calls.get("GetRecords", 0) < 5 * shards:
            assert pipeline.alive, "the pipeline ended"
            time.sleep(0.5)
        service.write()
        time.sleep(warm_up)
        began, cpu = time.time(), Cpu.of(pipeline, service)
        time.sleep(seconds)
        used = Cpu.of(pipeline, service).since(cpu)
        rows = []
        for name in ("fused", "grouped"):
            noted = latencies(pipeline.directory / name, since=began)
            rows.append(
                f"| {rate:,.0f} | {name} | {len(noted) / seconds:,.0f} | {percentile(noted, 0.5):.3f} "
                f"| {percentile(noted, 0.99):.3f} | {percentile(noted, 1.0):.3f} "
                f"| {100 * used.worker / seconds:.0f} | {100 * used.runner / seconds:.0f} |"
            )
        return "\n".join(rows)


def main(seconds: float = 60.0, shards: float = 4) -> None:
    print("| changes/s written | | elements/s | p50, s | p99, s | largest, s | worker, % of a core | Prism, % |")
    print("|" + "---|" * 8)
    for rate in (100.0, 1000.0):
        print(measure(rate, int(shards), seconds), flush=True)


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))
