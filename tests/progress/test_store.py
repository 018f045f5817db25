"""What both stores promise: progress moves forward only, by the run that holds the lease, apart from all others."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import boto3
import pytest
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions
from botocore.exceptions import ClientError

from beam_dynamodb_streams.errors import (
    ConnectorError,
    FencedError,
    InvalidOptionError,
    NotFoundError,
    UnavailableError,
)
from beam_dynamodb_streams.progress.address import TableAddress
from beam_dynamodb_streams.progress.file_store import FileStore
from beam_dynamodb_streams.progress.store import (
    SHARD_RETENTION_SECONDS,
    Application,
    LeaseRecord,
    SavedProgress,
    SavedShard,
    Store,
    is_further,
    rank,
)
from beam_dynamodb_streams.progress.table_store import TableStore
from beam_dynamodb_streams.shards.position import SHARD_END, TRIM_HORIZON, After, AtTime, Position, ScanPlaces
from beam_dynamodb_streams.shards.stream_position import StreamPosition
from beam_dynamodb_streams.wire import DynamoDB

ARN = "arn:aws:dynamodb:us-east-1:000000000000:table/orders/stream/2026-01-31T12:00:00.000"
LATER = ARN.replace("01-31", "02-01")
SECOND = 1_769_860_800


def held(store: Store, owner: str = "one") -> Store:
    assert store.swap_lease(store.read().lease, LeaseRecord(owner, ARN, SECOND))
    return store


def kept(store: Store, arn: str = ARN) -> dict[str, Position]:
    return dict(store.read().streams[arn].position(arn).shards)


def test_what_was_never_written_is_empty(store: Store) -> None:
    assert store.read() == Application()


def test_a_position_comes_back_as_it_was_kept(store: Store) -> None:
    position = StreamPosition(ARN, AtTime(SECOND), {"a": After("1" * 40), "b": SHARD_END, "c": TRIM_HORIZON})
    held(store).begin("one", position, SECOND)
    assert store.read().streams[ARN].position(ARN) == position
    assert store.read().lease == LeaseRecord("one", ARN, SECOND)


def test_the_moment_until_which_all_was_delivered_is_kept_as_long_as_its_shards(store: Store) -> None:
    """Otherwise an imported position whose shards are gone, and were read, is reported as a loss."""
    position = StreamPosition(ARN, TRIM_HORIZON, {"a": After("1")}, until=SECOND - 9)
    held(store).begin("one", position, SECOND)
    store.advance("one", ARN, {"b": After("2")}, SECOND + SHARD_RETENTION_SECONDS - 9)
    assert store.read().streams[ARN].position(ARN).until == SECOND - 9
    store.advance("one", ARN, {"b": After("3")}, SECOND + SHARD_RETENTION_SECONDS + 1)
    assert store.read().streams[ARN].position(ARN).until is None
    store.forget("one", ARN, ["a"])
    assert kept(store) == {"b": After("3")}


def test_each_shard_only_moves_forward_and_sequence_numbers_are_integers(store: Store) -> None:
    """Trap 4: "99" is before "100", whatever their texts say; and numbers pass the 38 digits of an N."""
    held(store).begin("one", StreamPosition(ARN), SECOND)
    store.advance("one", ARN, {"a": After("99"), "b": After("9" * 39), "c": SHARD_END}, SECOND)
    store.advance("one", ARN, {"a": After("100"), "b": After("1" + "0" * 39), "c": After("5")}, SECOND)
    store.advance("one", ARN, {"a": After("99"), "b": AtTime(SECOND), "d": After("1")}, SECOND)
    assert kept(store) == {"a": After("100"), "b": After("1" + "0" * 39), "c": SHARD_END, "d": After("1")}


def test_the_places_of_a_scan_come_back_and_only_move_forward(store: Store) -> None:
    first, second = ScanPlaces(5, b"\x00\xff first"), ScanPlaces(1_769_860_800_000_000, b"second")
    held(store).begin("one", StreamPosition(ARN), SECOND)
    for places in (first, second, first):
        store.advance("one", ARN, {"scan-1": places}, SECOND)
    assert kept(store) == {"scan-1": second}
    position = store.read().streams[ARN].position(ARN)
    assert StreamPosition.from_json(position.to_json()) == position
    assert is_further(second, first)
    assert rank(second) > rank(first)


def test_the_order_of_positions_is_that_of_their_ranks() -> None:
    positions = [TRIM_HORIZON, AtTime(9), AtTime(SECOND), After("7"), After("99"), After("1" * 40), SHARD_END]
    shuffled = Random(1).sample(positions, len(positions))
    assert sorted(shuffled, key=rank) == positions
    for n, position in enumerate(positions):
        assert [is_further(position, other) for other in positions] == [m < n for m in range(len(positions))]


def test_a_run_that_lost_the_application_moves_nothing_and_reports_it(store: Store) -> None:
    held(store).begin("one", StreamPosition(ARN), SECOND)
    store.advance("one", ARN, {"a": After("5")}, SECOND)
    held(store, "two")
    before = store.read()
    for write in (
        lambda: store.advance("one", ARN, {"a": After("9")}, SECOND),
        lambda: store.renew("one", SECOND + 1),
        lambda: store.begin("one", StreamPosition(ARN), SECOND),
        lambda: store.forget("one", ARN, None),
    ):
        with pytest.raises(FencedError, match="no longer held by this run \\(one\\) but by run two"):
            write()
    assert store.read() == before


def test_of_two_runs_that_take_a_dead_ones_place_one_does(store: Store) -> None:
    held(store)
    dead = store.read().lease
    assert [store.swap_lease(dead, LeaseRecord(owner, ARN, SECOND + 60)) for owner in ("two", "three")] == [True, False]
    assert store.swap_lease(None, LeaseRecord("four", ARN, SECOND)) is False
    store.renew("two", SECOND + 61)
    assert store.read().lease == LeaseRecord("two", ARN, SECOND + 61)


def test_progress_of_a_stream_that_was_never_begun_or_was_forgotten_does_not_count(store: Store) -> None:
    """Its start is not known, and what its shards' children begin with hangs on it."""
    held(store).advance("one", ARN, {"a": After("9")}, SECOND)
    assert store.read().streams == {}
    store.begin("one", StreamPosition(ARN, TRIM_HORIZON, {"b": After("1")}), SECOND)
    assert kept(store) == {"b": After("1")}


