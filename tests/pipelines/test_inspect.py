"""`python -m pipelines.inspect`: an overview of a stream, on a clock that only the test moves."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from beam_dynamodb_streams.commands.inspect import repeated
from beam_dynamodb_streams.commands.overview_table import duration
from beam_dynamodb_streams.inspection.shard_tree import svg
from beam_dynamodb_streams.inspection.stream_overview import daily_cost, inspect_stream
from beam_dynamodb_streams.reader.schedule import Pace
from beam_dynamodb_streams.testing import Clock, Faults, LocalStreams, Table
from beam_dynamodb_streams.wire import Client
from pipelines.inspect import main

ROOT = Path(__file__).parent.parent.parent
NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)

Run = Callable[..., str]


@pytest.fixture
def clock() -> Clock:
    return Clock(NOON)


@pytest.fixture
def local(clock: Clock) -> Iterator[LocalStreams]:
    with LocalStreams(clock=clock) as started:
        yield started


@pytest.fixture
def orders(local: LocalStreams) -> Table:
    return local.create_table("orders", keys={"id": "S"}, shards=2)


@pytest.fixture
def run(local: LocalStreams, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return what the command prints."""
    monkeypatch.setenv("COLUMNS", "120")

    def run(*arguments: str) -> str:
        assert main([f"--endpoint_url={local.endpoint_url}", "--region_name=us-east-1", *arguments]) == 0
        return capsys.readouterr().out

    return run


def as_json(printed: str) -> dict[str, Any]:
    (line,) = printed.splitlines()
    parsed: dict[str, Any] = json.loads(line)
    return parsed


def states(seen: dict[str, Any]) -> dict[str, str]:
    return {shard["shard_id"]: shard["state"] for shard in seen["shards"]}


def test_it_shows_the_tree_with_ages_and_reads_nothing(local: LocalStreams, clock: Clock, run: Run) -> None:
    one = local.create_table("one", keys={"id": "S"})
    (root,) = one.open_shard_ids
    trimmed = str(one.lineage[root])
    clock.advance(4 * 3600 + 1200)
    children = sorted(one.split(root))
    clock.advance(95)
    lines = [" ".join(line.split()) for line in run("--table=one").splitlines()]
    trimmed, root, first, second = (shard.rpartition("-")[2] for shard in (trimmed, root, *children))
    assert lines[-5:] == [
        "shard state age",
        f"{trimmed} trimmed 1 d 9 h",
        f"└ {root} closed 1 d 5 h",
        f"└ {first} open 1 min 35 s",
        f"└ {second} open 1 min 35 s",
    ]
    assert "shards 2 open, 1 closed, 1 trimmed" in lines
    assert local.counts.pages == 0


def test_a_parent_that_is_gone_is_trimmed_and_one_that_is_only_hidden_is_not(orders: Table, run: Run) -> None:
    """Trap 6: a listing that leaves a shard out proves nothing."""
    gone, hidden = orders.open_shard_ids
    older = str(orders.lineage[hidden])
    orders.put_many({**keys, "n": 1} for keys in [*orders.keys_in(gone, 2), *orders.keys_in(hidden, 2)])
    children = orders.roll_all()
    orders.trim(gone)
    orders.hide(hidden)
    seen = as_json(run("--table=orders", "--json"))
    assert states(seen) == {gone: "trimmed", hidden: "unlisted", **dict.fromkeys(children, "open")}
    assert older not in states(seen), "only a listing could name it"
    assert {shard["parent"] for shard in seen["shards"]} == {None, gone, hidden}


def test_a_shard_whose_oldest_records_are_trimmed_is_marked(orders: Table, run: Run) -> None:
    """Trap 10."""
    cut, whole = orders.open_shard_ids
    orders.put_many({**keys, "n": 1} for keys in [*orders.keys_in(cut, 3), *orders.keys_in(whole, 3)])
    orders.trim(cut, keep=1)
    seen = as_json(run("--table=orders", "--json"))
    listed = {shard["shard_id"]: shard["partly_trimmed"] for shard in seen["shards"] if shard["state"] != "trimmed"}
    assert listed == {cut: True, whole: False}
    assert "open, partly trimmed" in run("--table=orders")


