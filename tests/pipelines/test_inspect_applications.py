"""`python -m pipelines.inspect --progress`: an application against its stream."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import boto3
import pytest

from beam_dynamodb_streams.inspection.application_progress import read_stored_progress, shard_states
from beam_dynamodb_streams.progress.file_store import FileStore
from beam_dynamodb_streams.progress.store import LeaseRecord
from beam_dynamodb_streams.shards.encoding import scan_places
from beam_dynamodb_streams.shards.lineage import Lineage, Shard
from beam_dynamodb_streams.shards.position import SHARD_END, TRIM_HORIZON, After, AtTime, Position
from beam_dynamodb_streams.shards.segments import TableScan, scan_name, snapshot_mark
from beam_dynamodb_streams.shards.stream_position import StreamPosition
from beam_dynamodb_streams.testing import Clock, LocalStreams, Table
from pipelines.inspect import main
from tests.moto_server import moto_server

NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
SEVENTH = AtTime(7)

Run = Callable[..., str]


@pytest.mark.parametrize(
    ("tree", "positions", "standings"),
    [
        ({"a": "bc"}, {}, {"a": ("reading", SEVENTH), "b": ("waiting", TRIM_HORIZON), "c": ("waiting", TRIM_HORIZON)}),
        ({"a": "b"}, {"a": After("5")}, {"a": ("reading", After("5")), "b": ("waiting", TRIM_HORIZON)}),
        ({"a": "b"}, {"a": SHARD_END}, {"a": ("ended", SHARD_END), "b": ("reading", TRIM_HORIZON)}),
        ({"a": "b", "b": "c"}, {"a": SHARD_END}, {"c": ("waiting", TRIM_HORIZON)}),
        ({"a": "b"}, {"a": SHARD_END, "b": After("9")}, {"b": ("reading", After("9"))}),
    ],
    ids=["nothing-read", "in-the-parent", "parent-ended", "two-generations", "in-the-child"],
)
def test_a_child_begins_where_the_end_of_its_parent_leaves_it(
    tree: Mapping[str, str], positions: Mapping[str, Position], standings: Mapping[str, tuple[str, Position]]
) -> None:
    """Traps 2 and 8."""
    found = shard_states(StreamPosition("arn", SEVENTH, positions), Lineage.draw(tree))
    assert {shard: found[shard] for shard in standings} == standings


def test_a_shard_with_an_unlisted_parent_is_at_the_start_unless_the_parent_was_read() -> None:
    lineage = Lineage([Shard("b", ("gone",))])
    assert shard_states(StreamPosition("arn", SEVENTH), lineage) == {"b": ("reading", SEVENTH)}
    read = StreamPosition("arn", SEVENTH, {"gone": SHARD_END})
    assert shard_states(read, lineage) == {"b": ("reading", TRIM_HORIZON)}


class Followed:
    """An orders table, and an application with stored progress that reads its stream."""

    def __init__(self, service: LocalStreams, clock: Clock, path: Path) -> None:
        self.service, self.clock = service, clock
        self.orders: Table = service.create_table("orders", keys={"id": "S"}, shards=2)
        self.store = FileStore(str(path))
        self.address = f"file:{path}"
        self.store.swap_lease(None, LeaseRecord("run-7", self.orders.stream_arn, clock()))
        self.store.begin("run-7", StreamPosition(self.orders.stream_arn), int(clock()))

    def put(self, shard: str, count: int) -> list[str]:
        """Write one change a minute, and return their sequence numbers."""
        numbers = []
        for keys in self.orders.keys_in(shard, count):
            numbers += [change.sequence_number for change in self.orders.put_many([{**keys, "n": 1}])]
            self.clock.advance(60)
        return numbers


@pytest.fixture
def clock() -> Clock:
    return Clock(NOON)


@pytest.fixture
def followed(clock: Clock, tmp_path: Path) -> Iterator[Followed]:
    with LocalStreams(clock=clock) as service:
        yield Followed(service, clock, tmp_path / "progress.json")


@pytest.fixture
def run(followed: Followed, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("COLUMNS", "160")

    def run(*arguments: str) -> str:
        where = [f"--endpoint_url={followed.service.endpoint_url}", "--table=orders", f"--progress={followed.address}"]
        assert main([*where, *arguments]) == 0
        return capsys.readouterr().out

    return run


def shards_of(printed: str) -> dict[str, Any]:
    return {shard["shard_id"]: shard for shard in json.loads(printed)["application"]["shards"]}


def test_it_shows_the_holder_and_the_positions_of_an_application_and_reads_nothing(
    followed: Followed, clock: Clock, run: Run
) -> None:
    one, other = followed.orders.open_shard_ids
    numbers = followed.put(one, 3)
    child = followed.orders.roll(other)
    followed.store.advance(
        "run-7", followed.orders.stream_arn, {one: After(numbers[0]), other: SHARD_END}, int(clock())
    )
    clock.advance(90)
    shards = shards_of(run("--json"))
    assert {shard: shown["state"] for shard, shown in shards.items()} == {
        one: "reading",
        other: "ended",
        child: "reading",
    }
    assert shards[one]["position"] == numbers[0]
    printed = run()
    assert "held by run-7, alive 4 min 30 s ago" in printed
    assert "reading, moved 1 min 30 s ago" in printed
    assert "read to its end" in printed
    assert "its lag" not in printed
    assert followed.service.counts.pages == 0


def test_a_sample_adds_the_lag_and_how_long_until_changes_are_lost(followed: Followed, clock: Clock, run: Run) -> None:
    one, other = followed.orders.open_shard_ids
    numbers, others = followed.put(one, 10), followed.put(other, 2)
    followed.store.advance(
        "run-7", followed.orders.stream_arn, {one: After(numbers[3]), other: After(others[-1])}, int(clock())
    )
    shards = shards_of(run("--json", "--sample"))
    assert shards[one]["unread"] == "2026-01-01T12:04:00Z"
    assert shards[other]["caught_up"]
    application = json.loads(run("--json", "--sample"))["application"]
    assert (application["lag_seconds"], application["headroom_seconds"]) == (8 * 60, 24 * 3600 - 8 * 60)
    assert "8 min 0 s, and 23 h 52 min until changes are lost" in run("--sample")


def test_an_application_that_delivered_everything_has_no_lag(followed: Followed, clock: Clock, run: Run) -> None:
    one, other = followed.orders.open_shard_ids
    last = {one: After(followed.put(one, 1)[0]), other: After(followed.put(other, 1)[0])}
    followed.store.advance("run-7", followed.orders.stream_arn, last, int(clock()))
    followed.store.release("run-7")
    printed = run("--sample")
    assert "0 s, and 1 d 0 h until changes are lost" in printed
    assert "held by nobody" in printed
    assert printed.count("caught up") == 2


def test_a_position_whose_changes_are_trimmed_is_marked(followed: Followed, clock: Clock, run: Run) -> None:
    """Trap 10: it is found by a call that is free."""
    one, _ = followed.orders.open_shard_ids
    numbers = followed.put(one, 5)
    followed.store.advance("run-7", followed.orders.stream_arn, {one: After(numbers[0])}, int(clock()))
    followed.orders.trim(one, keep=1)
    assert shards_of(run("--json"))[one]["state"] == "trimmed"
    assert "changes of 1 of its shards were, or may have been, trimmed before they were read" in run()


def test_progress_in_an_earlier_stream_of_the_table_is_shown(followed: Followed, clock: Clock, run: Run) -> None:
    """The application reads it to its end, and continues in the latest one."""
    old = followed.orders.stream_arn
    clock.advance(60)
    followed.orders.disable_stream()
    followed.orders.enable_stream()
    followed.put(followed.orders.open_shard_ids[0], 2)
    application = json.loads(run("--json", "--sample"))["application"]
    assert (application["stands_in"], application["lag_seconds"], application["owner"]) == (old, None, "run-7")
    assert {shard["state"] for shard in application["shards"]} == {"waiting"}
    printed = run()
    assert f"it stands in the earlier stream {old.partition('/stream/')[2]}, and continues here" in printed
    assert "not begun" in printed


def test_it_shows_how_far_the_snapshot_of_an_application_is(followed: Followed, clock: Clock, run: Run) -> None:
    assert json.loads(run("--json"))["application"]["snapshot"] is None
    scan = TableScan("orders", ("id",), 1_000, 4, begun=3, places={1: b"{}"}, rows=1_200, replaced=34)
    stream = followed.orders.stream_arn
    followed.store.advance("run-7", stream, {scan_name(1_000): scan_places(scan, 0)}, int(clock()))
    assert "its snapshot" in (printed := run())
    assert "1,234 items were read, and 2 of 4 segments are left" in printed
    followed.store.advance("run-7", stream, {snapshot_mark(1_000): AtTime(1_769_860_800)}, int(clock()))
    assert "complete, and consistent since 2026-01-31T12:00:00Z" in run()


def test_an_application_without_progress_in_the_stream_is_a_usage_error(
    followed: Followed, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with pytest.raises(SystemExit) as left:
        main(
            [f"--endpoint_url={followed.service.endpoint_url}", "--table=orders", f"--progress=file:{tmp_path / 'no'}"]
        )
    assert left.value.code == 2
    assert "has no progress in" in capsys.readouterr().err


def test_the_leases_of_a_kcl_application_show_where_its_workers_are() -> None:
    lineage = Lineage.draw({"a": "b", "b": "c"})
    with moto_server() as url:
        where = {"region_name": "us-east-1", "endpoint_url": url}
        tables = boto3.client("dynamodb", **where)
        tables.create_table(
            TableName="leases",
            KeySchema=[{"AttributeName": "leaseKey", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "leaseKey", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        lease = {"leaseKey": {"S": "b"}, "checkpoint": {"S": "123"}, "leaseOwner": {"S": "worker-1"}}
        tables.put_item(TableName="leases", Item=lease)
        found = read_stored_progress("kcl://leases", "arn", lineage, **where)
    assert found.owner == "worker-1"
    assert shard_states(found.position, lineage) == {
        "a": ("ended", SHARD_END),
        "b": ("reading", After("123")),
        "c": ("waiting", TRIM_HORIZON),
    }