def test_streams_and_shards_are_forgotten_one_by_one(store: Store) -> None:
    held(store)
    for arn in (ARN, LATER):
        store.begin("one", StreamPosition(arn, TRIM_HORIZON, {"a": After("1"), "b": After("2")}), SECOND)
    store.forget("one", ARN, ["a"])
    assert kept(store) == {"b": After("2")}
    store.forget("one", ARN, None)
    assert set(store.read().streams) == {LATER}


def test_shards_of_the_same_id_in_two_streams_of_a_table_move_apart(store: Store) -> None:
    held(store)
    for arn, number in ((ARN, "9"), (LATER, "3")):
        store.begin("one", StreamPosition(arn, TRIM_HORIZON, {"a": After(number)}), SECOND)
    store.advance("one", LATER, {"a": After("5"), "b": SHARD_END}, SECOND + 1)
    assert kept(store) == {"a": After("9")}
    assert kept(store, LATER) == {"a": After("5"), "b": SHARD_END}
    store.begin("one", StreamPosition(ARN, AtTime(SECOND), until=SECOND), SECOND + 2)
    saved = store.read().streams[LATER]
    assert (saved.start, saved.until) == (TRIM_HORIZON, None)


def test_the_file_of_a_long_run_does_not_grow_by_the_shards_that_it_went_on_without(tmp_path: Path) -> None:
    store = held(FileStore(str(tmp_path / "progress.json")))
    store.begin("one", StreamPosition(ARN), SECOND)
    for day in range(30):
        store.advance("one", ARN, {f"shard-{day:02}": SHARD_END}, SECOND + day * 24 * 3600)
    assert list(kept(store)) == [f"shard-{day:02}" for day in range(26, 30)]


def test_more_shards_than_a_transaction_takes_are_written(store: Store) -> None:
    shards: dict[str, Position] = {f"shard-{n:03}": After(str(n)) for n in range(110)}
    held(store).begin("one", StreamPosition(ARN), SECOND)
    store.advance("one", ARN, shards, SECOND)
    assert kept(store) == shards


def test_shards_unused_for_days_are_dropped_but_not_in_a_pause() -> None:
    old, new = SavedShard(After("1"), SECOND), SavedShard(After("2"), SECOND + SHARD_RETENTION_SECONDS + 1)
    assert SavedProgress(shards={"a": old, "b": new}).expired_shards() == ["a"]
    assert SavedProgress(shards={"a": old, "b": old}).expired_shards() == []


def test_an_idle_shard_of_a_data_stream_is_remembered_as_long_as_it_may_keep_records() -> None:
    """Its shards live until they are split or merged, and a record up to 365 days."""
    arn, day = "arn:aws:kinesis:us-east-1:1:stream/copy", 24 * 3600
    saved = SavedProgress(shards={"idle": SavedShard(After("1"), SECOND), "ended": SavedShard(SHARD_END, SECOND)})
    for days, forgotten in ((30, []), (366, []), (368, ["idle", "ended"])):
        later = saved.advanced({"busy": After("2")}, SECOND + days * day)
        assert later.expired_shards(arn) == forgotten
    assert saved.advanced({"busy": After("2")}, SECOND + 4 * day).expired_shards(ARN) == ["idle", "ended"]


