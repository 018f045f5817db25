"""Exports joined with the stream: rows first, then the changes, and a sink that keeps the greatest version is right.

Traps 39, 40 and 42.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest

from beam_dynamodb_streams import ChangeRecord, ReadFromDynamoDBStreams
from beam_dynamodb_streams.errors import ExportError, InvalidOptionError, RunnerError
from beam_dynamodb_streams.testing import Clock, LocalStreams, Table
from tests.e2e.collected import outputs_of

START = datetime(2026, 1, 31, 12, tzinfo=timezone.utc)
QUICK = {"quiet_pages": 3, "quiet_time": timedelta(seconds=1), "watermark_slack": timedelta(0)}


@pytest.fixture
def clock() -> Clock:
    return Clock(START)


@pytest.fixture
def orders(clock: Clock) -> Iterator[Table]:
    with LocalStreams(clock=clock) as service:
        table = service.create_table("orders", keys={"id": "S"}, shards=2)
        table.service = service  # type: ignore[attr-defined]
        table.put_many({"id": f"o-{n}", "n": 0} for n in range(30))
        clock.advance(3600)
        yield table


def read(table: Table, **options: Any) -> ReadFromDynamoDBStreams:
    service = table.service  # type: ignore[attr-defined]
    place = {"endpoint_url": service.endpoint_url, "region_name": "us-east-1"}
    return ReadFromDynamoDBStreams(table="orders", **{"stop": "NOW", **place, **QUICK, **options})


def changes_of(table: Table, **options: Any) -> list[ChangeRecord]:
    return [each for each, _ in outputs_of(Path("joined"), read(table, **options))[0]]


def mirror_of(changes: list[ChangeRecord]) -> dict[str, Any]:
    """Return the items of a sink that upserts: it keeps the greatest version of each key, of deleted ones too."""
    rows: dict[str, tuple[str, Any]] = {}
    for change in changes:
        known = rows.get(change.keys["id"])
        if known is None or known[0] < change.version:
            rows[change.keys["id"]] = (change.version, change.new_image)
    return {key: image for key, (_, image) in rows.items() if image is not None}


def items_of(table: Table) -> dict[str, Any]:
    return {str(item["id"]): item for item in table.items()}


def test_a_full_export_and_the_stream_after_it_are_the_table(orders: Table, tmp_path: Path, clock: Clock) -> None:
    path = orders.export_full(tmp_path)
    clock.advance(60)
    orders.put({"id": "o-1", "n": 1})
    orders.delete({"id": "o-2"})
    orders.put({"id": "new", "n": 1})
    orders.put({"id": "o-3", "n": 1})
    orders.delete({"id": "o-3"})
    clock.advance(30 * 3600 - 3600 * 7)
    found = changes_of(orders, snapshot=path)
    assert [change.event_name for change in found][:30] == ["READ"] * 30
    assert len(found) == 35
    for changes in (found, found[::-1], [*found[20:], *found[:25]]):
        assert mirror_of(changes) == items_of(orders)


def test_the_stream_begins_five_minutes_before_the_moment_of_an_export(
    orders: Table, tmp_path: Path, clock: Clock
) -> None:
    for n, seconds in ((1, 60), (2, 240), (3, 10)):
        orders.put({"id": f"o-{n}", "n": n})
        clock.advance(seconds)
    path = orders.export_full(tmp_path)
    found = changes_of(orders, snapshot=path)
    assert [change.keys["id"] for change in found[30:]] == ["o-2", "o-3"]
    assert mirror_of(found) == items_of(orders)


def test_an_old_export_is_refused_unless_incremental_exports_bridge(
    orders: Table, tmp_path: Path, clock: Clock
) -> None:
    full = orders.export_full(tmp_path)
    ends = [START + timedelta(hours=1)]
    bridge = []
    for day in range(3):
        orders.put({"id": f"o-{day}", "n": day})
        orders.delete({"id": f"o-{day + 10}"})
        clock.advance(20 * 3600)
        ends.append(ends[-1] + timedelta(hours=20))
        bridge.append(orders.export_incremental(tmp_path, ends[-2], ends[-1]))
    clock.advance(3600)
    orders.put({"id": "o-5", "n": 5})
    with pytest.raises(ExportError, match=r"older than the stream reaches, .* --export-type INCREMENTAL_EXPORT"):
        changes_of(orders, snapshot=full)
    with pytest.raises(ExportError, match="there is a hole"):
        changes_of(orders, snapshot=[full, *bridge[1:]])
    assert mirror_of(changes_of(orders, snapshot=[full, *bridge])) == items_of(orders)


def test_a_loss_in_the_middle_is_repaired(orders: Table, tmp_path: Path, clock: Clock) -> None:
    delivered = changes_of(orders)
    lost_since = START + timedelta(hours=1)
    orders.delete({"id": "o-1"})  # these changes are lost
    orders.put({"id": "o-2", "n": 2})
    orders.put({"id": "o-3", "n": 2})
    orders.put({"id": "lost", "n": 2})
    clock.advance(30 * 3600)
    orders.put({"id": "o-3", "n": 3})  # and these are read
    orders.put({"id": "o-4", "n": 3})
    delivered += changes_of(orders)
    assert mirror_of(delivered) != items_of(orders)
    clock.advance(3600)
    until = lost_since + timedelta(hours=31)
    middle = lost_since + timedelta(hours=24)
    windows = [(lost_since - timedelta(minutes=1), middle), (middle, until)]
    repair = [orders.export_incremental(tmp_path, *window) for window in windows]
    orders.put({"id": "o-4", "n": 4})
    orders.delete({"id": "o-5"})
    repaired = changes_of(orders, repair=repair)
    for changes in ([*delivered, *repaired], [*repaired, *delivered], [*repaired, *delivered][::-1]):
        assert mirror_of(changes) == items_of(orders)


def test_the_filters_of_the_read_hold_for_rows_too(orders: Table, tmp_path: Path) -> None:
    path = orders.export_full(tmp_path)
    orders.put({"id": "o-1", "n": 1})
    found = changes_of(
        orders, snapshot=path, event_names=["MODIFY", "READ"], where=lambda change: "1" in change.keys["id"]
    )
    assert sorted({change.keys["id"] for change in found}) == [
        f"o-{n}" for n in sorted(map(str, (1, *range(10, 20), 21)))
    ]
    assert {change.event_name for change in found} == {"READ", "MODIFY"}


def test_rows_are_in_the_form_of_the_read(orders: Table, tmp_path: Path) -> None:
    orders.put({"id": "o-1", "n": 1})
    export = orders.export_full(tmp_path)
    batches, letters, losses = outputs_of(tmp_path, read(orders, snapshot=export).as_batches().with_outputs())
    names = [name for batch, _ in batches for name in batch["event_name"].to_pylist()]
    assert names == ["READ"] * 30 + ["MODIFY"]
    assert (letters, losses) == ([], [])


def test_exports_of_another_table_are_refused(orders: Table, tmp_path: Path) -> None:
    service = orders.service  # type: ignore[attr-defined]
    other = service.create_table("others", keys={"id": "S"})
    with pytest.raises(ExportError, match="table/others"):
        changes_of(orders, snapshot=other.export_full(tmp_path))
    old = orders.export_full(tmp_path)
    orders.delete_table()
    again = service.create_table("orders", keys={"id": "S"})
    again.service = service
    with pytest.raises(ExportError, match="a table that was deleted and created again is another table"):
        changes_of(again, snapshot=old)


def test_an_export_from_before_the_stream_is_refused(clock: Clock, tmp_path: Path) -> None:
    with LocalStreams(clock=clock) as service:
        table = service.create_table("orders", keys={"id": "S"}, view_type=None)
        table.service = service  # type: ignore[attr-defined]
        path = table.export_full(tmp_path)
        clock.advance(3600)
        table.enable_stream()
        with pytest.raises(ExportError, match=r"the stream was enabled later, at .*: export again now"):
            changes_of(table, snapshot=path)


def test_a_stream_without_new_images_is_refused(clock: Clock, tmp_path: Path) -> None:
    with LocalStreams(clock=clock) as service:
        table = service.create_table("orders", keys={"id": "S"}, view_type="KEYS_ONLY")
        table.service = service  # type: ignore[attr-defined]
        with pytest.raises(InvalidOptionError, match=r"^snapshot= needs changes with new images, .* view KEYS_ONLY"):
            changes_of(table, snapshot=table.export_full(tmp_path))


def test_a_full_export_is_no_repair_and_an_incremental_one_no_snapshot(orders: Table, tmp_path: Path) -> None:
    full = orders.export_full(tmp_path)
    incremental = orders.export_incremental(tmp_path, START, START + timedelta(hours=1))
    with pytest.raises(ExportError, match=r"give it as snapshot="):
        changes_of(orders, repair=full)
    with pytest.raises(ExportError, match=r"use repair="):
        changes_of(orders, snapshot=incremental)


@pytest.mark.parametrize(
    "options",
    [
        {"snapshot": "a/b", "repair": "b"},
        {"snapshot": "a/b", "start": "LATEST"},
        {"snapshot": ["scan", "a/b"]},
        {"snapshot": "a/b", "progress": "file:x"},
        {"snapshot": 5},
        {"repair": []},
    ],
)
def test_options_that_do_not_go_together_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidOptionError, match=r"snapshot=|repair="):
        ReadFromDynamoDBStreams(table="orders", **options)


def test_an_unbounded_read_after_an_export_is_refused_where_nothing_would_pass(orders: Table, tmp_path: Path) -> None:
    pipeline = beam.Pipeline("FnApiRunner")
    _ = pipeline | read(orders, snapshot=orders.export_full(tmp_path), stop=None)
    with pytest.raises(RunnerError, match="PrismRunner"):
        pipeline.run()


def test_on_prism_the_rows_come_first_and_nothing_is_lost(
    orders: Table, tmp_path: Path, clock: Clock, prism: str
) -> None:
    path = orders.export_full(tmp_path / "export", files=5)
    orders.put_many({"id": f"o-{n}", "n": 7} for n in range(0, 40, 3))
    out = tmp_path / "out"
    out.mkdir()
    with beam.Pipeline(
        "PrismRunner", options=beam.options.pipeline_options.PipelineOptions([f"--prism_location={prism}"])
    ) as pipeline:
        _ = pipeline | read(orders, snapshot=path) | beam.ParDo(Append(str(out)))
    found = [ChangeRecord.from_json(line) for file in sorted(out.iterdir()) for line in file.read_bytes().splitlines()]
    assert mirror_of(found) == items_of(orders)
    assert len(found) == 30 + 14


class Append(beam.DoFn):
    """Writes the changes of each bundle into a file of its own, named by its time."""

    def __init__(self, directory: str) -> None:
        self._directory = directory

    def start_bundle(self) -> None:
        self._lines: list[str] = []

    def process(self, change: ChangeRecord) -> None:
        self._lines.append(change.to_json())

    def finish_bundle(self) -> None:
        (Path(self._directory) / f"{time.time_ns()}").write_text("".join(f"{line}\n" for line in self._lines))
