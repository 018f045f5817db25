"""A change record as its users see it."""

from __future__ import annotations

import copy
import pickle
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from beam_dynamodb_streams.errors import InvalidValueError, MalformedRecordError
from beam_dynamodb_streams.records import ChangeRecord
from beam_dynamodb_streams.records.envelope import change_records
from beam_dynamodb_streams.wire import RawChange, RawRecord

WHEN = datetime(2026, 1, 31, 12, 30, 5, tzinfo=timezone.utc)
SHARD = "shardId-00000001763000000000-a1b2c3d4"


def change(**differently: Any) -> ChangeRecord:
    return ChangeRecord(
        **{
            "event_id": "e1",
            "event_name": "MODIFY",
            "keys": {"order_id": "o1"},
            "new_image": {"order_id": "o1", "total": Decimal("12.50"), "tags": {"a", "b"}},
            "old_image": {"order_id": "o1", "total": Decimal("9.99")},
            "sequence_number": "421584500000000017450439091",
            "shard_id": SHARD,
            "approximate_creation_time": WHEN,
            "size_bytes": 59,
            **differently,
        }
    )


def received(**differently: bytes | None) -> ChangeRecord:
    """The same change as read from a page, its JSON spelt otherwise."""
    parts = {
        "keys": b'{"order_id": {"S": "o1"}}',
        "new_image": b'{"tags":{"SS":["b","a"]},"total":{"N":"12.5"},"order_id":{"S":"o1"}}',
        "old_image": b'{"total":{"N":"9.99"},"order_id":{"S":"o1"}}',
        **differently,
    }
    raw = {name: None if json is None else msgspec.Raw(json) for name, json in parts.items()}
    stream_record = RawChange(
        creation_time=WHEN.timestamp(),
        sequence_number="421584500000000017450439091",
        stream_view_type="NEW_AND_OLD_IMAGES",
        size_bytes=59,
        **raw,  # type: ignore[arg-type]
    )
    return next(change_records([RawRecord("e1", "MODIFY", stream_record)], SHARD))


def received_removal(identity: bytes | None) -> ChangeRecord:
    change = RawChange(WHEN.timestamp(), msgspec.Raw(b'{"order_id":{"S":"o1"}}'), "7", "KEYS_ONLY")
    raw = None if identity is None else msgspec.Raw(identity)
    return next(change_records([RawRecord("e1", "REMOVE", change, user_identity=raw)], SHARD))


def test_a_record_from_a_page_has_the_values_of_the_change():
    record = received()
    assert record.event_id == "e1"
    assert record.event_name == "MODIFY"
    assert record.keys == {"order_id": "o1"}
    assert record.new_image == {"order_id": "o1", "total": Decimal("12.5"), "tags": {"a", "b"}}
    assert record.old_image == {"order_id": "o1", "total": Decimal("9.99")}
    assert record.sequence_number == "421584500000000017450439091"
    assert record.shard_id == SHARD
    assert record.approximate_creation_time == WHEN
    assert record.creation_micros == int(WHEN.timestamp()) * 1_000_000
    assert record.size_bytes == 59
    assert record.stream_view_type == "NEW_AND_OLD_IMAGES"
    assert record.user_identity is None


@pytest.mark.parametrize(
    ("view_type", "new", "old"),
    [
        ("KEYS_ONLY", None, None),
        ("NEW_IMAGE", {"order_id": "o1"}, None),
        ("OLD_IMAGE", None, {"order_id": "o1"}),
    ],
)
def test_an_image_that_the_view_leaves_out_is_none(view_type: str, new: Any, old: Any):
    """Trap 17."""
    record = change(stream_view_type=view_type, new_image=new, old_image=old)
    assert record.new_image == new
    assert record.old_image == old
    assert record.new_image_json == (None if new is None else b'{"order_id":{"S":"o1"}}')
    assert record.old_image_json == (None if old is None else b'{"order_id":{"S":"o1"}}')


def test_an_image_is_decoded_once_and_only_when_asked_for():
    record = received(new_image=b"not JSON")
    assert record.old_image is record.old_image
    assert record.new_image_json == b"not JSON"
    with pytest.raises(MalformedRecordError, match="new_image is not DynamoDB JSON") as caught:
        _ = record.new_image
    assert caught.value.payload == b"not JSON"
    assert caught.value.shard == SHARD
    assert caught.value.position == "421584500000000017450439091"


