"""Against moto's server, which is someone else's reading of the API."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import botocore.session
import pytest

from beam_dynamodb_streams.errors import (
    IteratorTypeError,
    NotFoundError,
    ShardFilterError,
    UnavailableError,
)
from beam_dynamodb_streams.shards.segments import SEGMENT_START
from beam_dynamodb_streams.source.scanned_table import ScannedTable
from beam_dynamodb_streams.wire import Client
from tests.moto_server import moto_server

TABLE = "orders"
MakeClient = Callable[..., Client]


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    with moto_server() as url:
        yield url


@pytest.fixture
def stream(moto: str) -> Iterator[str]:
    tables = botocore.session.Session().create_client("dynamodb", endpoint_url=moto)
    key = [{"AttributeName": "id", "AttributeType": "S"}]
    tables.create_table(
        TableName=TABLE,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=key,
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )
    for number in range(5):
        tables.put_item(TableName=TABLE, Item={"id": {"S": str(number)}, "n": {"N": "1.50"}})
    yield tables.describe_table(TableName=TABLE)["Table"]["LatestStreamArn"]
    tables.delete_table(TableName=TABLE)


def test_a_table_is_read_from_its_name_to_its_records(moto: str, stream: str, make_client: MakeClient) -> None:
    client = make_client(endpoint_url=moto)
    table = client.describe_table(TABLE)
    assert (table.latest_stream_arn, table.stream_enabled) == (stream, True)
    listing = client.describe_stream(stream)
    assert (listing.stream_arn, listing.table_name, listing.status) == (stream, TABLE, "ENABLED")
    assert listing.view_type == "NEW_AND_OLD_IMAGES"
    [shard] = listing.shards
    assert (shard.parents, shard.ending_sequence_number) == ((), None)
    iterator: str | None = client.get_shard_iterator(stream, shard.shard_id, "TRIM_HORIZON")
    keys = []
    while len(keys) < 5 and iterator:
        page = client.get_records(iterator, limit=2, stream_arn=stream, shard_id=shard.shard_id)
        assert (len(page.records) <= 2, page.malformed) == (True, [])
        keys += [bytes(record.change.keys) for record in page.records]
        iterator = page.next_iterator
    assert keys == [b'{"id": {"S": "%d"}}' % number for number in range(5)]


def test_reading_on_after_a_record_brings_the_next_one(moto: str, stream: str, make_client: MakeClient) -> None:
    client = make_client(endpoint_url=moto)
    shard = client.describe_stream(stream).shards[0].shard_id
    records = client.get_records(client.get_shard_iterator(stream, shard, "TRIM_HORIZON")).records
    after = client.get_shard_iterator(
        stream, shard, "AFTER_SEQUENCE_NUMBER", sequence_number=records[1].sequence_number
    )
    assert [r.event_id for r in client.get_records(after).records] == [r.event_id for r in records[2:]]


def test_moto_ignores_the_shard_filter(moto: str, stream: str, make_client: MakeClient) -> None:
    client = make_client(endpoint_url=moto)
    shard = client.describe_stream(stream).shards[0].shard_id
    with pytest.raises(ShardFilterError, match="ignores"):
        client.describe_stream(stream, children_of=shard)


def test_moto_gives_an_at_timestamp_iterator_that_it_cannot_read(
    moto: str, stream: str, make_client: MakeClient
) -> None:
    client = make_client(endpoint_url=moto)
    shard = client.describe_stream(stream).shards[0].shard_id
    iterator = client.get_shard_iterator(stream, shard, "AT_TIMESTAMP", timestamp=1)
    with pytest.raises(IteratorTypeError) as raised:
        client.get_records(iterator)
    assert (raised.value.stream, raised.value.shard) == (stream, shard)


def test_a_fault_of_motos_is_a_fault(moto: str, stream: str, make_client: MakeClient) -> None:
    client = make_client(endpoint_url=moto)
    with pytest.raises(UnavailableError):
        client.get_shard_iterator(stream, "no such shard", "TRIM_HORIZON")
    with pytest.raises(NotFoundError, match="not found"):
        client.describe_table("nobody")


@pytest.mark.parametrize(("total", "limit"), [(1, None), (1, 2), (4, 2)])
def test_every_item_is_in_one_page_of_a_scan(
    moto: str, stream: str, make_client: MakeClient, total: int, limit: int | None
) -> None:
    table = ScannedTable(make_client(endpoint_url=moto), TABLE, ["id"])
    found = []
    for segment in range(total):
        place: bytes | None = SEGMENT_START
        while place is not None:
            page = table.scan(segment, total, place, limit)
            found += page.rows
            assert limit is None or len(page.rows) <= limit
            assert page.units > 0
            place = page.last
    assert sorted(row.key for row in found) == [(("S", str(number)),) for number in range(5)]
    assert {row.keys for row in found} == {b'{"id":{"S": "%d"}}' % number for number in range(5)}