def test_a_sample_adds_first_and_last_times_and_the_headroom(orders: Table, clock: Clock, run: Run) -> None:
    shard, idle = orders.open_shard_ids
    for keys in orders.keys_in(shard, 300):  # more than a page
        orders.put({**keys, "n": 1})
        clock.advance(60)
    seen = as_json(run("--table=orders", "--json", "--sample"))
    sampled = {shard["shard_id"]: shard["sampled"] for shard in seen["shards"]}
    assert sampled[shard]["first"] == "2026-01-01T12:00:00Z"
    assert sampled[shard]["last"] == "2026-01-01T16:59:00Z"
    assert sampled[idle] == {"records": 0, "first": None, "last": None, "failure": None}
    assert seen["headroom_seconds"] == pytest.approx(19 * 3600, abs=1)
    printed = run("--table=orders", "--sample")
    assert "12:00:00" in printed
    assert "2026-01-01 12:00:00 UTC, 5 h 0 min ago" in printed
    assert "19 h 0 min until it is trimmed" in printed


def test_empty_pages_before_the_first_record_do_not_hide_it(local: LocalStreams, orders: Table, run: Run) -> None:
    """Trap 5."""
    orders.put({"id": "o-1"})
    local.faults = Faults(empty_page=0.6, empty_run=3)
    seen = as_json(run("--table=orders", "--json", "--sample"))
    assert seen["oldest"] == "2026-01-01T12:00:00Z"


def test_all_shards_are_shown_however_many_pages_the_listing_has(local: LocalStreams, run: Run) -> None:
    many = local.create_table("many", keys={"id": "S"}, shards=250)
    trimmed = dict.fromkeys(map(str, many.lineage.values()), "trimmed")
    assert states(as_json(run("--table=many", "--json"))) == {**trimmed, **dict.fromkeys(many.open_shard_ids, "open")}
    local.faults = Faults(repeat_listing=1.0)
    assert len(states(as_json(run("--table=many", "--json")))) >= 100


def test_the_cost_follows_the_settings(orders: Table, run: Run) -> None:
    """Each GetRecords call is billed, empty or not."""
    cost = daily_cost(2, Pace(poll=0.2, idle=2.0))
    assert (cost.idle_calls, cost.busy_calls) == (86_400, 864_000)
    assert cost.busy_usd == pytest.approx(0.1728)
    slow = as_json(run("--table=orders", "--json", "--poll_interval=1", "--idle_poll_interval=10"))["cost"]
    assert (slow["idle_calls"], slow["busy_calls"]) == (17_280, 172_800)


def test_the_tree_is_drawn_into_a_file(orders: Table, run: Run, tmp_path: Path) -> None:
    orders.split(orders.open_shard_ids[0])
    run("--table=orders", f"--svg={tmp_path / 'tree.svg'}")
    picture = ElementTree.parse(tmp_path / "tree.svg")  # noqa: S314 - our own text
    text = "".join(picture.getroot().itertext())
    assert all(shard in text for shard in orders.shard_ids)


def test_an_overview_has_the_lineage_that_a_notebook_shows(local: LocalStreams, orders: Table) -> None:
    parent = orders.open_shard_ids[0]
    children = orders.split(parent)
    client = Client(endpoint_url=local.endpoint_url)
    lineage = inspect_stream(client, orders.stream_arn).lineage
    client.close()
    assert sorted(lineage.children(parent)) == sorted(children)
    assert svg(lineage).startswith("<svg")


def test_watching_repeats_and_a_passing_fault_leaves_one_overview_out(
    local: LocalStreams, orders: Table, clock: Clock
) -> None:
    """Trap 15."""
    client = Client(endpoint_url=local.endpoint_url, max_attempts=1, clock=clock, sleep=clock.advance)
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        local.faults = Faults(throttle=1.0 if len(slept) == 1 else 0.0)

    seen = repeated(partial(inspect_stream, client, orders.stream_arn), every=5.0, sleep=sleep)
    assert len(next(seen).shards) == 4, "two of them trimmed"
    orders.split(orders.open_shard_ids[0])
    assert len(next(seen).shards) == 6
    assert slept == [5.0, 5.0]
    client.close()


