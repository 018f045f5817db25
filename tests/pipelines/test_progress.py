"""`python -m pipelines.progress`: progress that is listed, exported, imported and reset by hand."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from beam_dynamodb_streams import StreamPosition
from beam_dynamodb_streams.commands.progress import main
from beam_dynamodb_streams.progress.acquire import acquire
from beam_dynamodb_streams.progress.file_store import FileStore
from beam_dynamodb_streams.progress.store import LeaseRecord
from beam_dynamodb_streams.shards.position import SHARD_END, TRIM_HORIZON, After, AtTime
from tests.progress.conftest import Hand, moto, tables
from tests.progress.leases import lease_items, make_table

__all__ = ["moto", "tables"]  # fixtures

ARN = "arn:aws:dynamodb:us-east-1:000000000000:table/orders/stream/2026-01-31T12:00:00.000"
OTHER = ARN.replace("orders", "refunds")
SECOND = 1_769_860_800
POSITION = StreamPosition(ARN, AtTime(SECOND), {"a": After("100"), "b": SHARD_END}, until=SECOND + 60)


@pytest.fixture
def hand() -> Hand:
    return Hand(SECOND)


@pytest.fixture
def run(hand: Hand, tmp_path: Path) -> Callable[..., int]:
    def command(name: str, *arguments: str) -> int:
        return main([name, f"file:{tmp_path / 'kept.json'}", *arguments], clock=hand.time)

    return command


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    store = FileStore(str(tmp_path / "kept.json"))
    store.swap_lease(None, LeaseRecord("one", ARN, 0.0))
    store.begin("one", POSITION, SECOND)
    return store


def saved(tmp_path: Path, position: StreamPosition) -> str:
    (tmp_path / "saved.json").write_text(position.to_json())
    return str(tmp_path / "saved.json")


def test_list_is_json_for_scripts(
    run: Callable[..., int], store: FileStore, hand: Hand, capsys: pytest.CaptureFixture[str]
) -> None:
    store.swap_lease(store.read().lease, LeaseRecord("two", ARN, float(SECOND)))
    hand.seconds = SECOND + 5
    assert run("list", "--output=json") == 0
    listed = json.loads(capsys.readouterr().out)
    assert (listed["owner"], listed["alive"]) == ("two", True)
    (stream,) = listed["streams"]
    assert stream["stream_arn"] == ARN
    assert [shard["shard_id"] for shard in stream["shards"]] == ["a", "b"]


def test_list_shows_the_holder_and_the_position_of_each_shard(
    run: Callable[..., int], store: FileStore, hand: Hand, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("list") == 0
    assert capsys.readouterr().out.splitlines() == [
        "run one has ended",
        f"{ARN}: 2 shards, all others from 2026-01-31T12:00:00Z",
        "  a  2026-01-31 12:00:00  100",
        "  b  2026-01-31 12:00:00  SHARD_END",
    ]
    store.renew("one", hand.seconds - 7)
    run("list")
    assert "run one is alive 7 s ago" in capsys.readouterr().out
    hand.seconds += 60
    run("list")
    assert "run one was alive 67 s ago" in capsys.readouterr().out


def test_list_of_an_empty_application_creates_nothing(
    run: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("list") == 0
    assert "is empty" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_import_restores_what_export_prints(
    run: Callable[..., int],
    store: FileStore,
    tmp_path: Path,
    hand: Hand,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert run("export") == 0
    text = capsys.readouterr().out
    assert StreamPosition.from_json(text) == POSITION
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    assert main(["import", f"file:{tmp_path / 'other.json'}", "-"], clock=hand.time) == 0
    assert FileStore(str(tmp_path / "other.json")).read().streams[ARN].position(ARN) == POSITION


def test_what_loses_data_is_described_and_not_done_without_a_yes(
    run: Callable[..., int],
    store: FileStore,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = saved(tmp_path, StreamPosition(ARN, TRIM_HORIZON, {"a": After("999"), "b": After("5")}))
    before = store.read()
    for arguments, advice in (
        (("import", file), "1 shards move forward, and the changes in between are never delivered; 1 move back"),
        (("reset",), "2 shards of arn:aws:dynamodb:us-east-1:000000000000:table/orders/stream"),
    ):
        with pytest.raises(SystemExit) as refused:
            run(*arguments)
        said = capsys.readouterr().err
        assert (refused.value.code, said.count("\n")) == (2, 1)
        assert advice in said
        assert "Add --yes to do it" in said
        monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
        monkeypatch.setattr("builtins.input", lambda _: "n")
        assert run(*arguments) == 1
        monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    assert store.read().streams == before.streams


def test_no_answer_is_a_no(run: Callable[..., int], store: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(_: str) -> str:
        raise EOFError

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", closed)
    before = store.read()
    assert run("reset") == 1
    assert store.read().streams == before.streams


def test_a_position_of_something_that_is_not_a_stream_is_not_imported(
    run: Callable[..., int], store: FileStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = store.read()
    position = StreamPosition(None, TRIM_HORIZON, {"a": After("5")})
    for arn in ("nonsense", ARN.partition("/stream/")[0]):
        with pytest.raises(SystemExit) as refused:
            run("import", saved(tmp_path, position), "--stream_arn", arn, "--yes")
        assert refused.value.code == 2
        assert "is not a stream's ARN" in capsys.readouterr().err
    assert store.read() == before


def test_import_and_reset_with_yes_do_it(run: Callable[..., int], store: FileStore, tmp_path: Path) -> None:
    position = StreamPosition(ARN, TRIM_HORIZON, {"a": After("5")})
    assert run("import", saved(tmp_path, position), "--yes") == 0
    assert store.read().streams[ARN].position(ARN) == position
    assert run("reset", "--yes") == 0
    assert store.read().streams == {}
    lease = store.read().lease
    assert lease is not None
    assert lease.renewed_at == 0.0, "the next run need not wait"


def test_they_are_refused_while_a_run_is_alive(
    run: Callable[..., int], store: FileStore, hand: Hand, capsys: pytest.CaptureFixture[str]
) -> None:
    acquire(store, "two", ARN, 30.0, hand.time)
    hand.during = lambda: store.renew("two", hand.seconds)
    with pytest.raises(SystemExit) as refused:
        run("reset", "--yes")
    assert refused.value.code == 1
    assert "is held by run two, which is alive" in capsys.readouterr().err
    assert set(store.read().streams) == {ARN}


def test_a_run_with_a_long_takeover_time_is_not_taken_for_dead(
    run: Callable[..., int], store: FileStore, hand: Hand, capsys: pytest.CaptureFixture[str]
) -> None:
    acquire(store, "slow", ARN, 300.0, hand.time)
    hand.seconds += 45
    run("list")
    assert "run slow is alive 45 s ago" in capsys.readouterr().out
    hand.during = lambda: store.renew("slow", hand.seconds)
    with pytest.raises(SystemExit) as refused:
        run("reset", "--yes")
    assert refused.value.code == 1
    assert set(store.read().streams) == {ARN}


def test_one_of_several_streams_must_be_named(
    run: Callable[..., int], store: FileStore, capsys: pytest.CaptureFixture[str]
) -> None:
    store.begin("one", StreamPosition(OTHER), SECOND)
    with pytest.raises(SystemExit) as refused:
        run("export")
    assert refused.value.code == 2
    assert "give one of them as --stream_arn" in capsys.readouterr().err
    assert run("reset", "--yes", "--stream_arn", OTHER) == 0
    assert set(store.read().streams) == {ARN}


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (["list", "progress"], "is not an address of progress"),
        (["export", "file:/not/there"], "has progress in nothing"),
        (["import", "file:/not/there", "/not/here"], "'/not/here' cannot be read"),
        (["reset"], "arguments are required: ADDRESS"),
        (["forget", "file:x"], "invalid choice"),
    ],
)
def test_a_usage_error_is_one_line(arguments: list[str], advice: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main(arguments)
    said = capsys.readouterr().err
    assert (refused.value.code, said.count("\n")) == (2, 1)
    assert advice in said


def test_show_kcl_lists_leases_or_prints_the_position_of_one_stream(
    tables: object,
    moto: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    checkpoints = {"shardId-1": "SHARD_END", "shardId-2": "300000000000000499659"}
    make_table(tables, "app-shown", lease_items("kcl1", checkpoints, {"shardId-2": "shardId-1"}, stream_arn=ARN))
    assert main(["show-kcl", "app-shown", "--endpoint_url", moto, "--region_name", "us-east-1"]) == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()[1:]] == [
        ["shardId-1", "SHARD_END", "nobody"],
        ["shardId-2", "300000000000000499659", "kcl1-worker:6d2a9f0e"],
    ]
