"""What a write puts into the stream."""

from __future__ import annotations

import json
import math
from datetime import datetime, timezone
from decimal import Decimal

import pytest
from boto3.dynamodb.types import TypeDeserializer

from beam_dynamodb_streams.testing import Clock, Faults, LocalStreams, Table


@pytest.fixture
def table(service: LocalStreams) -> Table:
    return service.create_table("orders", keys={"id": "S"})


def _served(table: Table, reader) -> list[dict]:
    records, _ = reader.page(reader.iterator(table.stream_arn, table.open_shard_ids[0]))
    return records


def test_a_record_has_every_member_that_the_service_sends(table, reader, clock: Clock) -> None:
    clock.advance(0.9)
    change = table.put({"id": "o-1", "total": Decimal("9.90")})
    (record,) = _served(table, reader)
    assert record == {
        "eventID": change.event_id,
        "eventName": "INSERT",
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "us-east-1",
        "dynamodb": {
            "ApproximateCreationDateTime": datetime(2026, 1, 1, tzinfo=timezone.utc),
            "Keys": {"id": {"S": "o-1"}},
            "NewImage": {"id": {"S": "o-1"}, "total": {"N": "9.9"}},
            "SequenceNumber": change.sequence_number,
            "SizeBytes": 5 + 5 + 5 + 2,
            "StreamViewType": "NEW_AND_OLD_IMAGES",
        },
    }
    assert len(change.event_id) == 32


def test_a_change_has_the_content_of_its_record_as_python_values(table) -> None:
    table.put({"id": "o-1", "total": Decimal("9.99")})
    change = table.put({"id": "o-1", "total": 10, "tags": {"a", "b"}})
    assert change.event_name == "MODIFY"
    assert change.keys == {"id": "o-1"}
    assert change.old_image == {"id": "o-1", "total": Decimal("9.99")}
    assert change.new_image == {"id": "o-1", "total": Decimal(10), "tags": {"a", "b"}}
    assert change.stream_arn == table.stream_arn
    assert change.shard_id == table.open_shard_ids[0]
    assert change.record == json.loads(change.body)


def test_changes_are_all_that_was_served_in_the_order_of_writing(table, reader) -> None:
    returned = [
        table.put({"id": "o-1"}),
        table.put({"id": "o-2"}),
        table.update({"id": "o-1"}, {"n": 1}),
        table.delete({"id": "o-2"}),
    ]
    assert table.changes == returned
    assert [change.event_id for change in returned] == [record["eventID"] for record in _served(table, reader)]


def test_the_item_that_was_there_decides_between_insert_modify_and_remove(table) -> None:
    """Trap 17: REMOVE has no new image, INSERT no old one."""
    inserted = table.put({"id": "o-1", "n": 1})
    modified = table.put({"id": "o-1", "n": 2})
    removed = table.delete({"id": "o-1"})
    again = table.put({"id": "o-1", "n": 2})
    kinds = [change.event_name for change in (inserted, modified, removed, again)]
    assert kinds == ["INSERT", "MODIFY", "REMOVE", "INSERT"]
    assert (inserted.old_image, removed.new_image, again.old_image) == (None, None, None)
    assert removed.old_image == modified.new_image == {"id": "o-1", "n": Decimal(2)}


def test_a_write_that_changes_nothing_puts_nothing_into_the_stream(table) -> None:
    table.put({"id": "o-1", "n": Decimal("1.0"), "tags": {"a", "b"}, "m": {"x": 1, "y": 2}})
    assert table.put({"m": {"y": 2, "x": 1}, "tags": {"b", "a"}, "n": 1, "id": "o-1"}) is None
    assert table.update({"id": "o-1"}, {"n": 1}, remove=["absent"]) is None
    assert table.delete({"id": "o-2"}) is None
    assert len(table.changes) == 1


def test_an_update_sets_and_removes_attributes_and_makes_an_item_that_is_not_there(table) -> None:
    made = table.update({"id": "o-1"}, {"a": 1, "b": None})
    changed = table.update({"id": "o-1"}, {"c": b"\x00"}, remove=["a"])
    assert (made.event_name, changed.event_name) == ("INSERT", "MODIFY")
    assert changed.new_image == table.item({"id": "o-1"}) == {"id": "o-1", "b": None, "c": b"\x00"}
    assert table.item({"id": "o-2"}) is None


def test_a_delete_by_ttl_is_marked_with_the_services_identity(table, reader) -> None:
    table.put({"id": "o-1"})
    table.put({"id": "o-2"})
    table.delete({"id": "o-1"}, by="ttl")
    table.delete({"id": "o-2"})
    *_, by_ttl, by_user = _served(table, reader)
    assert by_ttl["userIdentity"] == {"Type": "Service", "PrincipalId": "dynamodb.amazonaws.com"}
    assert "userIdentity" not in by_user


