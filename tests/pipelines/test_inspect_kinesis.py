"""`python -m pipelines.inspect --kinesis_stream`: an overview of a data stream, on a clock that only the test moves."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from hashlib import md5
from pathlib import Path
from xml.etree import ElementTree

import pytest

from beam_dynamodb_streams.inspection.shard_sample import ShardSampler
from beam_dynamodb_streams.progress.file_store import FileStore
from beam_dynamodb_streams.progress.store import LeaseRecord
from beam_dynamodb_streams.reader.kinesis_stream import KinesisStream as Stream
from beam_dynamodb_streams.shards.position import SHARD_END, TRIM_HORIZON, After, Position
from beam_dynamodb_streams.shards.stream_position import StreamPosition
from beam_dynamodb_streams.testing import Clock, Faults, KinesisStream, LocalKinesis, LocalStreams, Table
from beam_dynamodb_streams.testing.kinesis_record import kinesis_record
from pipelines.inspect import main
from tests.driven_kinesis import kinesis_client

NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)

Run = Callable[..., str]


@pytest.fixture
def clock() -> Clock:
    return Clock(NOON)


@pytest.fixture
def kinesis(clock: Clock) -> Iterator[LocalKinesis]:
    with LocalKinesis(clock=clock, limits=False) as started:
        yield started


@pytest.fixture
def orders(clock: Clock) -> Table:
    return LocalStreams(clock=clock).create_table("orders", keys={"id": "S"})


@pytest.fixture
def copy(kinesis: LocalKinesis) -> KinesisStream:
    return kinesis.create_stream("copy", shards=2, retention=timedelta(hours=72))


@pytest.fixture
def run(kinesis: LocalKinesis, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return what the command prints."""
    monkeypatch.setenv("COLUMNS", "160")

    def run(*arguments: str) -> str:
        where = [f"--endpoint_url={kinesis.endpoint_url}", "--region_name=us-east-1"]
        assert main([*where, *arguments]) == 0
        return capsys.readouterr().out

    return run


def lines(printed: str) -> list[str]:
    return [" ".join(line.split()) for line in printed.splitlines()]


def test_it_shows_both_parents_of_a_merge_the_retention_and_reads_nothing(
    kinesis: LocalKinesis, copy: KinesisStream, run: Run
) -> None:
    left, right = copy.open_shard_ids
    merged = copy.merge(left, right)
    copy.split(merged)
    shown = lines(run("--kinesis_stream=copy"))
    assert f"data stream {copy.arn} (ACTIVE), us-east-1" in shown
    assert "retention 3 d 0 h" in shown
    assert "shards 2 open, 3 closed" in shown
    assert not any("USD" in line or "stream/20" in line for line in shown), "no price of calls, and no generations"
    assert shown[-6:] == [
        "shard state",
        "000000000000 closed",
        "└ 000000000002 of 000000000000 + 000000000001 closed",
        "└ 000000000003 open",
        "└ 000000000004 open",
        "000000000001 closed",
    ]
    assert kinesis.counts.pages == 0


def test_its_json_has_both_parents_and_the_retention(copy: KinesisStream, run: Run) -> None:
    left, right = copy.open_shard_ids
    merged = copy.merge(left, right)
    for stream in ("copy", copy.arn):
        seen = json.loads(run(f"--kinesis_stream={stream}", "--json"))
        parents = {shard["shard_id"]: shard["parents"] for shard in seen["shards"]}
        assert parents == {left: [], right: [], merged: [left, right]}
        assert (seen["retention_seconds"], seen["status"], seen["stream_arn"]) == (72 * 3600, "ACTIVE", copy.arn)
        assert (seen["cost"], seen["generations"], seen["application"]) == (None, [], None)


def test_a_parent_that_is_trimmed_is_shown_as_trimmed(copy: KinesisStream, clock: Clock, run: Run) -> None:
    left, right = copy.open_shard_ids
    child, _ = copy.split(left)
    clock.advance(73 * 3600)
    seen = json.loads(run("--kinesis_stream=copy", "--json"))
    states = {shard["shard_id"]: shard["state"] for shard in seen["shards"]}
    assert states[left] == "trimmed"
    assert states[child] == states[right] == "open"


