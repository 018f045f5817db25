"""A table that was deleted and created again: with a snapshot a read continues in it, wherever it stood before."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from beam_dynamodb_streams import read_items
from beam_dynamodb_streams.testing import LocalStreams, Table
from tests.e2e.mirror import Mirror
from tests.e2e.test_snapshot import mirror_of, read_of
from tests.e2e.test_snapshot_export import complete_in, done, export, latest, rows_in


@pytest.fixture
def service() -> Iterator[LocalStreams]:
    with LocalStreams() as service:
        yield service


def orders_of(service: LocalStreams, first: int, last: int) -> Table:
    table = service.create_table("orders", keys={"id": "S"}, shards=2)
    table.put_many({"id": f"o-{n}", "n": n} for n in range(first, last))
    return table


def create_again(service: LocalStreams, table: Table) -> Table:
    """Items 20 to 49 in place of 0 to 29, a second later: moments of the service are compared."""
    table.put({"id": "last", "n": 1})
    table.delete_table()
    time.sleep(2.1)
    return orders_of(service, 20, 50)


def run(name: str, service: LocalStreams, **options: Any) -> None:
    with beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"])) as pipeline:
        _ = pipeline | read_of(service, **{"stop": "NOW", **options}) | beam.ParDo(Mirror(name))


def test_a_running_read_continues_with_a_new_snapshot_and_without_a_loss(service: LocalStreams) -> None:
    table = orders_of(service, 0, 30)
    again: list[Table] = []

    def later() -> None:
        time.sleep(3)
        again.append(create_again(service, table))

    thread = Thread(target=later, daemon=True)
    thread.start()
    Mirror.begin("running")
    run("running", service, stop=timedelta(seconds=8))
    thread.join()
    newest = max(Mirror.epochs["running"].values())
    found = {key: Mirror.mirrors["running"][key] for key, epoch in Mirror.epochs["running"].items() if epoch == newest}
    assert found == mirror_of(again[0])
    assert len(set(Mirror.epochs["running"].values())) == 2


@pytest.mark.soak
def test_progress_in_the_stream_of_the_deleted_table_is_followed(service: LocalStreams, tmp_path: Path) -> None:
    table = orders_of(service, 0, 30)
    progress = f"file:{tmp_path / 'app'}"
    Mirror.begin("first")
    run("first", service, progress=progress)
    table = create_again(service, table)
    run("first", service, progress=progress)
    newest = max(Mirror.epochs["first"].values())
    found = {key: Mirror.mirrors["first"][key] for key, epoch in Mirror.epochs["first"].items() if epoch == newest}
    assert found == mirror_of(table)
    assert "last" in Mirror.mirrors["first"], "the last change of the deleted table is delivered too"
    assert table.stream_arn in (tmp_path / "app").read_text()


@pytest.mark.soak
def test_an_output_of_the_deleted_table_gets_the_new_snapshot(service: LocalStreams, tmp_path: Path) -> None:
    table, out = orders_of(service, 0, 30), tmp_path / "out"
    time.sleep(7.1)
    done(export(service, out, "--stop", "NOW", "--snapshot", "scan"))
    table = create_again(service, table)
    time.sleep(7.1)
    done(export(service, out, "--stop", "NOW", "--snapshot", "scan"))
    table.put({"id": "o-20", "n": 99})
    time.sleep(1.1)
    assert "1 change in" in done(export(service, out, "--stop", "NOW", "--snapshot", "scan"))
    rows, changes = rows_in(out)
    assert max(Counter(row["event_id"] for row in rows + changes).values()) == 1
    assert {"last", "o-0", "o-49"} < {json.loads(row["keys"])["id"]["S"] for row in rows + changes}
    assert len(complete_in(out)) == 2
    items = read_items(out).to_pylist()
    assert {row["event_name"] for row in items} <= {"READ", "INSERT", "MODIFY"}
    assert latest(items) == mirror_of(table)
    newest = max(end["removes_before"] for end in complete_in(out))
    assert latest([row for row in rows + changes if row["version"] >= newest]) == mirror_of(table)
