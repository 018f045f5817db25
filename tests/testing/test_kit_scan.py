"""Scan, and lengths of time as timedeltas, as boto3 meets them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import chain
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from beam_dynamodb_streams.testing import Clock, Faults, LocalStreams


def test_a_scan_has_every_item_once_whatever_its_pages() -> None:
    with LocalStreams() as service:
        table = service.create_table("orders", keys={"id": "S", "line": "N"})
        table.put_many({"id": f"o-{n}", "line": n, "big": "x" * 60_000} for n in range(40))
        table.delete({"id": "o-7", "line": 7})
        client = boto3.client("dynamodb", **service.client_options)
        for members in ({}, {"PaginationConfig": {"PageSize": 7}}):
            pages = list(client.get_paginator("scan").paginate(TableName="orders", **members))
            assert len(pages) > 2
            ids = [item["id"]["S"] for page in pages for item in page["Items"]]
            assert sorted(ids) == sorted(f"o-{n}" for n in range(40) if n != 7)
        client.close()


def test_what_a_scan_does_not_support_is_refused() -> None:
    with LocalStreams() as service:
        service.create_table("orders", keys={"id": "S"})
        client = boto3.client("dynamodb", **service.client_options)
        with pytest.raises(ClientError, match="FilterExpression"):
            client.scan(TableName="orders", FilterExpression="attribute_exists(id)")
        with pytest.raises(ClientError, match="starting key is invalid"):
            client.scan(TableName="orders", ExclusiveStartKey={"other": {"S": "x"}})
        with pytest.raises(ClientError, match="nowhere not found"):
            client.scan(TableName="nowhere")
        client.close()


def test_a_retention_may_be_a_timedelta() -> None:
    clock = Clock()
    with LocalStreams(clock=clock, retention=timedelta(minutes=1)) as service:
        table = service.create_table("orders", keys={"id": "S"})
        table.put({"id": "1"})
        client = boto3.client("dynamodbstreams", **service.client_options)
        shard = client.describe_stream(StreamArn=table.stream_arn)["StreamDescription"]["Shards"][0]["ShardId"]
        for seconds, count in ((30, 1), (60, 0)):
            clock.advance(seconds)
            iterator = client.get_shard_iterator(
                StreamArn=table.stream_arn, ShardId=shard, ShardIteratorType="TRIM_HORIZON"
            )["ShardIterator"]
            assert len(client.get_records(ShardIterator=iterator)["Records"]) == count
        client.close()


@pytest.mark.parametrize("option", ["retention", "iterator_life"])
@pytest.mark.parametrize("length", [0, -1.0, "1h", True, timedelta(0)])
def test_what_is_not_a_length_of_time_is_refused(option: str, length: object) -> None:
    with pytest.raises(ValueError, match=f"{option}=.*use seconds greater than 0, or a timedelta"):
        LocalStreams(**{option: length})


class Scans:
    """boto3's view of one table."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def page(self, **members: Any) -> dict[str, Any]:
        return self._client.scan(TableName="orders", **members)

    def ids(self, **members: Any) -> list[str]:
        """The ids of all pages of a scan, or of one segment of it."""
        found: list[str] = []
        after: dict[str, Any] = {}
        while True:
            page = self.page(**members, **after)
            found += [item["id"]["S"] for item in page["Items"]]
            if "LastEvaluatedKey" not in page:
                return found
            after = {"ExclusiveStartKey": page["LastEvaluatedKey"]}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def service(clock: Clock) -> Iterator[LocalStreams]:
    with LocalStreams(clock=clock) as service:
        yield service


@pytest.fixture
def scans(service: LocalStreams) -> Iterator[Scans]:
    client = boto3.client("dynamodb", **service.client_options)
    yield Scans(client)
    client.close()


@pytest.mark.parametrize("total", [1, 3, 8, 1000])
def test_the_segments_of_a_scan_share_the_items(service: LocalStreams, scans: Scans, total: int) -> None:
    table = service.create_table("orders", keys={"id": "S"})
    table.put_many({"id": f"o-{n}"} for n in range(60))
    found = [scans.ids(Segment=number, TotalSegments=total, Limit=7) for number in range(total)]
    assert sorted(chain(*found)) == sorted(f"o-{n}" for n in range(60))
    assert all(found) or total == 1000, "most of 1,000 segments are empty"
    assert max(map(len, found)) < 60 or total == 1
    table.put({"id": "o-1", "more": 1})
    again = [scans.ids(Segment=number, TotalSegments=total) for number in range(total)]
    assert list(map(sorted, again)) == list(map(sorted, found)), "an item does not move to another segment"


