"""What the benchmarks of running pipelines share, for Linux: the local service and a pipeline on Prism, each in a
process of its own, and their CPU and memory from `/proc`.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from beam_dynamodb_streams import ChangeRecord, ReadFromDynamoDBStreams
from beam_dynamodb_streams.testing import LocalStreams, Table

ROOT = Path(__file__).resolve().parent.parent
TABLE = "orders"
_TICK = os.sysconf("SC_CLK_TCK")
_SPAWN = multiprocessing.get_context("spawn")


def prism_path() -> str:
    """Return the path in CONNECTOR_PRISM, or of what `make prism` built."""
    built = ROOT / ".build" / "prism" / "prism"
    found = os.environ.get("CONNECTOR_PRISM") or (str(built) if built.exists() else shutil.which("prism"))
    if not found:
        sys.exit("these figures are Prism's: run `make prism` first")
    return found


def runner_options(runner: str) -> list[str]:
    """Return Beam's options for a runner. Prism is the one that was built here."""
    if runner != "PrismRunner":
        return [f"--runner={runner}"]
    return [f"--runner={runner}", f"--prism_location={prism_path()}", "--prism_log_level=error"]


# The local service in its own process


@dataclass(frozen=True)
class Load:
    """What the service holds: its shards, how many changes a second are written to `busy` of them (to all if None), and
    every how many seconds a shard splits or rolls."""

    shards: int = 1
    rate: float = 0.0
    busy: int | None = None
    roll_every: float | None = None
    most_shards: int = 12
    item_bytes: int = 200
    iterator_length: int = 300
    retention: float = 24 * 3600.0
    seed: int = 0


def _serve(load: Load, pipe: Connection) -> None:
    with LocalStreams(iterator_length=load.iterator_length, retention=load.retention, seed=load.seed) as service:
        orders = service.create_table(TABLE, keys={"id": "S"}, shards=load.shards)
        stopped = threading.Event()
        writer = threading.Thread(target=_write, args=(orders, load, stopped), daemon=True)
        pipe.send(service.endpoint_url)
        while True:
            match pipe.recv():
                case "write":
                    writer.start()
                case "counts":
                    counts = service.counts
                    pipe.send((dict(counts.calls), counts.pages, counts.empty_pages, len(orders.open_shard_ids)))
                case "written":
                    pipe.send(len(orders.changes))
                case ("probe", seconds):
                    threading.Thread(target=_probe, args=(orders, float(seconds)), daemon=True).start()
                case _:
                    stopped.set()
                    return


