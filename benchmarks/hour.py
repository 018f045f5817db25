"""An hour of an unbounded read on Prism while its shards split and roll: whether memory stays flat and the restriction
small.

`python -m benchmarks.hour [minutes] [iterator_length] [directory]`. The service writes 200 changes a second over 8 to
12 shards, and one of them splits or rolls every 20 seconds. It keeps records for 10 minutes, so that shards come and
go within the hour. Every 10 seconds the benchmark writes a line of a CSV file: the resident memory of the worker's
process and of Prism, the size of the stored frontier, the shards in it, and the lag of the elements. At the end it
prints a summary of each tenth.
"""

from __future__ import annotations

import csv
import statistics
import sys
import time
from dataclasses import dataclass, fields
from pathlib import Path

import apache_beam as beam

from beam_dynamodb_streams import ChangeRecord
from beam_dynamodb_streams.shards.encoding import decode_frontier, encode_frontier
from beam_dynamodb_streams.shards.frontier import Frontier
from beam_dynamodb_streams.source.restriction import FrontierCoder
from benchmarks.live import Load, NoteLatency, Pipeline, Service, latencies, percentile, rss_bytes

RATE = 200.0
RETENTION_SECONDS = 600.0


@dataclass(frozen=True)
class Sample:
    """One line of the file. Sizes are in bytes; `lag` is the largest since the line before, in seconds."""

    second: int
    worker_rss: int
    prism_rss: int
    stored: int
    stored_without_hints: int
    reading: int
    finished: int
    lag: float
    elements: int


class _NotedCoder(FrontierCoder):
    """The restriction's coder, which also writes what it encoded last to a file."""

    noted = ""

    def encode(self, value: Frontier) -> bytes:
        data = encode_frontier(value)
        made = Path(f"{self.noted}.new")
        made.write_bytes(data)
        made.replace(self.noted)
        return data


def build(changes: beam.PCollection[ChangeRecord], directory: str) -> None:
    FrontierCoder.encode = _NotedCoder.encode  # type: ignore[method-assign]  # the coder keeps what it writes
    FrontierCoder.noted = f"{directory}/restriction"  # and where
    _ = (changes | beam.ParDo(NoteLatency(f"{directory}/fused")),) | beam.Flatten()


def sample(pipeline: Pipeline, began: float) -> Sample:
    stored = (pipeline.directory / "restriction").read_bytes()
    frontier = decode_frontier(stored)
    bare = encode_frontier(
        Frontier(
            frontier.stream_arn,
            frontier.start,
            {shard: type(reading)(reading.position, reading.watermark) for shard, reading in frontier.shards.items()},
            frontier.finished,
        )
    )
    fused = pipeline.directory / "fused"
    lags = latencies(fused)
    fused.unlink(missing_ok=True)
    return Sample(
        int(time.monotonic() - began),
        rss_bytes(pipeline.pid),
        rss_bytes(pipeline.prism()),
        len(stored),
        len(bare),
        len(frontier.shards),
        len(frontier.finished),
        percentile(lags, 1.0),
        len(lags),
    )


def summary(samples: list[Sample]) -> str:
    lines = [
        (
            "| minutes | worker, MB | Prism, MB | restriction, bytes | without hints | a shard read, bytes "
            "| shards read | finished | largest lag, s | elements |"
        ),
        "|" + "---|" * 10,
    ]
    size = max(1, len(samples) // 10)
    for first in range(0, len(samples), size):
        part = samples[first : first + size]

        def median(name: str, part: list[Sample] = part) -> float:
            found: float = statistics.median(getattr(each, name) for each in part)
            return found

        lines.append(
            f"| {part[0].second / 60:.0f}–{part[-1].second / 60:.0f} | {median('worker_rss') / 1e6:.0f} "
            f"| {median('prism_rss') / 1e6:.0f} | {median('stored'):,.0f} | {median('stored_without_hints'):,.0f} "
            f"| {statistics.median(each.stored_without_hints / max(1, each.reading) for each in part):.0f} "
            f"| {median('reading'):.0f} | {median('finished'):.0f} | {max(each.lag for each in part):.2f} "
            f"| {sum(each.elements for each in part):,} |"
        )
    return "\n".join(lines)


def main(
    minutes: str = "60", iterator_length: str = "300", directory: str = ".", *, sample_seconds: float = 10.0
) -> None:
    load = Load(
        8,
        rate=RATE,
        roll_every=20.0,
        most_shards=12,
        iterator_length=int(iterator_length),
        retention=RETENTION_SECONDS,
    )
    path = Path(directory) / f"hour-{load.iterator_length}.csv"
    samples: list[Sample] = []
    with Service(load) as service, Pipeline(service.url, build=build) as pipeline, path.open("w") as file:
        lines = csv.writer(file)
        lines.writerow(each.name for each in fields(Sample))
        while not (pipeline.directory / "restriction").exists():
            assert pipeline.alive, "the pipeline ended"
            time.sleep(1)
        service.write()
        began = time.monotonic()
        while time.monotonic() - began < float(minutes) * 60:
            time.sleep(sample_seconds)
            assert pipeline.alive, "the pipeline ended"
            samples.append(sample(pipeline, began))
            assert any(each.elements for each in samples[-6:]), "the read delivered nothing for six samples"
            lines.writerow(getattr(samples[-1], each.name) for each in fields(Sample))
            file.flush()
        written = service.written()
    print(f"{minutes} minutes, iterators of {load.iterator_length} characters, {written:,} changes written\n")
    print(summary(samples))


if __name__ == "__main__":
    main(*sys.argv[1:])