def test_items_of_one_partition_key_are_in_one_segment(service: LocalStreams, scans: Scans) -> None:
    table = service.create_table("orders", keys={"id": "S", "line": "N"})
    table.put_many({"id": "o-1", "line": n} for n in range(20))
    assert sorted(len(scans.ids(Segment=n, TotalSegments=4)) for n in range(4)) == [0, 0, 0, 20]


def test_a_start_key_of_another_segment_is_refused_in_the_words_of_the_service(
    service: LocalStreams, scans: Scans
) -> None:
    table = service.create_table("orders", keys={"id": "S"})
    table.put_many({"id": f"o-{n}"} for n in range(40))
    key = scans.page(Segment=1, TotalSegments=4, Limit=1)["LastEvaluatedKey"]
    assert scans.page(Segment=1, TotalSegments=4, ExclusiveStartKey=key)["Items"]
    with pytest.raises(ClientError, match=r"Please use ExclusiveStartKey with correct Segment. TotalSegments: 4 Segm"):
        scans.page(Segment=2, TotalSegments=4, ExclusiveStartKey=key)


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"Segment": 1}, "The TotalSegments parameter is required"),
        ({"TotalSegments": 2}, "The Segment parameter is required"),
        ({"Segment": 2, "TotalSegments": 2}, "Segment: 2 is not less than TotalSegments: 2"),
        ({"Segment": 0, "TotalSegments": 1_000_001}, "less than or equal to 1000000"),
        ({"ReturnConsumedCapacity": "SOME"}, "enum value set"),
    ],
)
def test_wrong_segments_are_refused(service: LocalStreams, scans: Scans, members: dict[str, Any], words: str) -> None:
    service.create_table("orders", keys={"id": "S"})
    with pytest.raises(ClientError, match=words):
        scans.page(**members)


def test_a_strong_megabyte_costs_256_units_and_an_eventual_one_half_of_it(service: LocalStreams, scans: Scans) -> None:
    table = service.create_table("orders", keys={"id": "S"})
    table.put_many({"id": f"o-{n}", "big": "x" * 100_000} for n in range(20))
    strong = scans.page(ConsistentRead=True, ReturnConsumedCapacity="TOTAL")
    assert len(strong["Items"]) == 11, "a page ends once it has 1 MB"
    assert 256 <= strong["ConsumedCapacity"]["CapacityUnits"] <= 280
    eventual = scans.page(ReturnConsumedCapacity="TOTAL")["ConsumedCapacity"]["CapacityUnits"]
    assert eventual == strong["ConsumedCapacity"]["CapacityUnits"] / 2
    assert "ConsumedCapacity" not in scans.page()


def test_an_eventual_read_may_be_behind_and_a_strong_one_is_not(
    service: LocalStreams, scans: Scans, clock: Clock
) -> None:
    table = service.create_table("orders", keys={"id": "S"})
    service.faults = Faults(stale_reads=5.0)
    table.put_many({"id": f"o-{n}"} for n in range(50))
    clock.advance(2.0)
    table.delete({"id": "o-0"})
    table.put({"id": "o-new"})
    now = {f"o-{n}" for n in range(1, 50)} | {"o-new"}
    assert set(scans.ids(ConsistentRead=True)) == now
    stale = [set(scans.ids()) for _ in range(10)]
    assert any("o-0" in seen for seen in stale), "an item that was deleted is still seen"
    assert any("o-new" not in seen for seen in stale), "a new item is not seen yet"
    assert any(len(now - seen) > 5 for seen in stale), "each item is behind by its own time"
    clock.advance(5.0)
    assert set(scans.ids()) == now


def test_throttled_scans_are_faults_like_others(service: LocalStreams, scans: Scans) -> None:
    service.create_table("orders", keys={"id": "S"}).put({"id": "o-1"})
    service.faults = Faults(throttle={"Scan": 0.2})
    assert all(scans.ids() == ["o-1"] for _ in range(12)), "boto3 tries again"
    assert service.counts.faults["throttle"] > 0
