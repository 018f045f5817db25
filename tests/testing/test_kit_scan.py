"""Scan, and lengths of time as timedeltas, as boto3 meets them."""

from __future__ import annotations

from datetime import timedelta

import boto3
import pytest
from botocore.exceptions import ClientError

from beam_dynamodb_streams.testing import Clock, LocalStreams


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
