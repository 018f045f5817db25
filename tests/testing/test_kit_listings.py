"""What DescribeStream, ListStreams and DescribeTable say, and where listings lie (trap 6)."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from beam_dynamodb_streams.testing import Clock, Faults, LocalStreams, Table


@pytest.fixture
def table(service: LocalStreams) -> Table:
    return service.create_table("orders", keys={"id": "S", "line": "N"}, shards=4)


def test_a_listing_says_what_the_stream_is(table, reader, clock: Clock) -> None:
    clock.advance(5)
    page = reader.describe(table.stream_arn)
    created = page.pop("CreationRequestDateTime")
    shards = page.pop("Shards")
    assert isinstance(created, datetime)
    assert created.timestamp() < clock() - 24 * 3600
    assert page == {
        "StreamArn": table.stream_arn,
        "StreamLabel": created.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000"),
        "StreamStatus": "ENABLED",
        "StreamViewType": "NEW_AND_OLD_IMAGES",
        "TableName": "orders",
        "KeySchema": [
            {"AttributeName": "id", "KeyType": "HASH"},
            {"AttributeName": "line", "KeyType": "RANGE"},
        ],
    }
    assert [shard["ShardId"] for shard in shards] == sorted(table.open_shard_ids)


def test_a_listing_has_pages_of_a_hundred_shards_at_most(service, reader) -> None:
    table = service.create_table("wide", keys={"id": "S"}, shards=101)
    page = reader.describe(table.stream_arn)
    assert len(page["Shards"]) == 100
    rest = reader.describe(table.stream_arn, ExclusiveStartShardId=page["LastEvaluatedShardId"])
    assert len(rest["Shards"]) == 1
    assert "LastEvaluatedShardId" not in rest
    assert set(reader.listed(table.stream_arn, Limit=7)) == set(table.open_shard_ids)


@pytest.mark.parametrize("limit", [0, 101])
def test_a_listing_limit_outside_one_to_a_hundred_is_a_validation_error(table, reader, limit: int) -> None:
    code, _ = reader.refusal("describe_stream", StreamArn=table.stream_arn, Limit=limit)
    assert code == "ValidationException"


def test_a_listing_continues_after_a_shard_that_is_gone_meanwhile(table, reader) -> None:
    table.roll_all()
    page = reader.describe(table.stream_arn, Limit=3)
    last = page["LastEvaluatedShardId"]
    rest = {shard for shard in reader.listed(table.stream_arn) if shard > last}
    table.drop(last)
    after = reader.describe(table.stream_arn, ExclusiveStartShardId=last)
    assert {shard["ShardId"] for shard in after["Shards"]} == rest


def test_the_child_shards_filter_lists_one_parents_children(table, reader) -> None:
    parent, other, *_ = table.open_shard_ids
    children, _ = table.split(parent), table.split(other)
    found = reader.listed(table.stream_arn, ShardFilter={"Type": "CHILD_SHARDS", "ShardId": parent})
    assert set(found) == set(children)
    leaf = {"Type": "CHILD_SHARDS", "ShardId": children[0]}
    assert reader.listed(table.stream_arn, ShardFilter=leaf) == {}


def test_an_unknown_filter_type_is_a_validation_error(table, reader) -> None:
    wrong = {"Type": "PARENT_SHARDS", "ShardId": table.open_shard_ids[0]}
    for members in (wrong, {"Type": "CHILD_SHARDS"}):
        code, _ = reader.refusal("describe_stream", StreamArn=table.stream_arn, ShardFilter=members)
        assert code == "ValidationException"


def test_an_older_endpoint_ignores_or_rejects_the_filter(start, connect) -> None:
    for mode in ("ignored", "rejected"):
        service = start(shard_filter=mode)
        table = service.create_table("orders", keys={"id": "S"}, shards=2)
        parent, other = table.open_shard_ids
        child = table.roll(parent)
        reader = connect(service)
        members = {"ShardFilter": {"Type": "CHILD_SHARDS", "ShardId": parent}}
        if mode == "ignored":
            assert set(reader.listed(table.stream_arn, **members)) == {parent, other, child}
        else:
            code, _ = reader.refusal("describe_stream", StreamArn=table.stream_arn, **members)
            assert code == "ValidationException"


def test_a_hidden_shard_is_not_listed_but_can_be_read(table, reader) -> None:
    shard = table.open_shard_ids[0]
    written = table.put_many({**keys, "n": 1} for keys in table.keys_in(shard, 2))
    table.hide(shard)
    assert shard not in reader.listed(table.stream_arn)
    assert reader.read(table.stream_arn, shard) == [change.sequence_number for change in written]
    table.reveal(shard)
    assert shard in reader.listed(table.stream_arn)


def test_a_child_is_listed_late_while_its_parent_is_listed_closed(service, table, reader, clock) -> None:
    service.faults = Faults(list_delay=3.0)
    parent = table.open_shard_ids[0]
    child = table.roll(parent)
    early = reader.listed(table.stream_arn)
    assert "EndingSequenceNumber" in early[parent]["SequenceNumberRange"]
    assert child not in early
    clock.advance(3)
    assert child in reader.listed(table.stream_arn)


def test_a_closed_parent_is_listed_open_beside_its_child_for_a_while(service, table, reader, clock) -> None:
    service.faults = Faults(list_stale=3.0)
    parent = table.open_shard_ids[0]
    child = table.roll(parent)
    early = reader.listed(table.stream_arn)
    assert "EndingSequenceNumber" not in early[parent]["SequenceNumberRange"]
    assert child in early
    clock.advance(3)
    assert "EndingSequenceNumber" in reader.listed(table.stream_arn)[parent]["SequenceNumberRange"]


def test_a_listing_has_holes_that_another_one_fills(service, reader) -> None:
    table = service.create_table("wide", keys={"id": "S"}, shards=50)
    service.faults = Faults(list_holes=0.2)
    listings = [set(reader.listed(table.stream_arn)) for _ in range(8)]
    assert all(0 < len(listing) < 50 for listing in listings)
    assert set.union(*listings) == set(table.open_shard_ids)


def test_a_listing_page_may_send_its_caller_in_a_circle(service, reader) -> None:
    table = service.create_table("wide", keys={"id": "S"}, shards=9)
    service.faults = Faults(repeat_listing=1.0)
    first = reader.describe(table.stream_arn, Limit=3)
    again = {"Limit": 3, "ExclusiveStartShardId": first["LastEvaluatedShardId"]}
    page = reader.describe(table.stream_arn, **again)
    assert page["LastEvaluatedShardId"] == first["LastEvaluatedShardId"]
    assert reader.describe(table.stream_arn, **again)["Shards"] == page["Shards"]


def test_an_open_shard_may_be_listed_with_an_ending_number_while_it_grows(start, connect) -> None:
    """As dynoxide lists it."""
    service = start(ends_listed_for_open=True)
    table = service.create_table("orders", keys={"id": "S"})
    reader = connect(service)
    (shard,) = table.open_shard_ids
    for number in range(3):
        change = table.put({"id": f"o-{number}"})
        span = reader.listed(table.stream_arn)[shard]["SequenceNumberRange"]
        assert span["EndingSequenceNumber"] == change.sequence_number


# Streams and tables


def test_a_disabled_stream_ends_in_leaves_without_children(table, reader) -> None:
    """Trap 14."""
    table.put({"id": "o-1", "line": 1})
    table.disable_stream()
    page = reader.describe(table.stream_arn)
    assert page["StreamStatus"] == "DISABLED"
    assert all("EndingSequenceNumber" in shard["SequenceNumberRange"] for shard in page["Shards"])
    assert len(page["Shards"]) == 4
    assert table.open_shard_ids == []
    assert table.put({"id": "o-1", "line": 2}) is None


def test_a_stream_that_is_enabled_again_is_another_one_and_the_old_stays_for_a_day(table, reader, clock) -> None:
    written = table.put({"id": "o-1", "line": 1})
    old = table.stream_arn
    table.disable_stream()
    new = table.enable_stream("KEYS_ONLY", shards=2)
    assert new != old
    assert reader.describe(new)["StreamStatus"] == "ENABLED"
    assert len(reader.listed(new)) == 2
    later = table.put({"id": "o-1", "line": 2})
    assert later.stream_arn == new
    assert not set(reader.listed(old)) & set(reader.listed(new))
    assert reader.read(old, written.shard_id) == [written.sequence_number]
    arns = [stream["StreamArn"] for stream in reader.streams.list_streams(TableName="orders")["Streams"]]
    assert arns == [old, new]
    clock.advance(24 * 3600)
    assert reader.refusal("describe_stream", StreamArn=old)[0] == "ResourceNotFoundException"
    assert reader.iterator_refusal(old, written.shard_id, "TRIM_HORIZON") == "ResourceNotFoundException"


def test_enabling_and_disabling_take_their_time_where_a_test_wants_it(service, reader, clock) -> None:
    table = service.create_table("quiet", keys={"id": "S"}, view_type=None)
    table.enable_stream(settling=10)
    assert reader.describe(table.stream_arn)["StreamStatus"] == "ENABLING"
    clock.advance(10)
    assert table.stream_status == "ENABLED"
    table.disable_stream(settling=10)
    assert reader.describe(table.stream_arn)["StreamStatus"] == "DISABLING"
    clock.advance(10)
    assert table.stream_status == "DISABLED"


def test_describe_table_names_the_latest_stream(table, reader) -> None:
    described = reader.tables.describe_table(TableName="orders")["Table"]
    assert described["LatestStreamArn"] == table.stream_arn
    assert described["LatestStreamLabel"] == table.stream_arn.rpartition("/")[2]
    assert described["StreamSpecification"] == {
        "StreamEnabled": True,
        "StreamViewType": "NEW_AND_OLD_IMAGES",
    }
    assert described["TableStatus"] == "ACTIVE"
    assert [key["AttributeName"] for key in described["KeySchema"]] == ["id", "line"]
    assert reader.tables.describe_table(TableName=table.arn)["Table"] == described


def test_describe_table_still_names_a_disabled_stream_but_not_as_enabled(table, reader) -> None:
    table.disable_stream()
    described = reader.tables.describe_table(TableName="orders")["Table"]
    assert described["LatestStreamArn"] == table.stream_arn
    assert "StreamSpecification" not in described


def test_a_table_may_have_no_stream(service, reader) -> None:
    table = service.create_table("quiet", keys={"id": "S"}, view_type=None)
    described = reader.tables.describe_table(TableName="quiet")["Table"]
    assert "LatestStreamArn" not in described
    assert table.put({"id": "q-1"}) is None
    with pytest.raises(ValueError, match="has no stream"):
        _ = table.stream_arn


def test_an_unknown_table_or_stream_is_not_found(table, reader) -> None:
    code, text = reader.refusal("describe_table", TableName="nowhere")
    assert (code, text) == (
        "ResourceNotFoundException",
        "Requested resource not found: Table: nowhere not found",
    )
    code, text = reader.refusal("describe_stream", StreamArn=table.stream_arn + "1")
    assert code == "ResourceNotFoundException"
    assert table.stream_arn in text
    shard = table.open_shard_ids[0][:-8] + "ffffffff"
    assert reader.iterator_refusal(table.stream_arn, shard, "LATEST") == "ResourceNotFoundException"


def test_members_that_are_missing_short_or_of_another_type_are_refused(table, reader) -> None:
    assert reader.refusal("describe_stream")[0] == "ValidationException"
    assert reader.refusal("describe_stream", StreamArn="arn:short")[0] == "ValidationException"
    assert reader.refusal("get_records", ShardIterator="")[0] == "ValidationException"
    assert reader.iterator_refusal(table.stream_arn, "shard-1", "LATEST") == "ValidationException"


def test_streams_and_tables_are_listed_in_pages(service, reader) -> None:
    for number in range(5):
        service.create_table(f"table-{number}", keys={"id": "S"})
    names, members = [], {"Limit": 2}
    while True:
        page = reader.streams.list_streams(**members)
        names += [stream["TableName"] for stream in page["Streams"]]
        if "LastEvaluatedStreamArn" not in page:
            break
        members["ExclusiveStartStreamArn"] = page["LastEvaluatedStreamArn"]
    assert names == [f"table-{number}" for number in range(5)]
    first = reader.tables.list_tables(Limit=3)
    rest = reader.tables.list_tables(ExclusiveStartTableName=first["LastEvaluatedTableName"])
    assert first["TableNames"] + rest["TableNames"] == names


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"keys": {}}, "keys="),
        ({"keys": {"a": "S", "b": "S", "c": "S"}}, "keys="),
        ({"keys": {"a": "M"}}, "keys="),
        ({"keys": {"a": "S"}, "shards": 0}, "shards=0"),
        ({"keys": {"a": "S"}, "view_type": "ALL"}, "view_type='ALL'"),
    ],
)
def test_an_impossible_table_is_refused_with_the_wrong_option(service, options, names) -> None:
    with pytest.raises(ValueError, match=names):
        service.create_table("orders", **options)
    made = service.create_table("orders", keys={"id": "S"})
    assert service.table("orders") is made
    with pytest.raises(ValueError, match="exists already"):
        service.create_table("orders", keys={"id": "S"})
    with pytest.raises(ValueError, match="not a table name"):
        service.create_table("no/slash", keys={"id": "S"})
