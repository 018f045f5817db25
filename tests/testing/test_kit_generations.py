"""The generations of a table and of its stream: disabled and enabled again, deleted and created again (trap 14)."""

from __future__ import annotations

import pytest

from beam_dynamodb_streams.testing import Faults


@pytest.fixture
def table(service):
    return service.create_table("orders", keys={"id": "S"})


def _streams(reader, **members) -> list[str]:
    """The streams that ListStreams shows, all pages of it."""
    arns = []
    while True:
        page = reader.streams.list_streams(**members)
        arns += [stream["StreamArn"] for stream in page["Streams"]]
        if "LastEvaluatedStreamArn" not in page:
            return arns
        members["ExclusiveStartStreamArn"] = page["LastEvaluatedStreamArn"]


def test_many_generations_of_a_stream_are_listed_in_pages_of_a_hundred(service, table, reader, clock) -> None:
    other = service.create_table("others", keys={"id": "S"})
    arns = [table.stream_arn]
    for _ in range(120):
        clock.advance(0.5)
        table.disable_stream()
        arns.append(table.enable_stream())
    assert len(reader.streams.list_streams(TableName="orders")["Streams"]) == 100
    assert _streams(reader, TableName="orders") == arns
    assert _streams(reader, TableName="others") == [other.stream_arn]
    assert reader.tables.describe_table(TableName="orders")["Table"]["LatestStreamArn"] == arns[-1]


def test_a_disabled_stream_is_listed_for_a_day_and_then_gone(table, reader, clock) -> None:
    old = table.stream_arn
    table.disable_stream()
    clock.advance(3600)
    new = table.enable_stream()
    assert _streams(reader, TableName="orders") == [old, new]
    clock.advance(23 * 3600)
    assert _streams(reader, TableName="orders") == [new]


def test_a_table_that_is_created_again_has_another_id_and_its_old_stream_stays(service, table, reader, clock) -> None:
    first = reader.tables.describe_table(TableName="orders")["Table"]["TableId"]
    written, old = table.put({"id": "o-1"}), table.stream_arn
    table.delete_table()
    assert reader.refusal("describe_table", TableName="orders")[0] == "ResourceNotFoundException"
    assert reader.tables.list_tables()["TableNames"] == []
    again = service.create_table("orders", keys={"id": "S"})
    described = reader.tables.describe_table(TableName="orders")["Table"]
    assert (described["TableId"], described["LatestStreamArn"]) == (again.table_id, again.stream_arn)
    assert again.table_id != first == table.table_id
    assert described["ItemCount"] == 0
    assert again.put({"id": "o-1"}).event_name == "INSERT"
    assert service.table("orders") is again
    assert _streams(reader, TableName="orders") == [old, again.stream_arn]
    assert reader.describe(old)["StreamStatus"] == "DISABLED"
    assert reader.describe(old)["KeySchema"] == [{"AttributeName": "id", "KeyType": "HASH"}]
    assert reader.read(old, written.shard_id) == [written.sequence_number]
    clock.advance(24 * 3600)
    assert reader.refusal("describe_stream", StreamArn=old)[0] == "ResourceNotFoundException"


def test_generations_of_one_moment_have_labels_in_the_order_of_their_creation(service, table) -> None:
    arns = [table.stream_arn]
    for _ in range(3):
        table.delete_table()
        table = service.create_table("orders", keys={"id": "S"})
        arns.append(table.stream_arn)
    assert arns == sorted(set(arns))


def test_a_deleted_table_takes_no_writes_and_no_stream(service, table) -> None:
    table.delete_table()
    for write in (lambda: table.put({"id": "o-1"}), table.enable_stream, table.delete_table):
        with pytest.raises(ValueError, match="was deleted"):
            write()
    with pytest.raises(ValueError, match="exists already"):
        service.create_table("orders", keys={"id": "S"}), service.create_table("orders", keys={"id": "S"})


def test_ids_of_tables_repeat_with_the_seed_and_differ_between_tables(service, table) -> None:
    assert table.table_id != service.create_table("others", keys={"id": "S"}).table_id
    assert len(table.table_id) == 36


def test_list_streams_can_be_denied_alone(service, table, reader) -> None:
    service.faults = Faults(access_denied={"ListStreams": 1.0})
    code, text = reader.refusal("list_streams", TableName="orders")
    assert code == "AccessDeniedException"
    assert "dynamodb:ListStreams" in text
    assert reader.tables.describe_table(TableName="orders")["Table"]["LatestStreamArn"] == table.stream_arn