@pytest.fixture
def watching(service: LocalStreams) -> Iterator[subprocess.Popen[str]]:
    service.create_table("orders", keys={"id": "S"})
    command = [sys.executable, "-m", "pipelines.inspect", "--table=orders", "--json", "--watch=0.05"]
    where = [f"--endpoint_url={service.endpoint_url}"]
    with subprocess.Popen(
        [*command, *where], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_watching_ends_with_an_interrupt(watching: subprocess.Popen[str]) -> None:
    assert watching.stdout is not None
    first, second = json.loads(watching.stdout.readline()), json.loads(watching.stdout.readline())
    assert first["shards"] == second["shards"]
    watching.send_signal(signal.SIGINT)
    _, said = watching.communicate(timeout=20)
    assert watching.returncode == 130
    assert "Traceback" not in said


def test_watching_ends_quietly_once_nobody_reads_its_output(watching: subprocess.Popen[str]) -> None:
    assert watching.stdout is not None
    assert watching.stderr is not None
    watching.stdout.readline()
    watching.stdout.close()
    said = watching.stderr.read()
    assert watching.wait(20) == 0
    assert "BrokenPipe" not in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--table=nothing"], "table 'nothing' does not exist"),
        (["--table=plain"], "table 'plain' has no stream"),
        (["--table=a", "--stream_arn=b"], "not allowed with"),
        ([], "one of the arguments --table --stream_arn is required"),
        (["--table=orders", "--watch=0"], "not a number of seconds greater than 0"),
        (["--table=orders", "--svg=/nowhere/tree.svg"], "'/nowhere/tree.svg' cannot be written"),
    ],
)
def test_a_usage_error_is_one_line(
    local: LocalStreams, orders: Table, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    local.create_table("plain", keys={"id": "S"}, view_type=None)
    with pytest.raises(SystemExit) as left:
        main([f"--endpoint_url={local.endpoint_url}", *arguments])
    assert left.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-3, "0 s"), (0.4, "0 s"), (59, "59 s"), (95, "1 min 35 s"), (3600, "1 h 0 min"), (90_061, "1 d 1 h")],
)
def test_a_duration_has_its_two_largest_units(seconds: float, text: str) -> None:
    assert duration(timedelta(seconds=seconds)) == text


def test_a_shard_that_cannot_be_sampled_is_named_with_its_error(
    orders: Table, local: LocalStreams, capsys: pytest.CaptureFixture[str]
) -> None:
    local.faults = Faults(throttle={"GetRecords": 1.0})
    given = [f"--endpoint_url={local.endpoint_url}", "--region_name=us-east-1", "--table=orders", "--sample"]
    assert main([*given, "--json"]) == 0
    printed = capsys.readouterr()
    sampled = [shard["sampled"] for shard in as_json(printed.out)["shards"] if shard["state"] == "open"]
    assert len(sampled) == 2
    for each in sampled:
        assert "GetRecords failed" in each["failure"]
    assert "2 of 2 shards could not be sampled" in printed.err
    assert main(given) == 0
    assert "not sampled" in capsys.readouterr().out
    assert len(orders.open_shard_ids) == 2


def test_all_streams_of_the_table_that_can_be_read_are_shown(orders: Table, clock: Clock, run: Run) -> None:
    """Trap 14: a stream that is enabled again is another one, and the old one stays readable for a day."""
    old = orders.stream_arn
    orders.disable_stream()
    clock.advance(3600)
    new = orders.enable_stream("KEYS_ONLY")
    shown = run("--table=orders")
    assert f"{old.partition('/stream/')[2]} (DISABLED, NEW_AND_OLD_IMAGES)" in shown
    assert "other stream" in shown
    seen = json.loads(run("--table=orders", "--json"))
    assert [(each["stream_arn"], each["status"], each["view_type"]) for each in seen["generations"]] == [
        (old, "DISABLED", "NEW_AND_OLD_IMAGES"),
        (new, "ENABLED", "KEYS_ONLY"),
    ]
    clock.advance(24 * 3600)
    assert "other stream" not in run("--table=orders")


def test_without_the_permission_to_list_streams_the_present_one_is_shown(
    local: LocalStreams, orders: Table, run: Run
) -> None:
    local.faults = Faults(access_denied={"ListStreams": 1.0})
    (shown,) = json.loads(run("--table=orders", "--json"))["generations"]
    assert shown["stream_arn"] == orders.stream_arn


def test_nothing_is_folded_where_no_terminal_is(
    service: LocalStreams, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    arn = service.create_table("a-table-with-a-long-name-" * 5, keys={"id": "S"}).stream_arn
    main([f"--stream_arn={arn}", f"--endpoint_url={service.endpoint_url}", "--region=us-east-1"])
    assert f"{arn} (ENABLED" in capsys.readouterr().out
