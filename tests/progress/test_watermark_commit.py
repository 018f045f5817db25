"""CommitProgress by the watermark, behind what is made of changes: its law, what it refuses, and SIGKILL."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from math import ceil
from pathlib import Path
from random import Random
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.transforms import trigger
from apache_beam.transforms.combiners import CountCombineFn
from apache_beam.transforms.userstate import BagStateSpec
from apache_beam.transforms.window import FixedWindows, GlobalWindows, Sessions, SlidingWindows
from hypothesis import given
from hypothesis import strategies as st

from beam_dynamodb_streams import CommitProgress, ReadFromDynamoDBStreams, StreamPosition, WriteChangesToParquet
from beam_dynamodb_streams.errors import InvalidOptionError
from beam_dynamodb_streams.progress.acquire import store_of
from beam_dynamodb_streams.progress.address import Progress
from beam_dynamodb_streams.progress.trail import trail_of
from beam_dynamodb_streams.shards.position import After
from beam_dynamodb_streams.testing import LocalStreams
from tests.e2e.collected import Keep, read_orders
from tests.e2e.workload import Writer
from tests.progress.test_commit import moments, shards
from tests.progress.test_kills import kill, runs, until


def keyed(change: Any) -> tuple[str, int]:
    return change.keys["id"], 1


def aggregated(changes: beam.PCollection, windows: Any, **how: Any) -> beam.PCollection:
    pairs = changes | beam.Map(keyed).with_output_types(tuple[str, int])
    return pairs | beam.WindowInto(windows, **how) | beam.CombinePerKey(sum)


def saved(address: str) -> StreamPosition:
    ((arn, stream),) = store_of(Progress(address)).read().streams.items()
    return stream.position(arn)


@pytest.mark.parametrize("form", ["combined", "by group", "of rows", "files", "of batches"])
def test_results_of_an_aggregation_save_the_progress_of_their_changes(
    service: LocalStreams, tmp_path: Path, form: str
) -> None:
    orders = service.create_table("orders", keys={"id": "S"})
    orders.put_many({"id": f"o-{n % 3}", "n": n} for n in range(9))
    address = f"file:{tmp_path / 'progress.json'}"
    with beam.Pipeline("FnApiRunner") as pipeline:
        read = read_orders(service, progress=address, stop=9)
        if form == "files":
            results = pipeline | read | WriteChangesToParquet(tmp_path / "out", window=60)
        elif form == "by group":
            named = pipeline | read | beam.Map(keyed).with_output_types(tuple[str, int])
            results = named | beam.WindowInto(SlidingWindows(60, 30)) | beam.GroupByKey() | beam.Map(len)
        elif form == "of rows":
            rows = pipeline | read.as_rows() | beam.WindowInto(FixedWindows(60))
            results = rows | beam.GroupBy("keys").aggregate_field("event_id", CountCombineFn(), "n")
        elif form == "of batches":
            sizes = pipeline | read.as_batches() | beam.Map(lambda batch: ("rows", batch.num_rows))
            results = sizes | beam.WindowInto(FixedWindows(60)) | beam.CombinePerKey(sum)
        else:
            results = aggregated(pipeline | read, FixedWindows(60))
        _ = results | CommitProgress(address)
    last = {change.shard_id: After(change.sequence_number) for change in orders.changes}
    assert saved(address).shards == last


def test_the_next_run_delivers_only_what_is_new(service: LocalStreams, tmp_path: Path) -> None:
    orders = service.create_table("orders", keys={"id": "S"})
    orders.put_many({"id": f"o-{n % 3}", "n": n} for n in range(9))
    place = tmp_path / "progress.json"
    for new in (9, 1):
        name = f"{tmp_path}-{new}"
        Keep.kept[name] = []
        with beam.Pipeline("FnApiRunner") as pipeline:
            changes = pipeline | read_orders(service, progress=f"file:{place}", stop=new)
            counts = aggregated(changes, FixedWindows(60)) | beam.ParDo(KeepAndPass(name))
            _ = counts | CommitProgress(f"file:{place}")
        assert sum(count for (_, count), _ in Keep.kept.pop(name)) == new
        place.write_text(expired(place))
        orders.put({"id": "later", "n": new})


class KeepAndPass(Keep):
    def process(self, element: Any, timestamp: Any = beam.DoFn.TimestampParam) -> Any:
        super().process(element, timestamp)
        yield element


def expired(place: Path) -> str:
    """The stored progress, as if its run had been killed long ago."""
    stored = json.loads(place.read_text())
    stored["lease"]["renewed_at"] = 0
    return json.dumps(stored)


@given(shards(), st.sampled_from([1, 3, 10]), st.sampled_from([0, 2, 10, 60]))
def test_what_precedes_a_saved_change_left_all_its_windows_before(
    shard: tuple[int, int, list[int]], first: int, second: int
) -> None:
    """A change is delivered once the watermark has passed the end of the last of its windows."""
    slack, _, created = shard
    ends = [end_of(end_of(float(time), first), second) for time in created]
    reached = [
        entry
        for number, time in enumerate(created)
        for entry in moments([(number, time, time)], slack + ceil(first + second))
    ]
    for end, number in reached:
        assert all(left <= end for left in ends[: number + 1])


def end_of(moment: float, length: int) -> float:
    """The end of the window of an element; a result has the last moment of the window before."""
    return moment if not length else (moment // length + 1) * length - (0.001 if length else 0)


class Buffered(beam.DoFn):
    HELD = BagStateSpec("held", beam.coders.VarIntCoder())

    def process(self, element: tuple[str, int], held: Any = beam.DoFn.StateParam(HELD)) -> Any:
        held.add(element[1])
        yield element


def twice(changes: beam.PCollection) -> beam.PCollection:
    first = aggregated(changes, FixedWindows(10))
    return first | "Longer" >> beam.WindowInto(SlidingWindows(60, 20)) | "Again" >> beam.CombinePerKey(sum)


SHAPES: list[tuple[str, Callable[[beam.PCollection], beam.PCollection], float | str]] = [
    ("plain", lambda changes: changes | beam.Map(keyed), 0),
    ("fixed", lambda changes: aggregated(changes, FixedWindows(10)), 10),
    ("sliding", lambda changes: aggregated(changes, SlidingWindows(30, 10)), 30),
    ("twice", twice, 70),
    (
        "the same windows",
        lambda changes: aggregated(changes, FixedWindows(10)) | "Again" >> beam.CombinePerKey(sum),
        10,
    ),
    (
        "early results",
        lambda changes: aggregated(
            changes,
            FixedWindows(10),
            trigger=trigger.AfterWatermark(early=trigger.AfterCount(1)),
            accumulation_mode=trigger.AccumulationMode.ACCUMULATING,
        ),
        10,
    ),
    ("sessions", lambda changes: aggregated(changes, Sessions(10)), "which groups in"),
    (
        "global",
        lambda changes: aggregated(
            changes,
            GlobalWindows(),
            trigger=trigger.Repeatedly(trigger.AfterCount(5)),
            accumulation_mode=trigger.AccumulationMode.DISCARDING,
        ),
        "which groups in",
    ),
    (
        "counts",
        lambda changes: aggregated(
            changes,
            FixedWindows(10),
            trigger=trigger.Repeatedly(trigger.AfterCount(5)),
            accumulation_mode=trigger.AccumulationMode.DISCARDING,
        ),
        "with Repeatedly",
    ),
    ("state", lambda changes: changes | beam.Map(keyed) | beam.ParDo(Buffered()), "which keeps state in"),
]


@pytest.mark.parametrize(("shape", "trail"), [each[1:] for each in SHAPES], ids=[each[0] for each in SHAPES])
def test_the_windows_between_the_read_and_the_step_say_how_far_progress_trails(shape: Any, trail: Any) -> None:
    pipeline = beam.Pipeline("FnApiRunner")
    changes = pipeline | ReadFromDynamoDBStreams("orders", progress="file:x")
    results = shape(changes)
    if isinstance(trail, str):
        with pytest.raises(InvalidOptionError, match=trail):
            results | CommitProgress("file:x")
    else:
        assert trail_of(changes, results, "CommitProgress") == trail
        results | CommitProgress("file:x")


def test_a_step_that_is_not_behind_the_read_is_refused() -> None:
    pipeline = beam.Pipeline("FnApiRunner")
    _ = pipeline | ReadFromDynamoDBStreams("orders", progress="file:x")
    with pytest.raises(InvalidOptionError, match="is not behind the read with this progress"):
        pipeline | beam.Create([1]) | CommitProgress("file:x")
    with pytest.raises(InvalidOptionError, match="no read in this pipeline has progress='file:y'"):
        pipeline | "Other" >> beam.Create([1]) | "Commit" >> CommitProgress("file:y")


def noted(notes: Path) -> list[tuple[str, str]]:
    return [tuple(json.loads(line)) for line in notes.read_text().splitlines(keepends=True) if line.endswith("\n")]


def killed_while_it_aggregates(
    service: LocalStreams, prism: str, place: Path, pauses: list[float], *, changes: int
) -> None:
    orders = service.create_table("orders", keys={"id": "S"}, shards=2)
    notes = place / "notes"
    notes.touch()
    writer = Writer(orders, changes, seed=7, restless=0.7, batch=5)
    arguments = (service.endpoint_url, prism, str(notes), f"file:{place / 'progress.json'}")
    with runs(*arguments, module="tests.progress.aggregating_driver") as start:
        writer.start()
        for pause in pauses:
            before = len(noted(notes))
            group = start()
            until(lambda before=before: len(noted(notes)) > before)
            time.sleep(pause)  # another process: there is no clock to pass
            kill(group)
        assert writer.is_alive(), "the kills came too late to prove anything"
        start()
        writer.join()
        written = {(change.shard_id, change.sequence_number) for change in orders.changes}
        until(lambda: set(noted(notes)) >= written)
    came = noted(notes)
    assert set(came) == written
    print(f"{len(pauses)} kills, {len(written)} changes, {len(came) - len(written)} repeats")


@pytest.mark.prism
@pytest.mark.soak
@pytest.mark.parametrize("kills", [3, 10])
def test_an_aggregation_that_is_killed_misses_no_change(
    service: LocalStreams, prism: str, tmp_path: Path, kills: int
) -> None:
    random = Random(kills)
    pauses = [random.uniform(2, 12) for _ in range(kills)]  # progress trails by 7 seconds
    killed_while_it_aggregates(service, prism, tmp_path, pauses, changes=2_500 * kills)
