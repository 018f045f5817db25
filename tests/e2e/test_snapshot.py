"""A whole table and its changes on FnApiRunner: the mirror of an upserting sink is the table, and nothing goes back."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from beam_dynamodb_streams import ReadFromDynamoDBStreams, Schema, WriteChangesToParquet, metrics
from beam_dynamodb_streams.records import records_from_batch
from beam_dynamodb_streams.testing import LocalStreams, Table
from tests.e2e.mirror import Mirror


@pytest.fixture
def service() -> Iterator[LocalStreams]:
    with LocalStreams() as service:
        yield service


def orders_of(service: LocalStreams, items: int) -> Table:
    table = service.create_table("orders", keys={"id": "S"}, shards=2)
    table.put_many({"id": f"o-{n}", "n": 1, "text": "x" * 50} for n in range(items))
    return table


def read_of(service: LocalStreams, **options: Any) -> ReadFromDynamoDBStreams:
    quick = {
        "snapshot": "scan",
        "quiet_pages": 3,
        "quiet_time": timedelta(seconds=0.5),
        "watermark_slack": timedelta(seconds=1),
        "idle_poll_interval": timedelta(seconds=0.5),
    }
    place = {"endpoint_url": service.endpoint_url, "region_name": service.region_name}
    return ReadFromDynamoDBStreams(table="orders", **place, **{**quick, **options})


class Writer:
    """Writes at random while the read runs, and splits and rolls shards now and then."""

    def __init__(self, table: Table, *, keys: int, seed: int = 0) -> None:
        self._table, self._keys, self._random, self._number = table, keys, Random(seed), 1

    def write(self, count: int) -> None:
        for _ in range(count):
            self._number += 1
            key = {"id": f"o-{self._random.randrange(self._keys)}"}
            if self._random.random() < 0.3:
                self._table.delete(key)
            else:
                self._table.put({**key, "n": self._number})
        if self._random.random() < 0.1:
            shard = self._random.choice(self._table.open_shard_ids)
            few = len(self._table.open_shard_ids) < 8
            (self._table.split if few and self._random.random() < 0.5 else self._table.roll)(shard)

    def run(self, seconds: float, *, pause: float = 0.02) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.write(5)
            time.sleep(pause)


def mirror_of(table: Table) -> dict[str, dict[str, Any]]:
    return {item["id"]: item for item in table.items()}


@pytest.mark.parametrize("batches", [False, True], ids=["changes", "batches"])
def test_the_mirror_of_a_table_that_changes_is_the_table(service: LocalStreams, tmp_path: Path, batches: bool) -> None:
    table = orders_of(service, 600)
    writer = Writer(table, keys=800)
    name = f"direct-{batches}"
    Mirror.begin(name)
    writing = threading.Thread(target=writer.run, args=(4.0,), daemon=True)
    read = read_of(service, stop=timedelta(seconds=9), scan_segments=5, scan_read_units=12)
    pipeline = beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"]))
    ended = str(tmp_path / "ended")
    outputs = pipeline | (read.as_batches() if batches else read).with_outputs()
    changes = outputs.changes
    _ = outputs.snapshots | "ended" >> beam.Map(lambda end: Path(ended).write_text(repr(end)))
    if batches:
        changes = changes | beam.FlatMap(records_from_batch)
    _ = changes | beam.ParDo(Mirror(name))
    writing.start()
    result = pipeline.run()
    result.wait_until_finish()
    writing.join()
    assert Mirror.mirrors[name] == mirror_of(table)
    assert Mirror.backwards[name] == []
    counts = Mirror.counts[name]
    assert counts["READ"] > 50
    assert counts["MODIFY"] > 20
    found = result.metrics().query()
    counters = {each.key.metric.name: each.committed for each in found["counters"]}
    gauges = {each.key.metric.name for each in found["gauges"]}  # of the first bundle, on FnApiRunner (2.77)
    assert counters[metrics.SNAPSHOT_ROWS] == counts["READ"]
    assert counters[metrics.SNAPSHOT_ROWS_REPLACED] > 0, "some rows were left out because of a change"
    assert counters[metrics.SNAPSHOT_UNITS] > 0
    assert counters[metrics.SNAPSHOT_COMPLETE] == 1
    epoch = int(max(Mirror.epochs[name].values()))
    assert f"SnapshotEnd(epoch={epoch}, rows={counts['READ']}, " in Path(ended).read_text()
    assert {metrics.SNAPSHOT_PERCENT, metrics.SNAPSHOT_SECONDS_LEFT, metrics.SNAPSHOT_CONSISTENT_SINCE} <= gauges


def test_an_application_scans_once_and_continues_where_its_rows_ended(service: LocalStreams, tmp_path: Path) -> None:
    table = orders_of(service, 50)
    time.sleep(3.1)  # what was written just before the scan arrives as changes, in place of rows
    found: Counter[str] = Counter()
    epochs = set()
    for number, (stop, rows, inserts) in enumerate(((20, 20, 0), ("NOW", 30, 1), ("NOW", 0, 1))):
        name = f"progress-{number}"
        Mirror.begin(name)
        with beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"])) as pipeline:
            read = read_of(service, stop=stop, scan_segments=7 - number, progress=f"file:{tmp_path / 'app'}")
            _ = pipeline | read | beam.ParDo(Mirror(name))
        counts = Mirror.counts[name]
        assert (counts["READ"], counts["INSERT"]) == (rows, inserts)
        found.update(key for key in Mirror.mirrors[name] if not key.startswith("new"))
        epochs.update(Mirror.epochs[name].values())
        table.put({"id": f"new-{number}", "n": 5})
        time.sleep(1.1)
    assert (len(found), max(found.values()), len(epochs)) == (50, 1, 1)


@pytest.mark.parametrize(("layout", "batches"), [("latest_image", False), ("change_log", True)])
def test_typed_files_have_the_rows_beside_the_changes(
    service: LocalStreams, tmp_path: Path, layout: str, batches: bool
) -> None:
    table = orders_of(service, 30)
    schema = Schema(pa.schema([("id", pa.string()), ("n", pa.int64()), ("text", pa.string())]), keys=("id",))
    time.sleep(3.1)
    table.put({"id": "o-3", "n": 7})
    with beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"])) as pipeline:
        read = read_of(service, stop="NOW")
        changes = pipeline | (read.as_batches(schema) if batches else read)
        _ = changes | WriteChangesToParquet(tmp_path, layout=layout, schema=schema, partitions="hour", window=2)
    (rows,) = tmp_path.glob("snapshot=*/date=*/hour=*/rows-*.parquet")
    (written,) = tmp_path.glob("date=*/hour=*/changes-*.parquet")
    image = "image" if layout == "latest_image" else "new_image"
    found = {row["keys"]["id"]: row[image] for row in pq.ParquetFile(rows).read().to_pylist()}
    assert found.keys() == {f"o-{n}" for n in range(30)} - {"o-3"}
    assert found["o-1"] == {"id": "o-1", "n": 1, "text": "x" * 50, "other_attributes": None}
    (change,) = pq.ParquetFile(written).read().to_pylist()
    assert change[image]["n"] == 7
