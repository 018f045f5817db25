"""`pipelines.export --snapshot` with an export to S3: a full copy first, then each change in exactly one file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest

from beam_dynamodb_streams.commands import export
from beam_dynamodb_streams.testing import Clock, LocalStreams, Table

START = datetime(2026, 1, 31, 12, tzinfo=timezone.utc)


@pytest.fixture
def clock() -> Clock:
    return Clock(START)


@pytest.fixture
def service(clock: Clock) -> Iterator[LocalStreams]:
    with LocalStreams(clock=clock) as started:
        yield started


@pytest.fixture
def orders(service: LocalStreams, clock: Clock) -> Table:
    table = service.create_table("orders", keys={"id": "S"}, shards=2)
    table.put_many({"id": f"o-{n}", "n": 0} for n in range(20))
    clock.advance(3600)
    return table


def run(service: LocalStreams, output: Path, *snapshot: str, stop: int = 1) -> int:
    """Export until this many changes are written: a stop at a time waits to be sure that there are no more."""
    place = ["--table=orders", f"--endpoint_url={service.endpoint_url}", "--region_name=us-east-1"]
    given = ["--snapshot", *snapshot] if snapshot else []
    target = [f"--output={output}", "--format=parquet", f"--stop={stop}", "--runner=FnApiRunner"]
    return export.main([*place, *given, *target])


def rows(output: Path) -> list[dict[str, Any]]:
    files = [str(file) for file in output.rglob("*.parquet")]
    return ds.dataset(files, format="parquet").to_table().to_pylist()  # type: ignore[no-any-return]


def ids_of_table(found: list[dict[str, Any]]) -> set[str]:
    latest: dict[str, dict[str, Any]] = {}
    for row in sorted(found, key=lambda row: row["version"]):
        latest[row["keys"]] = row
    return {row["new_image"] for row in latest.values() if row["event_name"] != "REMOVE"}


def test_a_full_copy_and_then_the_changes_however_often_it_is_run(
    service: LocalStreams, orders: Table, clock: Clock, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    full = orders.export_full(tmp_path / "s3")
    orders.delete({"id": "o-1"})
    clock.advance(1800)
    later = orders.export_incremental(tmp_path / "s3", START, START + timedelta(minutes=90))
    orders.put({"id": "o-2", "n": 2})
    output = tmp_path / "out"
    assert run(service, output, full, later) == 0
    assert "of the table, and" in capsys.readouterr().out
    (complete,) = output.rglob("complete.json")
    assert complete.parent.name == str(round((START + timedelta(minutes=90)).timestamp() * 1000))
    first = rows(output)
    assert len(ids_of_table(first)) == orders.item_count == 19
    orders.put({"id": "o-3", "n": 3})
    clock.advance(300)
    complete.unlink()  # as a kill before it was written leaves the output
    assert run(service, output, full, later) == 0
    orders.put({"id": "o-4", "n": 4})
    clock.advance(300)
    assert run(service, output, full, later) == 0
    found = rows(output)
    assert max(Counter(row["event_id"] for row in found).values()) == 1
    assert len(found) == len(first) + 2
    table = {f'{{"id":{{"S":"{item["id"]}"}},"n":{{"N":"{item["n"]}"}}}}' for item in orders.items()}
    assert ids_of_table(found) == table


def test_a_snapshot_does_not_begin_in_an_output_of_changes(
    service: LocalStreams, orders: Table, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    assert run(service, output, stop=20) == 0
    with pytest.raises(SystemExit):
        run(service, output, orders.export_full(tmp_path / "s3"))
    assert "begin a new read with that export, into a new output" in capsys.readouterr().err