def test_equality_is_by_value_whatever_the_json_looks_like_and_whatever_was_decoded():
    one, other = change(), received()
    assert one == other
    assert hash(one) == hash(other)
    _ = one.new_image
    assert one == other
    assert len({one, other}) == 1


@pytest.mark.parametrize(
    "difference",
    [
        {"event_id": "e2"},
        {"event_name": "INSERT"},
        {"keys": {"order_id": "o2"}},
        {"new_image": None},
        {"old_image": {"order_id": "o1", "total": "9.99"}},
        {"sequence_number": "1"},
        {"shard_id": "shardId-2"},
        {"approximate_creation_time": WHEN + timedelta(seconds=1)},
        {"size_bytes": None},
        {"stream_view_type": "NEW_IMAGE"},
        {"user_identity": {"Type": "Service"}},
    ],
    ids=lambda difference: next(iter(difference)),
)
def test_a_record_that_differs_in_anything_is_another(difference: dict[str, Any]):
    assert change(**difference) != change()


def test_a_bool_and_a_number_are_different_values():
    assert change(new_image={"a": [True]}) != change(new_image={"a": [1]})


def test_records_with_malformed_images_are_equal_only_byte_for_byte():
    assert received(new_image=b"{") == received(new_image=b"{")
    assert received(new_image=b"{") != received(new_image=b"[")
    assert received() != "something else"


def test_a_record_is_immutable():
    record = change()
    with pytest.raises(AttributeError, match="immutable"):
        record.event_id = "e2"
    with pytest.raises(AttributeError, match="immutable"):
        del record.event_id
    with pytest.raises(AttributeError, match="immutable"):
        record.anything = 1  # type: ignore[attr-defined]
    with pytest.raises(AttributeError):
        record.new_image = None  # type: ignore[misc]
    assert not hasattr(record, "__dict__")


def test_the_repr_is_short_and_names_the_keys_and_the_images_that_are_there():
    assert repr(change(new_image={"order_id": "o1", "text": "x" * 10_000})) == (
        "<ChangeRecord MODIFY order_id='o1' at 2026-01-31T12:30:05Z, old and new image, 421584500000000017450439091>"
    )
    assert "no image" in repr(change(new_image=None, old_image=None))
    assert len(repr(change(keys={"order_id": "x" * 2048}))) < 250
    assert "malformed keys" in repr(received(keys=b"{"))


def test_copies_and_pickles_hold_their_own_bytes():
    record = received()
    for other in (pickle.loads(pickle.dumps(record)), copy.copy(record), copy.deepcopy(record)):  # noqa: S301
        assert other == record
        assert other.new_image_json == record.new_image_json
        assert type(other._new_image_raw) is bytes


def test_to_dict_gives_the_arguments_that_make_the_record():
    assert ChangeRecord(**received().to_dict()) == received()


def test_json_is_one_line_from_which_the_record_comes_back():
    record = received(new_image=b'{\n  "text": {"S": "two\\nlines"}\r\n}')
    line = record.to_json()
    assert "\n" not in line
    assert "\r" not in line
    assert msgspec.json.decode(line) == {
        "event_id": "e1",
        "event_name": "MODIFY",
        "sequence_number": "421584500000000017450439091",
        "version": f"{0:013}-{0:020}-{421584500000000017450439091:040}",
        "shard_id": SHARD,
        "approximate_creation_time": "2026-01-31T12:30:05Z",
        "size_bytes": 59,
        "stream_view_type": "NEW_AND_OLD_IMAGES",
        "user_identity": None,
        "keys": {"order_id": {"S": "o1"}},
        "new_image": {"text": {"S": "two\nlines"}},
        "old_image": {"total": {"N": "9.99"}, "order_id": {"S": "o1"}},
    }
    assert ChangeRecord.from_json(line) == record
    assert ChangeRecord.from_json(line.encode()) == record
    removed = change(event_name="REMOVE", new_image=None, user_identity={"Type": "Service"})
    assert ChangeRecord.from_json(removed.to_json()) == removed


