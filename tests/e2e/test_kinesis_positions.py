"""Where a read of a Kinesis data stream begins and ends: positions, moments, progress, and the workers of a KCL."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from threading import Timer
from typing import Any

import apache_beam as beam
import pytest

from beam_dynamodb_streams import ReadFromKinesisDataStream, StreamPosition
from beam_dynamodb_streams.commands.progress import main as progress_command
from beam_dynamodb_streams.progress.file_store import FileStore
from beam_dynamodb_streams.source import worker_cache
from beam_dynamodb_streams.testing import KinesisStream, LocalKinesis, Table
from beam_dynamodb_streams.testing.kinesis_record import kinesis_record
from tests.e2e.collected import outputs_of
from tests.progress.conftest import moto, tables
from tests.progress.leases import each_generation, lease_items, make_table

__all__ = ["moto", "tables"]  # fixtures

SOON = timedelta(seconds=1)


@pytest.fixture
def endpoints(kinesis: LocalKinesis, moto: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The data stream is the local service's, all tables are moto's."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_KINESIS", kinesis.endpoint_url)
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", moto)
    worker_cache.client.cache_clear()  # what the environment says is asked once in a process
    yield
    worker_cache.client.cache_clear()


def put(copy: KinesisStream, orders: Table, count: int) -> list[str]:
    first = len(orders.changes)
    return copy.put_changes(orders.put_many({"id": f"o-{first + n}"} for n in range(count)))


def put_aged(copy: KinesisStream, orders: Table, count: int, *, seconds: int) -> list[str]:
    """Write changes that were created this long ago."""
    written = []
    for change in orders.put_many({"id": f"old-{n}"} for n in range(count)):
        text, key = kinesis_record(change)
        data = json.loads(text)
        data["dynamodb"]["ApproximateCreationDateTime"] -= seconds * 1_000_000
        written.append(copy.put(json.dumps(data).encode(), key))
    return written


def read(directory: Path, **options: Any) -> list[str]:
    """Return the sequence numbers that a read delivers."""
    source = ReadFromKinesisDataStream(
        **{"stream_name": "copy", "region_name": "us-east-1", "watermark_slack": SOON, **options}
    )
    (out,) = outputs_of(directory, source)
    return [change.sequence_number for change, _ in out]


def local(kinesis: LocalKinesis, **options: Any) -> dict[str, Any]:
    return {"endpoint_url": kinesis.endpoint_url, **options}


# Starts


class Workers:
    """The leases of a KCL application that processed half of each shard of a merge, a split and their children."""

    def __init__(self, copy: KinesisStream, orders: Table) -> None:
        left, right = copy.open_shard_ids
        put(copy, orders, 60)
        self.merged = copy.merge(left, right)
        put(copy, orders, 60)
        first, second = copy.split(self.merged)
        put(copy, orders, 60)
        of = {shard: [str(record.number) for record in copy.records(shard)] for shard in copy.shard_ids}
        half = len(of[self.merged]) // 2
        # The lease of one parent is deleted, as KCL does once its children have leases.
        self.checkpoints = {right: "SHARD_END", self.merged: of[self.merged][half - 1]}
        self.parents = {self.merged: left, first: self.merged, second: self.merged}
        self.left = [*of[self.merged][half:], *of[first], *of[second]]


def of_kinesis(items: list[dict[str, Any]], copy: KinesisStream, generation: str) -> list[dict[str, Any]]:
    """The leases with the names that KCL itself gives to data streams, where there are several in one table."""
    if generation != "kcl3-multi-stream":
        return items
    account = copy.arn.split(":")[4]
    named = [item for item in items if ":" not in item["leaseKey"]["S"]]
    streams = (f"{account}:copy:1769860800", f"{account}:other:1769860800")
    return [
        {**item, "leaseKey": {"S": f"{stream}:{item['leaseKey']['S']}"}} if "checkpoint" in item else item
        for item in named
        for stream in (streams if item.get("entityType", {"S": "LEASE"})["S"] == "LEASE" else streams[:1])
    ]


@each_generation
def test_it_resumes_where_the_workers_of_a_kcl_application_stopped(
    generation: str, endpoints: None, copy: KinesisStream, orders: Table, tables: Any, tmp_path: Path
) -> None:
    workers = Workers(copy, orders)
    simple = "kcl3" if generation == "kcl3-multi-stream" else generation
    items = lease_items(simple, workers.checkpoints, workers.parents, stream_arn=copy.arn)
    table = f"kinesis-{generation}"
    make_table(tables, table, of_kinesis(items, copy, generation))
    before = tables.scan(TableName=table)["Items"]
    found = read(tmp_path, start=f"kcl://{table}", stop=len(workers.left))
    assert sorted(found) == sorted(workers.left)
    assert tables.scan(TableName=table)["Items"] == before, "the leases are only read"


def test_what_a_lease_table_says_is_shown_saved_and_started_from(
    endpoints: None,
    copy: KinesisStream,
    orders: Table,
    tables: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    workers = Workers(copy, orders)
    make_table(tables, "kinesis-app", lease_items("kcl2", workers.checkpoints, workers.parents, stream_arn=copy.arn))
    assert progress_command(["show-kcl", "kinesis-app", "--region_name", "us-east-1"]) == 0
    assert "2 leases" in capsys.readouterr().out
    assert progress_command(["show-kcl", "kinesis-app", "--stream_arn", copy.arn]) == 0
    saved = StreamPosition.from_json(capsys.readouterr().out)
    assert saved.stream_arn == copy.arn
    assert sorted(read(tmp_path, start=saved, stop=len(workers.left))) == sorted(workers.left)


def test_a_lease_table_of_another_stream_is_refused(
    endpoints: None, copy: KinesisStream, tables: Any, tmp_path: Path
) -> None:
    make_table(
        tables, "kinesis-other", [{"leaseKey": {"S": "1:other:1:shardId-000000000000"}, "checkpoint": {"S": "LATEST"}}]
    )
    with pytest.raises(Exception, match=f"has leases of 1:other:1, and none of {copy.arn}"):
        read(tmp_path, start="kcl://kinesis-other", stop=1)


def test_it_resumes_from_a_saved_position_and_refuses_one_of_another_stream(
    kinesis: LocalKinesis, copy: KinesisStream, orders: Table, tmp_path: Path
) -> None:
    address = f"file:{tmp_path / 'progress'}"
    first = put(copy, orders, 30)
    assert sorted(read(tmp_path, **local(kinesis), progress=address, stop=30)) == sorted(first)
    stored = FileStore(str(tmp_path / "progress")).read().streams
    assert list(stored) == [copy.arn]
    copy.merge(*copy.open_shard_ids)
    rest = put(copy, orders, 30)
    position = stored[copy.arn].position(copy.arn)
    assert sorted(read(tmp_path, **local(kinesis), start=position, stop=30)) == sorted(rest)
    other = replace(position, stream_arn=copy.arn.replace(":stream/copy", ":stream/other"))
    with pytest.raises(Exception, match=r"the saved position is of the data stream .*:stream/other, and not of"):
        read(tmp_path, **local(kinesis), start=other, stop=1)


def test_it_begins_at_a_moment_by_creation_time(
    kinesis: LocalKinesis, copy: KinesisStream, orders: Table, tmp_path: Path
) -> None:
    put_aged(copy, orders, 20, seconds=7200)
    new = put(copy, orders, 20)
    moment = datetime.now(timezone.utc) - timedelta(hours=1)
    assert sorted(read(tmp_path, **local(kinesis), start=moment, stop=20)) == sorted(new)


def test_at_latest_it_delivers_what_is_written_after_the_start_also_to_children(
    kinesis: LocalKinesis, copy: KinesisStream, orders: Table, tmp_path: Path
) -> None:
    put(copy, orders, 30)
    time.sleep(2.1)  # LATEST may deliver what is up to a second older
    new: list[str] = []

    def write() -> None:
        copy.merge(*copy.open_shard_ids)
        new.extend(put(copy, orders, 15))

    later = Timer(3.0, write)
    later.start()
    found = read(tmp_path, **local(kinesis), start="LATEST", stop=15)
    later.join()
    assert sorted(found) == sorted(new)


# Stops


def test_each_form_of_a_stop_ends_the_read(
    kinesis: LocalKinesis, copy: KinesisStream, orders: Table, tmp_path: Path
) -> None:
    before = put_aged(copy, orders, 20, seconds=7200)
    everything = [*before, *put(copy, orders, 20)]
    hour_ago = datetime.now(timezone.utc) - timedelta(hours=1)
    expected = {"NOW": everything, hour_ago: before, timedelta(seconds=1): everything, 7: None}
    names = {}
    with beam.Pipeline("FnApiRunner") as pipeline:
        for number, stop in enumerate(expected):
            names[stop] = tmp_path / str(number)
            source = ReadFromKinesisDataStream(
                "copy", stop=stop, region_name="us-east-1", watermark_slack=SOON, **local(kinesis)
            )
            _ = pipeline | f"Read {number}" >> source | f"Note {number}" >> beam.Map(note, str(names[stop]))
    for stop, numbers in expected.items():
        found = names[stop].read_text().split()
        if numbers is None:
            assert len(found) == stop
        else:
            assert sorted(found) == sorted(numbers), stop


def note(change: Any, path: str) -> None:
    with Path(path).open("a") as lines:
        lines.write(f"{change.sequence_number}\n")


# Groups


def test_with_groups_each_change_comes_from_one_of_them_through_merges_across_groups(
    kinesis: LocalKinesis, orders: Table, tmp_path: Path
) -> None:
    """A merge of shards of two groups has one owner."""
    wide = kinesis.create_stream("wide", shards=4)
    written = put(wide, orders, 100)
    middle = wide.merge(*wide.open_shard_ids[1:3])
    written += put(wide, orders, 100)
    wide.merge(wide.open_shard_ids[0], middle)
    wide.split(wide.open_shard_ids[-1])
    written += put(wide, orders, 100)
    found = read(tmp_path, **local(kinesis), stream_name="wide", shard_groups=3, stop="NOW")
    assert sorted(found) == sorted(written)


# Progress


def test_progress_resumes_between_the_parents_of_a_merge_and_their_child(
    kinesis: LocalKinesis, copy: KinesisStream, orders: Table, tmp_path: Path
) -> None:
    address = f"file:{tmp_path / 'progress'}"
    written = put(copy, orders, 40)
    copy.merge(*copy.open_shard_ids)
    written += put(copy, orders, 40)
    found: list[str] = []
    for _ in range(4):
        found += read(tmp_path, **local(kinesis), progress=address, stop=20)
    assert sorted(found) == sorted(written)
    assert len(set(found)) == 80


def test_the_progress_of_a_data_stream_is_listed_exported_imported_and_reset(
    kinesis: LocalKinesis,
    copy: KinesisStream,
    orders: Table,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    address = f"file:{tmp_path / 'progress'}"
    put(copy, orders, 30)
    read(tmp_path, **local(kinesis), progress=address, stop=10)
    assert progress_command(["list", address]) == 0
    assert f"{copy.arn}: " in capsys.readouterr().out
    assert progress_command(["export", address]) == 0
    saved = capsys.readouterr().out
    assert StreamPosition.from_json(saved).stream_arn == copy.arn
    (tmp_path / "saved.json").write_text(saved)
    rest = read(tmp_path, **local(kinesis), progress=address, stop=20)
    assert progress_command(["import", address, str(tmp_path / "saved.json"), "--yes"]) == 0
    assert sorted(read(tmp_path, **local(kinesis), progress=address, stop=20)) == sorted(rest)
    assert progress_command(["reset", address, "--stream_arn", copy.arn, "--yes"]) == 0
    assert len(read(tmp_path, **local(kinesis), progress=address, stop=30)) == 30
    capsys.readouterr()


def test_a_position_without_a_known_stream_cannot_be_imported(tmp_path: Path) -> None:
    (tmp_path / "saved.json").write_text(StreamPosition("arn:aws:sqs:us-east-1:1:queue").to_json())
    with pytest.raises(SystemExit):
        progress_command(["import", f"file:{tmp_path / 'progress'}", str(tmp_path / "saved.json"), "--yes"])
