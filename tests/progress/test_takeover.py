"""From KCL's workers to a pipeline: each change that they had not processed comes, and their table stays as it is."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from beam_dynamodb_streams import ReadFromDynamoDBStreams
from beam_dynamodb_streams.commands.progress import main as show
from beam_dynamodb_streams.errors import DataLossError, InvalidOptionError, NotFoundError
from beam_dynamodb_streams.source.worker_cache import client
from beam_dynamodb_streams.testing import LocalStreams, Table
from tests.e2e.collected import outputs_of
from tests.progress.leases import each_generation, lease_items, make_table


@pytest.fixture
def orders(service: LocalStreams, moto: str, monkeypatch: pytest.MonkeyPatch) -> Table:
    """A stream of three generations of shards. Streams are the local service's, all other tables moto's."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB_STREAMS", service.endpoint_url)
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", moto)
    client.cache_clear()  # what the environment says is asked once in a process
    table = service.create_table("orders", keys={"id": "S"}, shards=3)
    for generation in range(3):
        table.put_many({"id": f"o-{n}", "n": generation * 1000 + n} for n in range(120))
        if generation < 2:
            table.split(table.open_shard_ids[0])
            table.roll(table.open_shard_ids[-1])
    return table


def read(orders: Table, start: str, directory: Path, **options: Any) -> list[str]:
    source = ReadFromDynamoDBStreams(
        stream_arn=orders.stream_arn,
        start=start,
        region_name="us-east-1",
        quiet_pages=5,
        quiet_time=timedelta(seconds=1),
        watermark_slack=timedelta(0),
        **{"stop": "NOW", **options},
    )
    (out,) = outputs_of(directory, source)
    return [record.event_id for record, _ in out]


def stopped_at(orders: Table) -> tuple[dict[str, str], set[str]]:
    """LeaseTable of workers that processed half of what a shard has; the event ids of all that they had not.

    The first generation is done: one shard's lease says so, those of the others are deleted.
    """
    checkpoints: dict[str, str] = {}
    left: set[str] = set()
    by_shard: dict[str, list[Any]] = {shard: [] for shard in orders.shard_ids}
    for change in orders.changes:
        by_shard[change.shard_id].append(change)
    for number, shard in enumerate(by_shard):
        changes = by_shard[shard]
        closed = shard not in orders.open_shard_ids
        done = closed and number < 3
        if done:
            if number == 0:
                checkpoints[shard] = "SHARD_END"
            continue
        if shard == orders.open_shard_ids[-1]:
            left |= {change.event_id for change in changes}
            continue  # not yet in the table
        half = len(changes) // 2
        checkpoints[shard] = changes[half - 1].sequence_number if half else "TRIM_HORIZON"
        left |= {change.event_id for change in changes[half:]}
    return checkpoints, left


@each_generation
def test_all_that_the_workers_left_comes_once_and_their_table_is_unchanged(
    generation: str, orders: Table, service: LocalStreams, tables: Any, tmp_path: Path
) -> None:
    checkpoints, left = stopped_at(orders)
    items = lease_items(generation, checkpoints, parents_of(orders), stream_arn=orders.stream_arn)
    make_table(tables, f"app-{generation}", items)
    before = tables.scan(TableName=f"app-{generation}")["Items"]
    came = read(orders, f"kcl://app-{generation}", tmp_path, stop=len(left))
    assert len(checkpoints) < len(orders.shard_ids)
    assert sorted(came) == sorted(left)
    assert tables.scan(TableName=f"app-{generation}")["Items"] == before


def test_a_shard_at_latest_is_read_from_the_creation_of_the_lease_table(
    orders: Table, service: LocalStreams, tables: Any, tmp_path: Path
) -> None:
    """LATEST says no moment (trap 3). The workers' first one is after their table was made, so nothing is lost."""
    checkpoints = dict.fromkeys(orders.open_shard_ids, "LATEST")
    make_table(tables, "app-latest", lease_items("kcl2", checkpoints, {}, stream_arn=orders.stream_arn))
    orders.put_many({"id": f"new-{n}"} for n in range(50))
    came = read(orders, "kcl://app-latest", tmp_path)
    new = {change.event_id for change in orders.changes[-50:]}
    assert new <= set(came)


def test_a_takeover_resumes_from_its_own_progress_and_not_from_the_leases(
    orders: Table, service: LocalStreams, tables: Any, tmp_path: Path
) -> None:
    checkpoints, left = stopped_at(orders)
    make_table(tables, "app-once", lease_items("kcl3", checkpoints, parents_of(orders), stream_arn=orders.stream_arn))
    progress = "dynamodb://progress/took-over"
    first = read(orders, "kcl://app-once", tmp_path, progress=progress, stop=40)
    tables.delete_table(TableName="app-once")
    second = read(orders, "kcl://app-once", tmp_path, progress=progress, stop=len(left) - 40)
    assert len(first) == 40
    assert sorted(first + second) == sorted(left)


def test_what_a_table_says_can_be_saved_looked_at_and_started_from(
    orders: Table, tables: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoints, left = stopped_at(orders)
    make_table(tables, "app-saved", lease_items("kcl2", checkpoints, parents_of(orders), stream_arn=orders.stream_arn))
    assert show(["show-kcl", "app-saved", "--stream_arn", orders.stream_arn]) == 0
    assert sorted(read(orders, capsys.readouterr().out, tmp_path, stop=len(left))) == sorted(left)


def test_a_lease_table_that_is_missing_or_without_the_stream_is_reported_first(
    orders: Table, service: LocalStreams, tables: Any, tmp_path: Path
) -> None:
    with pytest.raises(NotFoundError, match=r"lease table 'not-there' does not exist in .* at http"):
        read(orders, "kcl://not-there", tmp_path)
    make_table(tables, "app-empty", [])
    with pytest.raises(InvalidOptionError, match="'app-empty' is empty"):
        read(orders, "kcl://app-empty", tmp_path)
    assert service.counts.calls["GetRecords"] == 0


@pytest.mark.parametrize("all_gone", [True, False], ids=["of all shards", "of one shard"])
def test_a_leased_shard_that_is_gone_before_its_end_was_read_is_a_loss(
    orders: Table, service: LocalStreams, tables: Any, tmp_path: Path, all_gone: bool
) -> None:
    """Trap 13: a day later. A lease says if its shard was read to its end, so one at a number was not."""
    gone, other = orders.shard_ids[0], orders.shard_ids[2]  # a split one and a rolled one
    number = next(change.sequence_number for change in orders.changes if change.shard_id == gone)
    checkpoints = {gone: number, other: "SHARD_END"}
    if not all_gone:
        checkpoints[next(child for child, parent in parents_of(orders).items() if parent == other)] = "TRIM_HORIZON"
    for shard in (gone, other):
        orders.drop(shard)
    name = f"app-old-{all_gone}"
    make_table(tables, name, lease_items("kcl2", checkpoints, parents_of(orders), stream_arn=orders.stream_arn))
    with pytest.raises(DataLossError, match=gone):
        read(orders, f"kcl://{name}", tmp_path)


def parents_of(orders: Table) -> dict[str, str]:
    return {shard: parent for shard, parent in orders.lineage.items() if parent is not None}