@pytest.mark.parametrize("line", ["", "{}", "[]", '{"event_id": 1}', "\ud800"])
def test_other_json_is_a_malformed_record(line: str):
    with pytest.raises(MalformedRecordError, match="not a change record"):
        ChangeRecord.from_json(line)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("approximate_creation_time", "2026-01-31T12:30:05"),
        ("sequence_number", "abc"),
        ("sequence_number", ""),
        ("sequence_number", "12\n"),
        ("sequence_number", "١٢"),
    ],
)
def test_a_line_without_a_time_zone_or_with_a_number_that_is_not_one_is_malformed(name: str, value: str):
    line = msgspec.json.encode({**msgspec.json.decode(change().to_json()), name: value})
    with pytest.raises(MalformedRecordError, match="not a change record") as caught:
        ChangeRecord.from_json(line)
    assert caught.value.payload == line


@pytest.mark.parametrize("identity", [b"5", b'"Service"', b"[]", b'{"Type":5}'])
def test_an_identity_that_nobody_can_read_makes_no_ttl_delete_and_costs_itself_alone(identity: bytes):
    record, same, other = (received_removal(each) for each in (identity, identity, b'{"Type":"Service"}'))
    assert not record.is_ttl_delete
    assert record == same
    assert record != other
    assert "REMOVE" in record._repr_html_()
    assert ChangeRecord.from_json(record.to_json()) == record
    if identity != b'{"Type":5}':
        with pytest.raises(MalformedRecordError, match="user_identity is not a JSON object") as caught:
            record.to_dict()
        assert (caught.value.shard, caught.value.position) == (SHARD, record.sequence_number)
        assert caught.value.payload == identity


def test_identities_are_compared_by_value():
    one, other = b'{"Type":"Service","PrincipalId":"p"}', b'{"PrincipalId": "p", "Type": "Service"}'
    assert received_removal(one) == received_removal(other)
    assert received_removal(one) != received_removal(None)


@pytest.mark.parametrize(
    ("event_name", "identity", "expected"),
    [
        ("REMOVE", {"Type": "Service", "PrincipalId": "dynamodb.amazonaws.com"}, True),
        ("REMOVE", {"type": "Service", "principalId": "dynamodb.amazonaws.com"}, True),
        ("REMOVE", {"Type": "Service", "PrincipalId": "replication.dynamodb.amazonaws.com"}, False),
        ("REMOVE", None, False),
        ("MODIFY", {"Type": "Service", "PrincipalId": "dynamodb.amazonaws.com"}, False),
    ],
)
def test_only_a_removal_by_the_service_itself_is_a_ttl_delete(event_name: str, identity: Any, expected: bool):
    record = change(event_name=event_name, user_identity=identity)
    assert record.is_ttl_delete is expected
    assert record.user_identity == identity


def test_a_time_in_another_zone_is_the_same_moment_in_utc():
    record = change(approximate_creation_time=WHEN.astimezone(timezone(timedelta(hours=5))))
    assert record == change()
    assert record.approximate_creation_time.tzinfo is timezone.utc


@pytest.mark.parametrize(
    "wrong",
    [
        {"event_name": "UPDATE"},
        {"event_id": ""},
        {"event_id": 5},
        {"shard_id": None},
        {"sequence_number": 5},
        {"sequence_number": "abc"},
        {"stream_view_type": "ALL"},
        {"size_bytes": -1},
        {"size_bytes": True},
        {"approximate_creation_time": WHEN.replace(tzinfo=None)},
        {"approximate_creation_time": 1769862605},
        {"keys": {}},
        {"keys": {"order_id": 1.5}},
        {"new_image": {"a": {1, "b"}}},
        {"old_image": "text"},
        {"user_identity": {"Type": object()}},
    ],
    ids=lambda wrong: f"{next(iter(wrong))}={next(iter(wrong.values()))!r}"[:40],
)
def test_a_value_that_no_stream_holds_is_refused_by_name(wrong: dict[str, Any]):
    ((name, value),) = wrong.items()
    with pytest.raises(InvalidValueError) as caught:
        change(**wrong)
    assert f"{name}={value!r}" in str(caught.value)