# The table


def test_the_table_is_made_by_the_first_write_with_on_demand_billing(tables: Any, dynamodb: DynamoDB) -> None:
    store = TableStore(dynamodb, TableAddress("made-on-demand", "one"), lambda _: None)
    assert store.read() == Application()
    with pytest.raises(ClientError):
        tables.describe_table(TableName="made-on-demand")
    held(store)
    made = tables.describe_table(TableName="made-on-demand")["Table"]
    assert made["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    assert [key["AttributeName"] for key in made["KeySchema"]] == ["application", "item"]


def test_applications_share_a_table_and_do_not_collide(dynamodb: DynamoDB) -> None:
    one, other = (TableStore(dynamodb, TableAddress("shared", name), lambda _: None) for name in ("one", "one-more"))
    held(one).begin("one", StreamPosition(ARN, TRIM_HORIZON, {"a": After("5")}), SECOND)
    held(other, "two").begin("two", StreamPosition(ARN, AtTime(SECOND), {"a": After("3")}), SECOND)
    other.advance("two", ARN, {"a": After("4")}, SECOND)
    assert (kept(one), kept(other)) == ({"a": After("5")}, {"a": After("4")})
    assert (one.read().lease, other.read().lease) == (LeaseRecord("one", ARN, SECOND), LeaseRecord("two", ARN, SECOND))


def test_a_table_of_another_kind_is_refused_and_left_alone(tables: Any, dynamodb: DynamoDB) -> None:
    tables.create_table(
        TableName="orders",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    store = TableStore(dynamodb, TableAddress("orders", "one"), lambda _: None)
    with pytest.raises(InvalidOptionError, match="'orders' has the keys id and is not a table of progress"):
        store.swap_lease(None, LeaseRecord("one", ARN, SECOND))
    with pytest.raises(InvalidOptionError, match="'orders' has the keys id and is not a table of progress"):
        store.read()
    assert tables.scan(TableName="orders")["Items"] == []


def test_an_endpoint_that_does_not_answer_is_a_delay() -> None:
    store = TableStore(
        DynamoDB(region_name="us-east-1", endpoint_url="http://127.0.0.1:9", sleep=lambda _: None),
        TableAddress("progress", "one"),
        lambda _: None,
    )
    with pytest.raises(UnavailableError, match=r"Query on table 'progress': http://127.0.0.1:9/ did not answer"):
        store.read()


def test_a_write_to_a_table_that_was_deleted_is_reported(tables: Any, dynamodb: DynamoDB) -> None:
    store = TableStore(dynamodb, TableAddress("deleted", "one"), lambda _: None)
    held(store)
    tables.delete_table(TableName="deleted")
    with pytest.raises(NotFoundError, match="UpdateItem on table 'deleted'"):
        store.renew("one", SECOND)


# The file


def test_a_file_that_is_not_progress_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    for content in (
        b"",
        b"hello",
        b"[]",
        b'{"version": 1}',
        b'{"version": 1, "lease": null, "streams": {"a": {"start": "x"}}}',
        b'{"version": 1, "lease": {"owner": "a", "stream": "b", "renewed_at": "x"}, "streams": {}}',
        b"\x80\x81 of another program",
        "cut off in a charact\u00e9r".encode()[:-2],
        b"[" * 100_000,
    ):
        path.write_bytes(content)
        with pytest.raises(ConnectorError, match="is not progress that this package wrote, or it is damaged"):
            held(FileStore(str(path)))
        assert path.read_bytes() == content


def test_a_file_of_a_release_to_come_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "progress.json"
    path.write_text(json.dumps({"version": 2}))
    with pytest.raises(ConnectorError, match="version 2, this release reads 1"):
        FileStore(str(path)).read()


def test_a_filesystem_that_is_not_installed_is_refused() -> None:
    with pytest.raises(InvalidOptionError, match="no filesystem for it is installed"):
        FileStore("nowhere://bucket/progress.json")


def test_a_file_may_be_on_any_filesystem_that_beam_knows(moto: str) -> None:
    """S3, by moto's server: there no lock keeps a fenced run from writing, but it is noticed all the same."""
    boto3.resource("s3", endpoint_url=moto).create_bucket(Bucket="progress")
    FileSystems.set_options(PipelineOptions([f"--s3_endpoint_url={moto}", "--s3_region_name=us-east-1"]))
    store = FileStore("s3://progress/orders.json")
    assert store.read() == Application()
    held(store).begin("one", StreamPosition(ARN, AtTime(SECOND)), SECOND)
    store.advance("one", ARN, {"a": After("5")}, SECOND)
    held(FileStore("s3://progress/orders.json"), "two")
    with pytest.raises(FencedError):
        store.advance("one", ARN, {"a": After("9")}, SECOND)
    assert kept(store) == {"a": After("5")}