def test_the_picture_has_a_line_from_each_parent(copy: KinesisStream, run: Run, tmp_path: Path) -> None:
    copy.merge(*copy.open_shard_ids)
    run("--kinesis_stream=copy", f"--svg={tmp_path / 'tree.svg'}")
    picture = ElementTree.parse(tmp_path / "tree.svg")  # noqa: S314 - our own text
    assert len(picture.getroot().findall("{http://www.w3.org/2000/svg}path")) == 2


def test_a_sample_adds_times_and_a_headroom_by_the_streams_retention(
    copy: KinesisStream, orders: Table, clock: Clock, run: Run
) -> None:
    for number in range(200):
        copy.put_changes(orders.put_many([{"id": f"o-{number}"}]))
        clock.advance(600)
    seen = json.loads(run("--kinesis_stream=copy", "--json", "--sample"))
    assert seen["oldest"] == "2026-01-01T12:00:00Z"
    assert seen["headroom_seconds"] == pytest.approx((72 * 3600) - 200 * 600, abs=1)
    newest = max(shard["sampled"]["last"] for shard in seen["shards"])
    assert newest == "2026-01-02T21:10:00Z"


def test_a_sample_looks_only_at_the_chosen_table(copy: KinesisStream, clock: Clock, run: Run) -> None:
    service = LocalStreams(clock=clock)
    orders, users = (service.create_table(name, keys={"id": "S"}) for name in ("orders", "users"))
    copy.put_changes([*orders.put_many({"id": f"o-{n}"} for n in range(20)), *users.put_many([{"id": "u"}])])
    seen = json.loads(run("--kinesis_stream=copy", "--changes_of=users", "--json", "--sample"))
    assert seen["table"] == "users"
    assert sum(shard["sampled"]["records"] for shard in seen["shards"]) == 1


