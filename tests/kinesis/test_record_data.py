"""A record's Data, byte for byte as the Kinesis Adapter for Java writes it. The adapter itself is the oracle."""

from __future__ import annotations

import json
import subprocess
from base64 import b64decode
from decimal import Decimal
from typing import Any

import pytest

from beam_dynamodb_streams.kinesis import KinesisOverStreams
from beam_dynamodb_streams.kinesis.cursor import After, At, Oldest
from beam_dynamodb_streams.kinesis.record_data import Records, records_of
from beam_dynamodb_streams.kinesis.record_page import Page, PageCache
from beam_dynamodb_streams.testing import LocalStreams, Table
from beam_dynamodb_streams.wire import decode_records
from tests.kinesis.consumers import BUILT, PEERS, require

EVERY_TYPE = {
    "id": "all of them",
    "s": 'text with " and \\ and / and é and \u2028 and 😀 and \x07 and \x1f and \x7f\n\t',
    "empty": "",
    "n": Decimal("-1.50"),
    "small": Decimal("1E-130"),
    "large": Decimal("12345678901234567890123456789012345678"),
    "b": bytes(range(256)),
    "bool": True,
    "null": None,
    "ss": {"a", "b"},
    "ns": {1, 2, Decimal("3.5")},
    "bs": {b"\x00", b"\xff"},
    "l": [1, "x", None, [b"b"], {}],
    "m": {"k": {"deep": [Decimal("0.1")]}, "é": False},
}