@pytest.mark.parametrize(
    ("view", "images"),
    [
        ("KEYS_ONLY", [set(), set(), set()]),
        ("NEW_IMAGE", [{"NewImage"}, {"NewImage"}, set()]),
        ("OLD_IMAGE", [set(), {"OldImage"}, {"OldImage"}]),
        ("NEW_AND_OLD_IMAGES", [{"NewImage"}, {"NewImage", "OldImage"}, {"OldImage"}]),
    ],
)
def test_the_view_decides_which_images_a_record_carries(service, reader, view, images) -> None:
    """Trap 17."""
    table = service.create_table("viewed", keys={"id": "S"}, view_type=view)
    table.put({"id": "o-1", "n": 1})
    table.put({"id": "o-1", "n": 2})
    table.delete({"id": "o-1"})
    records = [record["dynamodb"] for record in _served(table, reader)]
    assert [record.keys() & {"NewImage", "OldImage"} for record in records] == images
    assert {record["StreamViewType"] for record in records} == {view}
    sizes = [record["SizeBytes"] for record in records]
    assert all(size >= 5 for size in sizes)
    assert (max(sizes) > 5) == (view != "KEYS_ONLY")


def test_creation_times_are_floored_to_the_second(table, clock: Clock) -> None:
    """Trap 19."""
    clock.advance(0.999)
    first = table.put({"id": "o-1"})
    clock.advance(0.001)
    second = table.put({"id": "o-2"})
    times = [change.record["dynamodb"]["ApproximateCreationDateTime"] for change in (first, second)]
    assert times == [1_767_225_600, 1_767_225_601]


def test_creation_times_are_disordered_only_as_far_as_a_test_asks(service, table, clock: Clock) -> None:
    """Trap 19."""
    service.faults = Faults(disorder=5.0)
    times = []
    for number in range(50):
        clock.advance(1)
        change = table.put({"id": f"o-{number}"})
        times.append((change.record["dynamodb"]["ApproximateCreationDateTime"], math.floor(clock())))
    assert all(now - 5 <= created <= now for created, now in times)
    assert [created for created, _ in times] != sorted(created for created, _ in times)


EVERY_TYPE = {
    "id": "o-1",
    "text": 'é "quoted" \u2028 \U0001f600',
    "empty": "",
    "int": -3,
    "decimal": Decimal("0.1234567890123456789012345678901234567"),
    "zero": Decimal("-0.00"),
    "bytes": b"\x00\xff",
    "yes": True,
    "no": False,
    "null": None,
    "map": {"inner": {"n": 1}, "empty": {}},
    "list": [1, "two", None, [], [True]],
    "texts": {"a", "b"},
    "numbers": {Decimal("1.5"), Decimal(-2)},
    "binaries": {b"a", b"b"},
}


def test_every_attribute_type_survives_the_way_to_another_client(table, reader) -> None:
    table.put(EVERY_TYPE)
    (record,) = _served(table, reader)
    decode = TypeDeserializer().deserialize
    image = {name: decode(value) for name, value in record["dynamodb"]["NewImage"].items()}
    image["bytes"] = image["bytes"].value
    image["binaries"] = {each.value for each in image["binaries"]}
    assert image == EVERY_TYPE
    assert table.item({"id": "o-1"}) == EVERY_TYPE


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (Decimal("1E+3"), "1000"),
        (Decimal("1.2300"), "1.23"),
        (Decimal("-1.5E-3"), "-0.0015"),
        (10**37 + 1, str(10**37 + 1)),
        (Decimal("9" * 38 + "E+88"), "9" * 38 + "0" * 88),
        (Decimal("1E-130"), "0." + "0" * 129 + "1"),
        (123_000 * 10**30, "123" + "0" * 33),
    ],
)
def test_numbers_are_served_as_plain_digits_and_none_is_lost(table, number, text) -> None:
    change = table.put({"id": "o-1", "n": number})
    assert change.record["dynamodb"]["NewImage"]["n"] == {"N": text}
    assert change.new_image["n"] == number


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (1.5, TypeError),
        (object(), TypeError),
        (set(), ValueError),
        ({1, "a"}, TypeError),
        ({True}, TypeError),
        (Decimal("1E+126"), ValueError),
        (Decimal("1E-131"), ValueError),
        (10**38 + 1, ValueError),
        (Decimal("NaN"), TypeError),
        ("x" * 409_600, ValueError),
    ],
)
def test_a_value_that_dynamodb_cannot_hold_is_refused_and_nothing_is_written(table, value, error) -> None:
    with pytest.raises(error):
        table.put({"id": "o-1", "value": value})
    assert table.changes == []


def test_items_nest_to_thirty_two_levels(table) -> None:
    deep: object = "bottom"
    for _ in range(32):
        deep = [deep]
    assert table.put({"id": "o-1", "deep": deep}) is not None
    with pytest.raises(ValueError, match="32 levels"):
        table.put({"id": "o-2", "deep": [deep]})


@pytest.mark.parametrize("item", [{}, {"id": 1}, {"id": ""}, {"ID": "o-1"}])
def test_an_item_without_its_key_is_refused(table, item) -> None:
    with pytest.raises(ValueError, match="id"):
        table.put(item)


def test_any_bytes_can_be_put_into_a_shard_as_a_record(table, reader) -> None:
    (shard,) = table.open_shard_ids
    table.put({"id": "o-1"})
    odd = table.append(shard, b'{"eventID":"odd","dynamodb":{"SequenceNumber":"%SEQUENCE%"}}')
    table.put({"id": "o-2"})
    first, second, third = _served(table, reader)
    assert second == {"eventID": "odd", "dynamodb": {"SequenceNumber": odd.sequence_number}}
    assert int(first["dynamodb"]["SequenceNumber"]) < int(odd.sequence_number)
    assert int(odd.sequence_number) < int(third["dynamodb"]["SequenceNumber"])