def test_two_tables_and_none_chosen_is_one_line_that_names_the_option(
    kinesis: LocalKinesis, copy: KinesisStream, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    service = LocalStreams(clock=clock)
    orders, users = (service.create_table(name, keys={"id": "S"}) for name in ("orders", "users"))
    copy.put_changes([*orders.put_many({"id": f"o-{n}"} for n in range(20)), *users.put_many([{"id": "u"}])])
    with pytest.raises(SystemExit):
        main([f"--endpoint_url={kinesis.endpoint_url}", "--kinesis_stream=copy", "--sample", "--region_name=us-east-1"])
    (line,) = capsys.readouterr().err.splitlines()
    assert "choose one with --changes_of, for example --changes_of=" in line


def digest(partition_key: str) -> int:
    return int.from_bytes(md5(partition_key.encode(), usedforsecurity=False).digest(), "big")


class Followed:
    """An application with stored progress in the data stream."""

    def __init__(self, copy: KinesisStream, clock: Clock, path: Path) -> None:
        self.copy, self.clock, self.store = copy, clock, FileStore(str(path))
        self.option = f"--progress=file:{path}"
        self.store.swap_lease(None, LeaseRecord("run-7", copy.arn, clock()))
        self.store.begin("run-7", StreamPosition(copy.arn, TRIM_HORIZON), int(clock()))

    def at(self, **shards: Position) -> None:
        given = {f"shardId-{int(name[1:]):012d}": position for name, position in shards.items()}
        self.store.advance("run-7", self.copy.arn, given, int(self.clock()))


@pytest.fixture
def followed(copy: KinesisStream, clock: Clock, tmp_path: Path) -> Followed:
    return Followed(copy, clock, tmp_path / "progress.json")


def test_the_lag_of_an_application_is_what_the_service_says(
    copy: KinesisStream, orders: Table, clock: Clock, run: Run, followed: Followed
) -> None:
    for number in range(40):
        copy.put_changes(orders.put_many([{"id": f"o-{number}"}]))
        clock.advance(60)
    one, other = ([each.number for each in copy.records(shard)] for shard in copy.open_shard_ids)
    followed.at(s0=After(str(one[3])), s1=After(str(other[-1])))
    unread = copy.records(copy.open_shard_ids[0])[4].arrived
    seen = json.loads(run("--kinesis_stream=copy", followed.option, "--sample", "--json"))["application"]
    shards = {shard["shard_id"][-1]: shard for shard in seen["shards"]}
    assert shards["0"]["behind_seconds"] == pytest.approx(clock() - unread, abs=0.01)
    assert shards["1"]["caught_up"]
    assert shards["1"]["behind_seconds"] == 0
    assert seen["lag_seconds"] == pytest.approx(clock() - unread, abs=1)
    assert seen["headroom_seconds"] == pytest.approx(72 * 3600 - seen["lag_seconds"], abs=1)
    assert "behind" in run("--kinesis_stream=copy", followed.option, "--sample")


def test_a_child_waits_for_both_parents_and_is_reading_after_them(
    copy: KinesisStream, run: Run, followed: Followed
) -> None:
    copy.merge(*copy.open_shard_ids)
    followed.at(s0=SHARD_END)

    def states() -> list[str]:
        seen = json.loads(run("--kinesis_stream=copy", followed.option, "--json"))
        return [shard["state"] for shard in sorted(seen["application"]["shards"], key=lambda each: each["shard_id"])]

    assert states() == ["ended", "reading", "waiting"]
    followed.at(s1=SHARD_END)
    assert states() == ["ended", "ended", "reading"]


def test_a_position_that_was_trimmed_unread_is_trimmed_and_an_idle_one_is_not(
    copy: KinesisStream, orders: Table, clock: Clock, run: Run, followed: Followed
) -> None:
    copy.put_changes(orders.put_many({"id": f"o-{number}"} for number in range(40)))
    one, other = ([each.number for each in copy.records(shard)] for shard in copy.open_shard_ids)
    followed.at(s0=After(str(one[3])), s1=After(str(other[-1])))
    clock.advance(73 * 3600)
    new = orders.put_many({"id": f"new-{number}"} for number in range(40))
    copy.put_changes(change for change in new if digest(kinesis_record(change)[1]) < 1 << 127)  # the first half
    seen = json.loads(run("--kinesis_stream=copy", followed.option, "--sample", "--json"))["application"]
    assert [shard["state"] for shard in seen["shards"]] == ["trimmed", "reading"]
    assert seen["shards"][1]["caught_up"]


def test_a_shard_is_sampled_at_most_five_times_a_second(clock: Clock, orders: Table) -> None:
    kinesis = LocalKinesis(clock=clock)
    copy = kinesis.create_stream("copy")
    copy.put_changes(orders.put_many({"id": f"o-{n}"} for n in range(5)))
    (shard,) = copy.open_shard_ids
    kinesis.faults = Faults(empty_page=1.0, empty_run=100)
    clock.advance(1)
    stream = Stream(kinesis_client(kinesis, clock), copy.arn, limit=100)
    sampler = ShardSampler(stream, clock=clock, sleep=lambda seconds: clock.advance(seconds))
    for _ in range(4):
        found = sampler.first_records(shard, TRIM_HORIZON)
        assert found is not None
        assert not found.caught_up, "the service says how far the empty pages are behind"
    assert kinesis.counts.calls["GetRecords"] == 32
    assert kinesis.counts.refusals == {}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--kinesis_stream=nothing"], "data stream 'nothing' does not exist in us-east-1"),
        (["--kinesis_stream=a b"], "kinesis_stream='a b' is not the name of a data stream"),
        (["--kinesis_stream=copy", "--table=orders"], "not allowed with"),
        (["--table=orders", "--changes_of=orders"], "--changes_of=orders is of a data stream"),
        (["--kinesis_stream=copy", "--progress=file:/nowhere/at/all"], "/nowhere/at/all"),
    ],
)
def test_a_usage_error_is_one_line(
    kinesis: LocalKinesis, copy: KinesisStream, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main([f"--endpoint_url={kinesis.endpoint_url}", "--region_name=us-east-1", *arguments])
    assert left.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert copy.open_shard_ids