def _write(orders: Table, load: Load, stopped: threading.Event) -> None:
    """Write until `stopped`. Each item has the epoch second at which it was written."""
    random = Random(load.seed)
    filling = "x" * load.item_bytes
    keys: list[dict[str, object]]
    if load.busy is None:
        keys = [{"id": f"o-{n}"} for n in range(max(2000, 4 * load.shards))]
    else:
        chosen = orders.open_shard_ids[: load.busy]
        keys = [key for shard in chosen for key in orders.keys_in(shard, max(1, 2000 // len(chosen)))]
    started = moved = time.monotonic()
    written = 0
    while not stopped.wait(0.01):
        now = time.monotonic()
        for number in range(written, int((now - started) * load.rate)):
            written = number + 1
            orders.put({**random.choice(keys), "written": repr(time.time()), "n": number, "filling": filling})
        if load.roll_every is not None and now - moved >= load.roll_every:
            moved = now
            shards = orders.open_shard_ids
            if len(shards) < load.most_shards and random.random() < 0.6:
                orders.split(random.choice(shards))
            else:
                orders.roll(random.choice(shards))


def _probe(orders: Table, seconds: float) -> None:
    """Write one change into each of at most 100 shards."""
    shards = Random(1).sample(orders.open_shard_ids, min(100, len(orders.open_shard_ids)))
    for keys in [orders.keys_in(shard)[0] for shard in shards]:
        orders.put({**keys, "written": repr(time.time())})
        time.sleep(seconds / len(shards))


@dataclass
class Counted:
    """What the service counted between two moments."""

    calls: dict[str, int]
    pages: int
    empty_pages: int
    open_shards: int

    def since(self, before: Counted) -> Counted:
        calls = {name: calls - before.calls.get(name, 0) for name, calls in self.calls.items()}
        return Counted(calls, self.pages - before.pages, self.empty_pages - before.empty_pages, self.open_shards)


class Service:
    """The local service, holding a load, for as long as the block lasts."""

    def __init__(self, load: Load) -> None:
        self._pipe, theirs = _SPAWN.Pipe()
        self._process = _SPAWN.Process(target=_serve, args=(load, theirs), daemon=True)

    def __enter__(self) -> Service:
        self._process.start()
        self.url = str(self._pipe.recv())
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._pipe.send("stop")
        self._process.join(10)
        self._process.kill()

    @property
    def pid(self) -> int:
        return self._process.pid or 0

    def write(self) -> None:
        """Start the writes."""
        self._pipe.send("write")

    def probe(self, seconds: float) -> None:
        """Write one change into each of at most 100 shards, spread over that many seconds."""
        self._pipe.send(("probe", seconds))

    def counts(self) -> Counted:
        self._pipe.send("counts")
        return Counted(*self._pipe.recv())

    def written(self) -> int:
        self._pipe.send("written")
        return int(self._pipe.recv())


# The pipeline in its own process


class NoteLatency(beam.DoFn):
    """Appends a line of JSON for each bundle: the seconds from each record's write to this step."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._noted: list[float] = []

    def process(self, record: ChangeRecord) -> Iterator[None]:
        self._note(time.time(), record)
        yield from ()

    def _note(self, now: float, record: ChangeRecord) -> None:
        image = record.new_image
        written = None if image is None else image.get("written")
        if isinstance(written, str):
            self._noted.append(now - float(written))

    def finish_bundle(self) -> None:
        if self._noted:
            with Path(self._path).open("a") as notes:
                notes.write(json.dumps([time.time(), [round(each, 4) for each in self._noted]]) + "\n")
            self._noted = []


def latencies(path: Path, since: float = 0.0) -> list[float]:
    """Return what `NoteLatency` wrote from a moment on, sorted."""
    if not path.exists():
        return []
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return sorted(each for noted_at, line in lines if noted_at >= since for each in line)


def percentile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")


def note_fused(changes: beam.PCollection, directory: str) -> None:
    """Note latencies. The Flatten leaves the stage of the read: without it, Prism (2.77) spins on a core while a bundle
    runs."""
    _ = (changes | beam.ParDo(NoteLatency(f"{directory}/fused")),) | beam.Flatten()


Build = Callable[[beam.PCollection, str], None]


def _run(url: str, prism: str, options: dict[str, Any], build: Build, directory: str) -> None:
    os.environ |= {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local", "AWS_DEFAULT_REGION": "us-east-1"}
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    flags = ["--runner=PrismRunner", f"--prism_location={prism}", "--prism_log_level=error", "--streaming"]
    pipeline = beam.Pipeline(options=PipelineOptions(flags))
    build(pipeline | ReadFromDynamoDBStreams(TABLE, endpoint_url=url, **options), directory)
    pipeline.run().wait_until_finish()


@dataclass
class Pipeline:
    """A pipeline on Prism: a read of the service at `url` with `options`, then `build(changes, directory)`."""

    url: str
    options: dict[str, Any] = field(default_factory=dict)
    build: Build = note_fused

    def __enter__(self) -> Pipeline:
        self._directory = tempfile.TemporaryDirectory()
        self.directory = Path(self._directory.name)
        arguments = (self.url, prism_path(), self.options, self.build, str(self.directory))
        self._process = _SPAWN.Process(target=_run, args=arguments)
        self._process.start()
        return self

    def __exit__(self, *_: object) -> None:
        children = children_of(self.pid)
        self._process.terminate()
        self._process.join(10)
        self._process.kill()
        for child in children:  # a driver that is terminated leaves its prism running
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, 9)
        self._directory.cleanup()

    @property
    def pid(self) -> int:
        return self._process.pid or 0

    @property
    def alive(self) -> bool:
        return self._process.is_alive()

    def prism(self) -> int | None:
        """Return the process of the runner, or None before it starts."""
        for child in children_of(self.pid):
            if "prism" in Path(f"/proc/{child}/comm").read_text():
                return child
        return None


# From /proc


def children_of(pid: int) -> list[int]:
    """Return the processes that a process has started."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(fields[1]) == pid:
                    found.append(int(entry.name))
    return found


def cpu_seconds(pid: int | None) -> float:
    """Return the user and system time of a process and all its threads, 0 if there is none."""
    if not pid:
        return 0.0
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICK


def rss_bytes(pid: int | None) -> int:
    """Return the resident memory of a process, 0 if there is none."""
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


@dataclass(frozen=True)
class Cpu:
    """CPU seconds so far of the pipeline's process (driver and worker), of the runner and of the service."""

    worker: float
    runner: float
    service: float

    @staticmethod
    def of(pipeline: Pipeline, service: Service) -> Cpu:
        return Cpu(cpu_seconds(pipeline.pid), cpu_seconds(pipeline.prism()), cpu_seconds(service.pid))

    def since(self, before: Cpu) -> Cpu:
        return Cpu(self.worker - before.worker, self.runner - before.runner, self.service - before.service)
