"""The demo, with small numbers, and its check of the files, which must find every kind of difference."""

from __future__ import annotations

import json
import os
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from beam_dynamodb_streams.records import CHANGE_SCHEMA
from beam_dynamodb_streams.testing import Clock, LocalStreams, Table
from pipelines import demo
from pipelines.compare import READERS, differences, kind_of, written_files
from pipelines.orders import write_orders


def test_the_demo_accounts_for_every_change_and_names_the_next_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = dict(os.environ)
    output = tmp_path / "demo-output"
    assert demo.main(["--changes=300", f"--output={output}"]) == 0
    printed = capsys.readouterr()
    for part in ("300 changes", "INSERT", "MODIFY", "REMOVE", "TTL DELETE", "16 shards", "records a second"):
        assert part in printed.out
    assert "python -m pipelines.export --table NAME" in printed.out
    assert "\r" not in printed.err, "progress is refreshed on a terminal only"
    for name in READERS:
        assert written_files(output / name, name)
    assert dict(os.environ) == before


def test_the_demo_fails_and_says_why_where_a_file_lacks_changes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_the_first(path: Path) -> Any:
        return iter(pq.read_table(path).to_pylist()[1:])

    monkeypatch.setitem(READERS, "parquet", without_the_first)
    assert demo.main(["--changes=20", f"--output={tmp_path / 'out'}"]) == 1
    printed = capsys.readouterr().out
    assert printed.startswith("FAILED")
    assert "is missing" in printed
    assert "avro:" not in printed


def test_a_directory_with_files_of_others_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "letter.txt").write_text("keep me")
    with pytest.raises(SystemExit) as exit_:
        demo.main([f"--output={tmp_path}"])
    assert exit_.value.code == 2
    assert "has files that are not this demo's" in capsys.readouterr().err
    assert (tmp_path / "letter.txt").read_text() == "keep me"


@pytest.mark.parametrize(
    ("arguments", "says"), [(["--changes=0"], "write 1 or more"), (["--output=/proc/out"], "cannot be created")]
)
def test_a_bad_option_of_the_demo_is_refused_in_one_line(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        demo.main(arguments)
    assert exit_.value.code == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("python -m pipelines.demo: error: ")
    assert says in line


def test_an_earlier_demo_is_replaced(tmp_path: Path) -> None:
    assert demo.make_fresh(tmp_path / "out")
    (tmp_path / "out" / "old").touch()
    assert demo.make_fresh(tmp_path / "out")
    assert not (tmp_path / "out" / "old").exists()


@pytest.fixture
def orders() -> Table:
    table = LocalStreams(clock=Clock()).create_table("orders", keys={"id": "S"}, shards=2)
    write_orders(table, 60, threads=2, turns=2, progress=lambda _: None, wait=0.001)
    return table


def row_of(table: Table, at: int) -> dict[str, Any]:
    """Return the row of a change in a correct file, which may have other spaces in its JSON texts."""
    change = table.changes[at]
    record, stored = change.record, change.record["dynamodb"]

    def text(value: object) -> str | None:
        return None if value is None else json.dumps(value)

    return {
        "event_id": change.event_id,
        "event_name": change.event_name,
        "sequence_number": change.sequence_number,
        "shard_id": change.shard_id,
        "approximate_creation_time": datetime.fromtimestamp(stored["ApproximateCreationDateTime"], timezone.utc),
        "size_bytes": stored["SizeBytes"],
        "stream_view_type": stored["StreamViewType"],
        "user_identity": text(record.get("userIdentity")),
        "keys": text(stored["Keys"]),
        "new_image": text(stored.get("NewImage")),
        "old_image": text(stored.get("OldImage")),
    }


def rows(table: Table) -> list[dict[str, Any]]:
    return [row_of(table, at) for at in range(len(table.changes))]


def test_right_files_have_no_difference(orders: Table) -> None:
    assert differences(orders.changes, iter(rows(orders))) == []


def test_a_missing_change_is_seen(orders: Table) -> None:
    [found] = differences(orders.changes, iter(rows(orders)[:-1]))
    assert found == f"{orders.changes[-1].event_id} is missing"


def test_a_change_that_is_there_twice_is_seen(orders: Table) -> None:
    [found] = differences(orders.changes, iter([*rows(orders), row_of(orders, 3)]))
    assert found == f"{orders.changes[3].event_id} is in the files 2 times"


def test_a_change_that_was_never_written_is_seen(orders: Table) -> None:
    [found] = differences(orders.changes, iter([*rows(orders), {**row_of(orders, 3), "event_id": "other"}]))
    assert found == "other is in the files, but was never written"


@pytest.mark.parametrize("column", [name for name in CHANGE_SCHEMA.names if name not in ("event_id", "version")])
def test_a_value_that_is_not_equal_is_seen(column: str, orders: Table) -> None:
    wrong = rows(orders)
    wrong[5][column] = '{"other": {"S": "x"}}'
    [found] = differences(orders.changes, iter(wrong))
    assert found.startswith(f"{orders.changes[5].event_id}: {column} is ")


def test_many_differences_are_summed_up_in_a_few_lines(orders: Table) -> None:
    found = differences(orders.changes, iter(()), at_most=3)
    assert len(found) == 4
    assert found[-1] == "and 57 more"


def test_the_orders_make_every_kind_of_change_in_the_number_asked_for() -> None:
    table = LocalStreams(clock=Clock()).create_table("orders", keys={"id": "S"}, shards=2)
    write_orders(table, 999, threads=4, turns=4, progress=lambda _: None, wait=0.001)
    assert {kind_of(change) for change in table.changes} == {"INSERT", "MODIFY", "REMOVE", "TTL DELETE"}
    assert len(table.changes) == 999
    assert len(table.shard_ids) == 2 + 2 * 2 + 2
