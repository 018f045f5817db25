"""What a long read leaves in Flink's checkpoints: how they grow with each deferral, and which part of them is ours.

`python -m benchmarks.flink_state [minutes] [case …]`, after `make flink`. Each case runs on an embedded Flink of its
own, with one slot and a checkpoint every second. The workers run in this process, the local service in another. Each
busy shard gets one or two changes a second, idle shards get none. The benchmark takes a sample every 10 seconds and
prints a row every two minutes. At the end it prints the slopes of straight lines through all samples, and what the
files of the last checkpoint hold.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from beam_dynamodb_streams import ReadFromDynamoDBStreams
from beam_dynamodb_streams.shards.encoding import encode_frontier
from beam_dynamodb_streams.shards.frontier import Frontier
from beam_dynamodb_streams.source.restriction import FrontierTracker
from benchmarks.live import TABLE, Load, Service
from runners.flink import Flink, Job

SAMPLE_SECONDS = 10.0
ROWS_EVERY_SECONDS = 120.0
HEAD = (
    "| minute | deferrals | restriction, bytes | checkpoints | checkpoint, KB | a checkpoint takes, s: median | most "
    "| to write it, ms: median |"
)


@dataclass(frozen=True)
class Case:
    shards: int
    rate: float
    slice_seconds: float = 1.0
    idle_seconds: float = 2.0
    groups: int = 1

    def __str__(self) -> str:
        return (
            f"{self.shards} shards, {self.rate:g} changes a second, slice_time {self.slice_seconds:g} s, "
            f"idle_poll_interval {self.idle_seconds:g} s, shard_groups {self.groups}"
        )


CASES = {
    "busy": Case(2, 4.0),
    "long": Case(2, 4.0, slice_seconds=5.0),
    "groups": Case(2, 4.0, groups=2),
    "groups-long": Case(2, 4.0, slice_seconds=5.0, groups=2),
    "many": Case(100, 100.0),
    "idle": Case(2, 0.0),
    "idle-long": Case(2, 0.0, slice_seconds=5.0),
    "idle-seldom": Case(2, 0.0, idle_seconds=10.0),
    "twenty-seldom": Case(20, 0.0, idle_seconds=10.0),
    "twenty-long": Case(20, 0.0, slice_seconds=5.0),
}


class Deferred:
    """Counts the residuals that the source returns to the runner, and keeps the newest in its stored form."""

    def __init__(self) -> None:
        self.count, self.stored = 0, b""
        split = FrontierTracker.try_split

        def noting(tracker: FrontierTracker, fraction: float) -> tuple[Frontier, Frontier] | None:
            parts = split(tracker, fraction)
            if parts is not None:
                self.count, self.stored = self.count + 1, encode_frontier(parts[1])
            return parts

        FrontierTracker.try_split = noting  # type: ignore[method-assign, assignment]  # counts each split


@dataclass(frozen=True)
class Sample:
    """`checkpoint_bytes` and `writing` (milliseconds) are of the newest checkpoint; `millis` are the durations of the
    checkpoints that completed since the sample before."""

    second: float
    deferrals: int
    restriction_bytes: int
    checkpoints: int
    checkpoint_bytes: int
    millis: list[int]
    writing: int


def sample(job: Job, deferred: Deferred, began: float, before: int) -> Sample:
    checkpoints = job.get("/checkpoints")
    done = [each for each in checkpoints["history"] if each["status"] == "COMPLETED"]
    return Sample(
        time.monotonic() - began,
        deferred.count,
        len(deferred.stored),
        int(checkpoints["counts"]["completed"]),
        max((int(each["state_size"]) for each in done), default=0),
        [int(each["end_to_end_duration"]) for each in done if int(each["id"]) > before],
        writing(job, int(done[0]["id"])) if done else 0,
    )


def writing(job: Job, checkpoint: int) -> int:
    """Return the milliseconds from the end of the slice to the last written byte, for the slowest step."""
    path = f"/checkpoints/details/{checkpoint}"
    parts = [job.get(f"{path}/subtasks/{step}")["summary"]["checkpoint_duration"] for step in job.get(path)["tasks"]]
    return max(int(part["sync"]["max"]) + int(part["async"]["max"]) for part in parts)


def row(samples: list[Sample]) -> str:
    last, millis = samples[-1], sorted(each for one in samples for each in one.millis) or [0]
    return (
        f"| {last.second / 60:.0f} | {last.deferrals:,} | {last.restriction_bytes:,} | {last.checkpoints:,} "
        f"| {last.checkpoint_bytes / 1000:,.0f} | {statistics.median(millis) / 1000:.2f} | {millis[-1] / 1000:.2f} "
        f"| {statistics.median(one.writing for one in samples):.0f} |"
    )


def slope(samples: list[Sample], of: str) -> float:
    """Return the bytes of checkpoint for each unit of the field `of`, by least squares."""
    at, sizes = [float(getattr(each, of)) for each in samples], [float(each.checkpoint_bytes) for each in samples]
    return statistics.linear_regression(at, sizes).slope


def measure(case: Case, minutes: float, *, sample_seconds: float = SAMPLE_SECONDS) -> None:
    deferred = Deferred()
    print(f"\n{case}\n\n{HEAD}\n|{'---|' * 8}", flush=True)
    with (
        tempfile.TemporaryDirectory() as directory,
        Service(Load(case.shards, rate=case.rate)) as service,
        Flink(Path(directory)) as flink,
    ):
        pipeline = beam.Pipeline(options=PipelineOptions(flink.arguments()))
        _ = pipeline | ReadFromDynamoDBStreams(
            TABLE,
            endpoint_url=service.url,
            slice_time=timedelta(seconds=case.slice_seconds),
            idle_poll_interval=timedelta(seconds=case.idle_seconds),
            shard_groups=case.groups,
        )
        pipeline.run()
        if case.rate:
            service.write()
        while deferred.count == 0:
            time.sleep(1)
        job, began, printed = flink.job, time.monotonic(), 0
        samples: list[Sample] = []
        while time.monotonic() - began < minutes * 60:
            time.sleep(sample_seconds)
            samples.append(sample(job, deferred, began, _newest(samples)))
            if samples[-1].second // ROWS_EVERY_SECONDS > samples[printed].second // ROWS_EVERY_SECONDS:
                print(row(samples[printed:]), flush=True)
                printed = len(samples) - 1
        job.cancel()
        print(f"\n{growth(samples)}\n{held(Path(directory) / 'checkpoints', deferred)}", flush=True)


def _newest(samples: list[Sample]) -> int:
    return samples[-1].checkpoints if samples else 0


def growth(samples: list[Sample]) -> str:
    return (
        f"{slope(samples, 'deferrals') / 1000:.1f} KB a deferral, "
        f"{slope(samples, 'second') * 3600 / 1e6:.1f} MB an hour, "
        f"{samples[-1].deferrals / samples[-1].second * 3600:,.0f} deferrals an hour"
    )


def held(checkpoints: Path, deferred: Deferred) -> str:
    """Return what the files of the last checkpoint hold.

    All restrictions of the read begin with the same bytes as long as their first shard stays the same, so the ones
    that the runner kept can be counted.
    """
    data = b"".join(path.read_bytes() for path in sorted(checkpoints.glob("*/chk-*/*")))
    kept, size = data.count(deferred.stored[:16]), len(deferred.stored)
    return (
        f"the last checkpoint, {len(data) / 1000:,.0f} KB: {kept:,} restrictions of {size:,} bytes, one for each "
        f"group is resumed; the rest is the runner's, {(len(data) - kept * size) / max(1, kept) / 1000:.1f} KB for each"
    )


def main(minutes: str = "20", *cases: str) -> None:
    os.environ |= {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local", "AWS_DEFAULT_REGION": "us-east-1"}
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    for name in cases or CASES:
        process = multiprocessing.get_context("spawn").Process(target=measure, args=(CASES[name], float(minutes)))
        process.start()
        process.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
