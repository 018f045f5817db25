"""The command `repair`: which exports to make, and files that mend the files of an export."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest

from beam_dynamodb_streams.commands import export, repair
from beam_dynamodb_streams.testing import Clock, LocalStreams, Table

START = datetime(2026, 1, 31, 12, tzinfo=timezone.utc)
RUNNER = "--runner=FnApiRunner"


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
    table.put_many({"id": f"o-{n}", "n": 0} for n in range(10))
    clock.advance(3600)
    return table


def place(service: LocalStreams) -> list[str]:
    return ["--table=orders", f"--endpoint_url={service.endpoint_url}", "--region_name=us-east-1"]


def test_it_prints_the_exports_that_mend_a_loss(
    service: LocalStreams, orders: Table, capsys: pytest.CaptureFixture[str]
) -> None:
    loss = "changes were lost between 1 and TRIM_HORIZON of shard s, created since 2026-01-30T09:00:30Z: trimmed"
    assert repair.main([*place(service), f"--loss={loss}", "--s3_bucket=b", "--s3_prefix=p/"]) == 0
    printed = capsys.readouterr().out.splitlines()
    commands = [shlex.split(line) for line in printed if line.startswith("aws ")]
    assert [command[-1] for command in commands] == [
        "ExportFromTime=2026-01-30T08:59:00Z,ExportToTime=2026-01-31T08:59:00Z,ExportViewType=NEW_AND_OLD_IMAGES",
        "ExportFromTime=2026-01-31T08:59:00Z,ExportToTime=2026-01-31T13:00:00Z,ExportViewType=NEW_AND_OLD_IMAGES",
    ]
    assert all(command[3:5] == ["--table-arn", orders.arn] for command in commands)
    assert "--exports s3://b/p/AWSDynamoDB/EXPORT_ID_1/ s3://b/p/AWSDynamoDB/EXPORT_ID_2/" in printed[-2]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "give --since TIME or --loss TEXT"),
        (["--loss=something"], "does not say since when"),
        (["--since=yesterday"], "is not a time with a time zone"),
        (["--since=2025-01-01T00:00:00Z"], "35 days back: start over with a full export"),
        (["--exports=a/b"], "--exports without --output and --format"),
    ],
)
def test_a_command_of_no_use_is_refused_in_one_line(
    service: LocalStreams, orders: Table, capsys: pytest.CaptureFixture[str], words: list[str], says: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        repair.main([*place(service), *words])
    assert ended.value.code == 2
    assert says in capsys.readouterr().err


def rows(*directories: Path) -> list[dict[str, Any]]:
    files = [str(file) for directory in directories for file in directory.rglob("*.parquet")]
    return ds.dataset(files, format="parquet").to_table().to_pylist()  # type: ignore[no-any-return]


def test_the_files_of_an_export_and_of_a_repair_are_together_the_table(
    service: LocalStreams, orders: Table, clock: Clock, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, repaired = tmp_path / "out", tmp_path / "repaired"
    export_it = [
        *place(service),
        f"--output={out}",
        "--format=parquet",
        RUNNER,
        "--on_data_loss=continue",
    ]
    assert export.main([*export_it, "--stop=10"]) == 0
    orders.delete({"id": "o-1"})  # these changes are lost
    orders.put({"id": "o-2", "n": 2})
    orders.put({"id": "o-3", "n": 2})
    clock.advance(30 * 3600)
    orders.put({"id": "o-3", "n": 3})
    assert export.main([*export_it, "--stop=1"]) == 0
    clock.advance(900)
    middle, until = START + timedelta(hours=20), START + timedelta(hours=31, minutes=15)
    windows = [(START + timedelta(minutes=59), middle), (middle, until)]
    exports = [orders.export_incremental(tmp_path / "s3", *window) for window in windows]
    orders.delete({"id": "o-4"})
    apply = [*place(service), "--exports", *exports, f"--output={repaired}", "--format=parquet", RUNNER]
    assert repair.main(apply) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith(f"in {repaired}")
    latest: dict[str, dict[str, Any]] = {}
    for row in rows(out, repaired):
        if row["keys"] not in latest or latest[row["keys"]]["version"] < row["version"]:
            latest[row["keys"]] = row
    alive = {key: row["new_image"] for key, row in latest.items() if row["event_name"] != "REMOVE"}
    assert len(alive) == orders.item_count == 8
    assert {image for image in alive.values() if '"n":{"N":"0"}' not in image} == {
        '{"id":{"S":"o-2"},"n":{"N":"2"}}',
        '{"id":{"S":"o-3"},"n":{"N":"3"}}',
    }
    with pytest.raises(SystemExit):
        repair.main(apply)
    assert "give a directory of its own" in capsys.readouterr().err