def adapters_data(bodies: list[bytes]) -> list[bytes]:
    """Return what the adapter makes of records, given as a page of DynamoDB Streams has them."""
    require("kcl 1.14.9")
    lines = "\n".join(json.dumps(json.loads(body)) for body in bodies) + "\n"
    path = (BUILT / "kcl1" / "classpath.txt").read_text().strip()
    program = ["java", "-XX:TieredStopAtLevel=1", "-cp", path, str(PEERS / "AdapterOracle.java")]
    done = subprocess.run(program, input=lines, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return [b64decode(line.split()[-1]) for line in done.stdout.splitlines()]


def all_records(kinesis: KinesisOverStreams, table: Table) -> list[dict[str, Any]]:
    found = []
    for shard in table.shard_ids:
        start = {"StreamName": table.name, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"}
        iterator = kinesis.get_shard_iterator(**start)["ShardIterator"]
        found += kinesis.get_records(ShardIterator=iterator)["Records"]
    return found


@pytest.fixture
def changed(orders: Table) -> Table:
    """A table with an insert, a modification, and two removals of an item with every type."""
    orders.put(EVERY_TYPE)
    orders.put({**EVERY_TYPE, "s": "other"})
    orders.delete({"id": EVERY_TYPE["id"]})
    orders.put({"id": "expires", "total": 1})
    orders.delete({"id": "expires"}, by="ttl")
    return orders


def test_data_is_the_adapters_own_for_every_type_of_attribute(kinesis: KinesisOverStreams, changed: Table) -> None:
    found = {record["SequenceNumber"]: record["Data"] for record in all_records(kinesis, changed)}
    assert len(found) == 5
    bodies = [change.body for change in changed.changes]
    expected = adapters_data(bodies)
    assert [found[change.sequence_number] for change in changed.changes] == expected


def test_data_is_the_adapters_own_in_every_view(service: LocalStreams) -> None:
    found, bodies = [], []
    views: tuple[Any, ...] = ("KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE")
    for view in views:
        table = service.create_table(view, keys={"id": "S"}, view_type=view)
        table.put({"id": "a", "n": 1})
        table.put({"id": "a", "n": 2})
        table.delete({"id": "a"})
        with KinesisOverStreams(view, endpoint_url=service.endpoint_url) as kinesis:
            found += [record["Data"] for record in all_records(kinesis, table)]
        bodies += [change.body for change in table.changes]
    assert found == adapters_data(bodies)


def page_of(*bodies: str) -> Any:
    return decode_records(('{"Records":[' + ",".join(bodies) + '],"NextShardIterator":"x"}').encode())


WIRE = (
    '{"awsRegion":"us-east-1","dynamodb":{"ApproximateCreationDateTime":1.4794997405E9,"Keys":{"id":{"S":"a"}},'
    '"NewImage":%s,"SequenceNumber":"111111111111111111111","SizeBytes":26,"StreamViewType":"NEW_IMAGE"},'
    '"eventID":"c9fbe7d0261a5163fcb6940593e41797","eventName":"INSERT","eventSource":"aws:dynamodb","eventVersion":"1.1"%s}'
)
ADAPTER = (
    '{%s"eventID":"c9fbe7d0261a5163fcb6940593e41797","eventName":"INSERT","eventVersion":"1.1",'
    '"eventSource":"aws:dynamodb","awsRegion":"us-east-1","dynamodb":{"ApproximateCreationDateTime":1479499740500,'
    '"Keys":{"id":{"S":"a"}},"NewImage":%s,"SequenceNumber":"111111111111111111111","SizeBytes":26,'
    '"StreamViewType":"NEW_IMAGE"}}'
)


@pytest.mark.parametrize(
    ("sent", "written"),
    [
        ('{"id":{"S":"a"},"é":{"S":"a, b: {c"}}', '{"id":{"S":"a"},"é":{"S":"a, b: {c"}}'),
        ('{"id": {"S": "a"}, "l": {"L": [{"N": "1.0"}]}}', '{"id":{"S":"a"},"l":{"L":[{"N":"1.0"}]}}'),
        (r'{"id":{"S":"\u00e9\u001f\u0007\/\"\\u001f"}}', '{"id":{"S":"é\\u001F\\u0007/\\"\\\\u001f"}}'),
        (r'{"\u00e9":{"S":"\ud83d\ude00\n\b\f"}}', '{"é":{"S":"😀\\n\\b\\f"}}'),
    ],
    ids=["as it is", "spaces", "escapes", "surrogates"],
)
def test_each_value_has_the_one_spelling_of_the_adapter(sent: str, written: str) -> None:
    assert records_of(page_of(WIRE % (sent, "")), "adapter", "orders").data == [(ADAPTER % ("", written)).encode()]


def test_the_identity_of_a_ttl_delete_is_where_the_adapter_has_it() -> None:
    identity = ',"userIdentity":{"PrincipalId":"dynamodb.amazonaws.com","Type":"Service"}'
    first = '"userIdentity":{"principalId":"dynamodb.amazonaws.com","type":"Service"},'
    assert records_of(page_of(WIRE % ("{}", identity)), "adapter", "orders").data == [
        (ADAPTER % (first, "{}")).encode()
    ]


def test_the_other_form_is_that_of_kinesis_data_streams_for_dynamodb() -> None:
    identity = ',"userIdentity":{"PrincipalId":"dynamodb.amazonaws.com","Type":"Service"}'
    image = '{"id":{"S":"a"}}'
    plain, by_ttl = records_of(
        page_of(WIRE % (image, ""), WIRE % (image, identity)), "kinesis-data-streams", "orders"
    ).data
    assert json.loads(plain) == {
        "awsRegion": "us-east-1",
        "eventID": "c9fbe7d0-261a-5163-fcb6-940593e41797",
        "eventName": "INSERT",
        "userIdentity": None,
        "recordFormat": "application/json",
        "tableName": "orders",
        "dynamodb": {
            "ApproximateCreationDateTime": 1479499740500,
            "Keys": {"id": {"S": "a"}},
            "NewImage": {"id": {"S": "a"}},
            "SizeBytes": 26,
        },
        "eventSource": "aws:dynamodb",
    }
    assert json.loads(by_ttl)["userIdentity"] == {"principalId": "dynamodb.amazonaws.com", "type": "Service"}


def test_a_partition_key_follows_from_the_keys_whatever_their_order_and_spelling() -> None:
    def keyed(keys: str) -> str:
        return (WIRE % ("{}", "")).replace('{"id":{"S":"a"}}', keys)

    made = [
        records_of(page_of(keyed(keys)), "adapter", "orders").keys[0]
        for keys in (
            '{"id":{"S":"é"},"line":{"N":"1"}}',
            '{"line":{"N":"1"},"id":{"S":"é"}}',
            '{"line": {"N": "1"}, "id": {"S": "\\u00e9"}}',
            '{"id":{"S":"é"},"line":{"N":"2"}}',
        )
    ]
    assert made[0] == made[1] == made[2]
    assert made[3] != made[0]
    assert {len(key) for key in made} == {32}
    spellings = [
        records_of(page_of(keyed(keys)), "adapter", "orders").keys[0]
        for keys in ('{"id":{"S":"é"}}', r'{"id":{"S":"\u00e9"}}')
    ]
    assert spellings[0] == spellings[1]


def test_a_malformed_record_with_a_number_is_passed_on_at_its_place() -> None:
    bad = '{"dynamodb":{"SequenceNumber":"111111111111111111112","Keys":5},"eventName":"EXPLODE","eventID":"x"}'
    last = (WIRE % ("{}", "")).replace("111111111111111111111", "111111111111111111113")
    records = records_of(page_of(WIRE % ("{}", ""), bad, last), "adapter", "orders")
    assert [number[-1] for number in records.numbers] == ["1", "2", "3"]
    assert records.data[1] == bad.encode()


def page(first: int, last: int, size: int = 10) -> Page:
    numbers = [str(number) for number in range(first, last + 1)]
    count = len(numbers)
    return Page.of(After(first - 1), Records(numbers, [0] * count, [b"x" * size] * count, ["k"] * count), 0.0)


def test_a_cached_page_is_found_from_inside_and_not_from_outside() -> None:
    cache = PageCache()
    cache.add("a", page(10, 19))
    cache.add("a", page(30, 39))

    def first(position: After | At) -> str | None:
        found = cache.find("a", position, 0.0)
        return None if found is None else found[0].records.numbers[found[1]]

    assert [first(At(10)), first(At(15)), first(At(19)), first(At(20))] == ["10", "15", "19", None]
    assert [first(After(9)), first(After(12)), first(After(18)), first(After(19))] == ["10", "13", "19", None]
    assert first(After(25)) is None
    assert cache.find("b", After(9), 0.0) is None


def test_the_cache_keeps_to_its_size_and_drops_the_oldest_page() -> None:
    cache = PageCache(250)
    for first in (10, 30, 50):
        cache.add("a", page(first, first + 9))
    assert [cache.find("a", At(number), 0.0) is None for number in (10, 30, 50)] == [True, False, False]


def test_what_was_the_horizon_is_not_for_long() -> None:
    cache = PageCache()
    found = page(1, 5)
    cache.add("a", Page(Oldest(), found.records, 100.0, in_order=True))
    assert cache.find("a", Oldest(), 110.0) is not None
    assert cache.find("a", Oldest(), 200.0) is None
